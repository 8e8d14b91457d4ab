"""What must not be taken for good: a number that is none, a token whose person is gone, a key's child, a dead
database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bursar.core.errors import DatabaseUnavailable
from bursar.erase import erase_account
from bursar.store.base import Contention, StoreError
from tests.service.conftest import Service

V1 = "/api/v1"
SLOPPY = ["1_0", " 1 ", "1 ", "\uff11", "\u0661", "1_0.5", "+ 1", "0x10", "1,5"]


@pytest.mark.parametrize("number", SLOPPY)
async def test_a_string_that_is_no_plain_number_is_no_amount(service: Service, number: str) -> None:
    await service.account("alice")
    for path, body in (
        ("accounts/alice/charges", {"amount": number}),
        ("accounts/alice/adjustments", {"to": number, "reason": "a slip"}),
        ("skills", {"name": "SLOPPY", "cost": number}),
        ("accounts/alice/charges", {"skill": "TEXT_GENERATION", "usage": {"seconds": number}}),
        ("accounts/alice/charges", {"skill": "TEXT_GENERATION", "usage": {"custom": {"page": number}}}),
    ):
        answer = await service.admin.post(f"{V1}/{path}", json=body)
        assert answer.status_code == 422, answer.text
    assert (await service.balance("alice"))["posted"] == 100


async def test_a_plain_number_in_a_string_is_an_amount(service: Service) -> None:
    await service.account("alice")
    for number in ("1.5", "2", "1e0", "0.5"):
        answer = await service.admin.post(f"{V1}/accounts/alice/charges", json={"amount": number})
        assert answer.status_code == 201, answer.text
    assert (await service.balance("alice"))["posted"] == 95


async def test_the_token_of_an_erased_person_is_worth_nothing(each_service: Service) -> None:
    service = each_service
    person, account = await service.user()
    assert (await person.get("/api/ai/credits")).status_code == 200
    await erase_account(service.context.credits.store, account)
    service.context.authenticator.forget()
    assert (await person.get("/api/ai/credits")).status_code == 401
    assert (await person.post(f"{V1}/keys", json={"role": "account"})).status_code == 401


async def test_no_key_outlives_the_key_that_made_it(service: Service) -> None:
    await service.account("alice")
    ends = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = await service.admin.post(f"{V1}/keys", json={"role": "account", "account": "alice", "expires_at": ends})
    short = await service.client(made.json()["key"])
    later = (datetime.now(UTC) + timedelta(days=900)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for asked in ({}, {"expires_at": later}):
        child = await short.post(f"{V1}/keys", json={"role": "account", **asked})
        assert child.status_code == 201, child.text
        assert child.json()["expires_at"] == ends


async def test_ready_means_that_the_database_answers(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: object) -> None:
        raise DatabaseUnavailable("host db-7.internal refused the connection")

    assert (await service.admin.get("/readyz")).status_code == 200
    monkeypatch.setattr(service.context.engine.store, "read", away)
    answer = await service.admin.get("/readyz")
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert "db-7" not in answer.text, "what the driver says stays in the log"


@pytest.mark.parametrize(("error", "status"), [(StoreError("no such table"), 500), (Contention("busy"), 503)])
async def test_a_broken_store_is_a_bug_and_no_full_queue(
    service: Service, monkeypatch: pytest.MonkeyPatch, error: StoreError, status: int
) -> None:
    async def broken(_: object) -> None:
        raise error

    await service.account("alice")
    monkeypatch.setattr(service.context.engine.store, "read", broken)
    answer = await service.admin.get(f"{V1}/accounts/alice/balance")
    assert answer.status_code == status
