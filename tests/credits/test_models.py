"""`credits.models`: what calls of a provider's model cost, through the library."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from bursar.core.errors import (
    AlreadyExists,
    InsufficientCredits,
    Invalid,
    ModelDisabled,
    ModelNotFound,
)
from bursar.core.model import Component, Usage
from bursar.credits import AsyncCredits, Credits
from bursar.credits.arguments import ComponentIn
from tests.credits.conftest import Clock, on_one_database

MILLION = 1_000_000
USAGE = Usage(input_tokens=1000, output_tokens=100)
USD: list[dict[str, Any]] = [
    {"unit": "input_token", "usd": "0.5", "per": MILLION},
    {"unit": "output_token", "usd": 2, "per": MILLION},
]


@pytest.fixture
async def ledger(credits: AsyncCredits) -> AsyncCredits:
    """With an account; the preset says that a credit is worth a cent."""
    await credits.open_account("alice", plan=None)
    await credits.grant("alice", 100)
    return credits


async def test_a_model_is_priced_by_its_name(ledger: AsyncCredits) -> None:
    quote = await ledger.quote("alice", model="gpt-4o", usage=USAGE)
    assert (quote.credits, quote.price_version, quote.sufficient) == (Decimal("0.35"), 1, True)
    receipt = await ledger.charge("alice", model="gpt-4o", usage=USAGE, idempotency_key="one")
    assert receipt.amount == Decimal("-0.35")
    assert (receipt.model, receipt.skill, receipt.destination) == ("gpt-4o", None, "model:gpt-4o")
    assert receipt.provider_cost_usd == "0.0035"
    assert receipt.price is not None
    assert receipt.price.version == 1
    assert receipt.price.rounding == "1e-9"
    assert receipt.price.rule is not None
    assert receipt.price.rule.startswith("$2.5 per 1000000 input_token + ")
    assert receipt.price.rule.endswith(", at $0.01 a credit")
    assert await ledger.charge("alice", model="gpt-4o", usage=USAGE, idempotency_key="one") == receipt
    assert await ledger.receipt("alice", receipt.id) == receipt
    async with ledger.hold("alice", model="gpt-4o", usage=Usage(input_tokens=1000, output_tokens=4000)) as hold:
        assert hold.amount == Decimal("4.25")
        captured = await hold.capture(usage=USAGE)
    assert (captured.amount, captured.provider_cost_usd) == (Decimal("-0.35"), "0.0035")
    assert (await ledger.verify()).findings == []


async def test_a_quote_beyond_what_there_is_says_what_it_would_cost(ledger: AsyncCredits) -> None:
    usage = Usage(output_tokens=MILLION)
    quote = await ledger.quote("alice", model="gpt-4o", usage=usage)
    assert (quote.credits, quote.sufficient, quote.price_version) == (1000, False, 1)
    with pytest.raises(InsufficientCredits):
        await ledger.charge("alice", model="gpt-4o", usage=usage)


async def test_many_charges_each_by_their_model(ledger: AsyncCredits) -> None:
    names = ("gpt-4o", "gpt-99", "claude-sonnet-4-5", "gpt-4o")
    results = await ledger.charge_many([{"account": "alice", "model": name, "usage": USAGE} for name in names])
    shown = [result if isinstance(result, Exception) else result.amount for result in results]
    assert shown[0] == shown[3] == Decimal("-0.35")
    assert isinstance(shown[1], ModelNotFound)
    assert shown[2] == Decimal("-0.45")


async def test_the_models_that_were_named_are_listed(ledger: AsyncCredits) -> None:
    assert await ledger.models.list() == []
    await ledger.charge("alice", model="gpt-4o", usage=USAGE)
    [model] = await ledger.models.list()
    assert model == await ledger.models.get("gpt-4o")
    assert (model.name, model.active, model.price.usd_per_credit, model.price.markup) == ("gpt-4o", True, "0.01", "1")
    assert model.price.source is not None
    assert model.price.source.startswith("genai-prices ")
    assert [(part.unit, part.usd, part.per) for part in model.price.components][:2] == [
        ("input_token", Decimal("2.5"), MILLION),
        ("cached_input_token", Decimal("1.25"), MILLION),
    ]
    for ask in (ledger.models.get, ledger.models.prices):
        with pytest.raises(ModelNotFound):
            await ask("gpt-5")


async def test_a_model_is_added_once_and_only_where_it_is_published(ledger: AsyncCredits) -> None:
    added = await ledger.models.add("gpt-4o")
    assert added.price.version == 1
    with pytest.raises(AlreadyExists):
        await ledger.models.add("gpt-4o")
    with pytest.raises(ModelNotFound):
        await ledger.models.add("gpt-99")


async def test_a_price_of_ones_own_in_dollars_or_in_credits(ledger: AsyncCredits) -> None:
    made = await ledger.models.set_price("house", USD, rounding="0.01", minimum="0.02")
    assert made.rule == (
        "$0.5 per 1000000 input_token + $2 per 1000000 output_token, at $0.01 a credit, at least 0.02, up to 0.01"
    )
    assert (await ledger.charge("alice", model="house", usage=USAGE)).amount == Decimal("-0.07")
    assert (await ledger.charge("alice", model="house", usage=Usage(input_tokens=1))).amount == Decimal("-0.02")
    parts: list[ComponentIn] = [{"unit": "output_token", "credits": 3, "per": 100}, Component("input_token", 0)]
    made = await ledger.models.set_price("house", parts, markup="1.5")
    assert made.rule == "3 per 100 output_token + 0 per input_token, x 1.5"
    assert [(part.usd, part.credits) for part in made.components] == [(None, 3), (None, 0)]
    receipt = await ledger.charge("alice", model="house", usage=USAGE)
    assert (receipt.amount, receipt.provider_cost_usd) == (Decimal("-4.5"), "0.0007")
    assert [price.version for price in await ledger.models.prices("house")] == [2, 1]


async def test_a_price_of_ones_own_by_dates(ledger: AsyncCredits, clock: Clock) -> None:
    begins, ends = (datetime(2026, 2, day, tzinfo=UTC) for day in (2, 3))
    made = await ledger.models.set_price("gpt-4o", USD, valid_from=begins, valid_to=ends)
    assert (made.valid_from, made.valid_to) == (begins, ends)
    costs = []
    for day in (1, 2, 3):
        clock.set(f"2026-02-0{day}T00:00:00Z")
        receipt = await ledger.charge("alice", model="gpt-4o", usage=USAGE)
        assert (await ledger.models.get("gpt-4o")).price.version == (receipt.price and receipt.price.version)
        costs.append((receipt.amount, receipt.provider_cost_usd))
    assert costs == [
        (Decimal("-0.35"), "0.0035"),
        (Decimal("-0.07"), "0.0007"),
        (Decimal("-0.35"), "0.0035"),
    ]


async def test_terms_turn_dollars_into_credits(ledger: AsyncCredits) -> None:
    terms = await ledger.models.terms()
    assert (terms.usd_per_credit, terms.model_markup) == ("0.01", "1")
    first = await ledger.charge("alice", model="gpt-4o", usage=USAGE)
    terms = await ledger.models.set_terms(model_markup=Decimal("1.20"))
    assert (terms.usd_per_credit, terms.model_markup) == ("0.01", "1.2")
    second = await ledger.charge("alice", model="gpt-4o", usage=USAGE)
    await ledger.models.set_terms(usd_per_credit="0.10")
    third = await ledger.charge("alice", model="gpt-4o", usage=USAGE)
    assert [receipt.amount for receipt in (first, second, third)] == [
        Decimal("-0.35"),
        Decimal("-0.42"),
        Decimal("-0.042"),
    ]
    assert {receipt.provider_cost_usd for receipt in (first, second, third)} == {"0.0035"}
    versions = await ledger.models.prices("gpt-4o")
    assert [price.version for price in versions] == [3, 2, 1]
    await ledger.models.set_terms(usd_per_credit="0.1", model_markup="1.2")
    assert await ledger.models.prices("gpt-4o") == versions


async def test_a_disabled_model_is_refused_and_what_is_in_flight_settles(ledger: AsyncCredits) -> None:
    hold = await ledger.place_hold("alice", model="gpt-4o", usage=USAGE)
    assert (await ledger.models.disable("gpt-4o")).active is False
    for refused in (ledger.charge, ledger.quote, ledger.place_hold):
        with pytest.raises(ModelDisabled):
            await refused("alice", model="gpt-4o", usage=USAGE)
    assert (await ledger.capture("alice", hold.id, usage=USAGE)).amount == Decimal("-0.35")
    assert (await ledger.models.enable("gpt-4o")).active is True
    await ledger.charge("alice", model="gpt-4o", usage=USAGE)


async def test_an_unknown_model_is_refused_unless_there_is_a_price_for_those(ledger: AsyncCredits) -> None:
    for ask in (ledger.charge, ledger.quote, ledger.place_hold):
        with pytest.raises(ModelNotFound, match="gpt-99"):
            await ask("alice", model="gpt-99", usage=USAGE)
    await ledger.models.set_price("*", USD)
    quote = await ledger.quote("alice", model="gpt-98", usage=USAGE)
    receipt = await ledger.charge("alice", model="gpt-99", usage=USAGE)
    assert (quote.credits, receipt.amount) == (Decimal("0.07"), Decimal("-0.07"))
    assert receipt.price is not None
    assert receipt.price.rule == quote.rule
    assert receipt.provider_cost_usd is None


async def test_what_is_published_comes_back(ledger: AsyncCredits) -> None:
    before = await ledger.models.add("gpt-4o")
    await ledger.models.set_price("gpt-4o", USD)
    after = await ledger.models.refresh("gpt-4o")
    assert after.price.components == before.price.components
    assert after.price.version == 3
    assert await ledger.models.refresh("gpt-4o") == after


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"components": []}, "components"),
        ({"components": [{"unit": "call", "usd": -1}]}, "components[0].usd"),
        ({"components": [{"unit": "call", "credits": -1}]}, "components[0].credits"),
        ({"components": [{"unit": "call", "usd": 0.5}]}, "components[0].usd"),
        ({"components": [{"unit": "call", "usd": 1, "credits": 1}]}, "components[0]"),
        ({"components": [{"unit": "call"}]}, "components[0]"),
        ({"components": [{"usd": 1}]}, "components[0]"),
        ({"components": [{"unit": "call", "uds": 1}]}, "components[0].uds"),
        ({"components": [5]}, "components[0]"),
        ({"components": [*USD, {"unit": "call", "credits": 1}]}, "components"),
        ({"components": [{"unit": f"u{n}", "usd": 1} for n in range(40)]}, "components"),
        ({"components": [{"unit": "input_token", "usd": 1, "above": 5}]}, "components[0].above"),
        ({"components": USD, "markup": 2}, "markup"),
        ({"components": USD, "minimum": -1}, "minimum"),
        ({"components": USD, "rounding": "5"}, "rounding"),
        ({"components": USD, "valid_from": datetime(2026, 1, 9, tzinfo=UTC)}, "valid_from"),
        ({"components": USD, "valid_to": datetime(2026, 1, 9, tzinfo=UTC)}, "valid_to"),
        ({"components": USD, "name": ""}, "model"),
        ({"components": USD, "name": "x" * 201}, "model"),
        ({"components": USD, "name": "a\x00b"}, "model"),
    ],
)
@on_one_database
async def test_a_price_that_makes_no_sense_is_refused_by_name(
    ledger: AsyncCredits, arguments: dict[str, Any], field: str
) -> None:
    await ledger.models.add("gpt-4o")
    with pytest.raises(Invalid) as refusal:
        await ledger.models.set_price(**{"name": "gpt-4o"} | arguments)
    assert refusal.value.field == field
    assert len(await ledger.models.prices("gpt-4o")) == 1


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"usd_per_credit": 0}, "usd_per_credit"),
        ({"usd_per_credit": -1}, "usd_per_credit"),
        ({"usd_per_credit": 0.01}, "usd_per_credit"),
        ({"usd_per_credit": "cheap"}, "usd_per_credit"),
        ({"model_markup": 0}, "model_markup"),
        ({"model_markup": -1}, "model_markup"),
        ({"model_markup": 1001}, "model_markup"),
    ],
)
@on_one_database
async def test_terms_that_make_no_sense_are_refused_by_name(
    ledger: AsyncCredits, terms: dict[str, Any], field: str
) -> None:
    before = await ledger.models.terms()
    with pytest.raises(Invalid) as refusal:
        await ledger.models.set_terms(**terms)
    assert refusal.value.field == field
    assert await ledger.models.terms() == before


@on_one_database
async def test_what_asks_for_nothing_is_refused(ledger: AsyncCredits) -> None:
    for arguments, field in (
        ({}, "skill"),
        ({"model": "gpt-4o"}, "usage"),
        ({"model": "gpt-4o", "amount": 1, "usage": USAGE}, "usage"),
        ({"model": "gpt-4o", "usage": {"input_tokens": -1}}, "usage.input_tokens"),
        ({"model": "gpt-4o", "usage": {"input_tokens": 1, "images": 1}}, "usage.images"),
        ({"model": "gpt-4o\x00", "usage": USAGE}, "model"),
    ):
        with pytest.raises(Invalid) as refusal:
            await ledger.charge("alice", **arguments)
        assert refusal.value.field == field


def test_threads_ask_for_models_as_well(blocking: Credits) -> None:
    blocking.open_account("alice")
    assert blocking.models.set_terms(usd_per_credit="0.02").usd_per_credit == "0.02"
    assert blocking.charge("alice", model="gpt-4o", usage=USAGE).amount == Decimal("-0.175")
    assert [model.name for model in blocking.models.list()] == ["gpt-4o"]
    blocking.models.disable("gpt-4o")
    with pytest.raises(ModelDisabled):
        blocking.charge("alice", model="gpt-4o", usage=USAGE)
