"""`credits.plans`, `subscribe` and `cancel`: which plan an account has and until when, through the library."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from bursar.core.errors import IdempotencyConflict, Invalid, PlanNotFound, TrialUsed
from bursar.credits import AsyncCredits, Credits
from tests.credits.conftest import Clock

FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
async def ledger(credits: AsyncCredits) -> AsyncCredits:
    """With an account on the free plan, which gives 100 a month; it is the 10th of January."""
    await credits.open_account("alice")
    return credits


async def test_a_plan_is_put_with_all_that_it_says(credits: AsyncCredits) -> None:
    put = await credits.plans.put(
        "taste",
        allowance="12.5",
        display_name="A taste",
        period="week",
        renewal="rollover",
        rollover_cap=5,
        timezone="Asia/Tokyo",
        duration_days=14,
        trial=True,
        prorated=True,
    )
    assert put == await credits.plans.get("taste")
    assert (put.allowance, put.display_name, put.period) == (Decimal("12.5"), "A taste", "week")
    assert (put.renewal, put.rollover_cap, put.timezone, put.duration_days) == ("rollover", 5, "Asia/Tokyo", 14)
    assert (put.trial, put.prorated, put.after) == (True, True, "free")


async def test_another_plan_follows_or_none(credits: AsyncCredits) -> None:
    assert (await credits.plans.put("taste", allowance=1, after="pro")).after == "pro"
    assert (await credits.plans.put("taste", allowance=1, after=None)).after is None
    assert (await credits.plans.put("taste", allowance=1)).after == "free"
    with pytest.raises(Invalid) as refusal:
        await credits.plans.put("taste", allowance=1, after="taste")
    assert refusal.value.field == "after"


async def test_up_and_down_no_number_of_changes_makes_credits(ledger: AsyncCredits) -> None:
    await ledger.charge("alice", 40)
    for _ in range(3):
        assert (await ledger.subscribe("alice", "pro")).available == 460
        assert (await ledger.subscribe("alice", "free")).available == 60
    assert (await ledger.verify()).findings == []


async def test_a_paid_period_is_paid_once_and_ends_by_itself(ledger: AsyncCredits, clock: Clock) -> None:
    paid = await ledger.subscribe("alice", "pro", days=30, idempotency_key="invoice 1")
    assert (paid.plan, paid.available, paid.subscription_ends_at) == ("pro", 500, datetime(2026, 2, 9, 12, tzinfo=UTC))
    assert await ledger.subscribe("alice", "pro", days=30, idempotency_key="invoice 1") == paid
    with pytest.raises(IdempotencyConflict):
        await ledger.subscribe("alice", "pro", days=60, idempotency_key="invoice 1")
    longer = await ledger.subscribe("alice", "pro", days=30)
    assert longer.subscription_ends_at == datetime(2026, 3, 11, 12, tzinfo=UTC)
    clock.set("2026-03-11T12:00:00Z")
    assert (await ledger.account("alice")).plan == "free"


async def test_a_plan_is_cancelled_at_the_end_of_its_period_or_now(ledger: AsyncCredits, clock: Clock) -> None:
    await ledger.subscribe("alice", "team")
    later = await ledger.cancel("alice")
    assert (later.plan, later.next_plan, later.subscription_ends_at) == ("team", "free", FEBRUARY)
    assert (await ledger.cancel("alice")) == later
    assert (await ledger.subscribe("alice", "team")).next_plan is None
    now = await ledger.cancel("alice", at="now", idempotency_key="goodbye")
    assert (now.plan, now.available) == ("free", 100)
    assert await ledger.cancel("alice", at="now", idempotency_key="goodbye") == now
    assert (await ledger.subscribe("alice", "pro", at="period_end")).next_plan == "pro"
    clock.set("2026-02-01T00:00:00Z")
    account = await ledger.account("alice")
    assert (account.plan, account.available, account.next_plan) == ("pro", 500, None)


async def test_a_trial_comes_once(ledger: AsyncCredits) -> None:
    await ledger.plans.put("trial", allowance=20, duration_days=7, trial=True)
    assert (await ledger.subscribe("alice", "trial")).subscription_ends_at is not None
    await ledger.cancel("alice", at="now")
    with pytest.raises(TrialUsed) as refusal:
        await ledger.subscribe("alice", "trial")
    assert refusal.value.account == "alice"


async def test_what_makes_no_sense_changes_nothing(ledger: AsyncCredits) -> None:
    before = await ledger.account("alice")
    with pytest.raises(PlanNotFound):
        await ledger.subscribe("alice", "nothing")
    for days in (0, -1, 10**12):
        with pytest.raises(Invalid) as refusal:
            await ledger.subscribe("alice", "pro", days=days)
        assert refusal.value.field == "days"
    with pytest.raises(Invalid) as refusal:
        await ledger.cancel("alice", at="tomorrow")  # type: ignore[arg-type]
    assert refusal.value.field == "at"
    assert await ledger.account("alice") == before


def test_threads_subscribe_as_well(blocking: Credits) -> None:
    blocking.open_account("alice")
    assert blocking.subscribe("alice", "pro").available == 500
    assert blocking.cancel("alice").next_plan == "free"
