"""Price rule x usage -> credits, and the rule in words.

1. The cost is the exact sum over the components, times the markup, at least the minimum, rounded up once. Where the
   components are in US dollars, the sum is divided by what a credit is worth before it is rounded.
2. The minimum holds for whatever was measured: a call, a token, an image. Nothing measured costs nothing.
3. A kind of token that has no component of its own costs what its kin cost (`KIN`): cached and cache-write tokens
   what input tokens cost, reasoning tokens what output tokens cost. Any other unit that no component prices costs
   nothing where a skill is priced; where a model is, it is refused by name.
4. Of the image components that fit the size and quality, the most specific prices them (a size weighs more
   than a quality); where a price has image components and none fits, the usage is refused.
5. Of the components of a unit that name a length of the prompt (`above`), the highest that the prompt exceeds prices
   all of the unit. The prompt is every input token, cached or written to a cache or not.
6. Never free by accident: a bare call of what is priced by usage alone is refused unless a minimum covers it,
   and a plural of a known unit is no custom unit (`input_tokens` in a price is a slip).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from bursar.core.errors import Invalid
from bursar.core.model import Component, Price, Usage
from bursar.core.money import (
    MAX_NANOS,
    NANOS,
    BadAmount,
    Nanos,
    Rounding,
    format_credits,
    format_ratio,
    parse_billionths,
    round_up,
)

COUNTS: Final = {
    "call": "calls",
    "input_token": "input_tokens",
    "cached_input_token": "cached_input_tokens",
    "cache_write_token": "cache_write_tokens",
    "output_token": "output_tokens",
    "reasoning_token": "reasoning_tokens",
    "image": "images",
    "character": "characters",
}
"""The built-in units that are counted, and the field of `Usage` that counts each; `second` is measured."""

KIN: Final = {
    "cached_input_token": ("input_token",),
    "cache_write_token": ("input_token",),
    "cache_write_1h_token": ("cache_write_token", "input_token"),
    "input_audio_token": ("input_token",),
    "input_image_token": ("input_token",),
    "input_video_token": ("input_token",),
    "cached_audio_token": ("input_audio_token", "cached_input_token", "input_token"),
    "cached_image_token": ("input_image_token", "cached_input_token", "input_token"),
    "cached_video_token": ("input_video_token", "cached_input_token", "input_token"),
    "reasoning_token": ("output_token",),
    "output_audio_token": ("output_token",),
    "output_image_token": ("output_token",),
    "output_video_token": ("output_token",),
}
"""The kinds of tokens, and whose price each has where it has none of its own; most are custom units of a usage."""

PROMPT: Final = frozenset({"input_token"} | {unit for unit, kin in KIN.items() if "input_token" in kin})
"""The tokens whose sum is the length of the prompt."""

BUILT_IN: Final = frozenset(COUNTS) | {"second"}
MAX_COUNT: Final = 10**15
MAX_UNITS: Final = 32
MAX_MARKUP: Final = 1_000
MAX_USD: Final = 1_000_000

_PLURALS = frozenset(f"{unit}s" for unit in BUILT_IN | KIN.keys())
_UNIT = re.compile(r"[a-z][a-z0-9_]{0,63}")
_VARIANT = re.compile(r"[A-Za-z0-9_.:-]{1,32}")
_ONE_CALL = Usage(calls=1)


def cost(price: Price, usage: Usage | None = None, quantity: int = 1) -> Nanos:
    """What `usage` costs, in nano-credits; None is one call. `quantity` multiplies the calls, and only them.

    Takes a usage that was checked. Raises `Invalid` where an image has no price, where a usage is needed and
    there is none, and beyond the range.
    """
    if quantity < 0:
        raise Invalid("quantity", "must not be negative")
    if usage is None and price.flat is not None:
        total = price.flat * quantity
    else:
        total = round_up(*_exact(price, usage or _ONE_CALL, quantity), price.rounding)
    if usage is None and not total and quantity and not _component(price, "call", 0):
        raise Invalid("usage", f"is needed: {price.skill} has no price per call")
    if total > MAX_NANOS:
        field = "quantity" if usage is None else "usage"
        raise Invalid(field, f"costs more than {format_credits(MAX_NANOS)} credits")
    return total


def provider_cost(price: Price, usage: Usage | None, quantity: int = 1) -> str | None:
    """What the provider takes for `usage` in US dollars, as decimal text; None where this price does not say.

    It says so where its components are in US dollars, and price all that was measured.
    """
    if price.usd_per_credit is None or (usage is None and not _component(price, "call", 0)):
        return None
    try:
        numerator, denominator, _ = _sum(price, usage or _ONE_CALL, quantity)
    except Invalid:
        return None
    return format_ratio(numerator, denominator * NANOS * NANOS)


def flat_cost(price: Price) -> Nanos | None:
    """The cost of one call where n calls cost n times as much: only calls are priced, nothing is raised.

    This is what `Price.flat` holds. None where a minimum or a rounding step shows, as in 1 per 3 calls.
    """
    if any(component.unit != "call" for component in price.components):
        return None
    numerator, denominator = _exact(price, _ONE_CALL, 1)
    one = round_up(numerator, denominator, price.rounding)
    exact = one * denominator == numerator and _exact(price, _ONE_CALL, 2)[0] == 2 * numerator
    return one if exact else None


def explain(price: Price) -> str:
    """The rule as people read it: `3 per 1000 input_token + 1 per call, x 1.2, at least 0.01, up to 1`."""
    sign = "" if price.usd_per_credit is None else "$"
    parts = [" + ".join(sign + _explain(component) for component in price.components)]
    if price.markup != "1":
        parts.append(f"x {price.markup}")
    if price.usd_per_credit is not None:
        parts.append(f"at ${price.usd_per_credit} a credit")
    if price.minimum:
        parts.append(f"at least {format_credits(price.minimum)}")
    if price.rounding != Rounding.NANO:
        parts.append(f"up to {price.rounding.value}")
    return ", ".join(parts)


def make_price(
    skill: str,
    version: int,
    components: Iterable[Component],
    *,
    rounding: str = Rounding.NANO,
    minimum: Nanos = 0,
    markup: str = "1",
    created_at: int = 0,
    usd_per_credit: str | None = None,
    source: str | None = None,
) -> Price:
    """A checked price with its canonical markup and its flat cost, holding from `created_at` on. Raises `Invalid`
    naming the field.
    """
    parts = tuple(components)
    check_price(parts, rounding, minimum, markup)
    price = Price(
        skill,
        version,
        parts,
        Rounding(rounding),
        minimum,
        format_credits(_factor(markup)),
        created_at,
        valid_from=created_at,
        usd_per_credit=None if usd_per_credit is None else check_worth("usd_per_credit", usd_per_credit),
        source=source,
    )
    return replace(price, flat=flat_cost(price))


def check_worth(field: str, usd_per_credit: str) -> str:
    """What a credit is worth in US dollars, as canonical text. Raises `Invalid`."""
    worth = _billionths(field, usd_per_credit, MAX_USD)
    if not worth:
        raise Invalid(field, "must be more than 0")
    return format_credits(worth)


def check_markup(field: str, markup: str) -> str:
    """A markup as canonical text. Raises `Invalid`."""
    factor = _billionths(field, markup, MAX_MARKUP)
    if not factor:
        raise Invalid(field, "must be more than 0")
    return format_credits(factor)


def check_price(components: tuple[Component, ...], rounding: str, minimum: Nanos, markup: str) -> None:
    """Refuse a rule that makes no sense. Raises `Invalid` naming the field: `components[2].credits`."""
    if not 1 <= len(components) <= MAX_UNITS:
        raise Invalid("components", f"must be 1 to {MAX_UNITS} of them")
    variants = [(c.unit, c.size, c.quality, c.above) for c in components]
    for index, component in enumerate(components):
        _check_component(f"components[{index}]", component)
        if variants[index] in variants[:index]:
            raise Invalid(f"components[{index}].unit", f"{component.unit} is priced twice")
        if component.above and (component.unit, component.size, component.quality, 0) not in variants:
            raise Invalid(f"components[{index}].above", f"{component.unit} has no price for a shorter prompt")
    if rounding not in list(Rounding):
        raise Invalid("rounding", f"must be one of {', '.join(Rounding)}")
    _check_count("minimum", minimum, 0, MAX_NANOS)
    check_markup("markup", markup)


def check_usage(usage: Usage) -> None:
    """Refuse counts that no call has. Raises `Invalid` naming the field: `usage.input_tokens`."""
    for name in COUNTS.values():
        _check_count(f"usage.{name}", getattr(usage, name), 0, MAX_COUNT)
    _billionths("usage.seconds", usage.seconds)
    _check_variant("usage.image_size", usage.image_size)
    _check_variant("usage.image_quality", usage.image_quality)
    if len(usage.custom) > MAX_UNITS:
        raise Invalid("usage.custom", f"must have at most {MAX_UNITS} units")
    for unit, quantity in usage.custom.items():
        _check_unit("usage.custom", unit)
        if unit in BUILT_IN:
            raise Invalid("usage.custom", f"{unit} is a built-in unit with a field of its own")
        _billionths(f"usage.custom.{unit}", quantity)


def _exact(price: Price, usage: Usage, quantity: int) -> tuple[int, int]:
    """The cost before rounding, as numerator and denominator: exact whatever the units."""
    numerator, denominator, measured = _sum(price, usage, quantity)
    if not measured:
        return 0, denominator
    numerator *= _factor(price.markup)
    denominator *= NANOS * NANOS
    if price.usd_per_credit is not None:
        numerator *= NANOS
        denominator *= _worth(price.usd_per_credit)
    return max(numerator, price.minimum * denominator), denominator


def _sum(price: Price, usage: Usage, quantity: int) -> tuple[int, int, bool]:
    """The sum over the components in billionths of a nano, as numerator and denominator; whether there was anything
    to price.
    """
    numerator, denominator = 0, 1
    measured = list(_measured(usage, quantity))
    prompt = 0
    if any(component.above for component in price.components):
        prompt = sum(billionths for unit, billionths in measured if unit in PROMPT) // NANOS
    for unit, billionths in measured:
        component = _image(price, usage) if unit == "image" else _component(price, unit, prompt)
        if component is not None:
            numerator = numerator * component.per + billionths * component.credits * denominator
            denominator *= component.per
        elif price.source is not None and unit != "call":
            raise Invalid(_field(unit), f"the price of {price.skill} has none for it")
    return numerator, denominator, bool(measured)


def _measured(usage: Usage, quantity: int) -> Iterator[tuple[str, int]]:
    """Each unit of which there was any, with its billionths."""
    for unit, name in COUNTS.items():
        count: int = getattr(usage, name)
        if unit == "call":
            count *= quantity
        if count:
            yield unit, count * NANOS
    for unit, text in (("second", usage.seconds), *usage.custom.items()):
        billionths = _billionths("usage", text)
        if billionths:
            yield unit, billionths


def _component(price: Price, unit: str, prompt: int) -> Component | None:
    """What prices a unit in a call with so long a prompt: its own, or its kin's."""
    for kin in (unit, *KIN.get(unit, ())):
        own = [c for c in price.components if c.unit == kin and (prompt > c.above or not c.above)]
        if own:
            return own[0] if len(own) == 1 else max(own, key=lambda component: component.above)
    return None


