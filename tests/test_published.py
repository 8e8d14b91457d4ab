"""Published prices, compiled: the same sums as the package's own, to the last decimal, and refusals by name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, StartDateConstraint
from msgspec import convert

from bursar import published
from bursar.core.errors import Invalid, ModelNotFound
from bursar.core.metering import FORMS
from bursar.core.model import Component, Instant, Usage
from bursar.core.money import NANOS
from bursar.core.periods import from_datetime, to_datetime
from bursar.core.pricing import check_price, make_price, provider_cost
from bursar.published import Published, find_published
from tests.core.test_metering import USAGES, read

NOW = from_datetime(datetime(2026, 11, 27, tzinfo=UTC))
MILLION = 1_000_000

THEIRS = {
    "input_token": ("input_tokens",),
    "cached_input_token": ("input_tokens", "cache_read_tokens"),
    "cache_write_token": ("input_tokens", "cache_write_tokens"),
    "cache_write_1h_token": ("input_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
    "output_token": ("output_tokens",),
    "reasoning_token": ("output_tokens", "output_reasoning_tokens"),
    "web_search": ("web_searches",),
}
"""In what the package counts a unit: its kinds hold one another."""


def price_of(components: tuple[Component, ...]) -> Any:
    return make_price("model", 1, components, usd_per_credit="1", source="a test")


def theirs(measured: dict[str, int]) -> TheirUsage:
    counted: dict[str, int] = {}
    for unit, count in measured.items():
        for name in THEIRS[unit]:
            counted[name] = counted.get(name, 0) + count
    return TheirUsage(**counted)


def ours(measured: dict[str, int]) -> Usage:
    fields = {f"{unit}s": count for unit, count in measured.items() if f"{unit}s" in Usage.__struct_fields__}
    rest = {unit: str(count) for unit, count in measured.items() if f"{unit}s" not in fields}
    return convert(fields | {"custom": rest}, Usage)


def every_model() -> Iterator[tuple[Provider, ModelInfo, Published]]:
    """Every model that is found under its own name, and whose price Bursar can say."""
    for provider in get_snapshot().providers:
        for model in provider.models:
            name = f"{provider.id}/{model.id}"
            try:
                found = find_published(name, NOW)
            except (Invalid, ModelNotFound):
                continue
            if get_snapshot().find_provider_model(name, None, "litellm", None) == (provider, model):
                yield provider, model, found


def exact(text: str | None) -> Fraction:
    assert text is not None
    return Fraction(text)


def test_every_price_that_is_compiled_comes_to_what_the_package_says() -> None:
    """A prompt on each side of every length at which a price changes, for some two thousand models."""
    random = Random(7)
    compared = 0
    for provider, model, found in every_model():
        components = found.prices[0][1]
        check_price(components, "1e-9", 0, "1")
        units = {component.unit for component in components}
        if not {"input_token", "output_token"} <= units or units & {"call", "second", "character"}:
            continue
        lengths = {component.above for component in components if component.above}
        for prompt in (1_000, *(length + more for length in lengths for more in (0, 1))):
            measured = {"input_token": prompt, "output_token": random.randrange(10_000)}
            for unit in ("cached_input_token", "cache_write_token", "cache_write_1h_token"):
                measured[unit] = random.randrange(measured["input_token"] // 2)
                measured["input_token"] -= measured[unit]
            measured["reasoning_token"] = random.randrange(5_000)
            if "web_search" in units:
                measured["web_search"] = random.randrange(9)
            their_cost = model.calc_price(theirs(measured), provider, genai_request_timestamp=to_datetime(NOW))
            our_cost = exact(provider_cost(price_of(components), ours(measured)))
            off = abs(our_cost - Fraction(their_cost.total_price))
            assert off <= Fraction(1, 2 * 10**12), (provider.id, model.id, measured)
            compared += 1
    assert compared > 2_000


@pytest.mark.parametrize("path", USAGES, ids=lambda path: path.stem)
def test_what_is_published_is_what_was_worked_out_by_hand(path: Any) -> None:
    told = read(path)
    day = datetime.fromisoformat(told.get("on", "2026-11-27")).replace(tzinfo=UTC)
    found = find_published(told["model"] if "xai" not in path.stem else f"x-ai/{told['model']}", from_datetime(day))
    usage = FORMS[told["form"]](json.loads(told["usage"]))
    assert provider_cost(price_of(found.prices[0][1]), usage) == told["cost"]["usd"]


def test_a_price_by_the_length_of_the_prompt_is_compiled() -> None:
    components = find_published("gemini-2.5-pro", NOW).prices[0][1]
    assert [(c.credits, c.per, c.above) for c in components if c.unit == "input_token"] == [
        (1_250_000_000, MILLION, 0),
        (2_500_000_000, MILLION, 200_000),
    ]


def test_a_price_has_its_day() -> None:
    """o3 cost five times as much before 2025-06-10."""

    def cost(now: Instant) -> list[tuple[Instant | None, int]]:
        found = find_published("o3", now)
        return [(moment, c.credits) for moment, parts in found.prices for c in parts if c.unit == "input_token"]

    day = from_datetime(datetime(2025, 6, 10, tzinfo=UTC))
    assert cost(day - 1) == [(None, 10 * NANOS), (day, 2 * NANOS)]
    assert cost(day) == [(None, 2 * NANOS)]


def test_the_source_names_the_package_and_its_version() -> None:
    name, version = find_published("gpt-4o", NOW).source.split()
    assert name == "genai-prices"
    assert version[0].isdigit()


@pytest.mark.parametrize("name", ["gpt-99", "nonsense", "*", "", "openai/gpt-99", "nobody/gpt-4o", "/", "gpt-4o\x00"])
def test_a_model_that_nobody_publishes_is_refused_by_name(name: str) -> None:
    with pytest.raises(ModelNotFound) as refused:
        find_published(name, NOW)
    assert refused.value.model == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("deepseek/deepseek-reasoner", "by the time of the day"),
        ("groq/whisper-large-v3", "least duration"),
        ("mistral/mistral-ocr-latest", "input_document_kpages"),
    ],
)
def test_what_components_cannot_say_is_refused_by_name(name: str, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        find_published(name, NOW)
    assert refused.value.field == "model"
    assert name in refused.value.reason
    assert reason in refused.value.reason
    assert "set its price yourself" in refused.value.reason


def test_the_provider_may_stand_before_the_model() -> None:
    assert find_published("openai/gpt-4o", NOW) == find_published("gpt-4o", NOW)
    assert find_published("azure/gpt-4o", NOW).prices


@pytest.mark.parametrize(
    ("usd", "nanos", "per"),
    [
        ("2.5", 2_500_000_000, MILLION),
        ("0", 0, MILLION),
        ("0.000000001", 1, MILLION),
        ("0.0000000015", 15, 10 * MILLION),
        ("0.041666666666666664", 41_666_666_666_666_664, 10**15),
    ],
)
def test_a_price_is_exact_whatever_its_decimals(usd: str, nanos: int, per: int) -> None:
    model = ModelPrice(input_mtok=Decimal(usd))
    [component] = published._components("m", model)
    assert (component.credits, component.per) == (nanos, per)
    assert Fraction(component.credits, component.per) == Fraction(usd) * NANOS / MILLION


def test_more_decimals_than_can_be_counted_are_refused() -> None:
    with pytest.raises(Invalid, match="more decimals"):
        published._components("m", ModelPrice(input_mtok=Decimal("0.0000000000000000001")))


def test_a_model_without_any_price_is_refused() -> None:
    with pytest.raises(Invalid, match="no published price"):
        published._components("m", ModelPrice())


def test_the_last_price_of_a_day_holds_else_the_first() -> None:
    days = [datetime(2026, 1, 1, tzinfo=UTC).date(), datetime(2026, 2, 1, tzinfo=UTC).date()]
    prices = [
        ConditionalPrice(StartDateConstraint(day), prices=ModelPrice(input_mtok=Decimal(n)))
        for n, day in enumerate(days)
    ]
    model = ModelInfo(id="m", match=None, prices=prices)  # type: ignore[arg-type]

    def at(year: int, month: int) -> ModelPrice:
        return published._price_at("m", model, from_datetime(datetime(year, month, 1, tzinfo=UTC)))

    assert [at(2025, 12).input_mtok, at(2026, 1).input_mtok, at(2026, 3).input_mtok] == [0, 0, 1]


def test_the_package_is_imported_when_it_is_needed_and_needs_no_network() -> None:
    code = """
import socket, sys
def refuse(*args, **kwargs): raise AssertionError("the network was asked")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import bursar.credits, bursar.models
assert "genai_prices" not in sys.modules
from bursar.published import find_published
print(len(find_published("gpt-4o", 1_790_000_000_000_000).prices))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout == "1\n", result.stderr
