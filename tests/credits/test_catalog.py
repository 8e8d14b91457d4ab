"""Skills, prices and plans: one write path, seen at once by everybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from bursar.catalog import Catalog, Preset, check_plan
from bursar.core.errors import (
    AlreadyExists,
    InsufficientCredits,
    Invalid,
    Overloaded,
    PlanNotFound,
    SkillDisabled,
    SkillNotFound,
)
from bursar.core.model import Component, Plan
from bursar.credits import AsyncCredits
from bursar.credits.arguments import ComponentIn
from bursar.presets import load_preset
from bursar.store.base import Contention, Store, Tx, Work
from bursar.store.migrate import migrate
from bursar.store.url import open_store
from tests.credits.conftest import Clock, on_one_database

NOW = 1_768_046_400_000_000


def day(number: int) -> datetime:
    """Of February 2026."""
    return datetime(2026, 2, number, tzinfo=UTC)


@pytest.fixture
async def other(url: str) -> AsyncIterator[AsyncCredits]:
    """The same ledger, in what might be another process."""
    async with AsyncCredits.open(url) as credits:
        yield credits


@pytest.fixture
async def bare(empty_url: str) -> AsyncIterator[Store]:
    """A migrated store with nothing in it."""
    await asyncio.to_thread(migrate, empty_url)
    store = open_store(empty_url)
    await store.open()
    yield store
    await store.close()


# Skills and prices


async def test_the_presets_skills_are_there(credits: AsyncCredits) -> None:
    skills = await credits.skills.list()
    assert [(skill.name, skill.cost, skill.active) for skill in skills] == [
        ("IMAGE_GENERATION", 5, True),
        ("TEXT_GENERATION", 1, True),
    ]
    assert skills[1].display_name == "Text generation"


async def test_a_skill_is_added_with_its_price(credits: AsyncCredits) -> None:
    added = await credits.skills.add(
        "CHAT",
        components=[
            {"unit": "call", "credits": "0.1"},
            {"unit": "output_token", "credits": Decimal("0.5"), "per": 1_000},
        ],
        description="An answer",
        rounding="0.01",
        minimum="0.2",
        markup="1.5",
    )
    assert (added.display_name, added.description, added.cost) == ("Chat", "An answer", None)
    assert added.price.rule == "0.1 per call + 0.5 per 1000 output_token, x 1.5, at least 0.2, up to 0.01"
    assert [(part.unit, part.credits, part.per) for part in added.price.components] == [
        ("call", Decimal("0.1"), 1),
        ("output_token", Decimal("0.5"), 1_000),
    ]
    assert added == await credits.skills.get("CHAT")
    assert (await credits.skills.list())[0] == added


async def test_a_name_is_taken_once(credits: AsyncCredits) -> None:
    await credits.skills.add("CHAT", 1)
    with pytest.raises(AlreadyExists):
        await credits.skills.add("CHAT", 2)
    assert (await credits.skills.get("CHAT")).cost == 1


async def test_of_many_who_add_the_same_skill_at_once_one_succeeds(credits: AsyncCredits, other: AsyncCredits) -> None:
    attempts = [ledger.skills.add("CHAT", cost) for cost in range(1, 5) for ledger in (credits, other)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    refused = [result for result in results if isinstance(result, AlreadyExists)]
    (added,) = [result for result in results if not isinstance(result, BaseException)]
    assert len(refused) == 7
    assert await credits.skills.get("CHAT") == added


@on_one_database
@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"name": "chat", "cost": 1}, "name"),
        ({"name": "CHAT"}, "cost"),
        ({"name": "CHAT", "cost": 1, "components": [{"unit": "call", "credits": 1}]}, "cost"),
        ({"name": "CHAT", "cost": -1}, "cost"),
        ({"name": "CHAT", "cost": "0.00000000001"}, "cost"),
        ({"name": "CHAT", "cost": 1, "rounding": "0.5"}, "rounding"),
        ({"name": "CHAT", "cost": 1, "markup": 0}, "markup"),
        ({"name": "CHAT", "cost": 1, "display_name": "x" * 201}, "display_name"),
        ({"name": "CHAT", "components": []}, "components"),
        ({"name": "CHAT", "components": [{"unit": "call", "credit": 1}]}, "components[0].credit"),
        ({"name": "CHAT", "components": [{"unit": "call", "credits": 0.5}]}, "components[0].credits"),
        ({"name": "CHAT", "components": [{"unit": "calls", "credits": 1}]}, "components[0].unit"),
        ({"name": "CHAT", "components": [{"unit": "call"}]}, "components[0]"),
        ({"name": "CHAT", "components": [{"unit": "call", "credits": 1, "per": "two"}]}, "components[0]"),
        ({"name": "CHAT", "components": [5]}, "components[0]"),
        ({"name": "CHAT", "components": [{"unit": f"u{n}", "credits": 1} for n in range(40)]}, "components"),
        ({"name": "CHAT", "components": [{"unit": "call", "credits": -1}]}, "components[0].credits"),
        ({"name": "CHAT", "components": [{"unit": "call", "usd": 1}]}, "components[0].usd"),
        ({"name": "CHAT", "components": [{"unit": "input_token", "credits": 1, "above": 9}]}, "components[0].above"),
    ],
)
async def test_a_price_that_makes_no_sense_is_refused_by_name(
    credits: AsyncCredits, arguments: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        await credits.skills.add(**arguments)
    assert refusal.value.field == field
    assert len(await credits.skills.list()) == 2


async def test_a_component_may_be_a_value_in_nano_credits(credits: AsyncCredits) -> None:
    parts: list[ComponentIn] = [Component("call", 150)]
    assert (await credits.skills.add("CHAT", components=parts)).cost == Decimal("0.00000015")


async def test_a_price_may_begin_later_and_end(credits: AsyncCredits, clock: Clock) -> None:
    await credits.open_account("alice", plan=None)
    await credits.grant("alice", 100)
    await credits.skills.add("TOOL", 1)
    made = await credits.skills.set_price(
        "TOOL", 9, valid_from=day(2), valid_to=day(3).astimezone(timezone(timedelta(hours=9)))
    )
    assert (made.version, made.valid_from, made.valid_to) == (2, day(2), day(3))
    costs = []
    for number in (1, 2, 3):
        clock.set(f"2026-02-0{number}T00:00:00Z")
        skill = await credits.skills.get("TOOL")
        assert skill.cost == (await credits.quote("alice", skill="TOOL")).credits
        costs.append((skill.cost, -(await credits.charge("alice", skill="TOOL")).amount))
    assert costs == [(1, 1), (9, 9), (1, 1)]
    [second, first] = await credits.skills.prices("TOOL")
    assert (second, first.valid_to) == (made, None)


@pytest.mark.parametrize(
    ("dates", "field"),
    [
        ({"valid_from": datetime(2026, 1, 10, 11, 59, 59, tzinfo=UTC)}, "valid_from"),
        ({"valid_from": datetime(1999, 1, 1, tzinfo=UTC)}, "valid_from"),
        ({"valid_from": datetime(2026, 2, 1)}, "valid_from"),  # noqa: DTZ001 - no zone
        ({"valid_from": "2026-02-01"}, "valid_from"),
        ({"valid_to": datetime(2026, 1, 10, 12, tzinfo=UTC)}, "valid_to"),
        (
            {"valid_from": datetime(2026, 3, 1, tzinfo=UTC), "valid_to": datetime(2026, 2, 1, tzinfo=UTC)},
            "valid_to",
        ),
    ],
)
@on_one_database
async def test_a_price_for_a_past_date_is_refused_by_name(
    credits: AsyncCredits, dates: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        await credits.skills.set_price("TEXT_GENERATION", 2, **dates)
    assert refusal.value.field == field
    assert len(await credits.skills.prices("TEXT_GENERATION")) == 1


async def test_a_long_prompt_may_cost_more_and_older_processes_read_the_rest(credits: AsyncCredits) -> None:
    parts = [
        {"unit": "input_token", "credits": 1, "per": 1_000},
        {"unit": "input_token", "credits": 2, "per": 1_000, "above": 10_000},
    ]
    made = await credits.skills.add("CHAT", components=parts)
    assert [(part.credits, part.above) for part in made.price.components] == [(1, 0), (2, 10_000)]
    await credits.open_account("alice")
    for tokens, cost in ((10_000, 10), (11_000, 22)):
        assert (await credits.quote("alice", skill="CHAT", usage={"input_tokens": tokens})).credits == cost
    rows = await credits.store.read(lambda tx: tx.fetch("list_prices"))
    [(components, tiers)] = [(row[2], row[-1]) for row in rows if row[0] == "CHAT"]
    assert "above" not in str(components)
    assert "10000" in str(tiers)


async def test_the_catalogue_of_a_bursar_of_before_is_read_as_it_was_meant(credits: AsyncCredits) -> None:
    """It writes neither when a price begins nor when it ends."""

    async def write(tx: Tx) -> None:
        await tx.execute("bump_catalogue")
        await tx.execute(
            "insert_price", "TEXT_GENERATION", 2, '[{"unit":"call","credits":7000000000}]', "1e-9", 0, "1",
            1_768_046_400_000_001, 7_000_000_000, None, None, None,
        )  # fmt: skip

    await credits.store.write(write)
    await credits.open_account("alice")
    assert (await credits.charge("alice", skill="TEXT_GENERATION")).amount == -7
    assert (await credits.skills.get("TEXT_GENERATION")).price.version == 2


async def test_a_new_price_is_a_new_version(credits: AsyncCredits) -> None:
    price = await credits.skills.set_price("TEXT_GENERATION", "1.5")
    assert (price.version, price.cost, price.rule) == (2, Decimal("1.5"), "1.5 per call")
    versions = await credits.skills.prices("TEXT_GENERATION")
    assert [(price.version, price.cost) for price in versions] == [(2, Decimal("1.5")), (1, 1)]


async def test_words_are_changed_and_removed(credits: AsyncCredits) -> None:
    skill = await credits.skills.update("TEXT_GENERATION", display_name="Texts", description="")
    assert (skill.display_name, skill.description, skill.active, skill.cost) == ("Texts", None, True, 1)


@pytest.mark.parametrize("verb", ["get", "prices", "enable", "disable", "update"])
async def test_an_unknown_skill_is_refused(credits: AsyncCredits, verb: str) -> None:
    with pytest.raises(SkillNotFound):
        await getattr(credits.skills, verb)("NOTHING")
    with pytest.raises(SkillNotFound):
        await credits.skills.set_price("NOTHING", 1)


# Seen at once


async def test_a_price_holds_for_the_very_next_charge_in_every_process(
    credits: AsyncCredits, other: AsyncCredits
) -> None:
    await credits.open_account("alice")
    assert (await other.charge("alice", skill="TEXT_GENERATION")).amount == -1
    await credits.skills.set_price("TEXT_GENERATION", 7)
    receipt = await other.charge("alice", skill="TEXT_GENERATION")
    assert receipt.amount == -7
    assert receipt.price is not None
    assert (receipt.price.version, receipt.price.rule) == (2, "7 per call")


async def test_the_kill_switch_holds_for_the_very_next_charge_in_every_process(
    credits: AsyncCredits, other: AsyncCredits
) -> None:
    await credits.open_account("alice")
    await other.charge("alice", skill="TEXT_GENERATION")
    await credits.skills.disable("TEXT_GENERATION")
    with pytest.raises(SkillDisabled):
        await other.charge("alice", skill="TEXT_GENERATION")
    await credits.skills.enable("TEXT_GENERATION")
    assert (await other.charge("alice", skill="TEXT_GENERATION")).amount == -1


async def test_what_another_process_changed_is_listed_and_quoted(credits: AsyncCredits, other: AsyncCredits) -> None:
    await credits.open_account("alice")
    await credits.skills.add("CHAT", 3)
    assert "CHAT" in [skill.name for skill in await other.skills.list()]
    await credits.skills.set_price("CHAT", 4)
    assert (await other.quote("alice", skill="CHAT")).credits == 4


async def test_a_hold_keeps_the_price_that_it_was_quoted(credits: AsyncCredits, other: AsyncCredits) -> None:
    await credits.open_account("alice")
    hold = await credits.place_hold("alice", skill="TEXT_GENERATION")
    await credits.skills.set_price("TEXT_GENERATION", 7)
    assert (await other.capture("alice", hold.id, usage={"calls": 2})).amount == -2


async def test_reading_what_has_not_changed_reads_the_version_only(credits: AsyncCredits) -> None:
    catalog = credits.catalog
    before = await catalog.newest()
    assert await catalog.newest() is before
    await credits.skills.set_price("TEXT_GENERATION", 2)
    after = await catalog.newest()
    assert after.version > before.version
    assert await catalog.newest() is after


async def test_what_was_read_late_does_not_replace_what_is_newer(credits: AsyncCredits) -> None:
    catalog = credits.catalog
    old = catalog.current
    await credits.skills.set_price("TEXT_GENERATION", 2)
    catalog._keep(old)
    assert catalog.current.version > old.version


# Plans


async def test_a_plan_is_put_and_got(credits: AsyncCredits) -> None:
    put = await credits.plans.put(
        "gold", allowance="1000.5", display_name="Gold", renewal="rollover", rollover_cap=300, priority=5
    )
    assert (put.name, put.allowance, put.period, put.anchor) == ("gold", Decimal("1000.5"), "month", "calendar")
    assert (put.renewal, put.rollover_cap, put.priority) == ("rollover", 300, 5)
    assert put == await credits.plans.get("gold")
    account = await credits.open_account("alice", plan="gold")
    assert account.posted == Decimal("1000.5")


async def test_a_plan_that_changes_keeps_what_was_granted(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    assert (await credits.plans.put("free", allowance=10)).allowance == 10
    assert (await credits.account("alice")).posted == 100
    assert (await credits.open_account("bob")).posted == 10


async def test_plans_are_listed_by_name(credits: AsyncCredits) -> None:
    assert [(plan.name, plan.allowance) for plan in await credits.plans.list()] == [
        ("enterprise", 10_000),
        ("free", 100),
        ("pro", 500),
        ("team", 2_000),
    ]
    with pytest.raises(PlanNotFound):
        await credits.plans.get("gold")


@pytest.mark.parametrize(
    ("plan", "field"),
    [
        (Plan("a/b", "A", 1), "name"),
        (Plan("a", "", 1), "display_name"),
        (Plan("a", "A", -1), "allowance"),
        (Plan("a", "A", 2**63), "allowance"),
        (Plan("a", "A", 1, period="hour"), "period"),
        (Plan("a", "A", 1, anchor="sometime"), "anchor"),
        (Plan("a", "A", 1, renewal="never"), "renewal"),
        (Plan("a", "A", 1, rollover_cap=1), "rollover_cap"),
        (Plan("a", "A", 1, renewal="rollover", rollover_cap=-1), "rollover_cap"),
        (Plan("a", "A", 1, priority=1_001), "priority"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_by_name(plan: Plan, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_plan(plan)
    assert refusal.value.field == field


# Seeding


async def test_an_empty_catalogue_is_seeded_once(bare: Store) -> None:
    catalog = Catalog(bare)
    assert (await catalog.load()).skills == {}
    assert await catalog.seed(load_preset("ai-credits"), NOW)
    assert (catalog.unit, catalog.default_plan) == ("credits", "free")
    assert catalog.current.skills["IMAGE_GENERATION"].price.created_at == NOW
    assert not await catalog.seed(Preset("another", default_plan=None, plans=(Plan("x", "X", 1),)), NOW)
    assert (catalog.default_plan, set(catalog.current.plans)) == ("free", {"free", "pro", "team", "enterprise"})


async def test_several_processes_that_seed_at_once_seed_once(bare: Store) -> None:
    catalogs = [Catalog(bare) for _ in range(4)]
    preset = load_preset("ai-credits")
    began = await asyncio.gather(*(catalog.seed(preset, NOW) for catalog in catalogs))
    assert sorted(began) == [False, False, False, True]
    assert [price.version for price in (await catalogs[0].load()).prices.values()] == [1, 1]


async def test_a_bad_preset_seeds_nothing(bare: Store) -> None:
    catalog = Catalog(bare)
    with pytest.raises(Invalid):
        await catalog.seed(Preset("bad", plans=(Plan("good", "Good", 1), Plan("bad", "Bad", -1))), NOW)
    assert (await catalog.load()).plans == {}


async def test_a_catalogue_that_somebody_made_is_left_alone(empty_url: str) -> None:
    async with AsyncCredits.open(empty_url, preset=None) as credits:
        assert await credits.skills.list() == []
        assert (await credits.open_account("alice")).plan is None
        await credits.plans.put("mine", allowance=1)
    async with AsyncCredits.open(empty_url) as credits:
        assert [plan.name for plan in await credits.plans.list()] == ["mine"]
        assert await credits.skills.list() == []


async def test_a_preset_of_ones_own(empty_url: str) -> None:
    preset = Preset("mine", unit="tokens", default_plan="basic", plans=(Plan("basic", "Basic", 3_000_000_000),))
    async with AsyncCredits.open(empty_url, preset=preset) as credits:
        await credits.open_account("alice")
        balance = await credits.balance("alice")
        assert (balance.unit, balance.plan, balance.posted) == ("tokens", "basic", 3)
    async with AsyncCredits.open(empty_url) as credits:
        # What the ledger began with counts, not what is opened with.
        assert (await credits.open_account("bob")).plan == "basic"
        with pytest.raises(InsufficientCredits):
            await credits.charge("bob", 4)


# Others in the way


class Contended:
    """A store in whose way somebody is, a number of times."""

    def __init__(self, store: Store, times: int) -> None:
        self._store = store
        self._times = times

    def write(self, work: Work[Any]) -> Awaitable[Any]:
        if self._times:
            self._times -= 1
            raise Contention("in the way")
        return self._store.write(work)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_change_is_tried_again_when_others_are_in_the_way(bare: Store) -> None:
    catalog = Catalog(Contended(bare, 3))  # type: ignore[arg-type]
    assert (await catalog.put_plan(Plan("a", "A", 1), NOW)).created_at == NOW


async def test_a_change_is_given_up_when_others_stay_in_the_way(bare: Store) -> None:
    catalog = Catalog(Contended(bare, 1_000))  # type: ignore[arg-type]
    with pytest.raises(Overloaded):
        await catalog.put_plan(Plan("a", "A", 1), NOW)
