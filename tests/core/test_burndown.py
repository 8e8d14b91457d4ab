"""Burn-down: the order in which lots pay, and that nothing is lost on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bursar.core.accounts import open_account
from bursar.core.book import Book
from bursar.core.burndown import burn, pay_debt, pin, unpin
from bursar.core.commands import OpenAccount
from bursar.core.invariants import check_book
from bursar.core.model import Lot
from tests.support.ledger import DAY, START, PureLedger

NOW = START
MOMENTS = st.integers(0, 3).map(lambda days: START + days * DAY)


@st.composite
def lots(draw: st.DrawFn) -> list[Lot]:
    """Lots with few different terms, so that every tie comes up."""
    names = draw(st.lists(st.integers(0, 99), min_size=1, max_size=8, unique=True))
    return [draw(a_lot(f"g_{name}")) for name in names]


@st.composite
def a_lot(draw: st.DrawFn, lot_id: str) -> Lot:
    remaining = draw(st.integers(0, 20))
    return Lot(
        account_id="alice",
        lot_id=lot_id,
        source="admin",
        plan=draw(st.sampled_from([None, "free"])),
        priority=draw(st.integers(1, 3)),
        amount=20,
        remaining=remaining,
        held=draw(st.integers(0, remaining)),
        effective_at=draw(MOMENTS),
        expires_at=draw(st.none() | MOMENTS.map(lambda moment: moment + DAY)),
        ended_at=None,
        paid=None,
        currency=None,
        seq=1,
        started=True,
        live=remaining > 0,
    )


def book_of(rows: list[Lot], debt: int = 0) -> Book:
    """An account that has these lots, and nothing else."""
    account = open_account(OpenAccount(account="alice"), NOW, PureLedger().catalogue).account
    held, posted = sum(lot.held for lot in rows), sum(lot.remaining for lot in rows) - debt
    book = Book(replace(account, posted=posted, held=held, debt=debt), rows)
    book.plan_due()
    return book


def sooner(lot: Lot, other: Lot) -> bool:
    """Whether `lot` pays before `other`, said as plainly as the rule."""
    if lot.priority != other.priority:
        return lot.priority < other.priority
    if lot.expires_at != other.expires_at:
        return other.expires_at is None or (lot.expires_at is not None and lot.expires_at < other.expires_at)
    if lot.effective_at != other.effective_at:
        return lot.effective_at < other.effective_at
    return lot.lot_id < other.lot_id


@given(lots())
def test_lots_pay_in_the_order_of_the_rule(rows: list[Lot]) -> None:
    order = book_of(rows).live_lots()
    assert sorted(lot.lot_id for lot in order) == sorted(lot.lot_id for lot in rows if lot.live)
    for number, lot in enumerate(order):
        assert all(sooner(lot, later) for later in order[number + 1 :])


@given(lots(), st.data())
def test_burning_takes_from_the_first_lots_exactly_what_was_asked(rows: list[Lot], data: st.DataObject) -> None:
    book = book_of(rows)
    free = {lot.lot_id: lot.free for lot in book.live_lots()}
    amount = data.draw(st.integers(0, sum(free.values())))
    entries = burn(book, amount)
    assert -sum(part for _, part in entries) == amount
    burned = {lot_id: -part for lot_id, part in entries if lot_id is not None}
    emptied = [lot_id for lot_id, part in free.items() if part]
    # Every lot before the last one that paid has paid all it could.
    assert list(burned) == emptied[: len(burned)]
    assert all(burned[lot_id] == free[lot_id] for lot_id in list(burned)[:-1])
    for lot in rows:
        assert lot.free == free.get(lot.lot_id, 0) - burned.get(lot.lot_id, 0)
        assert lot.live == (lot.remaining > 0)


@given(lots(), st.data())
def test_a_plans_lots_are_spared(rows: list[Lot], data: st.DataObject) -> None:
    book = book_of(rows)
    movable = sum(lot.free for lot in rows if lot.plan is None)
    entries = burn(book, data.draw(st.integers(0, movable)), spare_plan=True)
    assert all(book.lot(lot_id or "").plan is None for lot_id, _ in entries)


@given(lots(), st.data())
def test_what_is_pinned_and_let_go_is_as_before(rows: list[Lot], data: st.DataObject) -> None:
    book = book_of(rows)
    before = [lot.copy() for lot in rows]
    amount = data.draw(st.integers(0, sum(lot.free for lot in rows)))
    slices = pin(book, amount)
    assert sum(part for _, part in slices) == amount
    assert check_book(book) == []
    assert book.account.held == sum(lot.held for lot in rows)
    spent, returned = unpin(book, slices, 0)
    assert spent == []
    assert returned == slices
    assert rows == before


@given(lots(), st.data())
def test_of_what_is_pinned_the_first_part_is_spent_and_the_rest_returns(rows: list[Lot], data: st.DataObject) -> None:
    book = book_of(rows)
    posted = sum(lot.remaining for lot in rows)
    held = book.account.held
    amount = data.draw(st.integers(0, sum(lot.free for lot in rows)))
    slices = pin(book, amount)
    cost = data.draw(st.integers(0, amount))
    spent, returned = unpin(book, slices, cost)
    assert -sum(part for _, part in spent) == cost
    assert sum(part for _, part in returned) == amount - cost
    assert sum(lot.remaining for lot in rows) == posted - cost
    assert book.account.held == held == sum(lot.held for lot in rows)
    # What was pinned first is spent first.
    pinned = [lot_id for lot_id, _ in slices]
    assert [lot_id for lot_id, _ in spent] == pinned[: len(spent)]


@given(lots(), st.integers(0, 50))
def test_debt_is_paid_out_of_what_was_freed_as_far_as_it_goes(rows: list[Lot], debt: int) -> None:
    for lot in rows:
        lot.held = 0
    book = book_of(rows, debt)
    freed = [(lot.lot_id, lot.free) for lot in book.live_lots()]
    entries = pay_debt(book, freed)
    assert sum(part for _, part in entries) == 0
    paid = sum(part for lot_id, part in entries if lot_id is None)
    assert paid == min(debt, sum(part for _, part in freed))
    assert book.account.debt == debt - paid
    assert book.account.posted == sum(lot.remaining for lot in rows) - book.account.debt
