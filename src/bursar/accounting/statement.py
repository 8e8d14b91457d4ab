"""One account's statement of a period: what it opened with, what moved, what it closed with.

By when transactions took effect. What was recorded later with an earlier effect (an expiry that was found late, a grant
with an earlier beginning) stands in the period that it belongs to: the closing balance of one period is the opening
balance of the next. Lines follow one another in the order of their seq.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

from msgspec import Struct, field

from bursar.accounting.asked import DEFAULT_LIMIT, check_limit, decode_cursor, encode_cursor
from bursar.accounting.shapes import StatementLine, StatementReport, StatementSum
from bursar.accounting.walk import NEWEST, walk
from bursar.core.errors import Invalid
from bursar.core.model import Instant
from bursar.core.money import Nanos, to_number
from bursar.core.periods import to_datetime
from bursar.core.tally import Walked
from bursar.engine import Engine
from bursar.reports import require_account, write_due
from bursar.store.base import Tx

_FIRST_PAGE: Final = (NEWEST, 0)


class Span(Struct, frozen=True):
    """From when to before when."""

    since: Instant
    until: Instant

    def has(self, row: Walked) -> bool:
        return self.since <= row.effective_at < self.until


class Whole(Struct):
    """All of a statement but its lines."""

    closing: Nanos
    sums: dict[str, list[int]] = field(default_factory=dict)
    """By type: how many, and what they come to."""

    @property
    def opening(self) -> Nanos:
        return self.closing - sum(amount for _, amount in self.sums.values())


async def statement(
    engine: Engine,
    account: str,
    since: Instant,
    until: Instant | None = None,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> StatementReport:
    """The statement of a period, which without an end lasts until now. Raises `AccountNotFound`, `Invalid`."""
    check_limit(limit)
    before, balance = decode_cursor("statement", _FIRST_PAGE, cursor)
    if cursor is None:
        await write_due(engine, account)
    now = await engine.now()
    span = Span(since, now + 1 if until is None else until)
    if span.since >= span.until:
        raise Invalid("until", "must be after since")

    async def work(tx: Tx) -> tuple[Whole | None, list[Walked]]:
        posted = (await require_account(tx, account)).posted
        whole = await _whole(tx, account, span, posted) if cursor is None else None
        return whole, await _lines(tx, account, span, before, limit + 1)

    whole, rows = await engine.store.read(work)
    page, after = _with_balances(rows[:limit], balance if whole is None else whole.closing)
    return StatementReport(
        account,
        engine.catalog.unit,
        to_datetime(span.since),
        to_datetime(span.until),
        None if whole is None else to_number(whole.opening),
        None if whole is None else to_number(whole.closing),
        []
        if whole is None
        else [StatementSum(type_, n, to_number(sum_)) for type_, (n, sum_) in sorted(whole.sums.items())],
        page,
        encode_cursor("statement", (rows[limit - 1].seq, after)) if len(rows) > limit else None,
    )


async def _whole(tx: Tx, account: str, span: Span, posted: Nanos) -> Whole:
    whole = Whole(posted)
    async for row in walk(tx, account, span.since):
        if row.effective_at >= span.until:
            whole.closing -= row.amount
        elif row.effective_at >= span.since:
            found = whole.sums.setdefault(row.type, [0, 0])
            found[0] += 1
            found[1] += row.amount
    return whole


async def _lines(tx: Tx, account: str, span: Span, before: int, limit: int) -> list[Walked]:
    found: list[Walked] = []
    async with aclosing(walk(tx, account, span.since, before)) as rows:
        async for row in rows:
            if span.has(row):
                found.append(row)
            if len(found) == limit:
                break
    return found


def _with_balances(rows: list[Walked], balance: Nanos) -> tuple[list[StatementLine], Nanos]:
    """The lines, and the balance before the last of them."""
    page = []
    for row in rows:
        page.append(_make_line(row, balance))
        balance -= row.amount
    return page, balance


def _make_line(row: Walked, balance: Nanos) -> StatementLine:
    return StatementLine(
        row.seq,
        row.id,
        row.type,
        to_number(row.amount),
        to_number(balance),
        row.skill,
        row.model,
        row.member,
        row.description,
        to_datetime(row.effective_at),
        to_datetime(row.recorded_at),
    )