def _field(unit: str) -> str:
    """The field of a usage that measures a unit."""
    return f"usage.{COUNTS.get(unit) or ('seconds' if unit == 'second' else f'custom.{unit}')}"


def _image(price: Price, usage: Usage) -> Component | None:
    """The most specific image component that fits; None where the price knows no images at all."""
    images = [c for c in price.components if c.unit == "image"]
    size, quality = usage.image_size, usage.image_quality
    fitting = [c for c in images if c.size in (None, size) and c.quality in (None, quality)]
    if images and not fitting:
        kind = " ".join(filter(None, (size, quality))) or "no size or quality"
        raise Invalid("usage.images", f"no price for an image of {kind}")
    return max(fitting, key=lambda c: (c.size is not None, c.quality is not None), default=None)


def _explain(component: Component) -> str:
    per = component.unit if component.per == 1 else f"{component.per} {component.unit}"
    above = f"above {component.above}" if component.above else None
    variant = ", ".join(filter(None, (component.size, component.quality, above)))
    return f"{format_credits(component.credits)} per {per}{variant and f' ({variant})'}"


def _check_component(field: str, component: Component) -> None:
    _check_unit(f"{field}.unit", component.unit)
    _check_count(f"{field}.credits", component.credits, 0, MAX_NANOS)
    _check_count(f"{field}.per", component.per, 1, MAX_COUNT)
    _check_variant(f"{field}.size", component.size)
    _check_variant(f"{field}.quality", component.quality)
    _check_count(f"{field}.above", component.above, 0, MAX_COUNT)
    if component.unit != "image" and (component.size or component.quality):
        raise Invalid(f"{field}.unit", "only an image has a size or quality")
    if component.unit == "image" and component.above:
        raise Invalid(f"{field}.above", "an image costs the same whatever the prompt")


