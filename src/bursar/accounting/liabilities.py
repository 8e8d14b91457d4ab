"""What is owed to all accounts, by source and expiry, and what was paid for it: from the totals of lots."""

from __future__ import annotations

from typing import Any

from bursar.accounting.asked import DEFAULT_LIMIT, check_limit, decode_cursor, encode_cursor, to_day
from bursar.accounting.shapes import LiabilitiesReport, Liability
from bursar.answers import Paid
from bursar.core.model import Instant
from bursar.core.money import NANOS, PICOS, Nanos, Picos, format_money, to_number
from bursar.core.periods import to_datetime, utc_day
from bursar.engine import Engine
from bursar.store.base import Tx

Rows = list[tuple[Any, ...]]

_BEFORE_ALL = (-1, "", "")


async def liabilities(engine: Engine, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT) -> LiabilitiesReport:
    """What is owed now; rows in order of expiry, source and currency. Raises `Invalid`."""
    check_limit(limit)
    after = decode_cursor("liabilities", _BEFORE_ALL, cursor)
    now = await engine.now()

    async def work(tx: Tx) -> tuple[Rows, Rows, str | None]:
        whole = await tx.fetch("sum_owed", utc_day(now))
        return whole, *await _page(tx, after, limit)

    whole, page, next_cursor = await engine.store.read(work)
    return _report(now, engine.catalog.unit, whole, page, next_cursor)


async def _page(tx: Tx, after: list[Any], limit: int) -> tuple[Rows, str | None]:
    """Rows with something in them. What is long spent comes to nothing and is passed over."""
    page: Rows = []
    while True:
        rows = await tx.fetch("sum_lots", *after, limit + 1)
        for row in rows:
            if len(page) == limit and _amount(row):
                return page, encode_cursor("liabilities", page[-1][:3])
            page += [row] if _amount(row) else []
        if len(rows) <= limit:
            return page, None
        after = list(rows[-1][:3])


def _report(now: Instant, unit: str, whole: Rows, page: Rows, next_cursor: str | None) -> LiabilitiesReport:
    owed = lapsed = debt = 0
    basis: dict[str, Picos] = {}
    for currency, is_debt, is_past, *sums in whole:
        amount, money = _amount((None, None, None, *sums)), _money((None, None, None, *sums))
        if is_debt:
            debt -= amount
            continue
        owed += amount
        lapsed += amount if is_past else 0
        basis[currency] = basis.get(currency, 0) + money
    return LiabilitiesReport(
        to_datetime(now),
        unit,
        to_number(owed),
        to_number(lapsed),
        to_number(debt),
        [Paid(format_money(money), currency) for currency, money in sorted(basis.items()) if money],
        [_make_row(row) for row in page],
        next_cursor,
    )


def _make_row(row: tuple[Any, ...]) -> Liability:
    expires, source, currency = row[:3]
    basis = Paid(format_money(_money(row)), currency) if currency else None
    return Liability(source, to_day(expires), to_number(_amount(row)), basis)


def _amount(row: tuple[Any, ...]) -> Nanos:
    amount: Nanos = row[3] * NANOS + row[4]
    return amount


def _money(row: tuple[Any, ...]) -> Picos:
    money: Picos = row[5] * PICOS + row[6]
    return money
