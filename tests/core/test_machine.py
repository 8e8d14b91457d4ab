"""decide: deterministic, all or nothing, every verb and every move of a hold accounted for."""

from __future__ import annotations

from copy import deepcopy
from itertools import product
from typing import Any

import pytest
from msgspec.json import decode
from msgspec.structs import replace

from bursar.core.book import Book, NotLoaded, Wanted
from bursar.core.commands import (
    Adjust,
    CancelPlan,
    Capture,
    ChangePlan,
    Charge,
    Command,
    Dispatch,
    Extend,
    Grant,
    OpenAccount,
    PlaceHold,
    Refund,
    Release,
    Renew,
    Transfer,
    UpdateAccount,
    Void,
)
from bursar.core.errors import (
    AccountNotFound,
    BursarError,
    HoldNotOpen,
    IdempotencyConflict,
    InsufficientCredits,
    Invalid,
    PlanNotFound,
    RefundExceedsCharge,
)
from bursar.core.holds import HOLD_TRANSITIONS, next_state
from bursar.core.machine import HANDLERS, decide
from bursar.core.model import HoldState, Plan, Usage
from bursar.core.money import MAX_NANOS, NANOS
from tests.core.test_commands import VALID
from tests.support.ledger import DAY, HOUR, SECOND, START, PureLedger
from tests.support.traffic import PLANS, SKILLS, Traffic


def a_ledger(plan: str | None = None) -> PureLedger:
    """Alice has 100, and a plan if it is asked for."""
    ledger = PureLedger()
    ledger.put_plan(Plan("free", "Free", 10 * NANOS))
    ledger.put_plan(Plan("pro", "Pro", 50 * NANOS, after="free"))
    ledger.put_price("TEXT", NANOS)
    ledger.execute(OpenAccount(account="alice", plan=plan))
    ledger.execute(Grant(account="alice", amount=100 * NANOS))
    return ledger


def play(seed: int, steps: int = 80) -> PureLedger:
    """A random ledger."""
    ledger, traffic = PureLedger(), Traffic(seed)
    for plan in PLANS:
        ledger.put_plan(plan)
    for skill, cost in SKILLS.items():
        ledger.put_price(skill, cost)
    for command in traffic.opening():
        ledger.execute(command)
    for _ in range(steps):
        ledger.now = traffic.advance()
        command = traffic.command()
        try:
            traffic.learn(command, ledger.execute(command))
        except BursarError:
            continue
    return ledger


def test_every_verb_has_its_rule() -> None:
    assert set(HANDLERS) | {OpenAccount, Transfer} == set(VALID)


@pytest.mark.parametrize("seed", range(8))
def test_random_commands_break_no_invariant_and_the_same_ones_make_the_same_rows(seed: int) -> None:
    ledger = play(seed)
    assert ledger.snapshot() == play(seed).snapshot()
    assert sum(len(ledger.rows(account).transactions) for account in ledger.books) > 30


def test_what_no_account_is_there_for_makes_none() -> None:
    ledger = PureLedger()
    for command in VALID.values():
        if type(command) is not OpenAccount:
            with pytest.raises(AccountNotFound):
                ledger.execute(command)
    with pytest.raises(PlanNotFound):
        ledger.execute(OpenAccount(account="alice", plan="nothing"))
    assert ledger.books == {}


def test_time_never_goes_back() -> None:
    ledger = a_ledger()
    ledger.now = START - DAY
    transaction = ledger.execute(Charge(account="alice", amount=NANOS)).transaction
    assert transaction is not None
    assert transaction.recorded_at == START


def test_a_transfer_settles_both_sides_at_one_time() -> None:
    """The receiver was written to by somebody whose clock is ahead: what ends meanwhile at the sender is not sent."""
    ledger = PureLedger(checked=False)
    for account in ("alice", "bob"):
        ledger.execute(OpenAccount(account=account))
    ledger.execute(Grant(account="alice", amount=5 * NANOS, expires_at=START + HOUR))
    ledger.now = START + DAY
    ledger.execute(Grant(account="bob", amount=NANOS))
    ledger.now = START
    with pytest.raises(BursarError) as refusal:
        ledger.execute(Transfer(account="alice", to="bob", amount=NANOS))
    assert refusal.value.code == "insufficient_credits"
    ledger.check()


# What is not loaded


