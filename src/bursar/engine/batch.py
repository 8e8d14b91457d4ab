"""What one lane commits at once: commands in order, over the books of their accounts, in one tx."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

from bursar.catalog import Catalog
from bursar.clock import TestClock
from bursar.core.book import Book, NotLoaded, Outcome, Touched
from bursar.core.commands import Command, Transfer
from bursar.core.errors import BursarError
from bursar.core.machine import decide
from bursar.core.model import Catalogue, Instant
from bursar.engine.doubt import Doubt
from bursar.engine.loading import load_books, load_missing
from bursar.store.base import Changes, Tx

log = logging.getLogger("bursar.engine")

Decided: TypeAlias = Outcome | BaseException
Inspect: TypeAlias = Callable[[Book], None]
"""Looks at a book after each step and raises when it is not sound; tests and debug runs pass one."""

NEW, AMOUNTS = Touched.NEW, Touched.AMOUNTS


class Entry:
    """A queued command, and until when it waits where its account is locked by somebody else."""

    __slots__ = ("command", "deadline")

    def __init__(self, command: Command) -> None:
        self.command = command
        self.deadline: float | None = None


class _Broken(Exception):
    """A command raised what no rule raises; the batch starts over without it."""


class Batch:
    """Runs its commands in a tx, as often as it takes; a command that breaks is left out from then on and fails
    alone.
    """

    def __init__(
        self,
        entries: list[Entry],
        catalog: Catalog,
        clock: TestClock | None,
        *,
        skip_locked: bool = False,
        inspect: Inspect | None = None,
    ) -> None:
        self.commands = [entry.command for entry in entries]
        self.skip_locked = skip_locked
        self._catalog = catalog
        self._clock = clock
        self._inspect = inspect
        self._broken: dict[int, Exception] = {}
        self._written: Doubt | None = None
        self._doubt: Doubt | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether some commit of it may have landed."""
        return self._doubt is not None

    def doubt(self) -> None:
        """The commit may have landed: from now on a run looks for what it would have written before it decides.

        Whatever was in doubt before has not landed, else this run would have found it.
        """
        self._doubt = self._written

    async def run(self, tx: Tx) -> Sequence[Decided | None]:
        """Lock, load, decide, write. The answers hold once the tx has committed."""
        if self._doubt is not None and await self._doubt.landed(tx):
            return self._doubt.decided
        accounts = accounts_of(self.commands)
        rows = await (tx.lock_free(accounts) if self.skip_locked else tx.lock(accounts))
        blocked: set[str] = set()
        if self.skip_locked:
            locked = {row.account_id for row in rows}
            blocked = {row.account_id for row in await tx.accounts(accounts) if row.account_id not in locked}
        now, version = await tx.clock()
        if self._clock is not None:
            now = self._clock.now()
        catalogue = await self._catalog.fresh(tx, version)
        while True:
            books = await load_books(tx, rows, self.commands, now)
            try:
                decided = await self._decide_all(tx, books, blocked, now, catalogue)
            except _Broken:
                rows = await tx.accounts([row.account_id for row in rows])
                continue
            changes = collect(books)
            await tx.write(changes)
            self._written = Doubt(rows, changes, decided)
            return decided

    async def _decide_all(
        self, tx: Tx, books: dict[str, Book], blocked: set[str], now: Instant, catalogue: Catalogue
    ) -> list[Decided | None]:
        decided: list[Decided | None] = []
        number = 0
        while number < len(self.commands):
            command = self.commands[number]
            try:
                if number in self._broken:
                    decided.append(self._broken[number])
                elif blocked and (command.account in blocked or getattr(command, "to", None) in blocked):
                    decided.append(None)
                else:
                    decided.append(decide(books, command, now, catalogue))
                    if self._inspect is not None:
                        self._inspect(books[command.account])
                number += 1
            except NotLoaded as lack:
                await load_missing(tx, books[lack.account], lack)
            except BursarError as refusal:
                decided.append(refusal)
                number += 1
            except Exception as error:
                log.exception("a %s on account %r broke", command.verb, command.account)
                # No future takes a StopIteration.
                self._broken[number] = RuntimeError(repr(error)) if isinstance(error, StopIteration) else error
                raise _Broken from error
        return decided


def accounts_of(commands: list[Command]) -> list[str]:
    """The accounts to lock, in id order."""
    accounts = {command.account for command in commands}
    accounts.update(command.to for command in commands if type(command) is Transfer)
    return sorted(accounts)


def collect(books: dict[str, Book]) -> Changes:
    """All that a batch writes."""
    changes = Changes()
    for book in books.values():
        changes.keys += book.new_keys  # a no-op is remembered as well
        if book.touched is None:
            continue
        book.write_limits()
        _collect_account(book, changes)
        for lot_id, touched in book.touched_lots.items():
            lot = book.lot(lot_id)
            if touched is AMOUNTS:
                changes.lots.append(lot)
            else:
                (changes.new_lots if touched is NEW else changes.ended_lots).append(lot)
        for hold_id, touched in book.touched_holds.items():
            hold = book.hold(hold_id)
            if touched is AMOUNTS:
                changes.settled_holds.append(hold)
            else:
                (changes.new_holds if touched is NEW else changes.holds).append(hold)
        for name, touched in book.touched_members.items():
            member = book.members[name]
            assert member is not None, "what was touched is there"
            (changes.new_members if touched is NEW else changes.members).append(member)
        changes.transactions += book.new_transactions
        changes.tally.add_new(book.new_transactions, book.new_entries, book.lots)
    return changes


def _collect_account(book: Book, changes: Changes) -> None:
    if book.touched is NEW:
        changes.new_accounts.append(book.account)
    elif book.touched is not AMOUNTS:
        changes.accounts.append(book.account)
    elif book.only_spent():
        changes.spent.append(book.account)
    else:
        changes.balances.append(book.account)
