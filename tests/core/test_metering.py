"""What providers say they measured: no token counted twice, none left out, each cost worked out by hand."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert
from msgspec.structs import asdict

from bursar.core.errors import Invalid
from bursar.core.metering import (
    FORMS,
    usage_from_anthropic,
    usage_from_google,
    usage_from_openai,
)
from bursar.core.model import Component, Price, Usage
from bursar.core.money import format_credits, parse_credits
from bursar.core.pricing import PROMPT, check_usage, cost, make_price, provider_cost

USAGES = sorted((Path(__file__).parent / "usages").glob("*.toml"))
MILLION = 1_000_000

each_usage = pytest.mark.parametrize("path", USAGES, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)


def published(told: dict[str, Any]) -> Price:
    """The price that stands in the file, at a cent for a credit."""
    parts = [Component(unit, parse_credits(usd), MILLION) for unit, usd in told["price"].items()]
    for above, prices in told.get("price_above", {}).items():
        parts += [Component(unit, parse_credits(usd), MILLION, above=int(above)) for unit, usd in prices.items()]
    return make_price(told["model"], 1, parts, usd_per_credit="0.01", source="a test")


@each_usage
def test_kinds_of_tokens_are_told_apart(path: Path) -> None:
    told = read(path)
    usage = FORMS[told["form"]](json.loads(told["usage"]))
    assert usage == convert(told["measured"], Usage)
    check_usage(usage)


@each_usage
def test_the_cost_is_the_one_worked_out_by_hand(path: Path) -> None:
    told = read(path)
    usage = FORMS[told["form"]](json.loads(told["usage"]))
    price = published(told)
    assert provider_cost(price, usage) == told["cost"]["usd"]
    assert format_credits(cost(price, usage)) == told["cost"]["credits"]


@each_usage
def test_an_object_of_an_sdk_says_the_same_as_its_json(path: Path) -> None:
    told = read(path)
    usage = json.loads(told["usage"], object_hook=lambda fields: SimpleNamespace(**fields))
    assert FORMS[told["form"]](usage) == convert(told["measured"], Usage)


def total(usage: Usage, *, prompt: bool) -> int:
    """All tokens of the prompt, or all others."""
    units = {
        "input_token": usage.input_tokens,
        "cached_input_token": usage.cached_input_tokens,
        "cache_write_token": usage.cache_write_tokens,
        "output_token": usage.output_tokens,
        "reasoning_token": usage.reasoning_tokens,
    } | {unit: int(count) for unit, count in usage.custom.items() if unit.endswith("_token")}
    return sum(count for unit, count in units.items() if (unit in PROMPT) is prompt)


counts = st.integers(0, 10**6)


@given(text=counts, cached=counts, written=counts, audio=counts, output=counts, reasoning=counts, spoken=counts)
def test_no_token_of_openai_is_counted_twice_or_lost(
    text: int, cached: int, written: int, audio: int, output: int, reasoning: int, spoken: int
) -> None:
    prompt, completion = text + cached + written + audio, output + reasoning + spoken
    usage = usage_from_openai(
        {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": audio},
            "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": spoken},
        }
    )
    assert (total(usage, prompt=True), total(usage, prompt=False)) == (prompt, completion)
    assert (usage.input_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (text, written, reasoning)


@given(text=counts, cached=counts, short=counts, long=counts, output=counts, thinking=counts)
def test_no_token_of_anthropic_is_counted_twice_or_lost(
    text: int, cached: int, short: int, long: int, output: int, thinking: int
) -> None:
    usage = usage_from_anthropic(
        {
            "input_tokens": text,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": short + long,
            "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
            "output_tokens": output + thinking,
            "output_tokens_details": {"thinking_tokens": thinking},
        }
    )
    assert total(usage, prompt=True) == text + cached + short + long
    assert total(usage, prompt=False) == output + thinking
    assert (usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens) == (text, cached, short)


@given(text=counts, image=counts, cached=counts, tools=counts, output=counts, picture=counts, thoughts=counts)
def test_no_token_of_google_is_counted_twice_or_lost(
    text: int, image: int, cached: int, tools: int, output: int, picture: int, thoughts: int
) -> None:
    usage = usage_from_google(
        {
            "promptTokenCount": text + image + cached,
            "cachedContentTokenCount": cached,
            "toolUsePromptTokenCount": tools,
            "candidatesTokenCount": output + picture,
            "thoughtsTokenCount": thoughts,
            "promptTokensDetails": [{"modality": "IMAGE", "tokenCount": image}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": picture}],
        }
    )
    assert total(usage, prompt=True) == text + image + cached + tools
    assert total(usage, prompt=False) == output + picture + thoughts
    assert (usage.input_tokens, usage.reasoning_tokens) == (text + tools, thoughts)


def test_audio_that_was_cached_is_told_where_the_provider_does() -> None:
    usage = usage_from_openai(
        {
            "input_tokens": 100,
            "output_tokens": 0,
            "input_token_details": {
                "audio_tokens": 70,
                "cached_tokens": 50,
                "cached_tokens_details": {"text_tokens": 10, "audio_tokens": 40},
            },
        }
    )
    assert (usage.input_tokens, usage.cached_input_tokens) == (20, 10)
    assert usage.custom == {"input_audio_token": "30", "cached_audio_token": "40"}


def test_audio_that_must_have_been_cached_is_where_nobody_tells() -> None:
    usage = usage_from_openai(
        {
            "prompt_tokens": 100,
            "completion_tokens": 0,
            "prompt_tokens_details": {"cached_tokens": 50, "audio_tokens": 80},
        }
    )
    assert (usage.input_tokens, usage.cached_input_tokens) == (0, 20)
    assert usage.custom == {"input_audio_token": "50", "cached_audio_token": "30"}


def test_a_cache_that_is_told_only_by_its_kinds_is_counted() -> None:
    usage = usage_from_anthropic(
        {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 7}}
    )
    assert usage.cache_write_tokens == 7


def test_a_modality_may_be_an_enumeration_and_a_document_is_an_image() -> None:
    class Modality(Enum):
        DOCUMENT = "DOCUMENT"
        VIDEO = "VIDEO"

    usage = usage_from_google(
        SimpleNamespace(
            prompt_token_count=30,
            prompt_tokens_details=[
                SimpleNamespace(modality=Modality.DOCUMENT, token_count=10),
                SimpleNamespace(modality=Modality.VIDEO, token_count=5),
            ],
        )
    )
    assert (usage.input_tokens, usage.custom) == (15, {"input_image_token": "10", "input_video_token": "5"})


@pytest.mark.parametrize(
    ("form", "usage", "field"),
    [
        ("openai", None, "usage"),
        ("openai", {}, "usage"),
        ("openai", {"promptTokenCount": 1}, "usage"),
        ("anthropic", {"prompt_tokens": 1}, "usage"),
        ("google", {"input_tokens": 1}, "usage"),
        ("openai", {"prompt_tokens": -1}, "usage.prompt_tokens"),
        ("openai", {"prompt_tokens": 1.5}, "usage.prompt_tokens"),
        ("openai", {"prompt_tokens": True}, "usage.prompt_tokens"),
        ("openai", {"prompt_tokens": "12"}, "usage.prompt_tokens"),
        ("openai", {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}, "usage.input_tokens"),
        (
            "openai",
            {"completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 2}},
            "usage.output_tokens",
        ),
        ("anthropic", {"output_tokens": 1, "output_tokens_details": {"thinking_tokens": 2}}, "usage.output_tokens"),
        (
            "anthropic",
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": 1,
                "cache_creation": {"ephemeral_1h_input_tokens": 2},
            },
            "usage.cache_write_tokens",
        ),
        ("google", {"promptTokenCount": 1, "cachedContentTokenCount": 2}, "usage.input_tokens"),
        (
            "google",
            {"promptTokenCount": 9, "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}]},
            "usage.cached_input_tokens",
        ),
    ],
)
def test_what_does_not_add_up_is_refused_by_name(form: str, usage: object, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        FORMS[form](usage)
    assert refused.value.field == field


def test_every_unit_that_comes_out_has_a_price_where_input_and_output_do() -> None:
    price = make_price(
        "m", 1, [Component("input_token", 1), Component("output_token", 1)], usd_per_credit="1", source="a test"
    )
    usage = usage_from_google(
        {
            "promptTokenCount": 60,
            "cachedContentTokenCount": 30,
            "candidatesTokenCount": 40,
            "promptTokensDetails": [{"modality": m, "tokenCount": 20} for m in ("AUDIO", "IMAGE", "VIDEO")],
            "cacheTokensDetails": [{"modality": m, "tokenCount": 10} for m in ("AUDIO", "IMAGE", "VIDEO")],
            "candidatesTokensDetails": [{"modality": m, "tokenCount": 10} for m in ("AUDIO", "IMAGE", "VIDEO")],
        }
    )
    assert cost(price, usage) == 100
    assert asdict(usage)["input_tokens"] == 0
