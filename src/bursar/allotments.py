"""The read side of limits, members and runs.

They are shown with what is due done: a limit computes it, and knows when its window is over; where runs are shown it is
written first.
"""

from __future__ import annotations

from bursar.answers import (
    LimitAnswer,
    MemberAnswer,
    Page,
    Receipt,
    Receipts,
    RunAnswer,
    make_limit,
    make_member,
    make_run,
)
from bursar.core import text
from bursar.core.book import Book
from bursar.core.errors import RunNotFound
from bursar.core.limits import all_limits, find_limit
from bursar.core.model import Hold, Instant, Member, Transaction
from bursar.engine import Engine
from bursar.reports import (
    DEFAULT_LIMIT,
    check_limit,
    decode_cursor,
    encode_cursor,
    fetch_rows,
    know_prices,
    page_of,
    require_account,
    write_due,
)
from bursar.store.base import Tx


async def find_run(engine: Engine, account: str, run: str) -> RunAnswer:
    """One run as it stands now, with what its calls came to. Raises `AccountNotFound`, `RunNotFound`."""
    text.check_name("run", run)
    await write_due(engine, account)

    async def work(tx: Tx) -> RunAnswer:
        return await _show_run(tx, await _run(tx, account, run))

    return await engine.store.read(work)


async def list_runs(
    engine: Engine, account: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[RunAnswer]:
    """One account's runs, ended ones too. Raises `AccountNotFound`."""
    after = decode_cursor("runs", str, cursor)
    check_limit(limit)
    if cursor is None:
        await write_due(engine, account)

    async def work(tx: Tx) -> tuple[list[RunAnswer], bool]:
        rows = [Hold(*row) for row in await tx.fetch("list_runs", account, after, limit + 1)]
        if not rows:
            await require_account(tx, account)
        return [await _show_run(tx, row) for row in rows[:limit]], len(rows) > limit

    text.check_id("account", account)
    page, more = await engine.store.read(work)
    return Page(page, encode_cursor("runs", page[-1].id) if more else None)


async def list_run_calls(
    engine: Engine, receipts: Receipts, account: str, run: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[Receipt]:
    """What a run's own calls were charged, newest first, refunds too. Raises `AccountNotFound`, `RunNotFound`."""
    text.check_name("run", run)
    before = decode_cursor("calls", int, cursor)
    check_limit(limit)
    if cursor is None:
        await write_due(engine, account)

    async def work(tx: Tx) -> list[Transaction]:
        await _run(tx, account, run)
        rows = await tx.fetch("list_run_transactions", account, run, before, limit + 1)
        return [Transaction(*row) for row in rows]

    text.check_id("account", account)
    rows = await engine.store.read(work)
    page = rows[:limit]
    await know_prices(engine, page)
    return Page(receipts.of_all(page), encode_cursor("calls", page[-1].seq) if len(rows) > limit else None)


async def _run(tx: Tx, account: str, run: str) -> Hold:
    rows = [row for row in await tx.holds([(account, run)]) if row.budget is not None]
    if not rows:
        await require_account(tx, account)
        raise RunNotFound(run)
    return rows[0]


async def _show_run(tx: Tx, run: Hold) -> RunAnswer:
    """With what was spent and is held in it and in every run within."""
    held = spent = calls = 0
    names = [run.hold_id]
    for name in names:  # grows while it is walked
        [(sum_, count)] = await tx.fetch("sum_run", run.account_id, name)
        spent, calls = spent + sum_, calls + count
        in_flight = [Hold(*row) for row in await tx.fetch("find_calls", run.account_id, name)]
        held += sum(hold.amount for hold in in_flight)
        names += [row[0] for row in await tx.fetch("list_inner_runs", run.account_id, name)]
    return make_run(run, held=held, spent=spent, calls=calls)


async def list_limits(engine: Engine, account: str) -> list[LimitAnswer]:
    """One account's limits and those of its members, as they stand now. Raises `AccountNotFound`."""
    book, now = await _view_at(engine, account)
    return [make_limit(account, limit, now) for limit in all_limits(book)]


async def get_limit(engine: Engine, account: str, limit: str) -> LimitAnswer:
    """One limit as it stands now. Raises `AccountNotFound`, `LimitNotFound`."""
    text.check_id("limit", limit)
    book, now = await _view_at(engine, account)
    return make_limit(account, find_limit(book, limit), now)


async def list_members(
    engine: Engine, account: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[MemberAnswer]:
    """One account's members, removed ones too. Raises `AccountNotFound`."""
    after = decode_cursor("members", str, cursor)
    check_limit(limit)
    rows = await fetch_rows(engine, account, "scan_members", (after or "", limit + 1), Member)
    return page_of("members", rows, limit, make_member, lambda member: member.member)


async def _view_at(engine: Engine, account: str) -> tuple[Book, Instant]:
    """The book with all its members, and the moment that it is of."""
    text.check_id("account", account)
    book = await engine.view(account, members=True)
    return book, max(await engine.now(), book.account.recorded_at)
