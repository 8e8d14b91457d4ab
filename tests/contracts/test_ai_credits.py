"""The `ai-credits` contract: its functions' arithmetic, and its paths byte for byte as its document shows them."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from bursar.contracts import ai_credits
from bursar.core.errors import InsufficientCredits
from bursar.core.model import Account, Catalogue, Component, Plan, Price, Skill
from bursar.core.money import NANOS
from bursar.service.problems import ProviderFailed
from bursar.settings import Settings
from tests.service.conftest import Service, opened, with_settings

TEXT = {"prompt": "Test", "tone": "friendly", "length": "short"}
IMAGE = {"prompt": "Test image", "width": 256, "height": 128}
MICROS = 1_000_000


def instant(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * MICROS


# Arithmetic


def price(skill: str, cost: int) -> Price:
    return Price(skill, 1, (Component("call", cost),), flat=cost)


def catalogue(text: int = NANOS, image: int = 5 * NANOS, allowance: int = 100 * NANOS) -> Catalogue:
    names = {ai_credits.TEXT_GENERATION: text, ai_credits.IMAGE_GENERATION: image}
    skills = {name: Skill(name, name, None, True, 0, price(name, cost)) for name, cost in names.items()}
    return Catalogue(1, skills, {}, {"free": Plan("free", "Free", allowance)})


def account(available: float, spent: float = 0, plan: str | None = "free") -> Account:
    values: dict[str, Any] = dict.fromkeys(Account.__struct_fields__, 0)
    values |= {"posted": int(available * NANOS), "spent": int(spent * NANOS), "plan": plan}
    values |= {"last_reset": instant(2025, 1, 1), "next_reset": instant(2025, 2, 1)}
    return Account(**values)


@pytest.mark.parametrize(
    ("available", "spent", "percentage", "texts", "images"),
    [
        (95, 5, 5, 95, 19),
        (100, 0, 0, 100, 20),
        (99.5, 0.5, 1, 99, 19),
        (99.51, 0.49, 0, 99, 19),
        (0, 100, 100, 0, 0),
        (-3, 203, 203, 0, 0),
        (4, 96, 96, 4, 0),
        (97.5, 2.5, 3, 97, 19),
    ],
)
def test_stats(available: float, spent: float, percentage: int, texts: int, images: int) -> None:
    stats = ai_credits.stats_of(account(available, spent), catalogue())
    assert stats.percentage_used == percentage
    assert (stats.estimated_text_generations, stats.estimated_image_generations) == (texts, images)
    assert (float(stats.credits_remaining), float(stats.credits_used)) == (available, spent)


def test_without_a_limit_nothing_is_a_percentage() -> None:
    assert ai_credits.stats_of(account(10, 5, plan=None), catalogue()).percentage_used == 0
    assert ai_credits.balance_of(account(10, 5, plan=None), catalogue()).credits_limit == 0


def test_what_is_free_has_no_estimate() -> None:
    assert ai_credits.stats_of(account(10), catalogue(text=0)).estimated_text_generations is None


def test_the_messages() -> None:
    short = InsufficientCredits(5 * NANOS, 3 * NANOS, instant(2025, 2, 1))
    assert ai_credits.insufficient_message(short) == (
        "Insufficient AI credits. You have 3 credits, but need 5. Credits will reset on 2/1/2025."
    )
    late = InsufficientCredits(5 * NANOS, 3 * NANOS, instant(2025, 12, 31, 23))
    assert ai_credits.insufficient_message(late).endswith(" Credits will reset on 12/31/2025.")
    never = InsufficientCredits(5 * NANOS, NANOS // 2, None)
    assert ai_credits.insufficient_message(never) == ("Insufficient AI credits. You have 0.5 credits, but need 5.")


def test_the_console_lines() -> None:
    assert ai_credits.deducted_line("uuid", "TEXT_GENERATION", NANOS, 99 * NANOS) == (
        "💰 Deducted 1 credits from user uuid (text_generation). New balance: 99"
    )
    assert ai_credits.text_completed_line("gen-uuid", 99 * NANOS) == (
        "✅ Text generation completed: gen-uuid, Credits remaining: 99"
    )
    assert ai_credits.image_completed_line("gen-uuid", "media-uuid", 94 * NANOS) == (
        "✅ Image generation completed: gen-uuid, media: media-uuid, Credits remaining: 94"
    )
    assert ai_credits.RESET_STARTED == "🔄 Starting monthly AI credits reset..."
    assert ai_credits.reset_line("uuid1", 100 * NANOS) == "🔄 Reset credits for user uuid1 to 100"
    assert ai_credits.reset_completed_line(25) == "✅ Monthly reset completed for 25 users"


# Paths


@pytest.fixture
async def in_january(database_url: str, settings: Settings, tmp_path: Path) -> AsyncIterator[Service]:
    """The service at 2025-01-01T00:00Z, on a clock that tests move."""
    clock = tmp_path / "clock"
    clock.write_text("2025-01-01T00:00:00Z")
    changed = with_settings(settings, database_url=database_url, test_clock=str(clock))
    async with opened(changed) as service:
        yield service


def set_clock(service: Service, moment: str) -> None:
    path = service.context.settings.test_clock
    assert path is not None
    Path(path).write_text(moment)


async def test_the_document_word_for_word(in_january: Service) -> None:
    service = in_january
    client, user = await service.user()
    balance = await client.get("/api/ai/credits")
    assert balance.status_code == 200
    assert balance.text == (
        '{"credits":100,"credits_limit":100,"last_reset":"2025-01-01T00:00:00.000Z",'
        '"next_reset":"2025-02-01T00:00:00.000Z","costs":{"text_generation":1,"image_generation":5}}'
    )
    image = await client.post("/api/ai/generate-image", json=IMAGE)
    assert image.status_code == 201
    assert list(image.json()) == ["status", "generation_id", "image_id", "image_url", "credits_remaining"]
    assert image.json()["status"] == "completed"
    assert image.json()["image_url"] == f"/api/media/{image.json()['image_id']}"
    assert '"credits_remaining":95}' in image.text
    stats = await client.get("/api/ai/credits/stats")
    assert stats.status_code == 200
    assert stats.text == (
        '{"credits_used":5,"credits_remaining":95,"credits_limit":100,"percentage_used":5,'
        '"last_reset":"2025-01-01T00:00:00.000Z","next_reset":"2025-02-01T00:00:00.000Z",'
        '"estimated_text_generations":95,"estimated_image_generations":19}'
    )
    text = await client.post("/api/ai/generate-text", json=TEXT)
    assert text.status_code == 201
    assert list(text.json()) == ["variants", "generation_id", "credits_remaining"]
    assert len(set(text.json()["variants"])) == 3
    assert text.json()["credits_remaining"] == 94
    set_clock(service, "2025-01-30T12:00:00Z")
    reset = await client.patch("/api/ai/credits/reset")
    assert reset.status_code == 200
    assert reset.text == (
        '{"message":"Credits reset successfully","balance":{"credits":100,"credits_limit":100,'
        '"last_reset":"2025-01-30T12:00:00.000Z","next_reset":"2025-02-01T00:00:00.000Z",'
        '"costs":{"text_generation":1,"image_generation":5}}}'
    )
    await service.admin.post(f"/api/v1/accounts/{user}/adjustments", json={"to": 3, "reason": "test"})
    refused = await client.post("/api/ai/generate-image", json=IMAGE)
    assert refused.status_code == 400
    assert refused.text == (
        '{"statusCode":400,"message":"Insufficient AI credits. You have 3 credits, but need 5. '
        'Credits will reset on 2/1/2025."}'
    )
    assert (await service.balance(user))["posted"] == 3


async def test_the_month_renews_and_bought_credits_stay(in_january: Service, caplog: pytest.LogCaptureFixture) -> None:
    service = in_january
    client, user = await service.user()
    await service.grant(user, 50)
    await client.post("/api/ai/generate-text", json=TEXT)
    set_clock(service, "2025-02-01T00:00:00Z")
    balance = (await client.get("/api/ai/credits")).json()
    assert (balance["credits"], balance["last_reset"], balance["next_reset"]) == (
        150,
        "2025-02-01T00:00:00.000Z",
        "2025-03-01T00:00:00.000Z",
    )
    assert (await client.get("/api/ai/credits/stats")).json()["credits_used"] == 0


async def test_the_console(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bursar")
    client, user = await service.user()
    text = (await client.post("/api/ai/generate-text", json=TEXT)).json()
    image = (await client.post("/api/ai/generate-image", json=IMAGE)).json()
    assert [record.getMessage() for record in caplog.records if record.name == "bursar.ai_credits"] == [
        f"💰 Deducted 1 credits from user {user} (text_generation). New balance: 99",
        f"✅ Text generation completed: {text['generation_id']}, Credits remaining: 99",
        f"💰 Deducted 5 credits from user {user} (image_generation). New balance: 94",
        f"✅ Image generation completed: {image['generation_id']}, media: {image['image_id']}, Credits remaining: 94",
    ]
    assert {getattr(record, "user", None) for record in caplog.records if record.name == "bursar.ai_credits"} == {user}


async def test_the_picture_goes_to_its_owner_only(each_service: Service) -> None:
    client, user = await each_service.user()
    other, _ = await each_service.user("other@example.com")
    made = (await client.post("/api/ai/generate-image", json=IMAGE)).json()
    picture = await client.get(made["image_url"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    with Image.open(io.BytesIO(picture.content)) as image:
        assert (image.format, image.size) == ("PNG", (256, 128))
    on_disk = each_service.context.settings.data_dir / "media" / f"{made['image_id']}.png"
    assert on_disk.read_bytes() == picture.content
    for client_, status in ((other, 404), (await each_service.client(), 401)):
        assert (await client_.get(made["image_url"])).status_code == status
    by_admin = await each_service.admin.get(made["image_url"], params={"account": user})
    assert by_admin.content == picture.content
    text = (await client.post("/api/ai/generate-text", json=TEXT)).json()
    assert (await client.get(f"/api/media/{text['generation_id']}")).status_code == 404


async def test_what_comes_out_varies_with_what_goes_in(service: Service) -> None:
    client, _ = await service.user()
    texts = []
    for changed in ({}, {"prompt": "Other"}, {"tone": "formal"}, {"tone": "pirate"}, {"length": "long"}):
        answer = await client.post("/api/ai/generate-text", json=TEXT | changed)
        assert answer.headers["x-bursar-provider"] == "sandbox"
        assert all("sandbox" in variant for variant in answer.json()["variants"])
        texts += answer.json()["variants"]
    assert len(set(texts)) == 15
    assert max(map(len, texts[:3])) < min(map(len, texts[12:]))
    pictures = set()
    others: tuple[dict[str, Any], ...] = ({}, {"prompt": "Other"}, {"width": 300})
    for changed in others:
        made = (await client.post("/api/ai/generate-image", json=IMAGE | changed)).json()
        pictures.add((await client.get(made["image_url"])).content)
    assert len(pictures) == 3


async def test_a_price_counts_from_the_next_call_on(service: Service) -> None:
    client, _ = await service.user()
    await service.admin.post("/api/v1/skills/TEXT_GENERATION/prices", json={"cost": "2.5"})
    balance = await client.get("/api/ai/credits")
    assert balance.json()["costs"] == {"text_generation": 2.5, "image_generation": 5}
    answer = await client.post("/api/ai/generate-text", json=TEXT)
    assert '"credits_remaining":97.5}' in answer.text
    assert (await client.get("/api/ai/credits/stats")).json()["estimated_text_generations"] == 39
    await service.admin.patch("/api/v1/skills/TEXT_GENERATION", json={"active": False})
    refused = await client.post("/api/ai/generate-text", json=TEXT)
    assert refused.status_code == 403


async def test_an_announced_price_is_shown_and_charged_from_its_instant_on(in_january: Service) -> None:
    client, _ = await in_january.user()
    body = {"cost": 4, "valid_from": "2025-01-10T00:00:00Z", "valid_to": "2025-01-20T00:00:00Z"}
    announced = await in_january.admin.post("/api/v1/skills/TEXT_GENERATION/prices", json=body)
    assert announced.status_code == 201, announced.text
    shown = []
    for day in ("09", "10", "20"):
        set_clock(in_january, f"2025-01-{day}T00:00:00Z")
        costs = (await client.get("/api/ai/credits")).json()["costs"]
        left = (await client.post("/api/ai/generate-text", json=TEXT)).json()["credits_remaining"]
        shown.append((costs["text_generation"], left))
    assert shown == [(1, 99), (4, 95), (1, 94)]


async def test_reset_is_for_development_and_administrators(settings: Settings) -> None:
    async with opened(with_settings(settings, dev=False)) as service:
        client, user = await service.user()
        await client.post("/api/ai/generate-text", json=TEXT)
        refused = await client.patch("/api/ai/credits/reset")
        assert (refused.status_code, refused.json()["statusCode"]) == (403, 403)
        assert (await service.balance(user))["available"] == 99
        whose = await service.admin.patch("/api/ai/credits/reset")
        assert (whose.status_code, "account" in whose.json()["message"]) == (400, True)
        done = await service.admin.patch("/api/ai/credits/reset", params={"account": user})
        assert done.json()["balance"]["credits"] == 100


async def test_the_history(each_service: Service) -> None:
    client, user = await each_service.user()
    await client.post("/api/ai/generate-text", json=TEXT)
    await each_service.admin.post(
        f"/api/v1/accounts/{user}/grants", json={"amount": 50, "source": "purchase", "description": "pack of 50"}
    )
    events = (await client.get("/api/ai/credits/history")).json()["data"]
    assert [(event["type"], event["amount"], event["balance"]) for event in events] == [
        ("PURCHASE", 50, 149),
        ("CONSUMPTION", -1, 99),
        ("PLAN", 100, 100),
    ]
    assert events[0]["description"] == "pack of 50"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("generate-text", {}, "prompt"),
        ("generate-text", TEXT | {"prompt": ""}, "prompt"),
        ("generate-text", TEXT | {"prompt": "  \n "}, "prompt"),
        ("generate-text", TEXT | {"prompt": "x" * 4_001}, "prompt"),
        ("generate-text", TEXT | {"prompt": "\x00"}, "prompt"),
        ("generate-text", TEXT | {"prompt": 7}, "prompt"),
        ("generate-text", TEXT | {"tone": ""}, "tone"),
        ("generate-text", TEXT | {"tone": "\n"}, "tone"),
        ("generate-text", TEXT | {"tone": "x" * 51}, "tone"),
        ("generate-text", TEXT | {"length": "endless"}, "length"),
        ("generate-text", TEXT | {"length": None}, "length"),
        ("generate-text", TEXT | {"n": 3}, "n"),
        ("generate-image", {"prompt": "x", "width": 64}, "height"),
        ("generate-image", IMAGE | {"width": 63}, "width"),
        ("generate-image", IMAGE | {"height": 2_049}, "height"),
        ("generate-image", IMAGE | {"height": 10**30}, "height"),
        ("generate-image", IMAGE | {"height": "1024"}, "height"),
        ("generate-image", IMAGE | {"height": 64.5}, "height"),
        ("generate-image", IMAGE | {"height": True}, "height"),
    ],
    ids=range(19),
)
async def test_bad_requests_cost_nothing(service: Service, path: str, body: dict[str, Any], field: str) -> None:
    client, user = await service.user()
    answer = await client.post(f"/api/ai/{path}", json=body)
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["statusCode", "message"]
    assert field in answer.json()["message"]
    assert (await service.balance(user))["available"] == 100


async def test_bodies_that_are_no_json(service: Service) -> None:
    client, user = await service.user()
    for body, status in ((b"{", 400), (b"\xff", 400), (b"[" * 100_000, 400), (b"x" * 2**21, 413)):
        answer = await client.post("/api/ai/generate-text", content=body)
        assert (answer.status_code, answer.json()["statusCode"]) == (status, status)
    missing = await client.get("/api/ai/nothing")
    assert (missing.status_code, missing.json()["statusCode"]) == (404, 404)
    method = await client.get("/api/ai/generate-text")
    assert (method.status_code, method.headers["allow"]) == (405, "POST")
    assert (await service.balance(user))["available"] == 100


# Generations that go wrong, and repeats


class Scripted:
    """A provider that does what it is told."""

    name = "scripted"

    def __init__(self) -> None:
        self.calls = 0
        self.called = asyncio.Event()
        self.failing = False
        self.gate: asyncio.Event | None = None

    async def write(self, prompt: str, tone: str, length: str) -> list[str]:
        self.calls += 1
        self.called.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            raise ProviderFailed("The provider cannot be reached.")
        return [f"{self.calls}{letter} {prompt} {tone} {length}" for letter in "abc"]

    async def draw(self, prompt: str, width: int, height: int) -> bytes:
        await self.write(prompt, "", "")
        return b"\x89PNG"

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def provider(each_service: Service) -> Scripted:
    scripted = Scripted()
    object.__setattr__(each_service.context, "provider", scripted)
    return scripted


async def transactions(service: Service, user: str) -> list[str]:
    page = (await service.admin.get(f"/api/v1/accounts/{user}/transactions")).json()
    return [item["type"] for item in page["data"]]


async def test_a_failed_provider_costs_nothing(each_service: Service, provider: Scripted) -> None:
    client, user = await each_service.user()
    provider.failing = True
    for path, body in (("generate-text", TEXT), ("generate-image", IMAGE)):
        answer = await client.post(f"/api/ai/{path}", json=body)
        assert (answer.status_code, answer.json()) == (
            502,
            {"statusCode": 502, "message": "The provider cannot be reached."},
        )
    balance = await each_service.balance(user)
    assert (balance["posted"], balance["held"], balance["available"]) == (100, 0, 100)
    assert await transactions(each_service, user) == ["PLAN"]


async def test_a_provider_that_breaks_costs_nothing(each_service: Service, provider: Scripted) -> None:
    client, user = await each_service.user()
    provider.write = lambda *_: 1 / 0  # type: ignore[method-assign, assignment]
    answer = await client.post("/api/ai/generate-text", json=TEXT)
    assert (answer.status_code, answer.json()["statusCode"]) == (500, 500)
    assert (await each_service.balance(user))["available"] == 100


async def test_credits_are_held_while_the_provider_works(each_service: Service, provider: Scripted) -> None:
    client, user = await each_service.user()
    await each_service.admin.post(f"/api/v1/accounts/{user}/adjustments", json={"to": 1, "reason": "x"})
    provider.gate = asyncio.Event()
    first = asyncio.create_task(client.post("/api/ai/generate-text", json=TEXT))
    await provider.called.wait()
    balance = await each_service.balance(user)
    assert (balance["posted"], balance["held"], balance["available"]) == (1, 1, 0)
    second = await client.post("/api/ai/generate-text", json=TEXT)
    assert second.status_code == 400
    provider.gate.set()
    assert (await first).json()["credits_remaining"] == 0
    assert provider.calls == 1


async def test_a_request_that_is_cancelled_costs_nothing(each_service: Service, provider: Scripted) -> None:
    client, user = await each_service.user()
    provider.gate = asyncio.Event()
    request = asyncio.create_task(client.post("/api/ai/generate-text", json=TEXT))
    await provider.called.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    balance = await each_service.balance(user)
    assert (balance["held"], balance["available"]) == (0, 100)


async def test_a_repeat_is_answered_as_the_first_time(each_service: Service, provider: Scripted) -> None:
    client, user = await each_service.user()
    headers = {"Idempotency-Key": "x" * 255}
    for path, body, left in (("generate-text", TEXT, 99), ("generate-image", IMAGE, 94)):
        headers["Idempotency-Key"] = path
        first = await client.post(f"/api/ai/{path}", json=body, headers=headers)
        again = await client.post(f"/api/ai/{path}", json=body, headers=headers)
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.content == first.content
        assert again.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers
        assert (await each_service.balance(user))["available"] == left
    assert provider.calls == 2
    other = await client.post(
        "/api/ai/generate-text", json=TEXT | {"prompt": "Other"}, headers={"Idempotency-Key": "generate-text"}
    )
    assert (other.status_code, "generate-text" in other.json()["message"]) == (409, True)


async def test_a_repeat_during_the_first_is_refused(each_service: Service, provider: Scripted) -> None:
    client, user = await each_service.user()
    provider.gate = asyncio.Event()
    headers = {"Idempotency-Key": "once"}
    first = asyncio.create_task(client.post("/api/ai/generate-text", json=TEXT, headers=headers))
    await provider.called.wait()
    during = await client.post("/api/ai/generate-text", json=TEXT, headers=headers)
    assert during.status_code == 409
    provider.gate.set()
    assert (await first).status_code == 201
    after = await client.post("/api/ai/generate-text", json=TEXT, headers=headers)
    assert after.content == (await first).content
    assert (await each_service.balance(user))["available"] == 99


async def test_a_repeat_after_a_failure_tries_again(each_service: Service, provider: Scripted) -> None:
    client, user = await each_service.user()
    headers = {"Idempotency-Key": "again"}
    provider.failing = True
    for _ in range(3):
        failed = await client.post("/api/ai/generate-text", json=TEXT, headers=headers)
        assert failed.status_code == 502
    provider.failing = False
    done = await client.post("/api/ai/generate-text", json=TEXT, headers=headers)
    assert (done.status_code, done.json()["credits_remaining"]) == (201, 99)
    again = await client.post("/api/ai/generate-text", json=TEXT, headers=headers)
    assert again.content == done.content
    assert (await each_service.balance(user))["available"] == 99


async def test_at_most_what_was_bought_is_generated(each_service: Service, provider: Scripted) -> None:
    client, user = await each_service.user()
    await each_service.admin.post(f"/api/v1/accounts/{user}/adjustments", json={"to": 7, "reason": "x"})

    async def ask() -> httpx.Response:
        return await client.post("/api/ai/generate-text", json=TEXT)

    answers = await asyncio.gather(*(ask() for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] * 7 + [400] * 13
    assert provider.calls == 7
    assert (await each_service.balance(user))["posted"] == 0
