"""The `usd` contract, by its document: its four functions, and generations priced by what their model took."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bursar import AsyncCredits, Credits, InsufficientCredits, Invalid
from bursar.contracts.usd import add_credits, check_sufficient_funds, deduct_credits, get_user_balance
from bursar.settings import Settings
from tests.service.conftest import Service, opened, with_settings
from tests.service.test_providers import SECRET, Answer, Upstream, answered, picture, png

TEXT = {"prompt": "Test", "tone": "friendly", "length": "short"}
IMAGE = {"prompt": "Test image", "width": 1_024, "height": 1_024}
TOOK = {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500}
"""1,000 at $0.15 and 500 at $0.60 a million: $0.00045."""


@pytest.fixture
def ledger(database_url: str) -> Iterator[Credits]:
    with Credits.open(database_url, preset="usd") as credits:
        credits.open_account("user")
        yield credits
        assert credits.verify().findings == []


# The functions


def test_a_new_user_has_ten_dollars(ledger: Credits) -> None:
    assert get_user_balance(ledger, "user") == 10
    assert ledger.balance("user").unit == "USD"


def test_checked_before_and_deducted_after(ledger: Credits) -> None:
    assert check_sufficient_funds(ledger, "user", "0.05")
    left = deduct_credits(ledger, "user", "0.00265", {"description": "Summary", "model": "gpt-4o", "tokens": 1_500})
    assert left == get_user_balance(ledger, "user") == Decimal("9.99735")
    [row] = ledger.history("user", type="CONSUMPTION").data
    assert (row.amount, row.description) == (Decimal("-0.00265"), "Summary")
    assert row.metadata == {"description": "Summary", "model": "gpt-4o", "tokens": 1_500}
    deduct_credits(ledger, "user", 1, "By words")
    assert ledger.history("user", limit=1).data[0].description == "By words"


def test_what_is_not_there_is_not_deducted(ledger: Credits) -> None:
    assert not check_sufficient_funds(ledger, "user", "10.000000001")
    with pytest.raises(InsufficientCredits):
        deduct_credits(ledger, "user", "10.000000001", "too much")
    assert deduct_credits(ledger, "user", 10, "everything") == 0
    for cost in (0, "0.000000001"):
        assert not check_sufficient_funds(ledger, "user", cost)


def test_topped_up_by_an_administrator_or_a_payment(ledger: Credits) -> None:
    assert add_credits(ledger, "user", 5, "admin") == 15
    for _ in range(2):
        assert add_credits(ledger, "user", "20.50", "purchase", idempotency_key="payment-1") == Decimal("35.5")
    rows = ledger.history("user").data
    assert [(row.type, row.amount) for row in rows] == [("PURCHASE", Decimal("20.5")), ("ADMIN", 5), ("PLAN", 10)]


def test_a_float_is_no_money(ledger: Credits) -> None:
    with pytest.raises(Invalid):
        deduct_credits(ledger, "user", 0.1, "x")  # type: ignore[call-overload]


def test_deductions_at_once_never_go_below_zero(ledger: Credits) -> None:
    start = threading.Barrier(16)

    def deduct(_: int) -> bool:
        start.wait()
        try:
            deduct_credits(ledger, "user", "2.5", "at once")
        except InsufficientCredits:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(deduct, range(16))) == 4
    assert get_user_balance(ledger, "user") == 0


async def test_the_asynchronous_ledger_is_awaited(tmp_path: Path) -> None:
    async with AsyncCredits.open(f"sqlite:///{tmp_path}/bursar.db", preset="usd") as credits:
        await credits.open_account("user")
        assert await check_sufficient_funds(credits, "user", 1)
        assert await deduct_credits(credits, "user", 1, "x") == 9
        assert await add_credits(credits, "user", 1, "admin") == 10
        assert await get_user_balance(credits, "user") == 10


# Generations


def metered(_: str, body: dict[str, Any]) -> Answer:
    return answered(
        {"choices": [{"index": n, "message": {"content": f"text {n}"}} for n in range(body["n"])], "usage": TOOK}
    )


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    server.script = metered
    yield server
    server.close()


@pytest.fixture
async def service(settings: Settings, database_url: str, upstream: Upstream) -> AsyncIterator[Service]:
    changed = with_settings(
        settings,
        preset="usd",
        database_url=database_url,
        openai_base_url=upstream.url,
        openai_api_key=SECRET,
    )
    async with opened(changed) as service:
        yield service


async def set_to(service: Service, user: str, amount: str) -> None:
    done = await service.admin.post(f"/api/v1/accounts/{user}/adjustments", json={"to": amount, "reason": "the test"})
    assert done.status_code < 300


async def test_a_text_costs_what_the_model_took(service: Service, upstream: Upstream) -> None:
    client, user = await service.user()
    made = await client.post("/api/ai/generate-text", json=TEXT)
    assert made.status_code == 201
    assert '"credits_remaining":9.99955}' in made.text
    [(_, body, _)] = upstream.asked
    assert (body["model"], body["max_completion_tokens"]) == ("gpt-4o-mini", 300)
    [row] = (await service.admin.get(f"/api/v1/accounts/{user}/transactions?type=CONSUMPTION")).json()["data"]
    assert (row["amount"], row["model"], row["provider_cost_usd"]) == (-0.00045, "gpt-4o-mini", "0.00045")
    assert (row["usage"]["input_tokens"], row["usage"]["output_tokens"]) == (1_000, 500)
    balance = await service.balance(user)
    assert (balance["posted"], balance["held"]) == (9.99955, 0)
    assert (await client.get("/api/ai/credits")).json()["credits"] == 9.99955


async def test_the_worst_case_is_held_before(service: Service, upstream: Upstream) -> None:
    client, user = await service.user()
    seen: list[dict[str, Any]] = []
    reached = threading.Event()

    def wait(path: str, body: dict[str, Any]) -> Answer:
        reached.set()
        upstream.released.wait()
        return metered(path, body)

    upstream.script = wait
    asked = asyncio.create_task(client.post("/api/ai/generate-text", json=TEXT))
    assert await asyncio.to_thread(reached.wait, 20)
    seen.append(await service.balance(user))
    upstream.released.set()
    assert (await asked).status_code == 201
    held = Decimal(str(seen[0]["held"]))
    assert held >= Decimal("0.0006") * 300 * 3 / 1_000, "three texts of 300 tokens at $0.60 a million, and the prompt"
    assert held < Decimal("0.001")
    assert (await service.balance(user))["held"] == 0


@pytest.mark.parametrize("left", ["0", "0.0001"])
async def test_short_of_funds_nothing_is_sent(service: Service, upstream: Upstream, left: str) -> None:
    client, user = await service.user()
    await set_to(service, user, left)
    for path, body in (("generate-text", TEXT), ("generate-image", IMAGE)):
        refused = await client.post(f"/api/ai/{path}", json=body)
        assert refused.status_code == 402
        shown = refused.json()
        assert shown["error"] == "InsufficientCredits"
        assert shown["available"] == float(left)
        assert shown["required"] > shown["available"]
    assert upstream.asked == []
    balance = await service.balance(user)
    assert (balance["posted"], balance["held"]) == (float(left), 0)


async def test_a_picture_costs_what_the_model_took(service: Service, upstream: Upstream) -> None:
    client, user = await service.user()
    drawn = picture(png(1_024, 1_024))

    def script(path: str, body: dict[str, Any]) -> Answer:
        import json

        status, headers, content = drawn(path, body)
        usage = {"input_tokens": 10, "output_tokens": 1_056, "total_tokens": 1_066}
        return status, headers, json.dumps(json.loads(content) | {"usage": usage}).encode()

    upstream.script = script
    made = await client.post("/api/ai/generate-image", json=IMAGE)
    assert made.status_code == 201
    # 10 at $5 and 1,056 at $40 a million
    assert made.json()["credits_remaining"] == 9.95771
    assert (await client.get(made.json()["image_url"])).status_code == 200
    assert (await service.balance(user))["posted"] == 9.95771


async def test_a_provider_that_says_nothing_of_its_usage_is_paid_what_was_held(
    service: Service, upstream: Upstream
) -> None:
    client, user = await service.user()
    upstream.script = lambda path, body: answered(
        {"choices": [{"message": {"content": "text"}} for _ in range(body["n"])]}
    )
    assert (await client.post("/api/ai/generate-text", json=TEXT)).status_code == 201
    [row] = (await service.admin.get(f"/api/v1/accounts/{user}/transactions?type=CONSUMPTION")).json()["data"]
    assert row["amount"] < -0.00054
    assert row["usage"]["output_tokens"] == 900


async def test_a_provider_that_makes_one_text_at_a_time_is_paid_for_each_call(
    service: Service, upstream: Upstream
) -> None:
    client, user = await service.user()
    upstream.script = lambda path, _: metered(path, {"n": 1})
    assert (await client.post("/api/ai/generate-text", json=TEXT)).status_code == 201
    assert len(upstream.asked) == 3
    assert (await service.balance(user))["posted"] == float(10 - 3 * Decimal("0.00045"))


async def test_at_once_no_more_is_sent_than_can_be_paid_for(service: Service, upstream: Upstream) -> None:
    client, user = await service.user()
    await set_to(service, user, "0.002")
    answers = await asyncio.gather(*(client.post("/api/ai/generate-text", json=TEXT) for _ in range(20)))
    done = [answer.status_code for answer in answers].count(201)
    assert sorted({answer.status_code for answer in answers}) == [201, 402]
    assert 1 <= done == len(upstream.asked) <= 4
    balance = await service.balance(user)
    assert Decimal(str(balance["posted"])) == Decimal("0.002") - done * Decimal("0.00045")
    assert balance["held"] == 0


async def test_what_fails_costs_nothing(service: Service, upstream: Upstream) -> None:
    client, user = await service.user()
    upstream.script = lambda _path, _body: (500, {}, b"")
    failed = await client.post("/api/ai/generate-text", json=TEXT)
    assert (failed.status_code, failed.json()["error"]) == (502, "ProviderFailed")
    balance = await service.balance(user)
    assert (balance["posted"], balance["held"]) == (10, 0)


async def test_a_repeat_is_answered_as_the_first_time(service: Service, upstream: Upstream) -> None:
    client, _ = await service.user()
    headers = {"Idempotency-Key": "once"}
    first = await client.post("/api/ai/generate-text", json=TEXT, headers=headers)
    again = await client.post("/api/ai/generate-text", json=TEXT, headers=headers)
    assert again.content == first.content
    assert len(upstream.asked) == 1


async def test_the_embedded_provider_measures_as_well(settings: Settings) -> None:
    async with opened(with_settings(settings, preset="usd")) as service:
        client, user = await service.user()
        for path, body in (("generate-text", TEXT), ("generate-image", IMAGE)):
            made = await client.post(f"/api/ai/{path}", json=body)
            assert (made.status_code, made.headers["x-bursar-provider"]) == (201, "sandbox")
        rows = (await service.admin.get(f"/api/v1/accounts/{user}/transactions?type=CONSUMPTION")).json()["data"]
        assert [row["model"] for row in rows] == ["gpt-image-1", "gpt-4o-mini"]
        assert all(row["amount"] < 0 for row in rows)
        nobody = await (await service.client()).get("/api/ai/credits")
        assert (nobody.status_code, nobody.json()) == (401, {"error": "Unauthenticated", "message": "Unauthorized"})