def test_what_is_not_loaded_is_asked_for_and_nothing_has_changed() -> None:
    ledger = a_ledger()
    hold = ledger.execute(PlaceHold(account="alice", amount=NANOS)).hold
    charge = ledger.execute(Charge(account="alice", amount=NANOS)).transaction
    lot = next(iter(ledger.rows("alice").lots))
    assert hold is not None
    assert charge is not None
    asks: list[tuple[Command, list[Wanted]]] = [
        (Charge(account="alice", amount=NANOS, key="k", token="t", salt=bytes(16)), [Wanted.KEY]),
        (Capture(account="alice", hold=hold.hold_id, token="t"), [Wanted.HOLD]),
        (Release(account="alice", hold=hold.hold_id, token="t"), [Wanted.HOLD]),
        (Dispatch(account="alice", hold=hold.hold_id, token="t"), [Wanted.HOLD]),
        (Extend(account="alice", hold=hold.hold_id, ttl_seconds=1, token="t"), [Wanted.HOLD]),
        (Void(account="alice", grant="g_1", token="t"), [Wanted.LOT]),
        (Refund(account="alice", transaction=charge.id, token="t"), [Wanted.TRANSACTION, Wanted.REFUNDS]),
    ]
    for command, wanted in asks:
        books = {"alice": Book(ledger.books["alice"].account.copy(), [lot.copy()])}
        for want in wanted:
            before = deepcopy(_plain(books["alice"]))
            with pytest.raises(NotLoaded) as lack:
                decide(books, command, START, ledger.catalogue)
            assert (lack.value.wanted, lack.value.account) == (want, "alice")
            assert _plain(books["alice"]) == before
            if want is Wanted.TRANSACTION:
                books["alice"].transactions[charge.seq] = charge


def _plain(book: Book) -> dict[str, object]:
    return {name: getattr(book, name) for name in ("account", "lots", "holds", "keys", "transactions", "touched")}


# Holds


@pytest.mark.parametrize(
    ("state", "event"), list(product(HoldState, ["dispatch", "extend", "capture", "release", "expire"])), ids=str
)
def test_a_hold_moves_as_the_table_says_and_no_other_way(state: HoldState, event: str) -> None:
    ledger = a_ledger()
    hold = ledger.execute(PlaceHold(account="alice", amount=NANOS)).hold
    assert hold is not None
    moved = replace(hold, state=state)
    if (state, event) in HOLD_TRANSITIONS:
        assert next_state(moved, event) == HOLD_TRANSITIONS[state, event]
    else:
        with pytest.raises(HoldNotOpen):
            next_state(moved, event)


def test_every_state_can_be_reached_and_none_is_left_but_by_an_event() -> None:
    reached = {HoldState.OPEN, *HOLD_TRANSITIONS.values()}
    assert reached == set(HoldState)
    ends = {state for state in HoldState if not any(left == state for left, _ in HOLD_TRANSITIONS)}
    assert ends == {HoldState.CAPTURED, HoldState.RELEASED}


def test_usage_is_priced_only_where_the_hold_pinned_a_price() -> None:
    ledger = a_ledger()
    hold = ledger.execute(PlaceHold(account="alice", amount=NANOS)).hold
    assert hold is not None
    with pytest.raises(Invalid, match="usage"):
        ledger.execute(Capture(account="alice", hold=hold.hold_id, usage=Usage(calls=3)))
    priced = ledger.execute(PlaceHold(account="alice", skill="TEXT")).hold
    assert priced is not None
    captured = ledger.execute(Capture(account="alice", hold=priced.hold_id, usage=Usage(calls=3))).transaction
    assert captured is not None
    assert (captured.amount, captured.usage) == (-3 * NANOS, '{"calls":3}')


# What a transaction says


@pytest.mark.parametrize(
    ("asked", "cost", "kept"),
    [
        ({}, 1, None),
        ({"quantity": 3}, 3, '{"calls":3}'),
        ({"usage": Usage()}, 1, "{}"),
        ({"usage": Usage(images=2)}, 1, '{"images":2}'),
        ({"usage": Usage(calls=2, images=2), "quantity": 3}, 6, '{"calls":6,"images":2}'),
        ({"usage": Usage(calls=0)}, 0, '{"calls":0}'),
    ],
)
def test_a_charge_keeps_the_usage_that_was_priced(asked: dict[str, Any], cost: int, kept: str | None) -> None:
    ledger = a_ledger()
    charged = ledger.execute(Charge(account="alice", skill="TEXT", **asked)).transaction
    held = ledger.execute(PlaceHold(account="alice", skill="TEXT", **asked)).hold
    assert charged is not None
    assert held is not None
    assert (charged.amount, charged.usage) == (-cost * NANOS, kept)
    assert (held.amount, held.usage) == (cost * NANOS, kept)
    captured = ledger.execute(Capture(account="alice", hold=held.hold_id)).transaction
    assert captured is not None
    assert (captured.amount, captured.usage) == (-cost * NANOS, kept)


def test_a_capture_has_the_words_of_its_hold_unless_it_has_its_own() -> None:
    ledger = a_ledger()
    words = '{"of":"the hold"}'
    shown = []
    for description, metadata in ((None, None), ("its own", '{"its":"own"}')):
        placed = PlaceHold(account="alice", amount=NANOS, member="m", description="of the hold", metadata=words)
        hold = ledger.execute(placed).hold
        assert hold is not None
        capture = Capture(account="alice", hold=hold.hold_id, description=description, metadata=metadata)
        captured = ledger.execute(capture).transaction
        assert captured is not None
        shown.append((captured.description, captured.metadata, captured.member))
    assert shown == [("of the hold", words, "m"), ("its own", '{"its":"own"}', "m")]


