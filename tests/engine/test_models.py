"""Calls priced by their model: learned once for everybody, changed for everybody at their next call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from bursar import models
from bursar.core.commands import Capture, Charge, PlaceHold
from bursar.core.errors import (
    AlreadyExists,
    DatabaseUnavailable,
    EngineClosed,
    Invalid,
    ModelDisabled,
    ModelNotFound,
)
from bursar.core.model import Component, Usage
from bursar.core.timeline import price_at
from bursar.models import ModelPrice
from bursar.published import Published
from tests.engine.audit import audit
from tests.engine.peers import peer, peers
from tests.engine.rig import CREDIT, HOUR, T0, Hands, Rig, done, opened, refused

USAGE = Usage(input_tokens=1000, output_tokens=100)
GPT_4O = Charge(account="alice", model="gpt-4o", usage=USAGE)
"""1000 x $2.50 + 100 x $10 for a million: $0.0035, which is 0.35 credits at a cent."""

COST = 350_000_000
OUTPUT = Usage(output_tokens=1)


def own(credits: int, **dates: Any) -> ModelPrice:
    """So many credits for each token of output."""
    return ModelPrice(components=(Component("output_token", credits), Component("input_token", 0)), **dates)


@pytest.fixture
async def rig(url: str) -> AsyncIterator[Rig]:
    async with opened(url) as rig:
        await models.set_terms(rig.catalog, T0, usd_per_credit="0.01")
        await rig.open_account(credits=1000)
        yield rig


def amounts(results: list[Any]) -> list[int]:
    return [-outcome.transaction.amount for outcome in done(results) if outcome.transaction is not None]


async def charged(rig: Rig, command: Charge = GPT_4O) -> int:
    [amount] = amounts([await rig.engine.execute(command)])
    return amount


class Publisher:
    """Stands where the package is asked: what it says, how often it was asked, and it answers when it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **prices: int) -> None:
        self.prices = prices
        self.asked: list[str] = []
        monkeypatch.setattr(models, "find_published", self)

    def __call__(self, name: str, now: int) -> Published:
        self.asked.append(name)
        if name not in self.prices:
            raise ModelNotFound(name)
        parts = (Component("input_token", self.prices[name]), Component("output_token", self.prices[name]))
        return Published("a test", [(None, parts)])


# Learning


async def test_a_model_is_priced_as_it_is_published(rig: Rig) -> None:
    outcome = await rig.engine.execute(GPT_4O)
    row = outcome.transaction
    assert row is not None
    assert (row.amount, row.skill, row.model, row.price_version) == (-COST, None, "gpt-4o", 1)
    assert (row.provider_cost_usd, row.counterparty) == ("0.0035", "model:gpt-4o")


