"""A book: what it finds, what it lacks, what it says has changed."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from msgspec.structs import replace

from bursar.core.book import Book, NotLoaded, Touched, derived_token, first_due, seq_of
from bursar.core.commands import Charge, Grant, OpenAccount, Void
from bursar.core.errors import BursarError, GrantNotFound, HoldNotFound, Invalid, TransactionNotFound
from bursar.core.model import Account, Lot, Plan
from bursar.core.money import MAX_NANOS, NANOS
from bursar.engine.batch import collect
from bursar.store.base import Changes
from bursar.store.rows import balance_of, ended_lot_of, lot_of, settled_hold_of, spent_of
from tests.support.ledger import DAY, START, PureLedger, Rows, rows_of
from tests.support.traffic import PLANS, SKILLS, Traffic


def a_book() -> Book:
    ledger = PureLedger()
    ledger.execute(OpenAccount(account="alice"))
    ledger.execute(Grant(account="alice", amount=10 * NANOS))
    ledger.execute(Charge(account="alice", amount=NANOS))
    return ledger.books["alice"]


@pytest.mark.parametrize(
    ("transaction_id", "seq"),
    [
        ("tx_1_abc", 1),
        ("tx_123_", 123),
        ("tx_7", 7),
        ("tx_999999999999999999_a", 999_999_999_999_999_999),
        *(
            (wrong, 0)
            for wrong in ("", "tx", "tx_", "tx__a", "tx_a_1", "tx_-1_a", "tx_1.5_a", "h_1_a", "1", "tx_٣_a", "tx_²_a")
        ),
        ("tx_" + "9" * 19 + "_a", 0),
        ("tx_ 1_a", 0),
    ],
)
def test_an_id_carries_its_seq(transaction_id: str, seq: int) -> None:
    assert seq_of(transaction_id) == seq


def test_a_transaction_is_found_by_its_whole_id() -> None:
    book = a_book()
    first, second = (row for row in book.transactions.values() if row is not None)
    assert book.transaction(first.id) is first
    for wrong in (first.id + "x", f"tx_2_{first.id[5:]}", "tx_3_x", "tx_0_x", "nonsense", second.hash.hex()):
        with pytest.raises(TransactionNotFound):
            book.transaction(wrong)


def test_what_is_not_loaded_and_what_is_not_there_are_two_things() -> None:
    book = a_book()
    for find, known, error in ((book.lot, book.lots, GrantNotFound), (book.hold, book.holds, HoldNotFound)):
        with pytest.raises(NotLoaded):
            find("x")
        known["x"] = None
        with pytest.raises(error):
            find("x")
    with pytest.raises(NotLoaded):
        book.remembered("key")
    book.keys["key"] = None
    assert book.remembered("key") is None
    with pytest.raises(NotLoaded):
        book.refunds_of("tx_2_x")


def test_the_token_of_what_nobody_asked_for_is_the_same_for_everybody() -> None:
    assert derived_token("alice", 1) == derived_token("alice", 1)
    assert len({derived_token(account, seq) for account in ("alice", "alice1", "bob") for seq in (1, 11, 111)}) == 9
    assert len(derived_token("alice", 1)) == 20


def a_lot(**terms: Any) -> Lot:
    return replace(next(lot for lot in a_book().lots.values() if lot is not None), **terms)


@pytest.mark.parametrize(
    ("lots", "next_reset", "expected"),
    [
        ([], None, None),
        ([], 5, 5),
        ([a_lot(expires_at=7)], 9, 7),
        ([a_lot(expires_at=7)], None, 7),
        ([a_lot(expires_at=None)], None, None),
        ([a_lot(expires_at=3, live=False, remaining=0)], 9, 9),
        ([a_lot(expires_at=3, ended_at=3, held=1)], 9, 9),
        ([a_lot(effective_at=4, expires_at=8, started=False)], 9, 4),
        ([a_lot(effective_at=4, started=False), a_lot(expires_at=2)], 9, 2),
        ([None], None, None),
    ],
)
def test_when_something_is_due_next(lots: list[Lot | None], next_reset: int | None, expected: int | None) -> None:
    account: Account = replace(a_book().account, next_reset=next_reset)
    assert first_due(account, lots) == expected


def test_there_is_room_for_as_much_as_a_column_counts() -> None:
    ledger = PureLedger()
    ledger.put_plan(Plan("vast", "Vast", MAX_NANOS))
    ledger.execute(OpenAccount(account="alice"))
    later = ledger.execute(Grant(account="alice", amount=MAX_NANOS - 5, effective_at=START + DAY)).lot
    assert later is not None
    assert ledger.books["alice"].room() == 5
    with pytest.raises(Invalid, match="amount"):
        ledger.execute(Grant(account="alice", amount=6))
    ledger.execute(Grant(account="alice", amount=5))
    assert ledger.books["alice"].room() == 0
    ledger.now += DAY
    assert ledger.view("alice").account.posted == MAX_NANOS
    ledger.execute(Void(account="alice", grant=later.lot_id))
    assert ledger.books["alice"].room() == MAX_NANOS - 5


def test_a_renewal_gives_what_there_is_room_for() -> None:
    ledger = PureLedger()
    ledger.put_plan(Plan("vast", "Vast", MAX_NANOS - 100))
    ledger.execute(OpenAccount(account="alice", plan="vast"))
    ledger.execute(Charge(account="alice", amount=MAX_NANOS - 100))
    ledger.execute(Grant(account="alice", amount=MAX_NANOS - 7))
    ledger.now += 31 * DAY
    assert ledger.view("alice").account.posted == MAX_NANOS


# What changed is what is written


class Written:
    """A store of rows that takes what a batch collects, by the columns that its statements name, and nothing else."""

    def __init__(self) -> None:
        self.rows: dict[str, Rows] = {}

    def write(self, changes: Changes) -> None:
        for account in changes.new_accounts:
            self.rows[account.account_id] = Rows(deepcopy(account), [], [], [], [], [], [])
        for account in changes.accounts:
            self.rows[account.account_id].account = deepcopy(account)
        for changed, columns in ((changes.balances, balance_of), (changes.spent, spent_of)):
            for account in changed:
                _copy(account, self.rows[account.account_id].account, columns)
        for lot in changes.new_lots:
            self.rows[lot.account_id].lots.append(deepcopy(lot))
        for lots, names in ((changes.lots, lot_of), (changes.ended_lots, ended_lot_of)):
            for lot in lots:
                _copy(lot, _of(self.rows[lot.account_id].lots, "lot_id", lot), names)
        for hold in changes.new_holds:
            self.rows[hold.account_id].holds.append(deepcopy(hold))
        for hold in changes.settled_holds:
            _copy(hold, _of(self.rows[hold.account_id].holds, "hold_id", hold), settled_hold_of)
        for hold in changes.holds:
            kept = _of(self.rows[hold.account_id].holds, "hold_id", hold)
            self.rows[hold.account_id].holds[self.rows[hold.account_id].holds.index(kept)] = deepcopy(hold)
        for member in changes.new_members:
            self.rows[member.account_id].members.append(deepcopy(member))
        for member in changes.members:
            kept_member = _of(self.rows[member.account_id].members, "member", member)
            members = self.rows[member.account_id].members
            members[members.index(kept_member)] = deepcopy(member)
        for row in changes.transactions:
            self.rows[row.account_id].transactions.append(row)
        for key in changes.keys:
            self.rows[key.account_id].keys.append(key)


def _of(rows: list[Any], key: str, wanted: Any) -> Any:
    (found,) = (row for row in rows if getattr(row, key) == getattr(wanted, key))
    return found


def _copy(row: Any, stored: Any, columns: Any) -> None:
    """What an UPDATE that names these columns does."""
    for column in columns.__reduce__()[1]:
        setattr(stored, column, getattr(row, column))


def _begin(ledger: PureLedger) -> None:
    """Books as if they had just been loaded."""
    for account, book in ledger.books.items():
        fresh = Book(book.account, [lot for lot in book.lots.values() if lot is not None])
        for name in ("holds", "keys", "transactions", "refunds", "members"):
            setattr(fresh, name, getattr(book, name))
        ledger.books[account] = fresh


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("seed", range(4))
def test_everything_that_changed_is_written_and_nothing_but_that(seed: int, batch: int) -> None:
    ledger, traffic, written = PureLedger(checked=False), Traffic(seed), Written()
    for plan in PLANS:
        ledger.put_plan(plan)
    for skill, cost in SKILLS.items():
        ledger.put_price(skill, cost)
    waiting = traffic.opening()
    for _ in range(200):
        _begin(ledger)
        ledger.now = traffic.advance()
        for command in waiting:
            try:
                traffic.learn(command, ledger.execute(command))
            except BursarError:
                continue
        written.write(collect(ledger.books))
        for account, book in ledger.books.items():
            assert _sorted(written.rows[account]) == _sorted(rows_of(book))
        waiting = [traffic.command() for _ in range(batch)]
    ledger.check()


def _sorted(rows: Rows) -> Rows:
    return Rows(
        rows.account,
        sorted(rows.lots, key=lambda lot: lot.lot_id),
        sorted(rows.transactions, key=lambda row: row.seq),
        sorted(rows.holds, key=lambda hold: hold.hold_id),
        sorted(rows.keys, key=lambda key: key.key),
        [],
        sorted(rows.members, key=lambda member: member.member),
    )


def test_a_change_is_never_said_to_be_less_than_it_was() -> None:
    book = a_book()
    setattr(book, "touched", None)  # noqa: B010 - said so that mypy does not take it for the end of the story
    book.touch(Touched.AMOUNTS)
    book.touch(Touched.ALL)
    book.touch(Touched.AMOUNTS)
    assert book.touched is Touched.ALL
    new = Book(book.account, new=True)
    new.touch(Touched.ALL)
    assert new.touched is Touched.NEW
