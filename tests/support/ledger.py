"""The rules with nothing around them: books in memory, a clock that stands where it is put, every step checked.

`execute` is what an engine does, without a database: a rejected command leaves no trace but what was due, and after
each step every invariant holds over everything that was ever recorded.
"""

from collections.abc import Sequence
from copy import deepcopy
from hashlib import sha256
from itertools import count
from typing import Any

import msgspec
from msgspec.structs import replace

from bursar.core.book import Book, NotLoaded, Outcome, Wanted
from bursar.core.commands import Command, Touch, check
from bursar.core.due import settle_due
from bursar.core.errors import AccountNotFound, BursarError
from bursar.core.invariants import check_account, check_book
from bursar.core.invariants.related import other_side
from bursar.core.limits import Counted, made_by_charge, made_by_hold
from bursar.core.machine import decide
from bursar.core.model import (
    Account,
    Catalogue,
    Component,
    Hold,
    Instant,
    Limit,
    Lot,
    Member,
    Plan,
    Remembered,
    Skill,
    Transaction,
)
from bursar.core.money import Nanos, parse_credits
from bursar.core.periods import parse_instant
from bursar.core.pricing import make_price
from bursar.core.timeline import arrange, dated
from bursar.pricebook import make_model, model_versions, skill_versions

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def instant(text: str) -> Instant:
    """`2026-01-01` or `2026-01-01T12:30`, in UTC."""
    day, _, time = text.partition("T")
    hours, minutes, seconds = ([*time.split(":"), "00", "00"])[:3] if time else ("00", "00", "00")
    return parse_instant(f"{day}T{hours}:{minutes}:{seconds}Z")


START = instant("2026-01-01")


def credits_(amount: int | str) -> Nanos:
    """Nano-credits; negative ones too."""
    return parse_credits(amount, allow_negative=True)


class Rows(msgspec.Struct):
    """Everything that is recorded of one account."""

    account: Account
    lots: list[Lot]
    transactions: list[Transaction]
    holds: list[Hold]
    keys: list[Remembered]
    others: list[Transaction]
    """The other sides of its transfers."""
    members: list[Member]

    def findings(self) -> list[str]:
        """What is wrong with them."""
        found = check_account(
            self.account, self.lots, self.transactions, self.holds, self.keys, self.others, self.members
        )
        return [str(finding) for finding in found]


