"""The `tokens` contract, by its document: its functions with its values, its paths byte for byte, its scenarios."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from bursar import AsyncCredits, Credits, InsufficientCredits, SkillDisabled
from bursar.contracts import tokens
from bursar.contracts.tokens import (
    CreditInfo,
    CreditStatus,
    Refused,
    Subscription,
    UserCredits,
    check_subscription_expiry,
    check_user_credits,
    consume_credits,
    downgrade_user_to_free,
    get_credit_status,
    get_subscription_status,
    get_usage_status,
    get_user_credits,
    grant_bonus_credits,
    initialize_user_credits,
    initialize_user_on_signup,
    renew_subscription,
    reset_monthly_tokens,
    upgrade_user_to_pro,
    validate_and_consume_credits,
    validate_credits,
)
from bursar.service.problems import ProviderFailed
from bursar.settings import Settings
from tests.service.conftest import Service, opened, with_settings

PROJECT = {"projectId": "abc123"}
Clock = Callable[[str], None]


def day(month: int, number: int, hour: int = 12) -> datetime:
    return datetime(2026, month, number, hour, tzinfo=UTC)


@pytest.fixture
def set_clock(tmp_path: Path) -> Clock:
    def put(moment: str) -> None:
        aside = tmp_path / "clock.new"
        aside.write_text(moment)
        aside.replace(tmp_path / "clock")

    put("2026-01-10T12:00:00Z")
    return put


@pytest.fixture
def ledger(database_url: str, set_clock: Clock, tmp_path: Path) -> Iterator[Credits]:
    with Credits.open(database_url, preset="tokens", clock=str(tmp_path / "clock")) as credits:
        yield credits
        assert credits.verify().findings == []


# The functions


def test_a_free_user_has_5_credits_and_10000_tokens(ledger: Credits) -> None:
    signed_up = initialize_user_on_signup(ledger, "user", is_pro=False)
    assert signed_up == Subscription(False, "free", None, 5)
    assert initialize_user_on_signup(ledger, "user", is_pro=False) == signed_up
    assert get_user_credits(ledger, "user") == UserCredits(5, 10_000, 10_000, False, "free")
    assert check_user_credits(ledger, "user") == CreditStatus(True, 5, 10_000)
    assert get_credit_status(ledger, "user") == CreditStatus(True, 5, 10_000)
    assert validate_credits(ledger, "user") is None


def test_a_request_takes_one_credit_until_there_is_none(ledger: Credits) -> None:
    initialize_user_credits(ledger, "user")
    assert consume_credits(ledger, "user") == CreditInfo(2_000, 4, 2_000)
    for left in (3, 2, 1, 0):
        done = validate_and_consume_credits(ledger, "user")
        assert (done.success, done.credit_info) == (True, CreditInfo(2_000, left, (5 - left) * 2_000))
    short = Refused("Insufficient credits", "You have 0 credits remaining (0 tokens)", 429)
    refused = validate_and_consume_credits(ledger, "user")
    assert (refused.success, refused.credit_info, refused.refused) == (False, None, short)
    assert validate_credits(ledger, "user") == short
    assert check_user_credits(ledger, "user") == CreditStatus(False, 0, 0)
    with pytest.raises(InsufficientCredits):
        consume_credits(ledger, "user")


def test_usage_is_counted_for_life_and_by_the_month(ledger: Credits, set_clock: Clock) -> None:
    initialize_user_credits(ledger, "user", is_pro=True)
    consume_credits(ledger, "user")
    refunded = ledger.charge("user", skill="CODE_REVIEW")
    usage = get_usage_status(ledger, "user")
    assert (usage.credits, usage.total_tokens, usage.available_tokens) == (98, 196_000, 196_000)
    assert (usage.total_tokens_used, usage.monthly_tokens_used) == (4_000, 4_000)
    assert usage.monthly_reset_date == day(1, 1, 0)
    ledger.refund("user", refunded.id)
    assert get_usage_status(ledger, "user").monthly_tokens_used == 2_000
    set_clock("2026-02-01T00:00:00Z")
    consume_credits(ledger, "user")
    usage = get_usage_status(ledger, "user")
    assert (usage.total_tokens_used, usage.monthly_tokens_used) == (4_000, 2_000)
    assert usage.monthly_reset_date == day(2, 1, 0)
    set_clock("2026-02-14T12:00:00Z")
    reset_monthly_tokens(ledger, "user")
    usage = get_usage_status(ledger, "user")
    assert (usage.total_tokens_used, usage.monthly_tokens_used, usage.credits) == (4_000, 0, 98)
    assert usage.monthly_reset_date == day(2, 14)
    set_clock("2026-02-14T12:00:01Z")
    consume_credits(ledger, "user")
    assert get_usage_status(ledger, "user").monthly_tokens_used == 2_000


def test_held_credits_are_there_but_not_available(ledger: Credits) -> None:
    initialize_user_credits(ledger, "user")
    with ledger.hold("user", skill="CODE_GENERATION"):
        has = get_user_credits(ledger, "user")
        assert (has.credits, has.total_tokens, has.available_tokens) == (4, 10_000, 8_000)


def test_upgraded_to_pro_for_30_days(ledger: Credits, set_clock: Clock) -> None:
    initialize_user_on_signup(ledger, "user")
    consume_credits(ledger, "user")
    pro = upgrade_user_to_pro(ledger, "user", 30)
    assert pro == Subscription(True, "pro", day(2, 9), 100)
    assert get_subscription_status(ledger, "user") == pro
    assert get_user_credits(ledger, "user") == UserCredits(100, 200_000, 200_000, True, "pro")
    assert not check_subscription_expiry(ledger, "user")
    set_clock("2026-02-09T11:59:59Z")
    assert get_subscription_status(ledger, "user").is_subscribed


def test_an_expired_subscription_falls_back_to_free_by_itself(ledger: Credits, set_clock: Clock) -> None:
    initialize_user_on_signup(ledger, "user", is_pro=True, days=30)
    for _ in range(3):
        consume_credits(ledger, "user")
    grant_bonus_credits(ledger, "user", 10)
    assert get_subscription_status(ledger, "user") == Subscription(True, "pro", day(2, 9), 107)
    set_clock("2026-02-09T12:00:00Z")
    lapsed = get_subscription_status(ledger, "user")
    assert (lapsed.is_subscribed, lapsed.subscription_tier, lapsed.subscription_ends_at) == (False, "free", None)
    assert lapsed.credits == 12, "free's 5 less the 3 that were used, and the bonus"
    assert check_subscription_expiry(ledger, "user")


def test_one_who_never_subscribed_has_nothing_that_expired(ledger: Credits) -> None:
    initialize_user_on_signup(ledger, "user")
    assert not check_subscription_expiry(ledger, "user")


def test_renewed_while_it_lasts_and_after_it_lapsed(ledger: Credits, set_clock: Clock) -> None:
    initialize_user_on_signup(ledger, "user", is_pro=True, days=30)
    consume_credits(ledger, "user")
    renewed = renew_subscription(ledger, "user", 30)
    assert renewed == Subscription(True, "pro", day(3, 11), 100)
    set_clock("2026-04-01T00:00:00Z")
    assert not get_subscription_status(ledger, "user").is_subscribed
    again = renew_subscription(ledger, "user", 30)
    assert again == Subscription(True, "pro", day(5, 1, 0), 100)


def test_downgraded_to_free(ledger: Credits) -> None:
    initialize_user_on_signup(ledger, "user", is_pro=True)
    consume_credits(ledger, "user")
    assert downgrade_user_to_free(ledger, "user") == Subscription(False, "free", None, 4)
    for _ in range(3):
        upgrade_user_to_pro(ledger, "user", 30, idempotency_key="payment-1")
    assert get_user_credits(ledger, "user").credits == 100


def test_bonus_credits(ledger: Credits) -> None:
    initialize_user_on_signup(ledger, "user")
    assert grant_bonus_credits(ledger, "user", 10) == UserCredits(15, 30_000, 30_000, False, "free")
    assert grant_bonus_credits(ledger, "user", 10, idempotency_key="b") == grant_bonus_credits(
        ledger, "user", 10, idempotency_key="b"
    )


def test_an_enterprise_user_is_subscribed(ledger: Credits) -> None:
    ledger.open_account("user", plan="enterprise")
    assert get_user_credits(ledger, "user") == UserCredits(1_000, 2_000_000, 2_000_000, True, "enterprise")
    assert renew_subscription(ledger, "user", 30).subscription_tier == "enterprise"


def test_tokens_are_what_the_setting_says(ledger: Credits) -> None:
    initialize_user_on_signup(ledger, "user")
    assert get_user_credits(ledger, "user", tokens_per_credit=1_500).available_tokens == 7_500
    ledger.skills.set_price("CODE_GENERATION", "0.5")
    assert consume_credits(ledger, "user") == CreditInfo(1_000, ledger.balance("user").available, 1_000)
    refused = validate_credits(ledger, "user", skill="CODE_REVIEW")
    assert refused is None
    assert tokens.tokens(ledger.balance("user").available, 3) == msgspec.json.decode("13.5", type=float)


def test_a_skill_that_is_disabled_is_not_a_lack_of_credits(ledger: Credits) -> None:
    initialize_user_on_signup(ledger, "user")
    ledger.skills.disable("CODE_GENERATION")
    with pytest.raises(SkillDisabled):
        validate_and_consume_credits(ledger, "user")


def test_requests_at_once_spend_each_credit_once(ledger: Credits) -> None:
    initialize_user_on_signup(ledger, "user")
    start = threading.Barrier(20)

    def ask(_: int) -> bool:
        start.wait()
        return validate_and_consume_credits(ledger, "user").success

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(ask, range(20))) == 5
    assert get_user_credits(ledger, "user").credits == 0


async def test_the_asynchronous_ledger_is_awaited(tmp_path: Path) -> None:
    async with AsyncCredits.open(f"sqlite:///{tmp_path}/bursar.db", preset="tokens") as credits:
        await initialize_user_on_signup(credits, "user", is_pro=False)
        assert (await check_user_credits(credits, "user")).has_credits
        assert (await consume_credits(credits, "user")).credits_remaining == 4
        assert (await get_usage_status(credits, "user")).total_tokens_used == 2_000
        await upgrade_user_to_pro(credits, "user", 30)
        assert (await get_user_credits(credits, "user")).credits == 100


# The paths


@pytest.fixture
async def service(settings: Settings, database_url: str) -> AsyncIterator[Service]:
    async with opened(with_settings(settings, preset="tokens", database_url=database_url)) as service:
        yield service


async def test_the_document_word_for_word(service: Service) -> None:
    client, _ = await service.user()
    usage = await client.get("/api/user/usage")
    assert usage.status_code == 200
    assert usage.text == (
        '{"success":true,"data":{"credits":5,"totalTokens":10000,"availableTokens":10000,'
        '"isSubscribed":false,"subscriptionTier":"free"}}'
    )
    started = await client.post("/api/projects/start-workflow", json=PROJECT)
    assert started.status_code == 200
    assert started.text == (
        '{"success":true,"workflowStarted":true,'
        '"creditInfo":{"tokensUsed":2000,"creditsRemaining":4,"totalTokensUsed":2000}}'
    )
    reviewed = await client.post("/api/review/generate", json={"code": "print(1)"})
    assert reviewed.json()["creditInfo"] == {"tokensUsed": 2_000, "creditsRemaining": 3, "totalTokensUsed": 4_000}
    for _ in range(3):
        assert (await client.post("/api/projects/start-workflow", json=PROJECT)).status_code == 200
    for path in ("projects/start-workflow", "review/generate"):
        refused = await client.post(f"/api/{path}", json=PROJECT)
        assert refused.status_code == 429
        assert refused.text == (
            '{"error":"Insufficient credits","detail":"You have 0 credits remaining (0 tokens)","status":429}'
        )
        assert "retry-after" not in refused.headers
    assert (await client.get("/api/user/usage")).json()["data"]["availableTokens"] == 0


async def test_the_work_can_be_fetched_by_its_owner_only(service: Service) -> None:
    client, user = await service.user()
    other, _ = await service.user("other@example.com")
    assert (await client.get("/api/projects/abc123/workflow")).status_code == 404
    await client.post("/api/projects/start-workflow", json=PROJECT)
    first = (await client.get("/api/projects/abc123/workflow")).json()["data"]
    await client.post("/api/projects/start-workflow", json=PROJECT | {"prompt": "Write a server"})
    work = (await client.get("/api/projects/abc123/workflow")).json()
    assert work["success"]
    assert (work["data"]["status"], work["data"]["projectId"]) == ("completed", "abc123")
    assert "Write a server" in work["data"]["result"]
    review = (await client.post("/api/review/generate", json=PROJECT)).json()
    assert (await client.get(f"/api/review/{review['reviewId']}")).json()["data"]["status"] == "completed"
    assert first["id"] != work["data"]["id"]
    for path in ("/api/projects/abc123/workflow", f"/api/review/{review['reviewId']}"):
        missing = await other.get(path)
        assert (missing.status_code, missing.json()["status"], missing.json()["error"]) == (404, 404, "Not Found")
        nobody = await (await service.client()).get(path)
        assert (nobody.status_code, nobody.json()) == (
            401,
            {"error": "Unauthorized", "detail": "Unauthorized", "status": 401},
        )
        assert (await service.admin.get(path, params={"account": user})).status_code == 200


async def test_a_repeat_is_answered_as_the_first_time(service: Service) -> None:
    client, _ = await service.user()
    headers = {"Idempotency-Key": "once"}
    first = await client.post("/api/projects/start-workflow", json=PROJECT, headers=headers)
    again = await client.post("/api/projects/start-workflow", json=PROJECT, headers=headers)
    assert (again.status_code, again.text) == (200, first.text)
    assert again.headers["idempotency-replayed"] == "true"
    other = await client.post("/api/projects/start-workflow", json={"projectId": "x"}, headers=headers)
    assert other.status_code == 409
    assert (await client.get("/api/user/usage")).json()["data"]["credits"] == 4


class Failing:
    name = "failing"

    def __init__(self) -> None:
        self.calls = 0

    async def reply(self, instruction: str, prompt: str) -> str:
        self.calls += 1
        await asyncio.sleep(0)
        raise ProviderFailed("The provider cannot be reached.")

    async def close(self) -> None:
        """Nothing is open."""


async def test_what_fails_costs_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    client, user = await service.user()
    monkeypatch.setattr(type(service.context.provider), "reply", Failing().reply)
    failed = await client.post("/api/projects/start-workflow", json=PROJECT)
    assert (failed.status_code, failed.json()["detail"]) == (502, "The provider cannot be reached.")
    balance = await service.balance(user)
    assert (balance["available"], balance["held"]) == (5, 0)


async def test_20_at_once_on_5_credits(service: Service) -> None:
    client, user = await service.user()
    asked = [client.post("/api/projects/start-workflow", json={"projectId": f"p{n}"}) for n in range(20)]
    statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
    assert sorted(statuses) == [200] * 5 + [429] * 15
    assert (await service.balance(user))["posted"] == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("projects/start-workflow", {}),
        ("projects/start-workflow", {"projectId": ""}),
        ("projects/start-workflow", {"projectId": " "}),
        ("projects/start-workflow", {"projectId": 7}),
        ("projects/start-workflow", PROJECT | {"prompt": "\x00"}),
        ("projects/start-workflow", PROJECT | {"extra": 1}),
        ("review/generate", {}),
        ("review/generate", {"code": ""}),
    ],
    ids=range(8),
)
async def test_bad_requests_cost_nothing(settings: Settings, path: str, body: dict[str, object]) -> None:
    async with opened(with_settings(settings, preset="tokens")) as service:
        client, _ = await service.user()
        refused = await client.post(f"/api/{path}", json=body)
        assert (refused.status_code, refused.json()["status"]) == (400, 400)
        assert (await client.get("/api/user/usage")).json()["data"]["credits"] == 5
