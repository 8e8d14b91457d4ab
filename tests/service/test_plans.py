"""Plans and subscriptions over HTTP, on every kind of database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import Service
from tests.service.test_jobs import set_clock

V1 = "/api/v1"


@pytest.fixture
async def timed(request: pytest.FixtureRequest, settings: Any, database_url: str, tmp_path: Path) -> Any:
    """A service whose clock is a file: 2025-01-10."""
    from tests.service.conftest import opened, with_settings

    (tmp_path / "clock").write_text("2025-01-10T00:00:00Z")
    changed = with_settings(settings, database_url=database_url, test_clock=str(tmp_path / "clock"))
    async with opened(changed) as service:
        yield service


async def subscription(service: Service, account: str, **body: Any) -> dict[str, Any]:
    answer = await service.admin.put(f"{V1}/accounts/{account}/subscription", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_plans_are_listed_shown_and_put(each_service: Service) -> None:
    admin = each_service.admin
    listed = (await admin.get(f"{V1}/plans")).json()
    assert [(plan["name"], plan["allowance"], plan["after"]) for plan in listed["data"]] == [
        ("enterprise", 10_000, "free"),
        ("free", 100, None),
        ("pro", 500, "free"),
        ("team", 2_000, "free"),
    ]
    body = {"allowance": "12.5", "period": "week", "timezone": "Asia/Tokyo", "duration_days": 14, "trial": True}
    put = await admin.put(f"{V1}/plans/taste", json=body)
    assert put.status_code == 200
    shown = put.json()
    assert shown == (await admin.get(f"{V1}/plans/taste")).json()
    assert {name: shown[name] for name in body} == body | {"allowance": 12.5}
    assert (shown["after"], shown["renewal"], shown["prorated"]) == ("free", "reset", False)
    changed = (await admin.put(f"{V1}/plans/taste", json={"allowance": 3, "after": None})).json()
    assert (changed["allowance"], changed["after"], changed["trial"]) == (3, None, False)
    assert changed["created_at"] == shown["created_at"]
    assert (await admin.get(f"{V1}/plans/nothing")).json()["code"] == "plan_not_found"


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("free", {"allowance": 100, "after": "pro"}, "after"),
        ("loop", {"allowance": 100, "after": "loop"}, "after"),
        ("new", {"allowance": 100, "after": "nothing"}, "after"),
        ("new", {"allowance": 100, "timezone": "Mars/Base"}, "timezone"),
        ("new", {"allowance": -1}, "allowance"),
        ("new", {"allowance": "1e400"}, "allowance"),
        ("new", {"allowance": 1, "duration_days": 0}, "duration_days"),
        ("new", {"allowance": 1, "trial": True}, "duration_days"),
        ("new", {"allowance": 1, "period": "hour"}, "period"),
        ("new", {"allowance": 1, "rollover_cap": 5}, "rollover_cap"),
        ("new", {}, "allowance"),
        ("n%2Fw", {"allowance": 1}, "plan"),
    ],
)
async def test_a_plan_that_makes_no_sense_is_refused_by_its_field(
    service: Service, name: str, body: dict[str, Any], field: str
) -> None:
    answer = await service.admin.put(f"{V1}/plans/{name}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), answer.text
    assert field in answer.text
    assert len((await service.admin.get(f"{V1}/plans")).json()["data"]) == 4


async def test_an_account_goes_up_and_down(timed: Service) -> None:
    admin = timed.admin
    await admin.post(f"{V1}/accounts", json={"id": "alice", "plan": "pro"})
    await admin.post(f"{V1}/accounts/alice/charges", json={"amount": 370})
    await admin.post(f"{V1}/accounts/alice/grants", json={"amount": 50, "source": "purchase"})
    await admin.post(f"{V1}/accounts/alice/grants", json={"amount": 10, "source": "bonus"})
    set_clock(timed, "2025-02-01T00:00:00Z")
    assert (await timed.balance("alice"))["posted"] == 560
    await admin.post(f"{V1}/accounts/alice/charges", json={"amount": 40})
    assert (await subscription(timed, "alice", plan="free"))["posted"] == 120
    for _ in range(10):
        assert (await subscription(timed, "alice", plan="pro"))["available"] == 520
        assert (await subscription(timed, "alice", plan="free"))["available"] == 120
    assert (await admin.post(f"{V1}/verify", json={})).json()["sound"]


async def test_a_paid_period_is_paid_once_and_ends_by_itself(timed: Service) -> None:
    await timed.admin.post(f"{V1}/accounts", json={"id": "alice"})
    path, body = f"{V1}/accounts/alice/subscription", {"plan": "pro", "days": 30}
    first = await timed.admin.put(path, json=body, headers={"Idempotency-Key": "stripe-1"})
    again = await timed.admin.put(path, json=body | {"idempotency_key": "stripe-1"})
    other = await timed.admin.put(path, json=body | {"days": 60}, headers={"Idempotency-Key": "stripe-1"})
    assert first.json() == again.json()
    assert first.json()["subscription_ends_at"] == "2025-02-09T00:00:00Z"
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    set_clock(timed, "2025-02-09T00:00:00Z")
    account = (await timed.admin.get(f"{V1}/accounts/alice")).json()
    assert (account["plan"], account["available"], account["subscription_ends_at"]) == ("free", 100, None)


async def test_a_plan_is_cancelled_at_the_end_of_its_period_or_now(timed: Service) -> None:
    admin, path = timed.admin, f"{V1}/accounts/alice/subscription"
    await admin.post(f"{V1}/accounts", json={"id": "alice", "plan": "team"})
    later = (await admin.delete(path)).json()
    assert (later["plan"], later["next_plan"], later["subscription_ends_at"]) == (
        "team",
        "free",
        "2025-02-01T00:00:00Z",
    )
    assert (await subscription(timed, "alice", plan="team"))["subscription_ends_at"] is None
    now = (await admin.delete(path, params={"at": "now"})).json()
    assert (now["plan"], now["available"]) == ("free", 100)
    await subscription(timed, "alice", plan="pro", at="period_end")
    set_clock(timed, "2025-02-01T00:00:00Z")
    account = (await admin.get(f"{V1}/accounts/alice")).json()
    assert (account["plan"], account["available"], account["next_plan"]) == ("pro", 500, None)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"plan": "nothing"}, 404, "plan_not_found"),
        ({"plan": "pro", "days": 0}, 422, "invalid"),
        ({"plan": "pro", "days": 1.5}, 422, "invalid"),
        ({"plan": "pro", "days": 10**12}, 422, "invalid"),
        ({"plan": "pro", "at": "tomorrow"}, 422, "invalid"),
        ({"plan": "a\x00b"}, 422, "invalid"),
        ({"plan": 7}, 422, "invalid"),
        ({}, 422, "invalid"),
        ({"plan": "pro", "price": 5}, 422, "invalid"),
    ],
)
async def test_what_makes_no_sense_changes_nothing(
    service: Service, body: dict[str, Any], status: int, code: str
) -> None:
    await service.admin.post(f"{V1}/accounts", json={"id": "alice"})
    answer = await service.admin.put(f"{V1}/accounts/alice/subscription", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert (await service.admin.get(f"{V1}/accounts/alice")).json()["plan"] == "free"
    missing = await service.admin.put(f"{V1}/accounts/bob/subscription", json={"plan": "pro"})
    assert missing.json()["code"] == "account_not_found"


async def test_a_trial_comes_once(service: Service) -> None:
    await service.admin.put(f"{V1}/plans/trial", json={"allowance": 20, "duration_days": 7, "trial": True})
    await service.admin.post(f"{V1}/accounts", json={"id": "alice"})
    await subscription(service, "alice", plan="trial")
    await subscription(service, "alice", plan="free")
    answer = await service.admin.put(f"{V1}/accounts/alice/subscription", json={"plan": "trial"})
    assert (answer.status_code, answer.json()["code"], answer.json()["account"]) == (409, "trial_used", "alice")
