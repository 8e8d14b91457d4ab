"""Rows of the store into books: for a batch in bulk, for a single need, for a read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bursar.catalog import Catalog
from bursar.clock import TestClock
from bursar.core.book import Book, NotLoaded, Wanted, seq_of
from bursar.core.commands import (
    AddMember,
    Capture,
    Charge,
    CloseRun,
    Command,
    Dispatch,
    Extend,
    OpenRun,
    PlaceHold,
    Refund,
    Release,
    RemoveMember,
)
from bursar.core.due import settle_due
from bursar.core.errors import AccountNotFound
from bursar.core.model import Account, Hold, Instant, Member
from bursar.engine.counting import PAGE, count_anew
from bursar.store.base import Pair, Tx

NAMES_HOLD = frozenset({Capture, Release, Dispatch, Extend})
"""The commands with a field `hold`. Asked for by type: `isinstance` costs more than loading here."""

NAMES_RUN = frozenset({Charge, PlaceHold, OpenRun})
"""The commands with a field `run`, which may be None."""

NAMES_MEMBER = NAMES_RUN | {AddMember, RemoveMember}
"""The commands with a field `member`, which may be None."""


class Named:
    """The rows that commands name, gathered in one pass: keys, holds, members, charges to refund."""

    __slots__ = ("charges", "holds", "keys", "members")

    def __init__(self, books: dict[str, Book], commands: Iterable[Command]) -> None:
        self.keys: list[Pair] = []
        self.holds: list[Pair] = []
        self.charges: list[Pair] = []
        self.members: list[Pair] = []
        for command in commands:
            if command.account not in books:
                continue
            if command.key is not None:
                self.keys.append((command.account, command.key))
            kind = type(command)
            if kind in NAMES_HOLD:
                self.holds.append((command.account, command.hold))  # type: ignore[attr-defined]  # see NAMES_HOLD
            elif kind in NAMES_MEMBER:
                if command.member is not None:  # type: ignore[attr-defined]  # see NAMES_MEMBER
                    self.members.append((command.account, command.member))  # type: ignore[attr-defined]
                if kind in NAMES_RUN and command.run is not None:  # type: ignore[attr-defined]  # see NAMES_RUN
                    self.holds.append((command.account, command.run))  # type: ignore[attr-defined]
            elif kind is CloseRun:
                self.holds.append((command.account, command.run))  # type: ignore[attr-defined]
            elif kind is Refund and seq_of(command.transaction):  # type: ignore[attr-defined]
                self.charges.append((command.account, command.transaction))  # type: ignore[attr-defined]


async def load_books(tx: Tx, rows: Sequence[Account], commands: Iterable[Command], now: Instant) -> dict[str, Book]:
    """The books of these accounts with what is named: live lots, due holds, keys, holds, members, refunded charges."""
    books = {row.account_id: Book(row) for row in rows}
    if not books:
        return books
    for lot in await tx.live_lots(list(books)):
        books[lot.account_id].lots[lot.lot_id] = lot
    named = Named(books, commands)
    if named.keys:
        await _load_keys(tx, books, named.keys)
    if named.holds:
        await _load_holds(tx, books, named.holds)
    await _load_due_holds(tx, books, now)
    await _load_runs(tx, books)
    if named.charges:
        # Each once: a pair that is asked for twice is answered twice, and its refunds would count twice.
        await _load_refunded(tx, books, list(dict.fromkeys(named.charges)))
    await _load_members(tx, books, named.members)
    return books


async def _load_keys(tx: Tx, books: dict[str, Book], pairs: list[Pair]) -> None:
    for account, key in pairs:
        books[account].keys[key] = None
    for row in await tx.keys(pairs):
        books[row.account_id].keys[row.key] = row


async def _load_holds(tx: Tx, books: dict[str, Book], pairs: list[Pair]) -> None:
    for account, hold_id in pairs:
        books[account].holds[hold_id] = None
    for row in await tx.holds(pairs):
        books[row.account_id].holds[row.hold_id] = row


async def _load_due_holds(tx: Tx, books: dict[str, Book], now: Instant) -> None:
    holders = [account_id for account_id, book in books.items() if book.account.open_holds]
    if not holders:
        return
    # An account's time never goes back, though the clock may: see `decide`.
    latest = max(now, *(books[account_id].account.recorded_at for account_id in holders))
    for row in await tx.due_holds(holders, latest):
        book = books[row.account_id]
        if row.expires_at > max(now, book.account.recorded_at):
            continue
        hold = book.holds.get(row.hold_id) or row
        book.holds[row.hold_id] = hold
        book.due_holds.append(hold)


async def _load_runs(tx: Tx, books: dict[str, Book]) -> None:
    """The runs that holds draw from, and those that these draw from."""
    while True:
        pairs = {
            (account, hold.run)
            for account, book in books.items()
            for hold in book.holds.values()
            if hold is not None and hold.run is not None and hold.run not in book.holds
        }
        if not pairs:
            return
        await _load_holds(tx, books, sorted(pairs))


async def _load_refunded(tx: Tx, books: dict[str, Book], pairs: list[Pair]) -> None:
    seqs = [(account, seq_of(transaction)) for account, transaction in pairs]
    for account, seq in seqs:
        books[account].transactions[seq] = None
    for row in await tx.transactions(seqs):
        books[row.account_id].transactions[row.seq] = row
    for account, transaction in pairs:
        books[account].refunds[transaction] = []
    for row in await tx.refunds(pairs):
        books[row.account_id].refunds[row.refund_of or ""].append(row)


async def _load_members(tx: Tx, books: dict[str, Book], named: list[Pair]) -> None:
    """Those who are named by commands or by holds that may end now, where the account has any."""
    wanted = [(account, member) for account, member in named if has_members(books[account])]
    for account, book in books.items():
        if has_members(book):
            held = (hold.member for hold in book.holds.values() if hold is not None)
            wanted += [(account, member) for member in held if member is not None]
    if not wanted:
        return
    for account, member in wanted:
        books[account].members[member] = None
    for row in await tx.members(list(dict.fromkeys(wanted))):
        books[row.account_id].members[row.member] = row


def has_members(book: Book) -> bool:
    """Whether the account has rows of members: who has none is not looked for."""
    if book.account.limits is None:
        return False
    limits = book.limits()
    return limits is not None and limits.members > 0


async def load_missing(tx: Tx, book: Book, lack: NotLoaded) -> None:
    """Load what a rule asked for; None where the store has no such row."""
    account, name = lack.account, lack.name
    match lack.wanted:
        case Wanted.KEY:
            book.keys[name] = next(iter(await tx.keys([(account, name)])), None)
        case Wanted.HOLD:
            book.holds[name] = next(iter(await tx.holds([(account, name)])), None)
        case Wanted.LOT:
            book.lots[name] = next(iter(await tx.lots([(account, name)])), None)
        case Wanted.TRANSACTION:
            book.transactions[name] = next(iter(await tx.transactions([(account, name)])), None)
        case Wanted.REFUNDS:
            book.refunds[name] = await tx.refunds([(account, name)])
        case Wanted.MEMBER:
            book.members[name] = next(iter(await tx.members([(account, name)])), None)
        case Wanted.MEMBERS:
            await load_every_member(tx, book)
        case Wanted.CALLS:
            for row in await tx.fetch("find_calls", account, name):
                book.holds.setdefault(row[1], Hold(*row))
            book.all_calls.add(name)
        case Wanted.COUNTED:
            book.counted_before = await count_anew(tx, book, name)


async def load_every_member(tx: Tx, book: Book) -> None:
    """All members of one account; those that are in the book already may have changed there."""
    after = ""
    while rows := [Member(*row) for row in await tx.fetch("scan_members", book.account.account_id, after, PAGE)]:
        for row in rows:
            if book.members.get(row.member) is None:
                book.members[row.member] = row
        after = rows[-1].member
    book.all_members = True


async def read_book(tx: Tx, account: str, catalog: Catalog, clock: TestClock | None, *, members: bool = False) -> Book:
    """One account's book as it stands now, what is due computed in memory, with all its members where they are wanted.
    `AccountNotFound`.
    """
    rows = await tx.accounts([account])
    if not rows:
        raise AccountNotFound(account)
    now, version = await tx.clock()
    now = max(clock.now() if clock is not None else now, rows[0].recorded_at)
    catalogue = await catalog.fresh(tx, version)
    book = (await load_books(tx, rows, (), now))[account]
    if members and has_members(book):
        await load_every_member(tx, book)
    while True:
        try:
            settle_due(book, now, catalogue)
        except NotLoaded as lack:
            await load_missing(tx, book, lack)
        else:
            return book
