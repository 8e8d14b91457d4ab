"""One account's usage, by member and actor as well: from its own transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import date
from operator import itemgetter
from typing import Any

from bursar.accounting.asked import (
    ACCOUNT_GROUPS,
    DEFAULT_LIMIT,
    Period,
    check_filters,
    check_groups,
    check_limit,
    decode_cursor,
    encode_cursor,
    period_of,
    to_day,
)
from bursar.accounting.shapes import Report, UsageRow
from bursar.accounting.usage import DEFAULT_BY, Sums, make_usage_row
from bursar.accounting.walk import Lots, walk
from bursar.core.basis import basis_moved
from bursar.core.model import TransactionType
from bursar.core.periods import utc_day
from bursar.core.tally import Movement, Walked
from bursar.engine import Engine
from bursar.reports import write_due
from bursar.store.base import Tx

Key = tuple[int | str, ...]

_USES = (TransactionType.CONSUMPTION, TransactionType.REFUND)
_BEFORE_ALL = (-1, "", "", "", "", "")


async def account_usage(
    engine: Engine,
    account: str,
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
    """How much one account used. Raises `AccountNotFound`, `Invalid`."""
    groups = check_groups(by, ACCOUNT_GROUPS)
    check_filters(skill, model, plan)
    check_limit(limit)
    after = tuple(decode_cursor("account_usage", _BEFORE_ALL, cursor))
    wanted = {name: value for name, value in (("skill", skill), ("model", model), ("plan", plan)) if value is not None}
    await write_due(engine, account)
    period = period_of(since, until, await engine.now())

    async def work(tx: Tx) -> dict[Key, Sums]:
        return await _sum(tx, account, period, groups, wanted)

    found = await engine.store.read(work)
    rows = sorted(((key, sums) for key, sums in found.items() if key > after), key=itemgetter(0))
    page = rows[:limit]
    first, last = to_day(period.since), to_day(period.until)
    assert first is not None
    assert last is not None
    data = [make_usage_row(_names(groups, key), sums) for key, sums in page]
    cursor = encode_cursor("account_usage", page[-1][0]) if len(rows) > limit else None
    return Report(first, last, groups, data, cursor)


async def _sum(tx: Tx, account: str, period: Period, groups: list[str], wanted: dict[str, str]) -> dict[Key, Sums]:
    found: dict[Key, Sums] = {}
    lots = Lots(tx, account)
    async for row in walk(tx, account, period.since_at):
        movements = await lots.movements(row)
        if _is_use(row, period) and all(getattr(row, name) == value for name, value in wanted.items()):
            _add_use(found.setdefault(_key(row, groups), Sums()), row, movements)
    return found


async def uses(tx: Tx, account: str, period: Period) -> AsyncIterator[Walked]:
    """The account's charges and refunds of a period, newest first."""
    async for row in walk(tx, account, period.since_at):
        if _is_use(row, period):
            yield row


def _is_use(row: Walked, period: Period) -> bool:
    return row.type in _USES and period.since_at <= row.effective_at < period.until_at


def _add_use(sums: Sums, row: Walked, movements: Iterable[Movement]) -> None:
    """Count a charge or a refund."""
    if row.type == TransactionType.CONSUMPTION:
        sums.charges += 1
        sums.charged -= row.amount
    else:
        sums.refunds += 1
        sums.refunded += row.amount
    for lot, part, after in movements:
        if lot is None:
            sums.debt -= part
        elif lot.paid is not None and part:
            sums.back(lot.currency or "", -part, -basis_moved(lot, part, after), costed=False)


def _key(row: Walked, groups: list[str]) -> Key:
    """The key of the row's group: what is not grouped by is the same in all."""
    day = utc_day(row.effective_at) if "day" in groups else 0
    return (day, *(getattr(row, name) or "" if name in groups else "" for name in ACCOUNT_GROUPS[1:]))


def _names(groups: list[str], key: Key) -> dict[str, Any]:
    named: dict[str, Any] = dict(zip(ACCOUNT_GROUPS, key, strict=True))
    return {name: to_day(named[name]) if name == "day" else named[name] or None for name in groups}