class PureLedger:
    """See the module."""

    def __init__(self, now: Instant = START, *, checked: bool = True) -> None:
        self.now = now
        self.checked = checked
        self.books: dict[str, Book] = {}
        self.catalogue = Catalogue(1, {}, {}, {})
        self._tokens = count(1)

    # The catalogue

    def put_plan(self, plan: Plan) -> None:
        self._change(plans={**self.catalogue.plans, plan.name: plan})

    def put_price(
        self, skill: str, cost: Nanos, *, valid_from: Instant | None = None, valid_to: Instant | None = None
    ) -> None:
        """A new skill, or a new version of its price."""
        versions = skill_versions(self.catalogue, skill)
        made = make_price(skill, len(versions) + 1, [Component("call", cost)], created_at=self.now)
        versions.append(dated(made, versions, valid_from, valid_to))
        price, later = arrange(versions)
        active = skill not in self.catalogue.skills or self.catalogue.skills[skill].active
        self._change(
            skills={**self.catalogue.skills, skill: Skill(skill, skill, None, active, self.now, price, later)},
            prices={**self.catalogue.prices, (skill, len(versions)): versions[-1]},
        )

    def put_model(self, model: str, components: Sequence[Component]) -> None:
        """A new model, or a new version of its price: in US dollars, at a cent for a credit."""
        version = sum(skill is None for skill, _ in self.catalogue.prices) + 1
        price = make_price(model, version, components, created_at=self.now, usd_per_credit="0.01", source="a scenario")
        versions = [*model_versions(self.catalogue, model), price]
        self._change(
            models={**self.catalogue.models, model: make_model(model, self.now, versions)},
            prices={**self.catalogue.prices, (None, version): price},
        )

    def switch_model(self, model: str, *, active: bool) -> None:
        changed = replace(self.catalogue.models[model], active=active)
        self._change(models={**self.catalogue.models, model: changed})

    def switch_skill(self, skill: str, *, active: bool) -> None:
        changed = replace(self.catalogue.skills[skill], active=active)
        self._change(skills={**self.catalogue.skills, skill: changed})

    def _change(self, **parts: Any) -> None:
        self.catalogue = replace(self.catalogue, version=self.catalogue.version + 1, **parts)

    # Commands

    def execute(self, command: Command) -> Outcome:
        """What the command did; its rejection is raised."""
        check(command)
        if not command.token:
            number = next(self._tokens)
            command = replace(command, token=f"{number:020x}", salt=sha256(b"%d" % number).digest()[:16])
        self._load_due(command)
        if not self.checked:
            return self._decide(command)
        try:
            self._check_rejection(command)
            return self._decide(command)
        finally:
            self.check()

    def _decide(self, command: Command) -> Outcome:
        while True:
            try:
                return decide(self.books, command, self.now, self.catalogue)
            except NotLoaded as lack:
                fill(self.books[lack.account], lack)

    def _load_due(self, command: Command) -> None:
        for account in (command.account, getattr(command, "to", None)):
            book = self.books.get(account) if isinstance(account, str) else None
            if book is not None:
                _load_due(book)

    def _check_rejection(self, command: Command) -> None:
        """A command that is rejected leaves the very rows that there would be without it."""
        refused, untouched = deepcopy(self), deepcopy(self)
        try:
            refused._decide(command)
        except BursarError:
            for ledger in (refused, untouched):
                ledger._touch(command.account, getattr(command, "to", None))
            assert refused.snapshot() == untouched.snapshot(), "a rejected command changed something"

    def _touch(self, *accounts: object) -> None:
        for account in accounts:
            if isinstance(account, str) and account in self.books:
                self._decide(Touch(account=account))

    # Looking

    def view(self, account: str) -> Book:
        """The book as it stands now; what is due is computed and not kept."""
        if account not in self.books:
            raise AccountNotFound(account)
        book = deepcopy(self.books[account])
        book.all_members = True
        _load_due(book)
        while True:
            try:
                settle_due(book, max(self.now, book.account.recorded_at), self.catalogue)
            except NotLoaded as lack:
                fill(book, lack)
            else:
                return book

    def rows(self, account: str) -> Rows:
        rows = rows_of(self.books[account])
        for other, transaction_id in filter(None, map(other_side, rows.transactions)):
            rows.others.append(self.books[other].transaction(transaction_id))
        return rows

    def snapshot_of(self, account: str) -> Rows:
        """One account's rows, as values that later commands do not change."""
        return deepcopy(self.rows(account))

    def snapshot(self) -> dict[str, Rows]:
        """Everything recorded, as values that later commands do not change."""
        return deepcopy({account: rows_of(book) for account, book in self.books.items()})

    def check(self) -> None:
        """Every invariant, over everything."""
        for account, book in self.books.items():
            found = [*map(str, check_book(book)), *self.rows(account).findings()]
            assert not found, "\n".join(found)


def rows_of(book: Book) -> Rows:
    """Everything that a book which has never lost anything knows."""
    book.write_limits()
    return Rows(
        book.account,
        [lot for lot in book.lots.values() if lot is not None],
        [row for row in book.transactions.values() if row is not None],
        [hold for hold in book.holds.values() if hold is not None],
        [key for key in book.keys.values() if key is not None],
        [],
        [member for member in book.members.values() if member is not None],
    )


def _load_due(book: Book) -> None:
    book.due_holds = [hold for hold in book.holds.values() if hold is not None and hold.unsettled]


def fill(book: Book, lack: NotLoaded) -> None:
    """What the book lacks does not exist; but for what is found among its own rows."""
    match lack.wanted:
        case Wanted.KEY:
            book.keys[lack.name] = None
        case Wanted.HOLD:
            book.holds[lack.name] = None
        case Wanted.LOT:
            book.lots[lack.name] = None
        case Wanted.TRANSACTION:
            book.transactions[lack.name] = None
        case Wanted.REFUNDS:
            rows = book.transactions.values()
            book.refunds[lack.name] = [row for row in rows if row is not None and row.refund_of == lack.name]
        case Wanted.MEMBER:
            book.members[lack.name] = None
        case Wanted.MEMBERS:
            book.all_members = True
        case Wanted.CALLS:
            book.all_calls.add(lack.name)
        case Wanted.COUNTED:
            book.counted_before = _counted(book, lack.name)


def _counted(book: Book, limit: Limit) -> tuple[Nanos, Nanos]:
    runs = {hold.hold_id: hold.run for hold in book.holds.values() if hold is not None}
    counted = Counted([limit], runs.get)
    for hold in book.holds.values():
        if hold is not None:
            counted.add_hold(hold)
    for row in book.transactions.values():
        if row is not None:
            charged = row if row.refund_of is None else book.transaction(row.refund_of)
            hold = book.holds.get(charged.hold or "")
            run = book.holds.get(charged.run or "")
            counted.add(row, made_by_charge(charged, run) if hold is None else made_by_hold(hold))
    return counted.spent[0], counted.held[0]
