"""Rows of the store into books: for a batch in bulk, for a single need, for a read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bursar.catalog import Catalog
from bursar.clock import TestClock
from bursar.core.book import Book, NotLoaded, Wanted, seq_of
from bursar.core.commands import Capture, Command, Dispatch, Extend, Refund, Release
from bursar.core.due import settle_due
from bursar.core.errors import AccountNotFound
from bursar.core.model import Account, Instant
from bursar.store.base import Pair, Tx

NAMES_HOLD = frozenset({Capture, Release, Dispatch, Extend})
"""The commands with a field `hold`. Asked for by type: `isinstance` costs more than loading here."""


class Named:
    """The rows that commands name, gathered in one pass: keys, holds, charges to refund."""

    __slots__ = ("charges", "holds", "keys")

    def __init__(self, books: dict[str, Book], commands: Iterable[Command]) -> None:
        self.keys: list[Pair] = []
        self.holds: list[Pair] = []
        self.charges: list[Pair] = []
        for command in commands:
            if command.account not in books:
                continue
            if command.key is not None:
                self.keys.append((command.account, command.key))
            kind = type(command)
            if kind in NAMES_HOLD:
                self.holds.append((command.account, command.hold))  # type: ignore[attr-defined]  # see NAMES_HOLD
            elif kind is Refund and seq_of(command.transaction):  # type: ignore[attr-defined]
                self.charges.append((command.account, command.transaction))  # type: ignore[attr-defined]


async def load_books(tx: Tx, rows: Sequence[Account], commands: Iterable[Command], now: Instant) -> dict[str, Book]:
    """The books of these accounts with what is named: live lots, due holds, keys, holds, refunded charges."""
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
    if named.charges:
        # Each once: a pair that is asked for twice is answered twice, and its refunds would count twice.
        await _load_refunded(tx, books, list(dict.fromkeys(named.charges)))
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


async def load_missing(tx: Tx, book: Book, lack: NotLoaded) -> None:
    """Load the one row that a rule asked for; None where the store has none."""
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


async def read_book(tx: Tx, account: str, catalog: Catalog, clock: TestClock | None) -> Book:
    """One account's book as it stands now, what is due computed in memory. `AccountNotFound`."""
    rows = await tx.accounts([account])
    if not rows:
        raise AccountNotFound(account)
    now, version = await tx.clock()
    now = max(clock.now() if clock is not None else now, rows[0].recorded_at)
    catalogue = await catalog.fresh(tx, version)
    book = (await load_books(tx, rows, (), now))[account]
    settle_due(book, now, catalogue)
    return book