def test_debt_beyond_what_a_column_counts_is_a_shortfall() -> None:
    ledger = a_ledger()
    holds = [ledger.execute(PlaceHold(account="alice", amount=NANOS)).hold for _ in range(2)]
    for hold in holds:
        assert hold is not None
        ledger.execute(Capture(account="alice", hold=hold.hold_id, amount=MAX_NANOS))
    account = ledger.books["alice"].account
    assert account.debt == MAX_NANOS
    assert account.spent == MAX_NANOS
    last = ledger.rows("alice").transactions[-1]
    assert decode(last.detail or "")["shortfall"] + -last.amount == MAX_NANOS


def test_a_rejection_says_what_would_have_been_enough() -> None:
    ledger = a_ledger("free")
    with pytest.raises(InsufficientCredits) as refusal:
        ledger.execute(Charge(account="alice", amount=111 * NANOS))
    resets_at = ledger.books["alice"].account.next_reset
    assert refusal.value.evidence() == {"required": 111 * NANOS, "available": 110 * NANOS, "resets_at": resets_at}
    with pytest.raises(InsufficientCredits) as refusal:
        ledger.execute(PlaceHold(account="alice", amount=200 * NANOS, at_least=112 * NANOS))
    assert refusal.value.required == 112 * NANOS
    ledger.execute(OpenAccount(account="bob"))
    with pytest.raises(InsufficientCredits) as refusal:
        ledger.execute(Transfer(account="alice", to="bob", amount=101 * NANOS))
    assert refusal.value.available == 100 * NANOS, "a plan's credits stay"
    ledger.execute(PlaceHold(account="alice", amount=NANOS))
    for field, to, by in (("to", MAX_NANOS, None), ("by", None, MAX_NANOS)):
        with pytest.raises(Invalid) as excess:
            ledger.execute(Adjust(account="alice", reason="too much", to=to, by=by))
        assert excess.value.field == field


def test_what_is_left_to_refund_is_said() -> None:
    ledger = a_ledger()
    charge = ledger.execute(Charge(account="alice", amount=10 * NANOS)).transaction
    assert charge is not None
    for left, back in ((10, 6), (4, 4), (0, 0)):
        with pytest.raises(RefundExceedsCharge) as excess:
            ledger.execute(Refund(account="alice", transaction=charge.id, amount=11 * NANOS))
        assert excess.value.refundable == left * NANOS
        if back:
            ledger.execute(Refund(account="alice", transaction=charge.id, amount=back * NANOS))


# Replays


def test_a_replay_is_the_first_outcome() -> None:
    ledger = a_ledger("free")
    ledger.execute(OpenAccount(account="bob"))
    hold = ledger.execute(PlaceHold(account="alice", amount=5 * NANOS)).hold
    charge = ledger.execute(Charge(account="alice", amount=NANOS)).transaction
    grant = ledger.execute(Grant(account="alice", amount=NANOS)).lot
    assert hold is not None
    assert charge is not None
    assert grant is not None
    intents: list[Command] = [
        OpenAccount(account="carol", key="open"),
        UpdateAccount(account="alice", name="Alice", key="update"),
        Charge(account="alice", amount=NANOS, key="charge"),
        PlaceHold(account="alice", amount=NANOS, key="hold"),
        Dispatch(account="alice", hold=hold.hold_id, key="dispatch"),
        Extend(account="alice", hold=hold.hold_id, amount=NANOS, key="extend"),
        Capture(account="alice", hold=hold.hold_id, amount=NANOS, key="capture"),
        Refund(account="alice", transaction=charge.id, key="refund"),
        Grant(account="alice", amount=NANOS, key="grant"),
        Void(account="alice", grant=grant.lot_id, key="void"),
        Transfer(account="alice", to="bob", amount=NANOS, key="transfer"),
        Renew(account="alice", key="renew"),
        ChangePlan(account="alice", plan="pro", days=30, key="pro"),
        CancelPlan(account="alice", key="cancel"),
    ]
    for command in intents:
        first = ledger.execute(command)
        ledger.now += SECOND
        again = ledger.execute(command)
        assert again == replace(first, replayed=True), command.verb
        with pytest.raises(IdempotencyConflict):
            ledger.execute(Charge(account=command.account, amount=2 * NANOS, key=command.key))


def test_a_rejection_is_not_remembered() -> None:
    ledger = a_ledger()
    with pytest.raises(BursarError):
        ledger.execute(Charge(account="alice", amount=1000 * NANOS, key="k"))
    assert ledger.books["alice"].keys == {"k": None}
