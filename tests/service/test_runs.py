"""Runs over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.conftest import Service

V1 = "/api/v1/accounts"


async def test_a_run_from_its_opening_to_its_close(each_service: Service) -> None:
    service = each_service
    await service.account("alice", 100)
    client = await service.key("service")
    headers = {"Idempotency-Key": "task"}
    body = {"budget": 10, "ttl_seconds": 600, "description": "a report", "metadata": {"agent": "a"}}
    opened = await client.post(f"{V1}/alice/runs", json=body, headers=headers)
    assert opened.status_code == 201, opened.text
    run = opened.json()
    assert (run["state"], run["budget"], run["left"], run["held"], run["spent"]) == ("open", 10, 10, 0, 0)
    assert (run["description"], run["metadata"], run["run"]) == ("a report", {"agent": "a"}, None)
    again = await client.post(f"{V1}/alice/runs", json=body, headers=headers)
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (201, run, "true")
    path = f"{V1}/alice/runs/{run['id']}"

    charge = await client.post(f"{V1}/alice/charges", json={"amount": 2.5, "run": run["id"]})
    assert (charge.status_code, charge.json()["run"]) == (201, run["id"])
    hold = await client.post(f"{V1}/alice/holds", json={"amount": 4, "run": run["id"], "dispatched": True})
    assert (hold.status_code, hold.json()["run"]) == (201, run["id"])
    inner = (await client.post(f"{V1}/alice/runs", json={"budget": 3, "run": run["id"]})).json()
    await client.post(f"{V1}/alice/charges", json={"amount": 1, "run": inner["id"]})
    short = await client.post(f"{V1}/alice/charges", json={"amount": 1, "run": run["id"]})
    problem = short.json()
    assert (short.status_code, problem["code"], problem["run"]) == (402, "run_exhausted", run["id"])
    assert (problem["required"], problem["available"]) == (1, 0.5)
    batch = {"charges": [{"account": "alice", "amount": 0.5, "run": run["id"]}]}
    assert (await client.post("/api/v1/charges/batch", json=batch)).json()["results"][0]["status"] == 201

    seen = (await client.get(path)).json()
    assert (seen["left"], seen["held"], seen["spent"], seen["calls"]) == (0, 6, 4, 3)
    assert (await service.balance("alice"))["held"] == 6
    closed = await client.post(f"{path}/close")
    assert closed.status_code == 200, closed.text
    run = closed.json()
    assert (run["state"], run["left"], run["held"], run["spent"], run["calls"]) == ("closed", 0, 0, 8, 4)
    assert (await client.post(f"{path}/close")).headers["idempotency-replayed"] == "true"
    assert (await service.balance("alice"))["available"] == 92
    calls = (await client.get(f"{path}/transactions", params={"limit": 2})).json()
    assert [call["amount"] for call in calls["data"]] == [-4, -0.5]
    rest = (await client.get(f"{path}/transactions", params={"cursor": calls["next_cursor"]})).json()
    assert [call["amount"] for call in rest["data"]] == [-2.5]
    listed = (await client.get(f"{V1}/alice/runs")).json()["data"]
    assert {found["id"]: found["state"] for found in listed} == {run["id"]: "closed", inner["id"]: "expired"}
    late = await client.post(f"{V1}/alice/holds", json={"amount": 1, "run": run["id"]})
    assert (late.status_code, late.json()["code"]) == (409, "run_not_open")


async def test_a_run_is_no_hold_and_a_hold_is_no_run(service: Service) -> None:
    await service.account("alice", 100)
    run = (await service.admin.post(f"{V1}/alice/runs", json={"budget": 10})).json()["id"]
    hold = (await service.admin.post(f"{V1}/alice/holds", json={"amount": 1})).json()["id"]
    captured = await service.admin.post(f"{V1}/alice/holds/{run}/capture", json={"amount": 1})
    assert (captured.status_code, captured.json()["field"]) == (422, "hold")
    for path in (f"runs/{hold}", "runs/r_none"):
        assert (await service.admin.get(f"{V1}/alice/{path}")).json()["code"] == "run_not_found"
        assert (await service.admin.post(f"{V1}/alice/{path}/close")).json()["code"] == "run_not_found"
        assert (await service.admin.get(f"{V1}/alice/{path}/transactions")).json()["code"] == "run_not_found"
    for path in ("runs", f"runs/{run}"):
        assert (await service.admin.get(f"{V1}/nobody/{path}")).json()["code"] == "account_not_found"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"budget": 0}, "budget"),
        ({"budget": -1}, "budget"),
        ({"budget": None}, "budget"),
        ({"ttl_seconds": 0}, "ttl_seconds"),
        ({"ttl_seconds": 86_401}, "ttl_seconds"),
        ({"run": ""}, "run"),
        ({"left": 5}, "left"),
    ],
)
async def test_a_bad_run_is_refused_by_its_field(service: Service, change: dict[str, Any], field: str) -> None:
    await service.account("alice", 100)
    answer = await service.admin.post(f"{V1}/alice/runs", json={"budget": 1} | change)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert field in [error["field"] for error in problem.get("errors", [])] or problem.get("field") == field
    assert (await service.balance("alice"))["held"] == 0
