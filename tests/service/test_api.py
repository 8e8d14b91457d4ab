"""The paths of /api/v1, each as api.md says, on every kind of database."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from tests.service.conftest import Service

V1 = "/api/v1"


async def test_an_account_is_opened_once(each_service: Service) -> None:
    admin = each_service.admin
    body = {"id": "alice", "email": "alice@example.com", "name": "Alice", "metadata": {"team": 7}}
    first = await admin.post(f"{V1}/accounts", json=body)
    again = await admin.post(f"{V1}/accounts", json={"id": "alice"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() == (await admin.get(f"{V1}/accounts/alice")).json()
    assert list(first.json()) == [
        "id",
        "email",
        "name",
        "plan",
        "status",
        "posted",
        "held",
        "available",
        "debt",
        "last_reset",
        "next_reset",
        "subscription_ends_at",
        "next_plan",
        "created_at",
        "metadata",
    ]
    assert first.json()["available"] == 100
    assert first.json()["plan"] == "free"


async def test_accounts_are_listed_and_searched_page_by_page(each_service: Service) -> None:
    for name in ("anna", "bert", "carl"):
        await each_service.account(name, 0)
    listed: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = (await each_service.admin.get(f"{V1}/accounts", params={"limit": 2, **cursor})).json()
        assert len(page["data"]) <= 2
        listed += [account["id"] for account in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert listed == ["anna", "bert", "carl"]
    found = await each_service.admin.get(f"{V1}/accounts", params={"query": "ER", "status": "active"})
    assert [account["id"] for account in found.json()["data"]] == ["bert"]


async def test_an_account_is_changed_frozen_and_freed(each_service: Service) -> None:
    await each_service.account("alice")
    admin, alice = each_service.admin, f"{V1}/accounts/alice"
    changed = await admin.patch(alice, json={"email": "new@example.com", "metadata": {"a": 1}})
    assert (changed.json()["email"], changed.json()["metadata"]) == ("new@example.com", {"a": 1})
    frozen = await admin.patch(alice, json={"status": "frozen", "reason": "looked odd"})
    assert frozen.json()["status"] == "frozen"
    refused = await admin.post(f"{alice}/charges", json={"amount": 1})
    assert (refused.status_code, refused.json()["code"]) == (403, "account_frozen")
    await admin.patch(alice, json={"status": "active"})
    assert (await admin.post(f"{alice}/charges", json={"amount": 1})).status_code == 201


async def test_an_allowance_is_renewed_once_under_a_key(each_service: Service) -> None:
    admin = each_service.admin
    await admin.post(f"{V1}/accounts", json={"id": "alice"})
    await admin.post(f"{V1}/accounts/alice/charges", json={"amount": 30})
    key = {"Idempotency-Key": "reset-1"}
    first = await admin.post(f"{V1}/accounts/alice/renewals", headers=key)
    await admin.post(f"{V1}/accounts/alice/charges", json={"amount": 5})
    again = await admin.post(f"{V1}/accounts/alice/renewals", json={"idempotency_key": "reset-1"})
    assert (first.status_code, first.json()["available"]) == (200, 100)
    assert (again.json()["available"], again.headers["idempotency-replayed"]) == (95, "true")
    differs = await admin.post(f"{V1}/accounts/alice/renewals", headers=key, json={"idempotency_key": "reset-2"})
    assert (differs.status_code, differs.json()["field"]) == (422, "idempotency_key")
    app = await each_service.key("service")
    assert (await app.post(f"{V1}/accounts/alice/renewals")).status_code == 403


async def test_a_change_under_a_key_is_made_once(each_service: Service) -> None:
    await each_service.account("alice")
    change = {"name": "Alice", "idempotency_key": "change-1"}
    assert (await each_service.admin.patch(f"{V1}/accounts/alice", json=change)).json()["name"] == "Alice"
    await each_service.admin.patch(f"{V1}/accounts/alice", json={"name": "Alicia"})
    assert (await each_service.admin.patch(f"{V1}/accounts/alice", json=change)).json()["name"] == "Alicia"
    other = await each_service.admin.patch(f"{V1}/accounts/alice", json={**change, "name": "Al"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


async def test_plans_are_put_and_listed(each_service: Service) -> None:
    body = {"allowance": 1_000, "renewal": "rollover", "rollover_cap": "500.5"}
    put = await each_service.admin.put(f"{V1}/plans/gold", json=body)
    assert (put.status_code, put.json()["allowance"], put.json()["rollover_cap"]) == (200, 1_000, 500.5)
    assert (await each_service.admin.get(f"{V1}/plans/gold")).json() == put.json()
    listed = (await each_service.admin.get(f"{V1}/plans")).json()["data"]
    assert [plan["name"] for plan in listed] == ["enterprise", "free", "gold", "pro", "team"]
    assert (await each_service.admin.get(f"{V1}/plans/none")).json()["code"] == "plan_not_found"
    app = await each_service.key("service")
    assert (await app.put(f"{V1}/plans/gold", json=body)).status_code == 403


async def test_amounts_are_exact_both_ways(each_service: Service) -> None:
    await each_service.account("alice", "0.3")
    charges = f"{V1}/accounts/alice/charges"
    for amount in ("0.1", "0.100000000", "1e-1"):
        raw = await each_service.admin.post(charges, content=f'{{"amount": {amount}}}')
        assert raw.status_code == 201, raw.text
        assert '"amount":-0.1,' in raw.text
    assert (await each_service.balance("alice"))["posted"] == 0
    await each_service.grant("alice", "9223372035.123456789")
    text = (await each_service.admin.get(f"{V1}/accounts/alice/balance")).text
    assert '"posted":9223372035.123456789,' in text


async def test_a_charge_of_a_skill_is_explained(each_service: Service) -> None:
    await each_service.account("alice")
    answer = await each_service.admin.post(
        f"{V1}/accounts/alice/charges",
        json={"skill": "IMAGE_GENERATION", "quantity": 2, "description": "two", "metadata": {"n": 2}},
    )
    receipt = answer.json()
    assert (receipt["amount"], receipt["posted_before"], receipt["posted_after"]) == (-10, 100, 90)
    assert receipt["price"] == {"version": 1, "rule": "5 per call", "rounding": "1e-9"}
    one = await each_service.admin.get(f"{V1}/accounts/alice/transactions/{receipt['id']}")
    assert one.json() == receipt


async def test_a_price_by_usage(each_service: Service) -> None:
    await each_service.account("alice")
    skill = {
        "name": "CHAT",
        "components": [
            {"unit": "input_token", "credits": 3, "per": 1000},
            {"unit": "second", "credits": 0.5},
        ],
    }
    assert (await each_service.admin.post(f"{V1}/skills", json=skill)).status_code == 201
    usage = {"input_tokens": 500, "seconds": 1.5}
    answer = await each_service.admin.post(
        f"{V1}/accounts/alice/charges", json={"skill": "CHAT", "usage": usage, "provider_cost_usd": 0.0123}
    )
    assert answer.json()["amount"] == -2.25
    assert answer.json()["provider_cost_usd"] == "0.0123"


async def test_a_quote_changes_nothing(each_service: Service) -> None:
    await each_service.account("alice", 3)
    answer = await each_service.admin.post(f"{V1}/accounts/alice/quotes", json={"skill": "IMAGE_GENERATION"})
    assert answer.json() == {
        "credits": 5,
        "sufficient": False,
        "available": 3,
        "price_version": 1,
        "rule": "5 per call",
    }
    assert (await each_service.balance("alice"))["posted"] == 3


async def test_a_hold_is_dispatched_extended_and_captured(each_service: Service) -> None:
    await each_service.account("alice")
    holds = f"{V1}/accounts/alice/holds"
    admin = each_service.admin
    placed = await admin.post(holds, json={"amount": 10, "ttl_seconds": 60})
    hold = placed.json()
    assert (placed.status_code, hold["state"], hold["amount"]) == (201, "open", 10)
    assert (await each_service.balance("alice"))["available"] == 90
    dispatched = await admin.post(f"{holds}/{hold['id']}/dispatch", json={"measured": 2})
    assert (dispatched.status_code, dispatched.json()["state"]) == (200, "dispatched")
    extended = await admin.post(f"{holds}/{hold['id']}/extend", json={"amount": 5}, headers={"Idempotency-Key": "more"})
    assert (extended.status_code, extended.json()["amount"]) == (200, 15)
    captured = await admin.post(f"{holds}/{hold['id']}/capture", json={"amount": 12})
    assert (captured.status_code, captured.json()["amount"]) == (201, -12)
    again = await admin.post(f"{holds}/{hold['id']}/capture", json={"amount": 12})
    assert (again.status_code, again.content) == (201, captured.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await admin.post(f"{holds}/{hold['id']}/capture", json={"amount": 11})
    assert (other.status_code, other.json()["code"]) == (409, "hold_not_open")
    shown = await admin.get(f"{holds}/{hold['id']}")
    assert (shown.json()["state"], shown.json()["captured"]) == ("captured", 12)
    listed = await admin.get(holds, params={"state": "captured"})
    assert [item["id"] for item in listed.json()["data"]] == [hold["id"]]


async def test_a_hold_is_released_without_a_body(each_service: Service) -> None:
    await each_service.account("alice")
    placed = await each_service.admin.post(f"{V1}/accounts/alice/holds", json={"skill": "IMAGE_GENERATION"})
    released = await each_service.admin.post(f"{V1}/accounts/alice/holds/{placed.json()['id']}/release")
    assert (released.status_code, released.json()["state"]) == (200, "released")
    assert (await each_service.balance("alice"))["available"] == 100


async def test_a_grant_is_given_listed_and_voided(each_service: Service) -> None:
    await each_service.account("alice", 0)
    grants = f"{V1}/accounts/alice/grants"
    body = {
        "amount": 50,
        "source": "purchase",
        "priority": 5,
        "expires_at": "2999-01-01T00:00:00+02:00",
        "paid": {"amount": 4.99, "currency": "USD"},
    }
    given = await each_service.admin.post(grants, json=body)
    grant = given.json()["grant"]
    assert given.status_code == 201
    assert (grant["expires_at"], grant["paid"]) == (
        "2998-12-31T22:00:00Z",
        {"amount": "4.99", "currency": "USD"},
    )
    assert given.json()["transaction"]["type"] == "PURCHASE"
    listed = (await each_service.admin.get(grants)).json()["data"]
    assert [item["id"] for item in listed] == [grant["id"]]
    voided = await each_service.admin.post(f"{grants}/{grant['id']}/void", json={"reason": "a mistake"})
    assert (voided.status_code, voided.json()["grant"]["remaining"]) == (200, 0)
    assert (await each_service.balance("alice"))["posted"] == 0


async def test_a_charge_is_refunded_in_parts_and_whole(each_service: Service) -> None:
    await each_service.account("alice")
    charge = (await each_service.admin.post(f"{V1}/accounts/alice/charges", json={"amount": 10})).json()
    refund = f"{V1}/accounts/alice/transactions/{charge['id']}/refund"
    keyless = await each_service.admin.post(refund, json={"amount": 4})
    assert (keyless.status_code, keyless.json()["field"]) == (422, "idempotency_key")
    part = await each_service.admin.post(refund, json={"amount": 4, "idempotency_key": "r"})
    assert (part.status_code, part.json()["amount"], part.json()["refund_of"]) == (201, 4, charge["id"])
    rest = await each_service.admin.post(refund, json={"reason": "all of it"})
    assert rest.json()["amount"] == 6
    more = await each_service.admin.post(refund, json={"amount": 1, "idempotency_key": "s"})
    assert (more.status_code, more.json()["code"]) == (409, "refund_exceeds_charge")


async def test_adjust_and_transfer(each_service: Service) -> None:
    await each_service.account("alice")
    await each_service.account("bob", 0)
    adjusted = await each_service.admin.post(f"{V1}/accounts/alice/adjustments", json={"by": -30.5, "reason": "x"})
    assert (adjusted.status_code, adjusted.json()["posted_after"]) == (201, 69.5)
    moved = await each_service.admin.post(f"{V1}/transfers", json={"from": "alice", "to": "bob", "amount": 9.5})
    assert moved.status_code == 201
    assert moved.json()["sent"]["amount"] == -9.5
    assert moved.json()["received"]["account"] == "bob"
    assert (await each_service.balance("alice"))["posted"] == 60
    assert (await each_service.balance("bob"))["posted"] == 9.5


async def test_the_history_is_filtered_paged_and_exported(each_service: Service) -> None:
    await each_service.account("alice")
    for number in range(5):
        await each_service.admin.post(
            f"{V1}/accounts/alice/charges", json={"skill": "TEXT_GENERATION", "description": f"=no {number}"}
        )
    path = f"{V1}/accounts/alice/transactions"
    first = (await each_service.admin.get(path, params={"limit": 4})).json()
    rest = (await each_service.admin.get(path, params={"cursor": first["next_cursor"]})).json()
    assert [item["seq"] for item in first["data"] + rest["data"]] == [6, 5, 4, 3, 2, 1]
    charges = await each_service.admin.get(path, params={"type": "CONSUMPTION", "skill": "TEXT_GENERATION"})
    assert len(charges.json()["data"]) == 5
    none = await each_service.admin.get(path, params={"until": "2020-01-01T00:00:00Z"})
    assert none.json() == {"data": [], "next_cursor": None}
    exported = await each_service.admin.get(f"{path}.csv", params={"type": "CONSUMPTION"})
    lines = exported.text.splitlines()
    assert exported.headers["content-type"].startswith("text/csv")
    assert len(lines) == 6
    assert ",'=no 4," in lines[1]


async def test_a_price_holds_for_the_next_charge_and_a_disabled_skill_for_none(each_service: Service) -> None:
    await each_service.account("alice")
    admin, charges = each_service.admin, f"{V1}/accounts/alice/charges"
    made = await admin.post(f"{V1}/skills", json={"name": "TOOL", "cost": 2, "display_name": "Tool"})
    assert (made.status_code, made.json()["cost"]) == (201, 2)
    assert (await admin.post(f"{V1}/skills", json={"name": "TOOL", "cost": 2})).status_code == 409
    assert (await admin.post(charges, json={"skill": "TOOL"})).json()["amount"] == -2
    priced = await admin.post(f"{V1}/skills/TOOL/prices", json={"cost": "3.5"})
    assert (priced.status_code, priced.json()["version"]) == (201, 2)
    assert (await admin.post(charges, json={"skill": "TOOL"})).json()["amount"] == -3.5
    assert len((await admin.get(f"{V1}/skills/TOOL/prices")).json()["data"]) == 2
    await admin.patch(f"{V1}/skills/TOOL", json={"active": False})
    refused = await admin.post(charges, json={"skill": "TOOL"})
    assert (refused.status_code, refused.json()["code"]) == (403, "skill_disabled")
    assert (await admin.get(f"{V1}/skills/TOOL")).json()["active"] is False
    names = [skill["name"] for skill in (await admin.get(f"{V1}/skills")).json()["data"]]
    assert {"TOOL", "TEXT_GENERATION", "IMAGE_GENERATION"} <= set(names)


async def test_one_key_fifty_times_at_once_is_one_charge(each_service: Service) -> None:
    await each_service.account("alice")
    path = f"{V1}/accounts/alice/charges"
    headers = {"Idempotency-Key": "once"}
    answers = await asyncio.gather(
        *(each_service.admin.post(path, json={"amount": 1}, headers=headers) for _ in range(50))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    replays = [answer for answer in answers if answer.headers.get("Idempotency-Replayed") == "true"]
    assert len(replays) == 49
    assert (await each_service.balance("alice"))["posted"] == 99
    other = await each_service.admin.post(path, json={"amount": 2}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


async def test_the_key_may_stand_in_the_body_but_not_differ(service: Service) -> None:
    await service.account("alice")
    path = f"{V1}/accounts/alice/charges"
    both = await service.admin.post(path, json={"amount": 1, "idempotency_key": "a"}, headers={"Idempotency-Key": "b"})
    assert (both.status_code, both.json()["field"]) == (422, "idempotency_key")
    first = await service.admin.post(path, json={"amount": 1, "idempotency_key": "a"})
    again = await service.admin.post(path, json={"amount": 1}, headers={"Idempotency-Key": "a"})
    assert first.json()["id"] == again.json()["id"]


async def test_every_verb_that_takes_a_key_replays(each_service: Service) -> None:
    await each_service.account("alice")
    await each_service.account("bob", 0)
    admin = each_service.admin
    charge = (await admin.post(f"{V1}/accounts/alice/charges", json={"amount": 5})).json()["id"]
    hold = (await admin.post(f"{V1}/accounts/alice/holds", json={"amount": 5})).json()["id"]
    alice = f"{V1}/accounts/alice"
    for path, body in (
        (f"{alice}/charges", {"amount": 1}),
        (f"{alice}/holds", {"amount": 1}),
        (f"{alice}/holds/{hold}/extend", {"amount": 1}),
        (f"{alice}/holds/{hold}/capture", {"amount": 1}),
        (f"{alice}/grants", {"amount": 1}),
        (f"{alice}/transactions/{charge}/refund", {"amount": 1}),
        (f"{alice}/adjustments", {"by": 1, "reason": "x"}),
        (f"{V1}/transfers", {"from": "alice", "to": "bob", "amount": 1}),
    ):
        headers = {"Idempotency-Key": path[-60:]}
        first = await admin.post(path, json=body, headers=headers)
        posted = (await each_service.balance("alice"))["posted"]
        again = await admin.post(path, json=body, headers=headers)
        assert again.status_code == first.status_code, path
        assert again.headers.get("Idempotency-Replayed") == "true", path
        assert "Idempotency-Replayed" not in first.headers, path
        assert (await each_service.balance("alice"))["posted"] == posted, path
        if "transfers" not in path:
            assert again.content == first.content, path


async def test_a_batch_answers_each_in_order(each_service: Service) -> None:
    await each_service.account("alice", 3)
    items = [
        {"account": "alice", "amount": 2},
        {"account": "alice", "amount": 2},
        {"account": "alice", "amount": 1, "idempotency_key": "k"},
        {"account": "nobody", "amount": 1},
        {"account": "alice", "amount": 1, "idempotency_key": "k"},
        {"amount": 1},
        {"account": "alice", "amount": -1},
    ]
    answer = await each_service.admin.post(f"{V1}/charges/batch", json={"charges": items})
    results = answer.json()["results"]
    assert answer.status_code == 200
    assert [result["status"] for result in results] == [201, 402, 201, 404, 201, 422, 422]
    assert results[2]["id"] == results[4]["id"]
    assert results[4]["idempotency_replayed"] is True
    assert [result.get("field") for result in results[5:]] == ["account", "amount"]


@pytest.mark.parametrize(
    ("poison", "field"),
    [
        ('{"account": "alice", "amount": 1, "description": "\\u0000"}', "description"),
        ('{"account": "alice", "amount": 1, "description": "\\ud800"}', "description"),
        ('{"account": "\\udfff", "amount": 1}', "account"),
        ('{"account": "alice", "amount": 1e999999999}', "amount"),
        ('{"account": "alice", "amount": NaN}', "body"),
    ],
)
async def test_one_poisoned_item_fails_alone(each_service: Service, poison: str, field: str) -> None:
    await each_service.account("alice", 500)
    items = ['{"account": "alice", "amount": 1}'] * 500
    items.insert(250, poison)
    body = '{"charges": [' + ",".join(items) + "]}"
    answer = await each_service.admin.post(f"{V1}/charges/batch", content=body)
    if field == "body":  # not JSON at all: the whole is refused, and nothing happened
        assert answer.status_code == 422
        assert (await each_service.balance("alice"))["posted"] == 500
        return
    results = answer.json()["results"]
    assert (results[250]["status"], results[250]["field"]) == (422, field)
    del results[250]
    assert {result["status"] for result in results} == {201}
    assert (await each_service.balance("alice"))["posted"] == 0


async def test_a_batch_is_bounded(service: Service) -> None:
    await service.account("alice", 0)
    item = {"account": "alice", "amount": 1}
    too_many = await service.admin.post(f"{V1}/charges/batch", json={"charges": [item] * 1001})
    assert (too_many.status_code, too_many.json()["field"]) == (422, "charges")
    whole = await service.admin.post(f"{V1}/charges/batch", json={"charges": [item]}, headers={"Idempotency-Key": "x"})
    assert (whole.status_code, whole.json()["field"]) == (422, "idempotency_key")
    assert (await service.admin.post(f"{V1}/charges/batch", json={"charges": []})).json() == {"results": []}


async def test_the_proof(each_service: Service) -> None:
    await each_service.account("alice")
    await each_service.admin.post(f"{V1}/accounts/alice/charges", json={"amount": 1})
    for body in ({}, {"account": "alice"}):
        answer = await each_service.admin.post(f"{V1}/verify", json=body)
        assert (answer.status_code, answer.json()["sound"]) == (200, True)
        assert answer.json()["verdict"]["transactions"] == 2
    nobody = await each_service.admin.post(f"{V1}/verify", json={"account": "nobody"})
    assert (nobody.status_code, nobody.json()["code"]) == (404, "account_not_found")


async def test_the_proof_names_what_is_wrong(service: Service) -> None:
    await service.account("alice")
    with sqlite3.connect(service.context.settings.data_dir / "bursar.db") as database:
        database.execute("UPDATE transactions SET amount = amount + 1 WHERE account_id = 'alice'")
    database.close()
    answer = (await service.admin.post(f"{V1}/verify", json={})).json()
    assert answer["sound"] is False
    found = answer["verdict"]["findings"][0]
    assert (found["table"], found["account"], found["row"]) == ("transactions", "alice", 1)


# Reports


async def test_reports_of_everybody_are_an_administrators(each_service: Service) -> None:
    await each_service.account("alice", 100)
    await each_service.account("bob", 100)
    paid = {"amount": 10, "source": "purchase", "priority": 1, "paid": {"amount": "2.5", "currency": "USD"}}
    assert (await each_service.admin.post(f"{V1}/accounts/alice/grants", json=paid)).status_code == 201
    charge = {"skill": "IMAGE_GENERATION", "model": "m", "member": "ann", "provider_cost_usd": "0.02"}
    for name in ("alice", "bob"):
        assert (await each_service.admin.post(f"{V1}/accounts/{name}/charges", json=charge)).status_code == 201

    async def get(path: str, **query: Any) -> Any:
        answer = await each_service.admin.get(V1 + path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    [row] = (await get("/reports/usage", by="skill,model"))["data"]
    assert (row["skill"], row["model"], row["day"]) == ("IMAGE_GENERATION", "m", None)
    assert (row["charges"], row["used"], row["paid"], row["free"]) == (2, 10, 5, 5)
    assert row["revenue"] == [{"amount": "1.25", "currency": "USD"}]
    [row] = (await get("/reports/margin", by=""))["data"]
    assert (row["costed"], row["provider_cost_usd"], row["margin_usd"]) == (2, "0.04", "1.21")
    owed = await get("/reports/liabilities")
    assert (owed["owed"], owed["debt"], owed["basis"]) == (200, 0, [{"amount": "1.25", "currency": "USD"}])
    assert [window["days"] for window in (await get("/reports/rate"))["windows"]] == [1, 7, 30]
    exported = await each_service.admin.get(f"{V1}/reports/usage.csv", params={"by": "plan"})
    assert exported.headers["content-type"].startswith("text/csv")
    assert exported.text.splitlines()[0] == "plan,charges,charged,refunds,refunded,used,paid,free,debt,revenue"
    assert exported.text.splitlines()[1] == ",2,10,0,0,10,5,5,0,1.25 USD"
    for path in ("/reports/margin.csv", "/reports/liabilities.csv"):
        assert len((await each_service.admin.get(V1 + path)).text.splitlines()) > 1
    for client in (await each_service.key("service"), await each_service.key("account", "alice")):
        for path in ("usage", "usage.csv", "margin", "margin.csv", "rate", "liabilities", "liabilities.csv"):
            assert (await client.get(f"{V1}/reports/{path}")).status_code == 403


async def test_an_account_reads_its_own_reports(each_service: Service) -> None:
    await each_service.account("alice", 100)
    alice = await each_service.key("account", "alice")
    for member in ("ann", "ben"):
        body = {"amount": 2, "member": member}
        assert (await each_service.admin.post(f"{V1}/accounts/alice/charges", json=body)).status_code == 201
    mine = f"{V1}/accounts/alice"
    rows = (await alice.get(f"{mine}/reports/usage", params={"by": "member"})).json()["data"]
    assert [(row["member"], row["used"]) for row in rows] == [("ann", 2), ("ben", 2)]
    page = (await alice.get(f"{mine}/reports/usage", params={"by": "member", "limit": 1})).json()
    rest = (await alice.get(f"{mine}/reports/usage", params={"by": "member", "cursor": page["next_cursor"]})).json()
    assert [row["member"] for row in [*page["data"], *rest["data"]]] == ["ann", "ben"]
    text = (await alice.get(f"{mine}/reports/usage.csv", params={"by": "member"})).text
    assert [line.split(",")[0] for line in text.splitlines()] == ["member", "ann", "ben"]
    assert (await alice.get(f"{mine}/reports/rate")).json()["available"] == 96
    for since in ("2026-01-01", "2026-01-01T00:00:00Z"):
        shown = (await alice.get(f"{mine}/statement", params={"since": since})).json()
        assert (shown["opening"], shown["closing"], len(shown["lines"])) == (0, 96, 3)
    lines = (await alice.get(f"{mine}/statement.csv", params={"since": "2026-01-01"})).text.splitlines()
    assert [line.split(",")[2] for line in lines] == [
        "type", "CLOSING", "CONSUMPTION", "CONSUMPTION", "ADMIN", "OPENING",
    ]  # fmt: skip


async def test_a_report_that_means_nothing_is_refused_by_field(service: Service) -> None:
    await service.account("alice")
    for path, query, field in (
        ("/reports/usage", {"since": "yesterday"}, "since"),
        ("/reports/usage", {"since": "2026-02-30"}, "since"),
        ("/reports/usage", {"since": "2026-01-02", "until": "2026-01-01"}, "until"),
        ("/reports/usage.csv", {"by": "colour"}, "by"),
        ("/reports/margin", {"skill": "text"}, "skill"),
        ("/reports/margin", {"limit": "0"}, "limit"),
        ("/reports/liabilities", {"cursor": "x"}, "cursor"),
        ("/accounts/alice/reports/usage", {"by": "key"}, "by"),
        ("/accounts/alice/statement", {}, "since"),
        ("/accounts/alice/statement", {"since": "2026-01-01T00:00:00"}, "since"),
        ("/accounts/alice/statement", {"since": "9999-12-31"}, "until"),
    ):
        answer = await service.admin.get(V1 + path, params=query)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), (path, query, answer.text)
        assert field in str(answer.json()), (path, query, answer.text)


async def test_a_csv_of_transactions_has_no_more_lines_than_asked_for(service: Service) -> None:
    await service.account("alice", 100)
    for _ in range(3):
        assert (await service.admin.post(f"{V1}/accounts/alice/charges", json={"amount": 1})).status_code == 201
    path = f"{V1}/accounts/alice/transactions.csv"
    assert len((await service.admin.get(path)).text.splitlines()) == 5
    assert len((await service.admin.get(path, params={"limit": 2})).text.splitlines()) == 3
    assert len((await service.admin.get(path, params={"limit": 2_000})).text.splitlines()) == 5
    assert (await service.admin.get(path, params={"limit": 0})).status_code == 422
