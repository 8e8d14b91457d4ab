"""What is due: the same rows whoever looks, early, late or never."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import asdict

from bursar.core.commands import Charge, Grant, OpenAccount, PlaceHold, Touch
from bursar.core.model import OnExpiry, Plan
from bursar.core.money import NANOS
from tests.support.ledger import DAY, HOUR, MINUTE, PureLedger, Rows, instant
from tests.support.traffic import Traffic

WRITTEN = {"hash", "recorded_at", "head", "profile_digest"}
"""What says when somebody looked."""


def said(rows: Rows) -> list[dict[str, Any]]:
    """All rows but for what says when somebody looked."""
    every = [rows.account, *rows.lots, *rows.transactions, *rows.holds]
    return [{name: value for name, value in asdict(row).items() if name not in WRITTEN} for row in every]


def busy_ledger(plan: Plan) -> PureLedger:
    """An account on which much will be due."""
    ledger = PureLedger(instant("2026-01-10"))
    ledger.put_plan(plan)
    ledger.execute(OpenAccount(account="alice", plan=plan.name))
    for days in (3, 5, 22, 40):
        ledger.execute(Grant(account="alice", amount=days * NANOS, expires_at=ledger.now + days * DAY))
        ledger.execute(Grant(account="alice", amount=NANOS, effective_at=ledger.now + days * DAY))
    for policy in OnExpiry:
        ledger.execute(
            PlaceHold(account="alice", amount=9 * NANOS, on_expiry=policy, dispatched=True, ttl_seconds=86_400)
        )
    ledger.execute(PlaceHold(account="alice", amount=9 * NANOS, ttl_seconds=3_600))
    ledger.execute(Charge(account="alice", amount=3 * NANOS))
    return ledger


PLANS = [
    Plan("free", "Free", 20 * NANOS),
    Plan("gold", "Gold", 20 * NANOS, period="week", renewal="accumulate"),
    Plan("roll", "Roll", 20 * NANOS, period="day", renewal="rollover", rollover_cap=25 * NANOS),
    Plan("mine", "Mine", 20 * NANOS, anchor="anniversary"),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
@pytest.mark.parametrize("step", [7 * HOUR, DAY, 9 * DAY])
def test_touched_often_or_once_at_the_end_the_rows_are_the_same(plan: Plan, step: int) -> None:
    often, once = busy_ledger(plan), busy_ledger(plan)
    end = once.now + 45 * DAY
    while often.now < end:
        often.now = min(often.now + step, end)
        often.execute(Touch(account="alice"))
    once.now = end
    once.execute(Touch(account="alice"))
    assert said(often.rows("alice")) == said(once.rows("alice"))
    assert len(once.rows("alice").transactions) > 20


@pytest.mark.parametrize("seed", range(10))
def test_looking_makes_no_difference(seed: int) -> None:
    """A random ledger is looked at, at random moments; so is its twin, but never."""
    seen, unseen = busy_ledger(PLANS[0]), busy_ledger(PLANS[0])
    times = Traffic(seed)
    end = seen.now + 45 * DAY
    while seen.now < end:
        seen.now = min(seen.now + times.advance() - times.now + MINUTE * times.random.randint(1, 9_000), end)
        seen.view("alice")
        if times.random.random() < 0.5:
            seen.execute(Touch(account="alice"))
    unseen.now = end
    assert _shown(seen) == _shown(unseen)


def _shown(ledger: PureLedger) -> list[dict[str, Any]]:
    book = ledger.view("alice")
    rows = [book.account, *(lot for lot in book.lots.values() if lot is not None)]
    return [{name: value for name, value in asdict(row).items() if name not in WRITTEN} for row in rows]


def test_a_look_computes_what_is_due_and_keeps_nothing() -> None:
    ledger = busy_ledger(PLANS[0])
    before = ledger.snapshot()
    ledger.now += 45 * DAY
    assert ledger.view("alice").account.seq > ledger.books["alice"].account.seq
    assert ledger.snapshot() == before


def test_what_is_due_at_one_moment_happens_in_a_fixed_order() -> None:
    """Holds, then lots by their id, then renewals."""
    ledger = PureLedger(instant("2026-01-31"))
    ledger.put_plan(Plan("free", "Free", 10 * NANOS))
    ledger.execute(OpenAccount(account="alice", plan="free"))
    midnight = instant("2026-02-01")
    for _ in range(3):
        ledger.execute(Grant(account="alice", amount=NANOS, expires_at=midnight, priority=200))
    ledger.execute(PlaceHold(account="alice", amount=2 * NANOS, dispatched=True, ttl_seconds=86_400))
    ledger.now = midnight
    ledger.execute(Touch(account="alice"))
    due = [row for row in ledger.rows("alice").transactions if row.effective_at == midnight]
    assert [row.type for row in due] == ["CONSUMPTION", "EXPIRY", "EXPIRY", "EXPIRY", "EXPIRY", "PLAN"]
    ended = [row.entry_list()[0][0] or "" for row in due if row.type == "EXPIRY"]
    assert ended == sorted(ended)


def test_the_account_knows_when_something_is_due_next() -> None:
    ledger = busy_ledger(PLANS[0])
    moments = []
    for _ in range(100):
        due_at = ledger.books["alice"].account.due_at
        assert due_at is not None
        if due_at > instant("2026-03-01"):
            break
        moments.append(due_at)
        ledger.now = due_at - 1
        before = ledger.execute(Touch(account="alice")).account
        ledger.now = due_at
        after = ledger.execute(Touch(account="alice")).account
        assert before is not None
        assert after is not None
        assert after.seq > before.seq
    assert moments == sorted(set(moments))
    assert len(moments) == 5
