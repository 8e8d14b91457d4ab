"""Limits and members over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.conftest import Service

V1 = "/api/v1/accounts"


async def test_a_limit_from_its_setting_to_its_lifting(each_service: Service) -> None:
    service = each_service
    await service.account("alice", 100)
    path = f"{V1}/alice/limits/daily"
    body: dict[str, Any] = {"window": "day", "amount": "20.5", "timezone": "Asia/Tokyo"}
    answer = await service.admin.put(path, json=body)
    assert answer.status_code == 200, answer.text
    limit = answer.json()
    assert limit["resets_at"].endswith("T15:00:00Z")
    assert limit == {
        "id": "daily",
        "account": "alice",
        "scope": "account",
        "value": None,
        "window": "day",
        "amount": 20.5,
        "timezone": "Asia/Tokyo",
        "spent": 0,
        "held": 0,
        "left": 20.5,
        "starts_at": limit["starts_at"],
        "resets_at": limit["resets_at"],
    }
    await service.admin.post(f"{V1}/alice/charges", json={"amount": 12})
    await service.admin.post(f"{V1}/alice/holds", json={"amount": 5})
    refused = await service.admin.post(f"{V1}/alice/charges", json={"amount": 4})
    assert refused.status_code == 402
    problem = refused.json()
    assert (problem["code"], problem["limit"], problem["scope"]) == ("limit_exceeded", "daily", "account")
    assert (problem["required"], problem["available"], problem["resets_at"]) == (4, 3.5, limit["resets_at"])
    assert "daily" in problem["detail"]
    assert limit["resets_at"] in problem["detail"]
    quote = await service.admin.post(f"{V1}/alice/quotes", json={"amount": 4})
    assert quote.json()["sufficient"] is False
    [found] = (await service.admin.get(f"{V1}/alice/limits")).json()["data"]
    assert (found["spent"], found["held"], found["left"]) == (12, 5, 3.5)
    again = await service.admin.put(path, json={**body, "amount": 30})
    assert (again.json()["amount"], again.json()["spent"]) == (30, 12)
    assert (await service.admin.delete(path)).status_code == 204
    gone = await service.admin.delete(path)
    assert (gone.status_code, gone.json()["code"]) == (404, "limit_not_found")
    assert (await service.admin.get(f"{V1}/alice/limits")).json() == {"data": [], "next_cursor": None}


async def test_members_spend_under_their_own_caps(each_service: Service) -> None:
    service = each_service
    await service.account("team", 1000)
    for member in ("mia", "n@x.com"):
        answer = await service.admin.put(f"{V1}/team/members/{member}")
        assert (answer.status_code, answer.json()["status"]) == (200, "added")
    body = {"window": "day", "amount": 20, "scope": "member", "value": "mia"}
    assert (await service.admin.put(f"{V1}/team/limits/mia", json=body)).status_code == 200
    charges = f"{V1}/team/charges"
    assert (await service.admin.post(charges, json={"amount": 20, "member": "mia"})).status_code == 201
    assert (await service.admin.post(charges, json={"amount": 1, "member": "mia"})).json()["limit"] == "mia"
    assert (await service.admin.post(charges, json={"amount": 50, "member": "n@x.com"})).status_code == 201
    stranger = await service.admin.post(charges, json={"amount": 1, "member": "eve"})
    assert (stranger.status_code, stranger.json()["code"]) == (403, "member_denied")
    removed = await service.admin.delete(f"{V1}/team/members/n%40x.com")
    assert (removed.status_code, removed.json()["status"]) == (200, "removed")
    assert (await service.admin.post(charges, json={"amount": 1, "member": "n@x.com"})).status_code == 403
    page = (await service.admin.get(f"{V1}/team/members", params={"limit": 1})).json()
    assert [member["member"] for member in page["data"]] == ["mia"]
    rest = (await service.admin.get(f"{V1}/team/members", params={"cursor": page["next_cursor"]})).json()
    assert [(member["member"], member["status"]) for member in rest["data"]] == [("n@x.com", "removed")]
    assert (await service.admin.delete(f"{V1}/team/members/eve")).status_code == 404


async def test_a_limit_of_a_key_counts_what_that_key_spends(service: Service) -> None:
    await service.account("alice", 100)
    made = (await service.admin.post("/api/v1/keys", json={"role": "service"})).json()
    client, other = await service.client(made["key"]), await service.key("service")
    body = {"window": "month", "amount": 5, "scope": "key", "value": made["id"]}
    assert (await service.admin.put(f"{V1}/alice/limits/key", json=body)).status_code == 200
    assert (await client.post(f"{V1}/alice/charges", json={"amount": 5})).status_code == 201
    assert (await client.post(f"{V1}/alice/charges", json={"amount": 1})).json()["code"] == "limit_exceeded"
    assert (await other.post(f"{V1}/alice/charges", json={"amount": 1})).status_code == 201


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": -1}, "amount"),
        ({"amount": "nan"}, "amount"),
        ({"window": "fortnight"}, "window"),
        ({"scope": "galaxy"}, "scope"),
        ({"scope": "member"}, "value"),
        ({"value": "mia"}, "value"),
        ({"scope": "skill", "value": "text"}, "value"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"spent": 0}, "spent"),
    ],
)
async def test_a_bad_limit_is_refused_by_its_field(service: Service, change: dict[str, Any], field: str) -> None:
    await service.account("alice", 100)
    body = {"window": "day", "amount": 1} | change
    answer = await service.admin.put(f"{V1}/alice/limits/l", json=body)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert field in [error["field"] for error in problem.get("errors", [])] or problem.get("field") == field
    assert (await service.admin.get(f"{V1}/alice/limits")).json()["data"] == []


async def test_who_may(service: Service) -> None:
    await service.account("alice", 100)
    own, foreign = await service.key("account", "alice"), await service.key("service")
    for client in (own, foreign):
        body = {"window": "day", "amount": 1}
        assert (await client.put(f"{V1}/alice/limits/l", json=body)).status_code == 403
        assert (await client.put(f"{V1}/alice/members/m")).status_code == 403
        assert (await client.get(f"{V1}/alice/limits")).status_code == 200
    for path in ("limits/l", "members/m"):
        assert (await service.admin.delete(f"{V1}/nobody/{path}")).json()["code"] == "account_not_found"
    assert (await service.admin.get(f"{V1}/nobody/limits")).status_code == 404
    assert (await service.admin.get(f"{V1}/nobody/members")).status_code == 404
