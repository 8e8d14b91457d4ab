"""The `skills` contract, by its document: its function, its texts, the tool that it adds in its fourth section."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from bursar import AsyncCredits, Credits, SkillNotFound
from bursar.contracts.skills import Charged, charge_user
from bursar.settings import Settings
from tests.service.conftest import Service, opened, with_settings


@pytest.fixture
def ledger(database_url: str) -> Iterator[Credits]:
    """As the preset begins: no skill yet, and MY_NEW_TOOL as section 4 registers it."""
    with Credits.open(database_url, preset="skills") as credits:
        assert credits.skills.list() == []
        credits.skills.add("MY_NEW_TOOL", 10, display_name="My Awesome Feature")
        credits.open_account("user")
        yield credits


def test_a_new_user_has_nothing_until_granted_some(ledger: Credits) -> None:
    assert ledger.balance("user").available == 0
    refused = charge_user(ledger, "user", "MY_NEW_TOOL", "Generation request")
    assert refused == Charged(success=False, error="Insufficient credits")
    assert msgspec.json.encode(refused) == b'{"success":false,"error":"Insufficient credits"}'
    assert ledger.history("user", type="CONSUMPTION").data == []
    ledger.grant("user", 15, source="purchase")
    charged = charge_user(ledger, "user", "MY_NEW_TOOL", "Generation request")
    assert charged == Charged(success=True, remaining=5)
    assert msgspec.json.encode(charged) == b'{"success":true,"remaining":5}'


def test_the_last_credit_leaves_none(ledger: Credits) -> None:
    ledger.grant("user", 10)
    charged = charge_user(ledger, "user", "MY_NEW_TOOL", "Generation request")
    assert msgspec.json.encode(charged) == b'{"success":true,"remaining":0}'


def test_the_log_says_what_it_was(ledger: Credits) -> None:
    ledger.skills.add("GEO_WRITER_FULL", 5)
    ledger.grant("user", 20, source="purchase")
    charge_user(ledger, "user", "GEO_WRITER_FULL", "GEO Writer Generation: keyword...")
    logged, bought = ledger.history("user", limit=2).data
    assert (logged.type, logged.amount, logged.description) == ("CONSUMPTION", -5, "GEO Writer Generation: keyword...")
    assert (bought.type, bought.amount) == ("PURCHASE", 20)


def test_a_price_holds_for_the_next_call_and_a_disabled_tool_is_rejected_at_once(ledger: Credits) -> None:
    ledger.grant("user", 100)
    assert charge_user(ledger, "user", "MY_NEW_TOOL", "1").remaining == 90
    ledger.skills.set_price("MY_NEW_TOOL", 25)
    assert charge_user(ledger, "user", "MY_NEW_TOOL", "2").remaining == 65
    ledger.skills.disable("MY_NEW_TOOL")
    stopped = charge_user(ledger, "user", "MY_NEW_TOOL", "3")
    assert stopped == Charged(success=False, error="Tool disabled")
    ledger.skills.enable("MY_NEW_TOOL")
    assert charge_user(ledger, "user", "MY_NEW_TOOL", "4").remaining == 40
    assert ledger.verify().findings == []


def test_the_same_intent_is_charged_once(ledger: Credits) -> None:
    ledger.grant("user", 30)
    first, again = (charge_user(ledger, "user", "MY_NEW_TOOL", "x", idempotency_key="request-1") for _ in range(2))
    assert first == again == Charged(success=True, remaining=20)
    assert ledger.balance("user").available == 20


def test_what_no_user_can_mend_is_raised(ledger: Credits) -> None:
    with pytest.raises(SkillNotFound):
        charge_user(ledger, "user", "MY_NEW_TOOLS", "Generation request")


def test_a_frozen_user_is_an_answer_too(ledger: Credits) -> None:
    ledger.grant("user", 30)
    ledger.freeze("user", reason="abuse")
    assert charge_user(ledger, "user", "MY_NEW_TOOL", "x").error == "The account 'user' is frozen."


def test_calls_at_once_never_spend_what_is_not_there(ledger: Credits) -> None:
    ledger.grant("user", 50)
    start = threading.Barrier(16)

    def call(number: int) -> Charged:
        start.wait()
        return charge_user(ledger, "user", "MY_NEW_TOOL", f"request {number}")

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(call, range(16)))
    assert sorted(result.remaining for result in results if result.remaining is not None) == [0, 10, 20, 30, 40]
    assert [result.error for result in results if not result.success] == ["Insufficient credits"] * 11
    assert ledger.verify().findings == []


async def test_the_asynchronous_ledger_is_awaited(tmp_path: Path) -> None:
    async with AsyncCredits.open(f"sqlite:///{tmp_path}/bursar.db", preset="skills") as credits:
        await credits.skills.add("MY_NEW_TOOL", 10)
        await credits.open_account("user")
        await credits.grant("user", 10)
        assert await charge_user(credits, "user", "MY_NEW_TOOL", "Generation request") == Charged(
            success=True, remaining=0
        )


async def test_under_the_preset_signing_in_refuses_in_the_documents_shape(settings: Settings) -> None:
    async with opened(with_settings(settings, preset="skills")) as service:
        client, _ = await service.user()
        assert (await client.get("/api/auth/session")).json()["credits"] == 0
        nobody = await service.client()
        refused = await nobody.get("/api/auth/session")
        assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})
        elsewhere = await nobody.get("/api/ai/credits")
        assert elsewhere.json() == {"statusCode": 401, "message": "Unauthorized"}


async def test_the_tool_is_added_and_stopped_over_http(service: Service) -> None:
    """Section 4 and 5, by an administrator's program; the pages come later."""
    user = await service.account("user", 30)
    added = await service.admin.post(
        "/api/v1/skills", json={"name": "MY_NEW_TOOL", "display_name": "My Awesome Feature", "cost": 10}
    )
    assert (added.status_code, added.json()["cost"], added.json()["active"]) == (201, 10, True)
    credits = service.context.credits
    assert (await charge_user(credits, user, "MY_NEW_TOOL", "Generation request")).remaining == 20
    await service.admin.patch("/api/v1/skills/MY_NEW_TOOL", json={"active": False})
    assert (await charge_user(credits, user, "MY_NEW_TOOL", "Generation request")).error == "Tool disabled"
    for name in ("my_new_tool", "MY NEW TOOL"):
        refused = await service.admin.post("/api/v1/skills", json={"name": name, "cost": 10})
        assert refused.status_code == 422
