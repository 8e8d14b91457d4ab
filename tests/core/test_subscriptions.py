"""No number of changes makes credits or loses any, whatever the plans, and whatever is spent and held meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bursar.core.commands import CancelPlan, Capture, ChangePlan, Charge, OpenAccount, PlaceHold, Release, Touch
from bursar.core.invariants import check_account
from bursar.core.model import Plan
from bursar.core.money import NANOS, share
from bursar.core.plans import FACTS
from tests.support.ledger import DAY, PureLedger, instant

PLANS = {
    "free": Plan("free", "Free", 100 * NANOS),
    "pro": Plan("pro", "Pro", 500 * NANOS, after="free"),
    "gold": Plan("gold", "Gold", 300 * NANOS, renewal="accumulate", after="free"),
    "roll": Plan("roll", "Roll", 200 * NANOS, renewal="rollover", rollover_cap=50 * NANOS, after="free"),
    "fair": Plan("fair", "Fair", 777 * NANOS, prorated=True, after="free"),
    "year": Plan("year", "Year", 900 * NANOS, period="year", after="free"),
    "mine": Plan("mine", "Mine", 400 * NANOS, anchor="anniversary", after="free"),
    "once": Plan("once", "Once", 50 * NANOS, period="none"),
}
MOST = max(plan.allowance for plan in PLANS.values())

names = st.sampled_from(list(PLANS))
steps = st.lists(
    st.tuples(st.just("change"), names)
    | st.tuples(st.just("cancel"), st.none())
    | st.tuples(st.just("charge"), st.integers(1, 300))
    | st.tuples(st.just("hold"), st.integers(1, 300))
    | st.tuples(st.just("release"), st.integers(0, 5))
    | st.tuples(st.just("capture"), st.integers(0, 5))
    | st.tuples(st.just("wait"), st.integers(0, 12 * 3_600)),
    max_size=25,
)


def a_ledger(plan: str) -> PureLedger:
    """Alice, on that plan since the 10th of January, which is long before anything ends."""
    ledger = PureLedger(instant("2026-01-10"))
    for known in PLANS.values():
        ledger.put_plan(known)
    ledger.execute(OpenAccount(account="alice", plan=plan))
    return ledger


def do(ledger: PureLedger, what: str, how: Any, holds: list[str]) -> None:
    """One step, where there is enough for it."""
    available = ledger.view("alice").account.available // NANOS
    match what:
        case "change":
            ledger.execute(ChangePlan(account="alice", plan=how))
        case "cancel":
            ledger.execute(CancelPlan(account="alice", at="now"))
        case "charge" if how <= available:
            ledger.execute(Charge(account="alice", amount=how * NANOS))
        case "hold" if how <= available:
            hold = ledger.execute(PlaceHold(account="alice", amount=how * NANOS, ttl_seconds=86_400)).hold
            assert hold is not None
            holds.append(hold.hold_id)
        case "release" | "capture" if holds:
            kind = Release if what == "release" else Capture
            ledger.execute(kind(account="alice", hold=holds.pop(how % len(holds))))
        case "wait":
            ledger.now += how * 1_000_000


@settings(deadline=None)
@given(plan=names, steps=steps)
def test_what_was_spent_and_what_is_left_never_exceed_the_largest_allowance(
    plan: str, steps: list[tuple[str, Any]]
) -> None:
    """Within one period of all the plans, which is what a few days in January are."""
    ledger, holds = a_ledger(plan), list[str]()
    for what, how in steps:
        do(ledger, what, how, holds)
        if ledger.now > instant("2026-01-25"):
            break
        account = ledger.view("alice").account
        assert account.spent + account.posted <= MOST


@settings(deadline=None)
@given(plan=names, other=names, times=st.integers(1, 10), spent=st.integers(0, 50))
def test_there_and_back_is_where_it_was(plan: str, other: str, times: int, spent: int) -> None:
    ledger = a_ledger(plan)
    if spent:
        ledger.execute(Charge(account="alice", amount=spent * NANOS))
    before = ledger.view("alice").account.posted
    for _ in range(times):
        ledger.execute(ChangePlan(account="alice", plan=other))
        if PLANS[other].allowance >= PLANS[plan].allowance and not PLANS[other].prorated:
            assert ledger.view("alice").account.posted == PLANS[other].allowance - spent * NANOS
        ledger.execute(ChangePlan(account="alice", plan=plan))
    after = ledger.view("alice").account.posted
    # What a prorated plan counted for what has gone by stays with a prorated plan; at one moment that is nothing.
    assert after == before


@settings(deadline=None)
@given(plan=names, other=names, held=st.integers(1, 50), captured=st.booleans())
def test_a_hold_across_a_change_comes_to_the_same_as_one_before_it(
    plan: str, other: str, held: int, captured: bool
) -> None:
    """Settled before the change or after it: the plan's lots come to the same."""
    posted = []
    for early in (True, False):
        ledger = a_ledger(plan)
        hold = ledger.execute(PlaceHold(account="alice", amount=held * NANOS, ttl_seconds=86_400)).hold
        assert hold is not None
        settle = (Capture if captured else Release)(account="alice", hold=hold.hold_id)
        for command in (settle, ChangePlan(account="alice", plan=other))[:: 1 if early else -1]:
            ledger.execute(command)
        posted.append(ledger.view("alice").account.posted)
    assert posted[0] == posted[1]


@given(amount=st.integers(-(10**18), 10**18), part=st.integers(0, 10**13), more=st.integers(0, 10**13))
def test_a_share_and_the_share_of_its_negative_cancel_out(amount: int, part: int, more: int) -> None:
    whole = part + more or 1
    assert share(amount, part, whole) + share(-amount, part, whole) == 0
    assert abs(share(amount, part, whole)) <= abs(amount)


def test_the_rows_are_the_same_however_often_one_looks() -> None:
    """A subscription that renews, ends and falls back: touched every hour, every day, or once at the end."""
    rows = []
    for step in (DAY // 24, DAY, 100 * DAY):
        ledger = a_ledger("gold")
        ledger.checked = step > DAY // 24
        ledger.execute(ChangePlan(account="alice", plan="roll", days=60))
        ledger.execute(Charge(account="alice", amount=30 * NANOS))
        end = ledger.now + 100 * DAY
        while ledger.now < end:
            ledger.now = min(ledger.now + step, end)
            ledger.execute(Touch(account="alice"))
        rows.append([(row.type, row.amount, row.effective_at, row.detail) for row in ledger.rows("alice").transactions])
    assert rows[0] == rows[1] == rows[2]
    assert len(rows[0]) > 10


@pytest.mark.parametrize("column", [*FACTS, "last_reset", "spent"])
def test_every_fact_of_a_plan_that_is_changed_by_hand_is_named(column: str) -> None:
    ledger = a_ledger("mine")
    ledger.now += DAY
    ledger.execute(ChangePlan(account="alice", plan="mine", days=10))
    ledger.execute(CancelPlan(account="alice"))
    rows = ledger.snapshot_of("alice")
    assert check_account(rows.account, rows.lots, rows.transactions, rows.holds, rows.keys) == []
    forged = "pro" if column in ("plan", "next_plan") else 7
    changed = replace(rows.account, **{column: forged})
    found = check_account(changed, rows.lots, rows.transactions, rows.holds, rows.keys)
    assert column in {finding.column for finding in found}
    emptied = replace(rows.account, **{column: None if column not in ("overused", "spent") else 1})
    if emptied != rows.account:
        found = check_account(emptied, rows.lots, rows.transactions, rows.holds, rows.keys)
        assert column in {finding.column for finding in found}
