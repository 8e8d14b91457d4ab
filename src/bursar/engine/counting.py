"""What an account's history says that a limit has counted, for one that is set in the middle of its window.

Read page by page, under the account's lock: the transactions of the window, and the holds that have not ended. A
limit without a window reads all of them once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bursar.core.book import Book, seq_of
from bursar.core.limits import Counted, made_by_charge, made_by_hold
from bursar.core.model import Hold, Instant, Limit, LimitScope, Transaction
from bursar.core.money import Nanos
from bursar.core.periods import MAX_INSTANT
from bursar.store.base import Tx

PAGE: Final = 500


async def count_anew(tx: Tx, book: Book, limit: Limit) -> tuple[Nanos, Nanos]:
    """What the limit would have spent and held, had it been there from the start of its window."""
    account = book.account.account_id
    written = book.account.seq - len(book.new_transactions)
    runs = await _runs(tx, book) if limit.scope == LimitScope.RUN else {}
    counted = Counted([limit], runs.get)
    open_holds: dict[str, Hold] = {}
    if book.account.open_holds:
        open_holds = {hold.hold_id: hold for hold in await tx.due_holds([account], MAX_INSTANT)}
    for hold in {**open_holds, **book.holds}.values():
        if hold is not None:
            counted.add_hold(hold)
    after = 0 if limit.starts_at is None else await _before(tx, account, written, limit.starts_at)
    while after < written and (
        rows := [Transaction(*row) for row in await tx.fetch("scan_transactions", account, after, PAGE)]
    ):
        await _add(tx, book, counted, rows)
        after = rows[-1].seq
    await _add(tx, book, counted, book.new_transactions)
    return counted.spent[0], counted.held[0]


async def _before(tx: Tx, account: str, last: int, moment: Instant) -> int:
    """The last seq that was recorded before a moment: what was recorded before it was not made since."""
    low, high = 0, last
    while low < high:
        middle = (low + high + 1) // 2
        [row] = await tx.transactions([(account, middle)])
        if row.recorded_at < moment:
            low = middle
        else:
            high = middle - 1
    return low


async def _add(tx: Tx, book: Book, counted: Counted, rows: list[Transaction]) -> None:
    """Count a page, given the charges that its refunds give back and the holds that its charges settle."""
    account = book.account.account_id
    charges = {row.id: row for row in rows}
    named = {row.refund_of for row in rows if row.refund_of is not None} - charges.keys()
    charges |= {row.id: row for row in book.new_transactions if row.id in named}
    missing = [(account, seq_of(charge)) for charge in sorted(named - charges.keys())]
    charges |= {row.id: row for row in await tx.transactions(missing)}
    names = {name for row in charges.values() for name in (row.hold, row.run) if name is not None}
    holds = await _holds(tx, book, names)
    for row in rows:
        charged = row if row.refund_of is None else charges[row.refund_of]
        if charged.hold is not None:
            counted.add(row, made_by_hold(holds[charged.hold]))
        else:
            counted.add(row, made_by_charge(charged, holds.get(charged.run or "")))


async def _holds(tx: Tx, book: Book, wanted: Iterable[str]) -> dict[str, Hold]:
    known = {hold_id: hold for hold_id in wanted if (hold := book.holds.get(hold_id)) is not None}
    missing = sorted(set(wanted) - known.keys())
    return known | {row.hold_id: row for row in await tx.holds([(book.account.account_id, name) for name in missing])}


async def _runs(tx: Tx, book: Book) -> dict[str, str | None]:
    """The run that each of the account's runs is in."""
    runs: dict[str, str | None] = {}
    after: str | None = None
    while rows := [Hold(*row) for row in await tx.fetch("list_runs", book.account.account_id, after, PAGE)]:
        runs |= {row.hold_id: row.run for row in rows}
        after = rows[-1].hold_id
    return runs | {hold.hold_id: hold.run for hold in book.holds.values() if hold is not None}
