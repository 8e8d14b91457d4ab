"""Whatever comes in: a clear problem that names the field, never a 500, and nothing changed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.service.conftest import Service

V1 = "/api/v1"
CHARGES = f"{V1}/accounts/alice/charges"


def assert_problem(answer: httpx.Response, status: int, field: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert {"type", "title", "code", "detail"} <= set(problem)
    assert "Traceback" not in answer.text
    if field is not None:
        named = [error["field"] for error in problem.get("errors", [])] or [problem.get("field")]
        assert field in named, answer.text
    return problem


async def assert_unchanged(service: Service) -> None:
    page = (await service.admin.get(f"{V1}/accounts/alice/transactions")).json()
    assert len(page["data"]) == 1
    assert (await service.balance("alice"))["available"] == 100


AMOUNTS = [
    "-1",
    "0",
    "-0",
    "0.0",
    "1e400",
    "-1e400",
    "1e999999999",
    "1e-400",
    "1.0123456789",
    "12345678901234567890",
    "9" * 5_000,
    '"NaN"',
    '"Infinity"',
    '"-Infinity"',
    '"1,5"',
    '""',
    '"abc"',
    '"1' + "0" * 50 + '"',
    "true",
    "[]",
    "{}",
    "[1]",
]


@pytest.mark.parametrize("verb", ["charges", "holds", "grants"])
async def test_amounts(service: Service, verb: str) -> None:
    await service.account("alice")
    for amount in AMOUNTS:
        answer = await service.admin.post(f"{V1}/accounts/alice/{verb}", content=f'{{"amount": {amount}}}')
        assert_problem(answer, 422, "amount")
    await assert_unchanged(service)


async def test_numbers_that_are_no_json(service: Service) -> None:
    await service.account("alice")
    for number in ("NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x10", "1_000"):
        assert_problem(await service.admin.post(CHARGES, content=f'{{"amount": {number}}}'), 422, "body")
    await assert_unchanged(service)


BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"7",
    b"{}{}",
    b'{"amount": 1,}',
    b"\xff\xfe",
    b'{"amount": 1, "description": "\xff"}',
    b'{"amount": 1, "description": "\xed\xa0\x80"}',
    b"\xef\xbb\xbf{}",
    '{"amount": 1}'.encode("utf-16"),
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"amount": 1, "metadata": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b'{"amount": 1, "metadata": {"a": 1e400}}',
    b'{"amount": 1, "metadata": {"a": "\\ud800"}}',
    b'{"amount": 1, "metadata": {"\\ud800": 1}}',
    b'{"amount": 1, "metadata": {"a": "\\u0000"}}',
    b'{"amount": 1, "metadata": [1]}',
    b'{"amount": 1, "unknown": 1}',
    b'{"amount": 1, "\\ud800": 1}',
    b'{"amount": 1, "skill": "TEXT_GENERATION"}',
    b'{"skill": "text generation"}',
    b'{"skill": 7}',
    b'{"skill": "TEXT_GENERATION", "quantity": 1.5}',
    b'{"skill": "TEXT_GENERATION", "quantity": 0}',
    b'{"skill": "TEXT_GENERATION", "quantity": 99999999999999999999}',
    b'{"skill": "TEXT_GENERATION", "usage": {"input_tokens": -1}}',
    b'{"skill": "TEXT_GENERATION", "usage": {"input_tokens": 1e30}}',
    b'{"skill": "TEXT_GENERATION", "usage": {"seconds": 1e999999999}}',
    b'{"skill": "TEXT_GENERATION", "usage": {"tokens": 1}}',
    b'{"skill": "TEXT_GENERATION", "usage": {"custom": {"x": "NaN"}}}',
    b'{"amount": 1, "provider_cost_usd": -1}',
    b'{"amount": 1, "provider_cost_usd": 1e999999999}',
    b'{"amount": 1, "description": "' + b"x" * 1_001 + b'"}',
    b'{"amount": 1, "member": "a/b"}',
    b'{"amount": 1, "idempotency_key": ""}',
    b'{"amount": 1, "idempotency_key": "\\u0000"}',
    b'{"amount": 1, "idempotency_key": 7}',
]


async def test_bodies(service: Service) -> None:
    await service.account("alice")
    for body in BODIES:
        answer = await service.admin.post(CHARGES, content=body)
        assert assert_problem(answer, 422)["code"] == "invalid", body[:80]
        unclosed = await service.admin.post(f"{V1}/charges/batch", content=b'{"charges": ' + body)
        assert_problem(unclosed, 422, "body")
    await assert_unchanged(service)


async def test_every_wrong_field_is_named_at_once(service: Service) -> None:
    answer = await service.admin.post(CHARGES, json={"amount": [], "skill": 1, "quantity": "x", "other": 1})
    problem = assert_problem(answer, 422)
    assert {error["field"] for error in problem["errors"]} == {"amount", "skill", "quantity", "other"}


async def test_a_body_of_two_mebibytes(service: Service) -> None:
    await service.account("alice")
    whole = await service.admin.post(CHARGES, content=b'{"amount": 1, "description": "' + b"x" * 2**21)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield b" " * 2**16

    chunked = await service.admin.post(CHARGES, content=chunks())
    for answer in (whole, chunked):
        assert assert_problem(answer, 413)["code"] == "too_large"
    for path in (f"{V1}/skills", f"{V1}/charges/batch", f"{V1}/accounts"):
        assert_problem(await service.admin.post(path, content=b"x" * 2**21), 413)
    await assert_unchanged(service)


ODD_IDS = ["a/b", "a//b", 'a"b', "a'b", "a\nb", "a\x00b", "a\\b", "<a>", " a", "x" * 129, "x" * 10_000]


@pytest.mark.parametrize("odd", ODD_IDS, ids=range(len(ODD_IDS)))
async def test_ids_of_accounts(service: Service, odd: str) -> None:
    path = f"{V1}/accounts/{quote(odd, safe='')}"
    admin = service.admin
    assert_problem(await admin.post(f"{V1}/accounts", json={"id": odd}), 422, "id")
    for answer in (
        await admin.get(path),
        await admin.get(f"{path}/balance"),
        await admin.get(f"{path}/transactions"),
        await admin.patch(path, json={"name": "x"}),
        await admin.post(f"{path}/charges", json={"amount": 1}),
        await admin.post(f"{path}/holds", json={"amount": 1}),
        await admin.post(f"{path}/grants", json={"amount": 1}),
        await admin.post(f"{path}/quotes", json={"amount": 1}),
        await admin.get("/api/ai/credits", params={"account": odd}),
    ):
        assert answer.status_code in (400, 422), answer.text
        assert "account" in answer.text
    moved = await admin.post(f"{V1}/transfers", json={"from": odd, "to": "bob", "amount": 1})
    assert_problem(moved, 422, "from")


async def test_an_id_is_percent_decoded_once(service: Service) -> None:
    name = "a%20b c+d@é"
    await service.account(name, 0)
    path = f"{V1}/accounts/{quote(name, safe='')}"
    await service.admin.post(f"{path}/grants", json={"amount": 5})
    assert (await service.admin.get(path)).json()["id"] == name
    charged = await service.admin.post(f"{path}/charges", json={"amount": 1})
    assert charged.json()["account"] == name
    broken = await service.admin.get(f"{V1}/accounts/%ff/balance")
    assert_problem(broken, 422, "account")


@pytest.mark.parametrize("odd", [*ODD_IDS, "no", "é"], ids=range(len(ODD_IDS) + 2))
async def test_other_ids(service: Service, odd: str) -> None:
    await service.account("alice")
    item, alice, admin = quote(odd, safe=""), f"{V1}/accounts/alice", service.admin
    for answer in (
        await admin.get(f"{alice}/holds/{item}"),
        await admin.post(f"{alice}/holds/{item}/capture", json={"amount": 1}),
        await admin.post(f"{alice}/holds/{item}/dispatch"),
        await admin.post(f"{alice}/holds/{item}/release"),
        await admin.get(f"{alice}/transactions/{item}"),
        await admin.post(f"{alice}/transactions/{item}/refund", json={}),
        await admin.post(f"{alice}/grants/{item}/void", json={}),
        await admin.get(f"{V1}/skills/{item}"),
        await admin.post(f"{V1}/skills/{item}/prices", json={"cost": 1}),
        await admin.delete(f"{V1}/keys/{item}"),
    ):
        assert answer.status_code in (404, 422), answer.text
        assert_problem(answer, answer.status_code)
    for answer in (
        await admin.get(f"/api/media/{item}", params={"account": "alice"}),
        await admin.get(f"{V1}/accounts", params={"query": odd, "cursor": odd}),
        await admin.get(f"{alice}/transactions", params={"skill": odd}),
        await admin.get(f"{alice}/transactions", params={"since": odd}),
    ):
        assert 400 <= answer.status_code < 500, answer.text
    await assert_unchanged(service)


async def test_what_is_not_there(service: Service) -> None:
    await service.account("alice")
    admin = service.admin
    nobody = f"{V1}/accounts/nobody"
    for answer, code in (
        (await admin.get(nobody), "account_not_found"),
        (await admin.get(f"{nobody}/balance"), "account_not_found"),
        (await admin.get(f"{nobody}/holds"), "account_not_found"),
        (await admin.post(f"{nobody}/charges", json={"amount": 1}), "account_not_found"),
        (await admin.post(CHARGES, json={"skill": "NO_SUCH"}), "skill_not_found"),
        (
            await admin.post(f"{V1}/accounts/alice/holds/h_1/capture", json={"amount": 1}),
            "hold_not_found",
        ),
        (await admin.get(f"{V1}/accounts/alice/transactions/tx_9_x"), "transaction_not_found"),
        (await admin.post(f"{V1}/accounts/alice/grants/g_1/void", json={}), "grant_not_found"),
        (await admin.get(f"{V1}/skills/NO_SUCH"), "skill_not_found"),
        (await admin.delete(f"{V1}/keys/k_1"), "key_not_found"),
        (await admin.post(f"{V1}/accounts", json={"id": "bob", "plan": "gold"}), "plan_not_found"),
        (await admin.get("/api/v1/nothing"), "route_not_found"),
        (await admin.get("/nothing"), "route_not_found"),
        (await admin.get(f"{V1}/accounts/"), "route_not_found"),
        (await admin.post(f"{V1}/accounts/alice/charges/", json={"amount": 1}), "route_not_found"),
    ):
        assert assert_problem(answer, 404)["code"] == code
    await assert_unchanged(service)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", f"{V1}/accounts/alice/charges", "POST"),
        ("PUT", f"{V1}/accounts/alice/charges", "POST"),
        ("GET", f"{V1}/charges/batch", "POST"),
        ("GET", f"{V1}/transfers", "POST"),
        ("DELETE", f"{V1}/accounts/alice/balance", "GET"),
        ("POST", "/healthz", "GET"),
        ("HEAD", "/healthz", "GET"),
    ],
)
async def test_a_path_that_takes_other_methods(service: Service, method: str, path: str, allowed: str) -> None:
    answer = await service.admin.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_another_accounts_hold(service: Service) -> None:
    await service.account("alice")
    await service.account("bob")
    hold = (await service.admin.post(f"{V1}/accounts/bob/holds", json={"amount": 1})).json()["id"]
    answer = await service.admin.post(f"{V1}/accounts/alice/holds/{hold}/capture", json={"amount": 1})
    assert assert_problem(answer, 404)["code"] == "hold_not_found"
    await assert_unchanged(service)


QUERIES = [
    ({"limit": "0"}, "limit"),
    ({"limit": "1001"}, "limit"),
    ({"limit": "x"}, "limit"),
    ({"limit": "1e3"}, "limit"),
    ({"cursor": "nonsense"}, "cursor"),
    ({"cursor": "\x00"}, "cursor"),
    ({"type": "charge"}, "type"),
    ({"since": "yesterday"}, "since"),
    ({"until": "2025-13-01T00:00:00Z"}, "until"),
    ({"skill": "\x00"}, "skill"),
]


async def test_queries(service: Service) -> None:
    await service.account("alice")
    for params, field in QUERIES:
        answer = await service.admin.get(f"{V1}/accounts/alice/transactions", params=params)
        assert_problem(answer, 422, field)


FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("accounts", {}, "id"),
    ("accounts", {"id": "x", "email": "no"}, "email"),
    ("accounts", {"id": "x", "timezone": "Mars/One"}, "timezone"),
    ("accounts", {"id": "x", "overage": "free"}, "overage"),
    ("accounts", {"id": "x", "metadata": {"a": "x" * 5_000}}, "metadata"),
    ("accounts/alice/holds", {"amount": 1, "ttl_seconds": 86_401}, "ttl_seconds"),
    ("accounts/alice/holds", {"amount": 1, "ttl_seconds": 0}, "ttl_seconds"),
    ("accounts/alice/holds", {"amount": 1, "ttl_seconds": 1.5}, "ttl_seconds"),
    ("accounts/alice/holds", {"amount": 1, "at_least": 2}, "at_least"),
    ("accounts/alice/holds", {"amount": 1, "on_expiry": "never"}, "on_expiry"),
    ("accounts/alice/holds", {"amount": 1, "dispatched": "yes"}, "dispatched"),
    ("accounts/alice/grants", {}, "amount"),
    ("accounts/alice/grants", {"amount": 1, "source": "plan"}, "source"),
    ("accounts/alice/grants", {"amount": 1, "priority": -1}, "priority"),
    ("accounts/alice/grants", {"amount": 1, "expires_at": "2000-01-01T00:00:00Z"}, "expires_at"),
    ("accounts/alice/grants", {"amount": 1, "expires_at": "2030-01-01"}, "expires_at"),
    ("accounts/alice/grants", {"amount": 1, "expires_at": 1}, "expires_at"),
    ("accounts/alice/grants", {"amount": 1, "paid": {"amount": 1}}, "paid"),
    ("accounts/alice/grants", {"amount": 1, "paid": {"amount": 1, "currency": "usd"}}, "paid.currency"),
    ("accounts/alice/adjustments", {"by": 1}, "reason"),
    ("accounts/alice/adjustments", {"reason": "x"}, "to"),
    ("accounts/alice/adjustments", {"to": 1, "by": 1, "reason": "x"}, "to"),
    ("accounts/alice/adjustments", {"to": -1, "reason": "x"}, "to"),
    ("transfers", {"from": "alice", "to": "alice", "amount": 1}, "to"),
    ("transfers", {"to": "alice", "amount": 1}, "from"),
    ("skills", {"name": "bad name", "cost": 1}, "name"),
    ("skills", {"name": "X"}, "cost"),
    ("skills", {"name": "X", "cost": -1}, "cost"),
    ("skills", {"name": "X", "components": [{"unit": "call"}]}, "components[0]"),
    ("skills", {"name": "X", "cost": 1, "rounding": "2"}, "rounding"),
    ("keys", {"role": "root"}, "role"),
    ("keys", {"role": "account"}, "account"),
    ("keys", {"role": "service", "account": "alice"}, "account"),
    ("keys", {"role": "admin", "may_grant": True}, "may_grant"),
    ("keys", {"role": "admin", "expires_at": "2000-01-01T00:00:00Z"}, "expires_at"),
    ("keys", {"role": "admin", "name": "\x00"}, "name"),
]


async def test_fields(service: Service) -> None:
    await service.account("alice")
    for path, body, field in FIELDS:
        answer = await service.admin.post(f"{V1}/{path}", content=json.dumps(body))
        assert_problem(answer, 422, field)
    await assert_unchanged(service)


async def test_a_bug_of_ours_is_a_500_without_its_story(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret detail")

    await service.account("alice")
    monkeypatch.setattr(service.context.engine, "submit", broken)
    monkeypatch.setattr(service.context.engine, "view", broken)
    for answer in (
        await service.admin.post(CHARGES, json={"amount": 1}),
        await service.admin.get(f"{V1}/accounts/alice/balance"),
    ):
        problem = assert_problem(answer, 500)
        assert problem["code"] == "internal"
        assert "secret" not in answer.text
        assert problem["request_id"] in problem["detail"]
        assert any(problem["request_id"] in record.getMessage() for record in caplog.records)