async def test_a_model_is_learned_once_however_many_ask(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = Publisher(monkeypatch, one=10_000, two=20_000)
    calls = [Charge(account="alice", model=name, usage=Usage(input_tokens=1)) for name in ("one", "two", "one") * 50]
    results = await rig.at_once(*calls, *calls)
    assert sorted(amounts(results)) == [1_000_000] * 200 + [2_000_000] * 100
    assert sorted(publisher.asked) == ["one", "two"]
    assert await charged(rig, calls[0]) == 1_000_000
    assert sorted(publisher.asked) == ["one", "two"]
    assert len(rig.catalog.current.models) == 2


async def test_processes_that_learn_a_model_at_once_learn_it_once(rig: Rig, url: str) -> None:
    async with peers(url, 3) as others:
        asked = {"account": "alice", "model": "gpt-4o", "usage": {"input_tokens": 1000, "output_tokens": 100}}
        answers = await asyncio.gather(
            *(other.do("charge", times=5, **asked) for other in others), *(charged(rig) for _ in range(5))
        )
    assert [len(answer["ids"]) for answer in answers[:3]] == [5, 5, 5]
    catalogue = await rig.catalog.newest()
    assert [price.version for (skill, _), price in catalogue.prices.items() if skill is None] == [1]
    assert {row.amount for row in await rig.transactions() if row.model} == {-COST}


async def test_others_are_served_while_a_model_is_learned(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    published = asyncio.Event()
    learn = models.learn

    async def slowly(*asked: Any) -> Any:
        await published.wait()
        return await learn(*asked)

    monkeypatch.setattr(models, "learn", slowly)
    waiting = rig.engine.submit(GPT_4O)
    await rig.engine.execute(Charge(account="alice", amount=CREDIT))
    assert not waiting.done()
    assert rig.engine.queued == 1
    published.set()
    assert amounts([await waiting]) == [COST]
    assert rig.engine.queued == 0


async def test_an_engine_that_closes_finishes_what_waits_for_a_model(url: str) -> None:
    async with opened(url) as rig:
        await models.set_terms(rig.catalog, T0, usd_per_credit="0.01")
        await rig.open_account(credits=10)
        futures = [rig.engine.submit(replace(GPT_4O, model=name)) for name in ("gpt-4o", "gpt-99")]
        await asyncio.sleep(0)
        await rig.engine.close()
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert (amounts(results), refused(results)) == ([COST], ["model_not_found"])
        with pytest.raises(EngineClosed):
            rig.engine.submit(GPT_4O)


async def test_threads_wait_for_a_model_like_anybody(rig: Rig) -> None:
    waiter = await asyncio.to_thread(rig.engine.submit_threadsafe, GPT_4O)
    assert amounts([await asyncio.to_thread(waiter.wait)]) == [COST]


async def test_a_model_that_nobody_publishes_is_refused_by_name_and_asked_for_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher(monkeypatch)
    unknown = replace(GPT_4O, model="gpt-99")
    results = await rig.at_once(*[unknown] * 9)
    assert refused(results) == ["model_not_found"] * 9
    with pytest.raises(ModelNotFound, match="gpt-99"):
        await rig.engine.execute(unknown)
    with pytest.raises(ModelNotFound):
        await rig.engine.execute(PlaceHold(account="alice", model="gpt-99", usage=USAGE))
    assert publisher.asked == ["gpt-99"]
    assert (await rig.account()).posted == 1000 * CREDIT


async def test_an_unknown_model_has_the_price_that_was_set_for_those(rig: Rig) -> None:
    unknown = replace(GPT_4O, model="gpt-99")
    with pytest.raises(ModelNotFound):
        await rig.engine.execute(unknown)
    default = await models.set_price(rig.catalog, "*", own(10**7), T0)
    row = (await rig.engine.execute(unknown)).transaction
    assert row is not None
    assert (row.amount, row.model, row.price_version) == (-(10**9), "gpt-99", default.version)
    assert row.provider_cost_usd is None
    # Whoever is published has their own price all the same, and whoever is not is asked for once.
    assert await charged(rig) == COST
    another = replace(unknown, model="gpt-98")
    held = await rig.engine.execute(PlaceHold(account="alice", model="gpt-98", usage=USAGE))
    assert held.hold is not None
    assert await charged(rig, another) == 10**9
    await models.set_price(rig.catalog, "*", own(2 * 10**7), T0)
    captured = await rig.engine.execute(Capture(account="alice", hold=held.hold.hold_id, usage=USAGE))
    assert amounts([captured]) == [10**9]
    assert await charged(rig, another) == 2 * 10**9


async def test_a_model_in_dollars_is_refused_while_nobody_says_what_a_credit_is_worth(url: str) -> None:
    async with opened(url) as rig:
        await rig.open_account(credits=1)
        for _ in range(2):
            with pytest.raises(Invalid) as refusal:
                await rig.engine.execute(GPT_4O)
            assert refusal.value.field == "usd_per_credit"
        await models.set_terms(rig.catalog, T0, usd_per_credit="0.01")
        assert await charged(rig) == COST


async def test_a_price_that_cannot_be_used_is_refused_by_name(rig: Rig) -> None:
    with pytest.raises(Invalid, match="deepseek-chat is priced by the time of the day: set its price yourself"):
        await rig.engine.execute(replace(GPT_4O, model="deepseek-chat"))
    await models.set_price(rig.catalog, "deepseek-chat", own(10**6), T0)
    assert await charged(rig, replace(GPT_4O, model="deepseek-chat")) == 10**8


async def test_the_catalogue_takes_so_many_models(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MAX_MODELS", 2)
    Publisher(monkeypatch, a=1, b=1, c=1)
    for name in "ab":
        await charged(rig, replace(GPT_4O, model=name))
    with pytest.raises(Invalid, match="has 2 models"):
        await rig.engine.execute(replace(GPT_4O, model="c"))


async def test_what_is_known_to_be_unpublished_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MAX_UNPUBLISHED", 3)
    Publisher(monkeypatch)
    for number in range(10):
        with pytest.raises(ModelNotFound):
            await rig.engine.execute(replace(GPT_4O, model=f"m{number}"))
        assert len(rig.catalog.unpublished) <= 3


async def test_a_catalogue_that_cannot_be_reached_is_told_to_those_who_wait(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise DatabaseUnavailable("it is away")

    with monkeypatch.context() as patched:
        patched.setattr(rig.catalog, "change", away)
        with pytest.raises(DatabaseUnavailable):
            await rig.engine.execute(GPT_4O)
    assert await charged(rig) == COST


# Changing


async def test_a_price_set_in_another_process_holds_for_the_very_next_call(rig: Rig, url: str) -> None:
    async with peer(url) as other:
        assert await charged(rig) == COST
        for credits in (3, 2):
            await other.do("set_model_price", model="gpt-4o", credits=credits * CREDIT)
            assert await charged(rig, replace(GPT_4O, usage=OUTPUT)) == credits * CREDIT


async def test_terms_set_in_another_process_hold_for_the_very_next_call(rig: Rig, url: str) -> None:
    async with peer(url) as other:
        assert await charged(rig) == COST
        await other.do("set_terms", markup="2")
        assert await charged(rig) == 2 * COST
        [first, second] = [row for row in await rig.transactions() if row.model]
        assert (first.price_version, second.price_version) == (1, 2)
        assert first.provider_cost_usd == second.provider_cost_usd == "0.0035"


async def test_a_hold_keeps_the_price_it_was_quoted_whatever_comes(rig: Rig, url: str) -> None:
    async with peer(url) as other:
        held = await rig.engine.execute(PlaceHold(account="alice", model="gpt-4o", usage=USAGE))
        assert held.hold is not None
        assert held.hold.amount == COST
        await other.do("set_terms", markup="2")
        await other.do("set_model_price", model="gpt-4o", credits=CREDIT)
        await other.do("switch_model", model="gpt-4o", active=False)
        with pytest.raises(ModelDisabled):
            await rig.engine.execute(GPT_4O)
        with pytest.raises(ModelDisabled):
            await rig.engine.execute(PlaceHold(account="alice", model="gpt-4o", usage=USAGE))
        outcome = await rig.engine.execute(
            Capture(account="alice", hold=held.hold.hold_id, usage=Usage(input_tokens=1000, output_tokens=200))
        )
        row = outcome.transaction
        assert row is not None
        assert (row.amount, row.price_version, row.provider_cost_usd) == (-450_000_000, 1, "0.0045")
        assert row.counterparty == "model:gpt-4o"
        await other.do("switch_model", model="gpt-4o", active=True)
        await rig.engine.execute(replace(GPT_4O, usage=OUTPUT))
    await audit(rig.store)


async def test_a_model_may_be_forbidden_before_anybody_named_it(rig: Rig) -> None:
    await models.switch(rig.catalog, "gpt-4o", T0, active=False)
    with pytest.raises(ModelDisabled):
        await rig.engine.execute(GPT_4O)
    await models.switch(rig.catalog, "gpt-4o", T0, active=True)
    assert await charged(rig) == COST
    with pytest.raises(ModelNotFound):
        await models.switch(rig.catalog, "gpt-99", T0, active=False)


async def test_a_price_that_is_announced_holds_from_its_instant_on_in_every_process(rig: Rig, url: str) -> None:
    """Both charge on while it takes over: each row has the price of the moment it was recorded at."""
    milli = CREDIT // 1000
    text, model = Charge(account="alice", skill="TEXT"), Charge(account="alice", model="own", usage=OUTPUT)
    await rig.catalog.set_price("TEXT", cost=milli, now=T0)
    await models.set_price(rig.catalog, "own", own(milli), T0)
    async with peer(url) as other:
        begins = await rig.engine.now() + 2_000_000
        await rig.catalog.set_price("TEXT", cost=5 * milli, valid_from=begins, now=await rig.engine.now())
        await models.set_price(rig.catalog, "own", own(7 * milli, valid_from=begins), await rig.engine.now())

        async def there() -> None:
            await other.do("charge", account="alice", skill="TEXT")
            await other.do("charge", account="alice", model="own", usage={"output_tokens": 1})

        while await rig.engine.now() < begins + 200_000:
            await asyncio.gather(there(), rig.engine.execute(text), rig.engine.execute(model))
    rows = [row for row in await rig.transactions() if row.price_version is not None]
    old, new = {"TEXT": 1, None: 1}, {"TEXT": 5, None: 7}
    for row in rows:
        assert -row.amount == milli * (new if row.recorded_at >= begins else old)[row.skill], row
    for skill in ("TEXT", None):
        assert len({row.amount for row in rows if row.skill == skill}) == 2


async def test_a_price_for_a_while_ends_by_the_ledgers_clock(url: str) -> None:
    hands = Hands()
    async with opened(url, clock=hands) as rig:
        await rig.open_account(credits=1000)
        await rig.catalog.set_price("TEXT", cost=9 * CREDIT, valid_from=T0 + HOUR, valid_to=T0 + 2 * HOUR, now=T0)
        found = []
        for hours in (0, 1, 1.5, 2, 3):
            hands.instant = T0 + int(hours * HOUR)
            found.append(await charged(rig, Charge(account="alice", skill="TEXT")) // CREDIT)
        assert found == [1, 9, 9, 1, 1]


# By hand


async def test_a_price_of_ones_own_is_of_a_model_that_nobody_publishes_or_instead(rig: Rig) -> None:
    await models.set_price(rig.catalog, "house-model", own(10**7), T0)
    row = (await rig.engine.execute(replace(GPT_4O, model="house-model"))).transaction
    assert row is not None
    assert (row.amount, row.provider_cost_usd) == (-(10**9), None)
    # What the provider takes is known all the same where it is published.
    await models.set_price(rig.catalog, "gpt-4o", own(10**7), T0)
    row = (await rig.engine.execute(GPT_4O)).transaction
    assert row is not None
    assert (row.amount, row.provider_cost_usd) == (-(10**9), "0.0035")


async def test_a_price_in_dollars_of_ones_own_is_what_the_provider_takes(rig: Rig) -> None:
    usd = (Component("input_token", 2_000), Component("output_token", 8_000))
    await models.set_price(rig.catalog, "gpt-4o", ModelPrice(components=usd, usd=True), T0)
    row = (await rig.engine.execute(GPT_4O)).transaction
    assert row is not None
    assert (row.amount, row.provider_cost_usd) == (-280_000_000, "0.0028")


async def test_what_the_provider_takes_is_recorded_beside_the_price_of_a_skill(rig: Rig) -> None:
    command = Charge(account="alice", skill="TEXT", model="gpt-4o", usage=USAGE)
    rows = [(await rig.engine.execute(command)).transaction]
    await models.add(rig.catalog, "gpt-4o", T0)
    rows.append((await rig.engine.execute(command)).transaction)
    held = await rig.engine.execute(PlaceHold(account="alice", skill="TEXT", model="gpt-4o"))
    assert held.hold is not None
    capture = Capture(account="alice", hold=held.hold.hold_id, usage=USAGE)
    rows.append((await rig.engine.execute(capture)).transaction)
    said = Charge(account="alice", amount=CREDIT, model="gpt-4o", provider_cost_usd="0.5")
    rows.append((await rig.engine.execute(said)).transaction)
    assert [row and (row.amount, row.provider_cost_usd) for row in rows] == [
        (-CREDIT, None),
        (-CREDIT, "0.0035"),
        (-CREDIT, "0.0035"),
        (-CREDIT, "0.5"),
    ]
    again = await rig.engine.execute(capture)
    assert again.replayed


async def test_terms_change_prices_in_dollars_for_the_time_that_they_hold(url: str) -> None:
    hands = Hands()
    async with opened(url, clock=hands) as rig:
        await models.set_terms(rig.catalog, T0, usd_per_credit="0.01")
        await rig.open_account(credits=1000)
        assert await charged(rig) == COST
        await models.set_price(rig.catalog, "gpt-4o", own(CREDIT, valid_from=T0 + HOUR, valid_to=T0 + 2 * HOUR), T0)
        cheap = ModelPrice(
            components=(Component("input_token", 1_000), Component("output_token", 1_000)),
            usd=True,
            valid_from=T0 + 3 * HOUR,
            valid_to=T0 + 4 * HOUR,
        )
        await models.set_price(rig.catalog, "gpt-4o", cheap, T0)
        found = []
        for markup in ("1", "3"):
            hands.instant = T0
            await models.set_terms(rig.catalog, T0, markup=markup)
            catalogue = await rig.catalog.newest()
            model = catalogue.models["gpt-4o"]
            found.append([price_at(model, T0 + hours * HOUR).markup for hours in range(5)])
        assert found == [["1", "1", "1", "1", "1"], ["3", "1", "3", "3", "3"]]
        costs = []
        for hours in range(5):
            hands.instant = T0 + hours * HOUR
            costs.append(await charged(rig))
        assert costs == [3 * COST, 100 * CREDIT, 3 * COST, 330_000_000, 3 * COST]
        await models.set_terms(rig.catalog, T0, markup="3.0")
        assert (await rig.catalog.newest()).models == rig.catalog.current.models


async def test_what_is_published_now_takes_the_place_of_everything(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hands = Hands()
    async with opened(url, clock=hands) as rig:
        publisher = Publisher(monkeypatch, m=10_000)
        await models.set_terms(rig.catalog, T0, usd_per_credit="0.01")
        await rig.open_account(credits=1000)
        command = Charge(account="alice", model="m", usage=Usage(input_tokens=1))
        assert await charged(rig, command) == 1_000_000
        version = rig.catalog.current.models["m"].price.version
        assert (await models.refresh(rig.catalog, "m", T0)).price.version == version
        publisher.prices["m"] = 30_000
        await models.set_price(rig.catalog, "m", own(CREDIT, valid_from=T0 + HOUR, valid_to=T0 + 2 * HOUR), T0)
        refreshed = await models.refresh(rig.catalog, "m", T0)
        assert await models.refresh(rig.catalog, "m", T0) == refreshed
        for hours in range(4):
            hands.instant = T0 + hours * HOUR
            assert await charged(rig, command) == 3_000_000
        with pytest.raises(ModelNotFound):
            await models.refresh(rig.catalog, "other", T0)
    await audit_url(url)


async def audit_url(url: str) -> None:
    async with opened(url) as rig:
        await audit(rig.store)


async def test_a_model_is_added_once(rig: Rig) -> None:
    assert (await models.add(rig.catalog, "gpt-4o", T0)).price.source.startswith("genai-prices ")  # type: ignore[union-attr]
    with pytest.raises(AlreadyExists):
        await models.add(rig.catalog, "gpt-4o", T0)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (ModelPrice(components=()), "components"),
        (ModelPrice(components=tuple(Component(f"u{n}", 1) for n in range(40))), "components"),
        (ModelPrice(components=(Component("call", -1),)), "components[0].credits"),
        (ModelPrice(components=(Component("call", 1),), usd=True, markup="2"), "markup"),
        (own(1, valid_from=T0 - 1), "valid_from"),
        (own(1, valid_to=T0), "valid_to"),
    ],
)
async def test_a_price_that_makes_no_sense_is_refused_by_name(rig: Rig, wanted: ModelPrice, field: str) -> None:
    await models.add(rig.catalog, "gpt-4o", T0)
    before = (await rig.catalog.newest()).prices
    with pytest.raises(Invalid) as refusal:
        await models.set_price(rig.catalog, "gpt-4o", wanted, T0)
    assert refusal.value.field == field
    assert (await rig.catalog.newest()).prices == before


async def test_a_first_price_for_a_while_is_refused_where_there_is_none_around_it(rig: Rig) -> None:
    for dates in ({"valid_from": T0 + HOUR}, {"valid_to": T0 + HOUR}):
        with pytest.raises(ModelNotFound):
            await models.set_price(rig.catalog, "gpt-99", own(1, **dates), T0)
    begins = T0 + HOUR
    made = await models.set_price(rig.catalog, "gpt-4o", own(1, valid_from=begins), T0)
    assert (made.valid_from, (await rig.catalog.newest()).models["gpt-4o"].price.version) == (begins, 1)
