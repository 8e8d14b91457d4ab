"""Limits and members, through the library's two faces."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bursar.core.errors import Insufficient, Invalid, LimitExceeded, LimitNotFound, MemberDenied, MemberNotFound
from bursar.credits import AsyncCredits, Credits
from tests.credits.conftest import Clock


async def test_a_limit_counts_and_starts_afresh(credits: AsyncCredits, clock: Clock) -> None:
    await credits.open_account("alice", timezone="Europe/Kyiv")
    limit = await credits.set_limit("alice", "daily", 20, window="day")
    assert (limit.amount, limit.left, limit.timezone) == (20, 20, "Europe/Kyiv")
    assert limit.resets_at == datetime(2026, 1, 10, 22, tzinfo=UTC)
    await credits.charge("alice", 15)
    with pytest.raises(LimitExceeded) as refusal:
        await credits.charge("alice", 6)
    assert isinstance(refusal.value, Insufficient)
    assert (refusal.value.limit, refusal.value.required.credits, refusal.value.available.credits) == ("daily", 6, 5)
    assert str(refusal.value) == (
        "This needs 6 credits; the limit 'daily' leaves 5. It resets at 2026-01-10T22:00:00Z."
    )
    clock.set("2026-01-10T22:00:00Z")
    [found] = await credits.limits("alice")
    assert (found.spent, found.left, found.starts_at) == (0, 20, datetime(2026, 1, 10, 22, tzinfo=UTC))
    await credits.charge("alice", 20)
    await credits.remove_limit("alice", "daily")
    await credits.charge("alice", 20)
    assert await credits.limits("alice") == []
    with pytest.raises(LimitNotFound):
        await credits.remove_limit("alice", "daily")
    assert (await credits.verify()).findings == []


async def test_a_limit_for_a_lifetime_never_resets(credits: AsyncCredits, clock: Clock) -> None:
    await credits.open_account("alice")
    await credits.charge("alice", 2)
    limit = await credits.set_limit("alice", "all", 5, window="lifetime")
    assert (limit.spent, limit.starts_at, limit.resets_at) == (2, None, None)
    clock.set("2027-01-10T12:00:00Z")
    with pytest.raises(LimitExceeded, match="It never resets"):
        await credits.charge("alice", 4)


async def test_what_is_due_is_shown_as_done(credits: AsyncCredits, clock: Clock) -> None:
    await credits.open_account("team")
    await credits.add_member("team", "mia")
    await credits.set_limit("team", "mia", 20, window="day", scope="member", value="mia")
    await credits.place_hold("team", 12, member="mia", dispatched=True)
    await credits.place_hold("team", 3, member="mia")
    clock.set("2026-01-10T13:00:00Z")
    [limit] = await credits.limits("team")
    assert (limit.spent, limit.held, limit.left) == (12, 0, 8)


def test_members_through_the_blocking_face(blocking: Credits) -> None:
    credits = blocking
    credits.open_account("team")
    assert credits.add_member("team", "mia").status == "added"
    assert credits.add_member("team", "mia") == credits.members("team").data[0]
    with pytest.raises(MemberDenied):
        credits.charge("team", 1, member="eve")
    assert credits.charge("team", 1, member="mia").member == "mia"
    assert credits.remove_member("team", "mia").status == "removed"
    with pytest.raises(MemberDenied):
        credits.charge("team", 1, member="mia")
    with pytest.raises(MemberNotFound):
        credits.remove_member("team", "eve")
    with pytest.raises(Invalid, match="amount"):
        credits.set_limit("team", "l", -1, window="day")
    with pytest.raises(Invalid, match="timezone"):
        credits.set_limit("team", "l", 1, window="day", timezone="Mars/Olympus")
    assert credits.set_limit("team", "l", 1, window="week").left == 0
    assert [limit.id for limit in credits.limits("team")] == ["l"]