def _check_unit(field: str, unit: str) -> None:
    if type(unit) is not str or not _UNIT.fullmatch(unit):
        raise Invalid(field, "must be a lower case name of at most 64 letters, digits and underscores")
    if unit in _PLURALS:
        raise Invalid(field, f"a unit stands in the singular: {unit[:-1]}")


def _check_count(field: str, value: int, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise Invalid(field, f"must be a whole number from {least} to {most}")


def _check_variant(field: str, value: str | None) -> None:
    if value is not None and (type(value) is not str or not _VARIANT.fullmatch(value)):
        raise Invalid(field, "must be 1 to 32 letters, digits, dots, colons, hyphens or underscores")


@lru_cache(maxsize=256)
def _factor(markup: str) -> int:
    """Billionths of a markup."""
    return _billionths("markup", markup, MAX_MARKUP)


@lru_cache(maxsize=256)
def _worth(usd_per_credit: str) -> int:
    """Billionths of a dollar."""
    return _billionths("usd_per_credit", usd_per_credit, MAX_USD)


def _billionths(field: str, text: str, maximum: int = MAX_COUNT) -> int:
    """Billionths of a decimal quantity."""
    if type(text) is not str:
        raise Invalid(field, "must be a decimal string")
    try:
        return parse_billionths(text, maximum)
    except BadAmount as bad:
        raise Invalid(field, str(bad)) from None
