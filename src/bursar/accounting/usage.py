"""Usage and margin: sums by day, skill, model and plan, from the totals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any, Final, TypeVar

from msgspec import Struct, field

from bursar.accounting.asked import (
    DEFAULT_LIMIT,
    GROUPS,
    Period,
    check_filters,
    check_groups,
    check_limit,
    decode_cursor,
    encode_cursor,
    period_of,
    to_day,
)
from bursar.accounting.shapes import MarginRow, Report, UsageRow
from bursar.answers import Paid
from bursar.core.money import NANOS, PICOS, Nanos, Picos, format_money, to_number
from bursar.engine import Engine
from bursar.store.base import Tx

R = TypeVar("R")

Group = tuple[Any, ...]

USD: Final = "USD"
DEFAULT_BY: Final = ("day",)
_BEFORE_ALL: Final = (-1, "", "", "")


class Sums(Struct, gc=False):
    """What one group comes to. `refunded` is positive; `debt` is what became debt; `cost` in USD."""

    charges: int = 0
    charged: Nanos = 0
    refunds: int = 0
    refunded: Nanos = 0
    debt: Nanos = 0
    paid: Nanos = 0
    revenue: dict[str, Picos] = field(default_factory=dict)
    costed: int = 0
    costed_used: Nanos = 0
    costed_revenue: dict[str, Picos] = field(default_factory=dict)
    cost: Picos = 0

    @property
    def used(self) -> Nanos:
        return self.charged - self.refunded

    @property
    def free(self) -> Nanos:
        return self.used - self.paid - self.debt

    def back(self, currency: str, amount: Nanos, money: Picos, *, costed: bool) -> None:
        """Count what came out of lots that were paid for."""
        self.paid += amount
        self.revenue[currency] = self.revenue.get(currency, 0) + money
        if costed:
            self.costed_revenue[currency] = self.costed_revenue.get(currency, 0) + money


async def usage(
    engine: Engine,
    *,
    since: date | None = None,
    until: date | None = None,
    by: Iterable[str] = DEFAULT_BY,
    skill: str | None = None,
    model: str | None = None,
    plan: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Report[UsageRow]:
    """How much everybody used. Raises `Invalid`."""
    wanted = (skill, model, plan)
    return await _report(engine, "usage", since, until, by, wanted, cursor, limit, make_usage_row)


async def margin(
    engine: Engine,
    *,
    since: date | None = None,
    until: date | None = None,
    by: Iterable[str] = DEFAULT_BY,
    skill: str | None = None,
    model: str | None = None,
    plan: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Report[MarginRow]:
    """What was earned, where the provider's cost is known. Raises `Invalid`."""
    wanted = (skill, model, plan)
    return await _report(engine, "margin", since, until, by, wanted, cursor, limit, _make_margin_row)


async def sum_used(tx: Tx, period: Period) -> Nanos:
    """How much everybody used in a period."""
    rows = await _read_sums(tx, period, [], (None, None, None), list(_BEFORE_ALL), 1)
    return rows[0][1].used if rows else 0


def make_usage_row(names: dict[str, Any], sums: Sums) -> UsageRow:
    """A group, shown. `names` are those of its groups."""
    return UsageRow(
        names.get("day"),
        names.get("skill"),
        names.get("model"),
        names.get("plan"),
        names.get("member"),
        names.get("actor"),
        sums.charges,
        to_number(sums.charged),
        sums.refunds,
        to_number(sums.refunded),
        to_number(sums.used),
        to_number(sums.paid),
        to_number(sums.free),
        to_number(sums.debt),
        _money(sums.revenue),
    )


def _make_margin_row(names: dict[str, Any], sums: Sums) -> MarginRow:
    revenue = sums.costed_revenue
    known = sums.costed > 0 and not any(revenue[currency] for currency in revenue if currency != USD)
    return MarginRow(
        names.get("day"),
        names.get("skill"),
        names.get("model"),
        names.get("plan"),
        sums.charges,
        sums.costed,
        to_number(sums.costed_used),
        _money(revenue),
        format_money(sums.cost),
        format_money(revenue.get(USD, 0) - sums.cost) if known else None,
    )


def _money(sums: dict[str, Picos]) -> list[Paid]:
    return [Paid(format_money(money), currency) for currency, money in sorted(sums.items()) if money]


async def _report(
    engine: Engine,
    name: str,
    since: date | None,
    until: date | None,
    by: Iterable[str],
    wanted: tuple[str | None, str | None, str | None],
    cursor: str | None,
    limit: int,
    make: Callable[[dict[str, Any], Sums], R],
) -> Report[R]:
    groups = check_groups(by, GROUPS)
    check_filters(*wanted)
    check_limit(limit)
    after = decode_cursor(name, _BEFORE_ALL, cursor)
    period = period_of(since, until, await engine.now())

    async def work(tx: Tx) -> list[tuple[Group, Sums]]:
        return await _read_sums(tx, period, groups, wanted, after, limit + 1)

    rows = await engine.store.read(work)
    page = rows[:limit]
    data = [make(_names(groups, key), sums) for key, sums in page]
    first, last = to_day(period.since), to_day(period.until)
    assert first is not None
    assert last is not None
    return Report(first, last, groups, data, encode_cursor(name, page[-1][0]) if len(rows) > limit else None)


async def _read_sums(
    tx: Tx, period: Period, groups: Sequence[str], wanted: tuple[Any, ...], after: list[Any], limit: int
) -> list[tuple[Group, Sums]]:
    """The groups after a key, in order, and their paid part."""
    flags = [name in groups for name in GROUPS]
    asked = (period.since, period.until, *flags, *wanted, *after)
    found = {tuple(row[:4]): _sums(*row[4:]) for row in await tx.fetch("sum_usage", *asked, limit)}
    if found:
        for row in await tx.fetch("sum_paid_usage", *asked, *list(found)[-1]):
            currency, costed, credits_, nanos, money, picos = row[4:]
            sums = found[tuple(row[:4])]
            sums.back(currency, -(credits_ * NANOS + nanos), -(money * PICOS + picos), costed=bool(costed))
    return list(found.items())


def _sums(  # the columns of sum_usage behind the key
    charges: int,
    charged_credits: int,
    charged_nanos: int,
    refunds: int,
    refunded_credits: int,
    refunded_nanos: int,
    owed_credits: int,
    owed_nanos: int,
    costed: int,
    costed_credits: int,
    costed_nanos: int,
    cost_usd: int,
    cost_picos: int,
) -> Sums:
    return Sums(
        charges=charges,
        charged=-(charged_credits * NANOS + charged_nanos),
        refunds=refunds,
        refunded=refunded_credits * NANOS + refunded_nanos,
        debt=-(owed_credits * NANOS + owed_nanos),
        costed=costed,
        costed_used=-(costed_credits * NANOS + costed_nanos),
        cost=cost_usd * PICOS + cost_picos,
    )


def _names(groups: Sequence[str], key: Group) -> dict[str, Any]:
    """What the rows of these groups are called; '' is none."""
    named = dict(zip(GROUPS, key, strict=True))
    return {name: to_day(named[name]) if name == "day" else named[name] or None for name in groups}
