"""Usage in, credits out: exact sums, one rounding, and nothing free by accident."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from bursar.core.errors import Invalid
from bursar.core.model import Component, Price, Usage
from bursar.core.money import MAX_NANOS, NANOS, STEPS, Rounding, format_credits, parse_credits
from bursar.core.pricing import check_price, check_usage, cost, explain, flat_cost, make_price, provider_cost

MILLION = 1_000_000


def per(credits: str, unit: str, amount: int = 1, size: str | None = None, quality: str | None = None) -> Component:
    return Component(unit, parse_credits(credits), amount, size, quality)


def price(
    *components: Component,
    rounding: Rounding = Rounding.NANO,
    minimum: str = "0",
    markup: str = "1",
) -> Price:
    least = parse_credits(minimum)
    return make_price("SKILL", 1, components, rounding=rounding, minimum=least, markup=markup)


def shown(rule: Price, usage: Usage | None = None, quantity: int = 1) -> str:
    return format_credits(cost(rule, usage, quantity))


FLAT = price(per("5", "call"))
TOKENS = price(per("3", "input_token", MILLION), per("15", "output_token", MILLION))
CACHED = price(
    per("3", "input_token", MILLION),
    per("0.3", "cached_input_token", MILLION),
    per("3.75", "cache_write_token", MILLION),
    per("15", "output_token", MILLION),
)
IMAGES = price(
    per("0.04", "image"),
    per("0.06", "image", size="1024x1024"),
    per("0.08", "image", quality="hd"),
    per("0.12", "image", size="1024x1024", quality="hd"),
)
SIZED = price(per("0.04", "image", size="512x512"), per("1", "call"))
CALL_AND_TOKENS = price(per("1", "call"), per("2", "input_token", 1_000))


@pytest.mark.parametrize(
    ("rule", "usage", "credits"),
    [
        (FLAT, None, "5"),
        (FLAT, Usage(), "5"),
        (FLAT, Usage(input_tokens=10**6), "5"),
        (FLAT, Usage(images=2, image_size="9x9"), "5"),
        (FLAT, Usage(calls=3), "15"),
        (FLAT, Usage(calls=0), "0"),
        # 1234 x 0.000003 = 0.003702, 567 x 0.000015 = 0.008505
        (TOKENS, Usage(input_tokens=1234, output_tokens=567), "0.012207"),
        # $0.15 per million tokens: 150 nano-credits each
        (price(per("0.15", "input_token", MILLION)), Usage(input_tokens=1), "0.00000015"),
        # 2,000 tokens a credit
        (price(per("1", "output_token", 2_000)), Usage(output_tokens=3_001), "1.5005"),
        # 100 x 0.000003 + 1000 x 0.0000003 + 10 x 0.00000375 + 1 x 0.000015
        (
            CACHED,
            Usage(input_tokens=100, cached_input_tokens=1_000, cache_write_tokens=10, output_tokens=1),
            "0.0006525",
        ),
        # Token kinds without a price of their own cost what their kin costs.
        (TOKENS, Usage(cached_input_tokens=1_000), "0.003"),
        (TOKENS, Usage(cache_write_tokens=1_000), "0.003"),
        (TOKENS, Usage(reasoning_tokens=1_000), "0.015"),
        (CACHED, Usage(reasoning_tokens=1_000), "0.015"),
        (CALL_AND_TOKENS, None, "1"),
        (CALL_AND_TOKENS, Usage(input_tokens=500), "2"),
        (CALL_AND_TOKENS, Usage(output_tokens=500), "1"),
        (TOKENS, Usage(characters=9, seconds="4"), "0"),
        # 12.345 seconds at 0.006 a minute
        (price(per("0.006", "second", 60)), Usage(seconds="12.345"), "0.0012345"),
        (price(per("15", "character", MILLION)), Usage(characters=42), "0.00063"),
        (price(per("0.5", "web_search")), Usage(custom={"web_search": "3", "other": "9"}), "1.5"),
        (price(per("0.5", "gpu_hour")), Usage(custom={"gpu_hour": "0.25"}), "0.125"),
        (IMAGES, Usage(images=2), "0.08"),
        (IMAGES, Usage(images=2, image_size="1024x1024"), "0.12"),
        (IMAGES, Usage(images=2, image_quality="hd"), "0.16"),
        (IMAGES, Usage(images=2, image_size="1024x1024", image_quality="hd"), "0.24"),
        (IMAGES, Usage(images=2, image_size="2048x2048", image_quality="hd"), "0.16"),
        (IMAGES, Usage(images=2, image_size="2048x2048"), "0.08"),
        (SIZED, Usage(images=2, image_size="512x512"), "1.08"),
        (SIZED, Usage(), "1"),
    ],
)
def test_costs_worked_out_by_hand(rule: Price, usage: Usage | None, credits: str) -> None:
    assert shown(rule, usage) == credits


def test_a_size_weighs_more_than_a_quality() -> None:
    rule = price(per("3", "image", quality="hd"), per("7", "image", size="1x1"))
    assert shown(rule, Usage(images=1, image_size="1x1", image_quality="hd")) == "7"


@pytest.mark.parametrize(
    ("usage", "kind"),
    [
        (Usage(images=1), "no size or quality"),
        (Usage(images=1, image_size="1x1"), "1x1"),
        (Usage(images=1, image_size="1x1", image_quality="hd"), "1x1 hd"),
    ],
)
def test_an_image_without_a_price_is_refused_by_name(usage: Usage, kind: str) -> None:
    with pytest.raises(Invalid) as refused:
        cost(SIZED, usage)
    assert refused.value.field == "usage.images"
    assert refused.value.reason == f"no price for an image of {kind}"


@pytest.mark.parametrize(
    ("rounding", "minimum", "markup", "credits"),
    [
        (Rounding.NANO, "0", "1", "0.012207"),
        (Rounding.NANO, "0", "1.2", "0.0146484"),
        (Rounding.CENT, "0", "1.2", "0.02"),
        (Rounding.WHOLE, "0", "1.2", "1"),
        (Rounding.NANO, "0.0146484", "1.2", "0.0146484"),
        (Rounding.NANO, "0.02", "1.2", "0.02"),
        (Rounding.CENT, "0.021", "1", "0.03"),
        (Rounding.WHOLE, "0.021", "1", "1"),
        # 0.012207 x 1.23456789 = 0.01507037023323: rounded up at the ninth decimal
        (Rounding.NANO, "0", "1.23456789", "0.015070371"),
        (Rounding.NANO, "0", "0.5", "0.0061035"),
    ],
)
def test_markup_then_minimum_then_rounding(rounding: Rounding, minimum: str, markup: str, credits: str) -> None:
    rule = price(*TOKENS.components, rounding=rounding, minimum=minimum, markup=markup)
    assert shown(rule, Usage(input_tokens=1234, output_tokens=567)) == credits


def test_three_thirds_are_rounded_once() -> None:
    thirds = [per("1", unit, 3) for unit in ("call", "input_token", "output_token")]
    usage = Usage(input_tokens=1, output_tokens=1)
    assert shown(price(*thirds, rounding=Rounding.WHOLE), usage) == "1"
    assert shown(price(*thirds), usage) == "1"


def test_the_minimum_is_for_what_was_measured() -> None:
    rule = price(per("3", "input_token", MILLION), minimum="0.01")
    assert shown(rule) == "0.01"
    assert shown(rule, Usage()) == "0.01"
    assert shown(rule, Usage(calls=0, seconds="0.1")) == "0.01"
    assert shown(rule, Usage(calls=0, custom={"page": "1"})) == "0.01"
    assert shown(rule, Usage(calls=0, seconds="0.0", custom={"page": "0"})) == "0"
    assert shown(rule, quantity=0) == "0"
    assert shown(price(per("1", "call"), minimum="10"), quantity=0) == "0"


def test_a_bare_call_of_what_is_priced_by_usage_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        cost(TOKENS)
    assert refused.value.field == "usage"
    assert shown(price(per("0", "call"))) == "0"


def test_quantity_multiplies_calls_and_nothing_else() -> None:
    assert shown(FLAT, quantity=3) == "15"
    assert shown(CALL_AND_TOKENS, Usage(input_tokens=500), 3) == "4"
    assert shown(CALL_AND_TOKENS, Usage(calls=2, input_tokens=500), 3) == "7"
    with pytest.raises(Invalid, match="quantity"):
        cost(FLAT, quantity=-1)


def test_a_cost_beyond_the_range_is_refused() -> None:
    rule = price(Component("call", MAX_NANOS), Component("input_token", MAX_NANOS))
    assert cost(rule) == MAX_NANOS
    with pytest.raises(Invalid, match=r"usage: costs more than 9223372036\.854775807"):
        cost(rule, Usage(input_tokens=1))
    with pytest.raises(Invalid, match="quantity: costs more"):
        cost(price(Component("call", MAX_NANOS)), quantity=2)


@pytest.mark.parametrize(
    ("rule", "flat"),
    [
        (FLAT, "5"),
        (price(per("5", "call"), markup="1.5", minimum="7.5"), "7.5"),
        (price(per("1", "call", 2_000)), "0.0005"),
        (price(per("0", "call")), "0"),
        (price(per("5", "call"), rounding=Rounding.WHOLE), "5"),
        # Not the same when multiplied: three calls of a third cost 1, a minimum holds once.
        (price(per("1", "call", 3)), None),
        (price(per("0.5", "call"), rounding=Rounding.WHOLE), None),
        (price(per("5", "call"), minimum="7"), None),
        (TOKENS, None),
        (CALL_AND_TOKENS, None),
    ],
)
def test_the_flat_cost_of_one_call(rule: Price, flat: str | None) -> None:
    assert rule.flat == flat_cost(rule) == (None if flat is None else parse_credits(flat))


@given(
    st.builds(Component, st.just("call"), st.integers(0, 10**12), st.integers(1, 5_000)),
    st.sampled_from(Rounding),
    st.integers(0, 10**12),
    st.sampled_from(["1", "1.2", "0.5", "0.000000001"]),
    st.integers(0, 50),
)
def test_the_fast_path_changes_nothing(
    component: Component, rounding: Rounding, minimum: int, markup: str, quantity: int
) -> None:
    rule = make_price("SKILL", 1, [component], rounding=rounding, minimum=minimum, markup=markup)
    assert cost(rule, None, quantity) == cost(replace(rule, flat=None), None, quantity)
    assert cost(rule, None, quantity) == cost(rule, Usage(calls=quantity))


# ------------------------------------------------------------------------------------- against fractions

counted = (
    "calls",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
units = ("call", "input_token", "cached_input_token", "cache_write_token", "output_token", "reasoning_token")
kin = {
    "cached_input_token": "input_token",
    "cache_write_token": "input_token",
    "reasoning_token": "output_token",
}
counts = st.integers(0, 10**9)
usages = st.builds(Usage, **dict.fromkeys(counted, counts), seconds=st.decimals(0, 10**6, places=9).map(str))


@st.composite
def prices(draw: Callable[[st.SearchStrategy[object]], object], least: int = 10**9) -> Price:
    chosen = draw(st.lists(st.sampled_from((*units, "second")), min_size=1, unique=True))
    assert isinstance(chosen, list)
    amounts = st.tuples(st.integers(0, 10**9), st.sampled_from([1, 3, 7, 1_000, MILLION]))
    components = [Component(unit, *draw(amounts)) for unit in chosen]  # type: ignore[misc]
    rounding = Rounding(str(draw(st.sampled_from(Rounding))))
    markup = str(draw(st.sampled_from(["1", "1.2", "3.333333333", "0.01"])))
    minimum = draw(st.integers(0, least))
    assert isinstance(minimum, int)
    return make_price("SKILL", 1, components, rounding=rounding, minimum=minimum, markup=markup)


def exactly(rule: Price, usage: Usage) -> Fraction:
    """The cost before minimum and rounding, worked out in another way: a rate for every unit."""
    rates = {c.unit: Fraction(c.credits, c.per) for c in rule.components}
    total = rates.get("second", Fraction(0)) * Fraction(usage.seconds)
    for unit, field in zip(units, counted, strict=True):
        rate = rates.get(unit, rates.get(kin.get(unit, ""), Fraction(0)))
        total += rate * asdict(usage)[field]
    return total * Fraction(rule.markup)


@given(prices(), usages)
def test_the_cost_is_the_exact_sum_rounded_up(rule: Price, usage: Usage) -> None:
    exact = exactly(rule, usage)
    assume(exact < MAX_NANOS - NANOS)
    if usage != Usage(calls=0, seconds=usage.seconds) or Fraction(usage.seconds):
        exact = max(exact, Fraction(rule.minimum))
    charged = cost(rule, usage)
    assert exact <= charged < exact + STEPS[rule.rounding]
    assert charged % STEPS[rule.rounding] == 0


@given(prices(), usages, st.sampled_from(counted), st.integers(0, 10**6))
def test_more_usage_never_costs_less(rule: Price, usage: Usage, field: str, more: int) -> None:
    assume(exactly(rule, usage) < MAX_NANOS // 2)
    larger = replace(usage, **{field: getattr(usage, field) + more})
    assume(exactly(rule, larger) < MAX_NANOS // 2)
    assert cost(rule, larger) >= cost(rule, usage)


@given(prices(least=0), usages, usages)
def test_usage_adds_up_but_for_one_rounding(rule: Price, first: Usage, second: Usage) -> None:
    seconds = str(Decimal(first.seconds) + Decimal(second.seconds))
    summed = {field: getattr(first, field) + getattr(second, field) for field in counted}
    both = Usage(**summed, seconds=seconds)
    assume(exactly(rule, both) < MAX_NANOS // 2)
    apart = cost(rule, first) + cost(rule, second)
    assert apart - STEPS[rule.rounding] <= cost(rule, both) <= apart


# --------------------------------------------------------------- by the length of the prompt, in US dollars


def longer(credits: str, unit: str, above: int) -> Component:
    return replace(per(credits, unit, MILLION), above=above)


LONG = price(
    per("1", "input_token", MILLION),
    longer("2", "input_token", 200_000),
    longer("4", "input_token", 500_000),
    per("0.1", "cached_input_token", MILLION),
    per("10", "output_token", MILLION),
    longer("15", "output_token", 200_000),
)


@pytest.mark.parametrize(
    ("usage", "credits"),
    [
        (Usage(input_tokens=200_000), "0.2"),
        # One token more, and all of them cost twice as much.
        (Usage(input_tokens=200_001), "0.400002"),
        (Usage(input_tokens=500_000), "1"),
        (Usage(input_tokens=500_001), "2.000004"),
        # What was cached counts for the length; its own price has no other for a long prompt.
        (Usage(input_tokens=100_000, cached_input_tokens=100_001), "0.2100001"),
        (Usage(input_tokens=1, cache_write_tokens=200_000), "0.400002"),
        (Usage(input_tokens=1, custom={"cache_write_1h_token": "200000"}), "0.400002"),
        (Usage(input_tokens=1, custom={"input_audio_token": "200000"}), "0.400002"),
        # What comes out does not, but costs what the length says.
        (Usage(input_tokens=1, output_tokens=300_000), "3.000001"),
        (Usage(input_tokens=200_001, output_tokens=100), "0.401502"),
    ],
)
def test_a_longer_prompt_costs_more_all_of_it(usage: Usage, credits: str) -> None:
    assert shown(LONG, usage) == credits


def in_usd(*components: Component, usd_per_credit: str = "0.01", **fields: Any) -> Price:
    return make_price("gpt-x", 1, components, usd_per_credit=usd_per_credit, source="a test", **fields)


MODEL = in_usd(per("2.5", "input_token", MILLION), per("10", "output_token", MILLION))


@pytest.mark.parametrize(
    ("worth", "markup", "rounding", "credits"),
    [
        # 1234 x 0.0000025 = 0.003085; 567 x 0.00001 = 0.00567: 0.008755 dollars
        ("1", "1", Rounding.NANO, "0.008755"),
        ("0.01", "1", Rounding.NANO, "0.8755"),
        ("0.01", "1.2", Rounding.NANO, "1.0506"),
        ("0.01", "1.2", Rounding.CENT, "1.06"),
        ("0.01", "1.2", Rounding.WHOLE, "2"),
        # 0.008755 / 0.07 = 0.125071428571...: once rounded, at the very end
        ("0.07", "1", Rounding.NANO, "0.125071429"),
        ("25", "3", Rounding.NANO, "0.0010506"),
    ],
)
def test_dollars_become_credits_at_the_very_end(worth: str, markup: str, rounding: Rounding, credits: str) -> None:
    rule = in_usd(*MODEL.components, usd_per_credit=worth, markup=markup, rounding=rounding)
    usage = Usage(input_tokens=1234, output_tokens=567)
    assert shown(rule, usage) == credits
    assert provider_cost(rule, usage) == "0.008755"


def test_the_least_that_a_model_costs_is_in_credits() -> None:
    rule = in_usd(*MODEL.components, minimum=parse_credits("3"))
    assert shown(rule, Usage(input_tokens=1)) == "3"
    assert shown(rule, Usage(input_tokens=20_000)) == "5"


@given(prices(least=0), usages, st.sampled_from(["1", "0.01", "0.07", "33.333333333"]))
def test_dollars_are_exact_before_they_are_rounded(rule: Price, usage: Usage, worth: str) -> None:
    rule = replace(rule, usd_per_credit=worth, flat=None)
    exact = exactly(rule, usage) / Fraction(worth)
    assume(exact < MAX_NANOS - NANOS)
    assert exact <= cost(rule, usage) < exact + STEPS[rule.rounding]


@pytest.mark.parametrize(
    ("usage", "field"),
    [
        (Usage(input_tokens=1, custom={"web_search": "1"}), "usage.custom.web_search"),
        (Usage(input_tokens=1, images=1), "usage.images"),
        (Usage(seconds="0.1"), "usage.seconds"),
        (Usage(characters=1), "usage.characters"),
    ],
)
def test_what_a_model_has_no_price_for_is_refused_and_never_free(usage: Usage, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        cost(MODEL, usage)
    assert (refused.value.field, refused.value.reason) == (field, "the price of gpt-x has none for it")
    assert provider_cost(MODEL, usage) is None


def test_a_model_without_a_price_for_output_refuses_output() -> None:
    rule = in_usd(per("1", "input_token", MILLION))
    for usage in (Usage(output_tokens=1), Usage(reasoning_tokens=1), Usage(custom={"output_audio_token": "1"})):
        with pytest.raises(Invalid):
            cost(rule, usage)


def test_a_bare_call_of_a_model_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        cost(MODEL)
    assert refused.value.field == "usage"
    assert provider_cost(MODEL, None) is None
    assert provider_cost(in_usd(per("0.5", "call")), None, 3) == "1.5"


def test_no_provider_is_paid_in_credits() -> None:
    assert provider_cost(TOKENS, Usage(input_tokens=1)) is None


@pytest.mark.parametrize(
    ("unit", "prices_there", "credits"),
    [
        ("cache_write_1h_token", ("cache_write_token",), "2"),
        ("cache_write_1h_token", (), "1"),
        ("cached_audio_token", ("input_audio_token", "cached_input_token"), "2"),
        ("cached_audio_token", ("cached_input_token",), "2"),
        ("cached_image_token", (), "1"),
        ("input_video_token", (), "1"),
        ("output_image_token", (), "9"),
        ("output_audio_token", ("output_audio_token",), "2"),
    ],
)
def test_a_kind_of_token_costs_what_its_kin_costs(unit: str, prices_there: tuple[str, ...], credits: str) -> None:
    parts = [per(str(n + 2), name) for n, name in enumerate(prices_there)]
    rule = price(per("1", "input_token"), per("9", "output_token"), *parts)
    assert shown(rule, Usage(calls=0, custom={unit: "1"})) == credits


# ------------------------------------------------------------------------------------------------ in words


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (price(per("1", "call")), "1 per call"),
        (TOKENS, "3 per 1000000 input_token + 15 per 1000000 output_token"),
        (
            price(*TOKENS.components, markup="1.20", minimum="0.01", rounding=Rounding.CENT),
            "3 per 1000000 input_token + 15 per 1000000 output_token, x 1.2, at least 0.01, up to 0.01",
        ),
        (price(per("0.5", "call"), rounding=Rounding.WHOLE), "0.5 per call, up to 1"),
        (price(per("1", "call"), markup="1.000"), "1 per call"),
        (
            price(per("0.12", "image", size="1x1", quality="hd"), per("2", "image", 10, quality="hd")),
            "0.12 per image (1x1, hd) + 2 per 10 image (hd)",
        ),
        (
            in_usd(per("2.5", "input_token", MILLION), longer("5", "input_token", 200_000), markup="1.2"),
            "$2.5 per 1000000 input_token + $5 per 1000000 input_token (above 200000), x 1.2, at $0.01 a credit",
        ),
    ],
)
def test_the_rule_in_words(rule: Price, words: str) -> None:
    assert explain(rule) == words


# ----------------------------------------------------------------------------------------- what is refused

CALL = Component("call", NANOS)


@pytest.mark.parametrize(
    ("components", "field"),
    [
        ((), "components"),
        (tuple(Component(f"u{n}", 1) for n in range(33)), "components"),
        ((CALL, Component("Call", 1)), "components[1].unit"),
        ((Component("", 1),), "components[0].unit"),
        ((Component("a" * 65, 1),), "components[0].unit"),
        ((Component("input_tokens", 1),), "components[0].unit"),
        ((Component("calls", 1),), "components[0].unit"),
        ((Component("call\n", 1),), "components[0].unit"),
        ((CALL, Component("second", -1)), "components[1].credits"),
        ((Component("second", MAX_NANOS + 1),), "components[0].credits"),
        ((Component("second", True),), "components[0].credits"),
        ((Component("second", 1.5),), "components[0].credits"),  # type: ignore[arg-type]
        ((Component("second", 1, 0),), "components[0].per"),
        ((Component("second", 1, 10**15 + 1),), "components[0].per"),
        ((CALL, CALL), "components[1].unit"),
        ((Component("image", 1, 1, "a"), CALL, Component("image", 2, 5, "a")), "components[2].unit"),
        ((Component("call", 1, 1, "1x1"),), "components[0].unit"),
        ((Component("image", 1, 1, ""),), "components[0].size"),
        ((Component("image", 1, 1, "a" * 33),), "components[0].size"),
        ((Component("image", 1, 1, None, "h d"),), "components[0].quality"),
        (tuple(Component(f"u{n}", 1) for n in range(40)), "components"),
        ((Component("cache_write_1h_tokens", 1),), "components[0].unit"),
        ((Component("input_token", 1, above=-1),), "components[0].above"),
        ((Component("input_token", 1, above=5),), "components[0].above"),
        ((CALL, Component("input_token", 1), *[Component("input_token", 2, above=5)] * 2), "components[3].unit"),
        ((Component("image", 1), Component("image", 1, above=5)), "components[1].above"),
    ],
)
def test_components_that_make_no_sense(components: tuple[Component, ...], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_price(components, Rounding.NANO, 0, "1")
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("rounding", "minimum", "markup", "field"),
    [
        ("0.1", 0, "1", "rounding"),
        ("", 0, "1", "rounding"),
        ("1", -1, "1", "minimum"),
        ("1", MAX_NANOS + 1, "1", "minimum"),
        ("1", 0, "0", "markup"),
        ("1", 0, "-1", "markup"),
        ("1", 0, "1000.000000001", "markup"),
        ("1", 0, "1e999999999", "markup"),
        ("1", 0, "", "markup"),
        ("1", 0, "NaN", "markup"),
        ("1", 0, 1.2, "markup"),
    ],
)
def test_rules_that_make_no_sense(rounding: str, minimum: int, markup: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        make_price("SKILL", 1, [CALL], rounding=rounding, minimum=minimum, markup=markup)
    assert refused.value.field == field


def test_the_widest_rule_is_accepted() -> None:
    components = [*(Component(f"u{n}", MAX_NANOS, 10**15) for n in range(31)), Component("a" * 64, 0)]
    rule = make_price("SKILL", 7, components, rounding="0.01", minimum=MAX_NANOS, markup="1000", created_at=5)
    assert (rule.version, len(rule.components), rule.rounding) == (7, 32, Rounding.CENT)
    assert (rule.minimum, rule.markup, rule.created_at, rule.flat) == (MAX_NANOS, "1000", 5, None)


@pytest.mark.parametrize(
    ("usage", "field"),
    [
        (Usage(calls=-1), "usage.calls"),
        (Usage(input_tokens=-1), "usage.input_tokens"),
        (Usage(input_tokens=10**15 + 1), "usage.input_tokens"),
        (Usage(output_tokens=True), "usage.output_tokens"),
        (Usage(images=1.0), "usage.images"),  # type: ignore[arg-type]
        (Usage(seconds="-1"), "usage.seconds"),
        (Usage(seconds="1e999999999"), "usage.seconds"),
        (Usage(seconds="0.0000000001"), "usage.seconds"),
        (Usage(seconds="NaN"), "usage.seconds"),
        (Usage(seconds=1.5), "usage.seconds"),  # type: ignore[arg-type]
        (Usage(image_size="a b"), "usage.image_size"),
        (Usage(image_quality=""), "usage.image_quality"),
        (Usage(custom={"Page": "1"}), "usage.custom"),
        (Usage(custom={"": "1"}), "usage.custom"),
        (Usage(custom={"input_tokens": "1"}), "usage.custom"),
        (Usage(custom={"input_token": "1"}), "usage.custom"),
        (Usage(custom={"second": "1"}), "usage.custom"),
        (Usage(custom={"page": "-1"}), "usage.custom.page"),
        (Usage(custom={"page": "x"}), "usage.custom.page"),
        (Usage(custom={"page": 1}), "usage.custom.page"),  # type: ignore[dict-item]
        (Usage(custom={f"u{n}": "1" for n in range(33)}), "usage.custom"),
    ],
)
def test_usage_that_no_call_has(usage: Usage, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_usage(usage)
    assert refused.value.field == field


@given(prices(), usages)
def test_usage_that_was_checked_can_be_priced(rule: Price, usage: Usage) -> None:
    check_usage(usage)
    assume(exactly(rule, usage) < MAX_NANOS // 2)
    assert 0 <= cost(rule, usage) <= MAX_NANOS


def test_the_largest_usage_passes_the_check() -> None:
    custom = {f"u{n}": str(10**15) for n in range(32)}
    largest = Usage(
        calls=10**15,
        input_tokens=10**15,
        seconds=f"{10**15}.000000000",
        image_size="1024x1024",
        custom=custom,
    )
    check_usage(largest)
    assert shown(price(Component("u31", 1)), largest) == "1000000"


@pytest.mark.parametrize("worth", ["0", "-1", "nan", "1e7", "0.0000000001", "a cent", ""])
def test_a_credit_is_worth_something(worth: str) -> None:
    with pytest.raises(Invalid) as refused:
        in_usd(CALL, usd_per_credit=worth)
    assert refused.value.field == "usd_per_credit"


def test_what_a_credit_is_worth_is_kept_in_one_form() -> None:
    assert in_usd(CALL, usd_per_credit="0.010").usd_per_credit == "0.01"
