"""What the engines did, in order: to be done again by the pure machine.

An attempt is written down when a batch begins to be carried out. Batches that share an account hold its lock one
after the other, so that the order in which they had their locks is the order in which they happened.
"""

from __future__ import annotations

import itertools
from typing import Any

from msgspec.structs import asdict

from bursar.catalog import Catalog
from bursar.core.book import Book, NotLoaded
from bursar.core.commands import Command
from bursar.core.errors import AccountNotFound, BursarError
from bursar.core.machine import decide
from bursar.core.model import Account, Catalogue, Instant
from bursar.engine.batch import accounts_of
from bursar.store.base import Tx, Work
from tests.engine.audit import Ledger
from tests.engine.rig import Hands
from tests.support.ledger import fill


class Attempt:
    """One try to commit one batch."""

    def __init__(self, journal: Journal, commands: list[Command]) -> None:
        self._journal = journal
        self.commands = commands
        self.order = 0
        self.now: Instant = 0
        self.catalogue: Catalogue | None = None
        self.writes = False
        self.landed = False
        self.decided: list[Any] = []

    def locked(self) -> None:
        self.order = next(self._journal.numbers)

    def clock(self) -> None:
        self.now = self._journal.clock.now()

    def land(self) -> None:
        self.landed = True


class WatchedCatalog(Catalog):
    """Tells the attempt which catalogue it was decided by."""

    async def fresh(self, tx: Tx, version: int) -> Catalogue:
        catalogue = await super().fresh(tx, version)
        attempt: Attempt | None = getattr(tx, "attempt", None) if type(tx).__name__ == "Watched" else None
        if attempt is not None:
            attempt.catalogue = catalogue
        return catalogue


class Journal:
    """All attempts of all engines."""

    def __init__(self, clock: Hands) -> None:
        self.clock = clock
        self.numbers = itertools.count(1)
        self.attempts: list[Attempt] = []

    def begin(self, work: Work[Any]) -> Attempt:
        attempt = Attempt(self, work.__self__.commands)  # type: ignore[attr-defined]  # the work is a Batch's `run`
        self.attempts.append(attempt)
        return attempt

    def replay(self) -> dict[str, Book]:
        """What the machine makes of everything that landed, one command after the other, all rows in memory."""
        books: dict[str, Book] = {}
        for attempt in sorted(self.attempts, key=lambda attempt: attempt.order):
            if not (attempt.landed and attempt.writes):
                continue
            assert attempt.catalogue is not None
            for name in accounts_of(attempt.commands):
                if name in books:
                    _note_due_holds(books[name], attempt.now)
            for command, decided in zip(attempt.commands, attempt.decided, strict=True):
                if decided is not None and not _found_nobody(command, decided):
                    _again(books, command, decided, attempt.now, attempt.catalogue)
            for name in accounts_of(attempt.commands):
                if name in books:
                    books[name].write_limits()
        return books


def _found_nobody(command: Command, decided: Any) -> bool:
    """Whether the account was not there: what is not there is not locked, and may come at any moment."""
    return isinstance(decided, AccountNotFound) and decided.account == command.account


def _again(books: dict[str, Book], command: Command, decided: Any, now: Instant, catalogue: Catalogue) -> None:
    if isinstance(decided, AccountNotFound):  # a transfer to nobody: likewise
        books = {command.account: books[command.account]}
    while True:
        try:
            outcome = decide(books, command, now, catalogue)
        except NotLoaded as lack:
            fill(books[lack.account], lack)
            continue
        except BursarError as refusal:
            assert getattr(decided, "code", None) == refusal.code, (
                f"{command}: {decided!r}, the machine says {refusal!r}"
            )
        else:
            assert outcome == decided, f"{command}: {decided!r}, the machine says {outcome!r}"
        return


def _note_due_holds(book: Book, now: Instant) -> None:
    now = max(now, book.account.recorded_at)
    held = [hold for hold in book.holds.values() if hold is not None and hold.unsettled and hold.expires_at <= now]
    book.due_holds[:] = sorted(held, key=lambda hold: hold.hold_id)


def compare(books: dict[str, Book], ledgers: dict[str, Ledger]) -> None:
    """Raise AssertionError naming the first account, and row, that is not as the machine made it."""
    assert sorted(books) == sorted(ledgers), "not the same accounts"
    for name, book in books.items():
        ledger = ledgers[name]
        for made, stored in zip(book.new_transactions, ledger.transactions, strict=False):
            assert made == stored, f"{name}: {stored}, the machine says {made}"
        assert len(book.new_transactions) == len(ledger.transactions), f"{name}: not the same number of transactions"
        assert _plain(book.account) == _plain(ledger.account), f"{name}: the account"
        lots = {lot_id: lot for lot_id, lot in book.lots.items() if lot is not None}
        assert lots == ledger.lots, f"{name}: the lots"
        holds = {hold_id: hold for hold_id, hold in book.holds.items() if hold is not None}
        assert holds == ledger.holds, f"{name}: the holds"
        assert {row.key: row for row in book.new_keys} == ledger.keys, f"{name}: the keys"


def _plain(account: Account) -> dict[str, object]:
    return asdict(account)
