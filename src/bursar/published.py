"""What providers publish of their models' prices, compiled once per model into exact components in US dollars.

The prices are those that come with the package `genai-prices`; nothing is fetched. Its own arithmetic is never asked:
a charge is priced by `core.pricing` alone. What cannot be said in components is refused by name, never guessed: a
price by the time of day, a unit that Bursar does not measure.

    gpt-4o              the provider is known by the model's name
    azure/gpt-4o        a provider's own name of a model, where the first part is a provider

The package is large, so it is imported when the first unknown model turns up, by whoever must wait for it anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from bursar.core.errors import Invalid, ModelNotFound
from bursar.core.model import Component, Instant
from bursar.core.money import NANOS
from bursar.core.periods import from_datetime, to_datetime
from bursar.core.pricing import MAX_COUNT

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, TieredPrices

PACKAGE: Final = "genai-prices"

MILLION: Final = 1_000_000
UNITS: Final = {
    "input_mtok": ("input_token", MILLION),
    "cache_read_mtok": ("cached_input_token", MILLION),
    "cache_write_mtok": ("cache_write_token", MILLION),
    "cache_write_1h_mtok": ("cache_write_1h_token", MILLION),
    "output_mtok": ("output_token", MILLION),
    "output_reasoning_mtok": ("reasoning_token", MILLION),
    "input_audio_mtok": ("input_audio_token", MILLION),
    "input_image_mtok": ("input_image_token", MILLION),
    "input_video_mtok": ("input_video_token", MILLION),
    "cache_audio_read_mtok": ("cached_audio_token", MILLION),
    "cache_image_read_mtok": ("cached_image_token", MILLION),
    "output_audio_mtok": ("output_audio_token", MILLION),
    "output_image_mtok": ("output_image_token", MILLION),
    "output_video_mtok": ("output_video_token", MILLION),
    "requests_kcount": ("call", 1_000),
    "web_searches_kcount": ("web_search", 1_000),
    "storage_searches_kcount": ("storage_search", 1_000),
    "input_mchars": ("character", MILLION),
    "audio_hours": ("second", 3_600),
    "input_audio_hours": ("second", 3_600),
}
"""The package's names for what it prices, and the unit and number of them that such a price is for."""

MINIMUM_DURATION: Final = frozenset({("groq", "whisper-large-v3"), ("groq", "whisper-large-v3-turbo")})
"""Models that are billed for a least duration, which the package knows as a rule and not as a price."""


Dated: TypeAlias = tuple[Instant | None, tuple[Component, ...]]
"""A price in US dollars, from an instant on; None: already."""


class Published(Struct, frozen=True):
    """A model's price: what holds now, then what is announced."""

    source: str
    prices: list[Dated]


def find_published(name: str, now: Instant) -> Published:
    """The published price of a model. Raises `ModelNotFound`, and `Invalid` where it is none that Bursar can say."""
    provider, model = _look_up(name)
    if (provider.id, model.id) in MINIMUM_DURATION:
        raise Invalid("model", f"{name} is billed for a least duration: set its price yourself")
    moments: list[Instant | None] = [None, *_starts(model, now)]
    prices = [(moment, _components(name, _price_at(name, model, moment or now))) for moment in moments]
    return Published(f"{PACKAGE} {version(PACKAGE)}", prices)


def _look_up(name: str) -> tuple[Provider, ModelInfo]:
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - see the module

    # The package reads a name such as `azure/gpt-4o` as LiteLLM writes it: the provider, then its name of the model.
    prefixed = "litellm" if "/" in name else None
    try:
        return get_snapshot().find_provider_model(name, None, prefixed, None)
    except LookupError:
        raise ModelNotFound(name) from None


def _conditions(model: ModelInfo) -> list[ConditionalPrice]:
    """The model's prices, of which the last one that applies holds, else the first."""
    from genai_prices.types import ConditionalPrice, ModelPrice  # noqa: PLC0415 - see the module

    if isinstance(model.prices, ModelPrice):
        return [ConditionalPrice(prices=model.prices)]
    return model.prices


def _starts(model: ModelInfo, now: Instant) -> list[Instant]:
    """When a price begins that is announced: days begin at midnight UTC."""
    days = {day for condition in _conditions(model) if (day := _start_date(condition)) is not None}
    starts = (from_datetime(datetime.combine(day, time(), UTC)) for day in days)
    return sorted(start for start in starts if start > now)


def _start_date(condition: ConditionalPrice) -> date | None:
    from genai_prices.types import StartDateConstraint  # noqa: PLC0415 - see the module

    constraint = condition.constraint
    return constraint.start_date if isinstance(constraint, StartDateConstraint) else None


def _price_at(name: str, model: ModelInfo, moment: Instant) -> ModelPrice:
    """The price that holds on that day. Raises `Invalid` where the time of the day decides."""
    conditions = _conditions(model)
    today = to_datetime(moment).date()
    for condition in reversed(conditions):
        start = _start_date(condition)
        if condition.constraint is not None and start is None:
            raise Invalid("model", f"{name} is priced by the time of the day: set its price yourself")
        if start is None or start <= today:
            return condition.prices
    return conditions[0].prices


def _components(name: str, price: ModelPrice) -> tuple[Component, ...]:
    components: dict[tuple[str, int], Component] = {}
    for key, value in vars(price).items():
        if value is None:
            continue
        if key not in UNITS:
            raise Invalid(
                "model", f"{name} has a price for {key}, which Bursar does not measure: set its price yourself"
            )
        unit, per = UNITS[key]
        for above, usd in _tiers(value):
            nanos, scaled = _exact(name, usd, per)
            components[unit, above] = Component(unit, nanos, scaled, above=above)
    if not components:
        raise Invalid("model", f"{name} has no published price: set its price yourself")
    return tuple(components.values())


def _tiers(value: Decimal | TieredPrices) -> Iterator[tuple[int, Decimal]]:
    """The price of a prompt of more than so many tokens."""
    if isinstance(value, Decimal):
        yield 0, value
        return
    yield 0, value.base
    for tier in value.tiers:
        yield tier.start, tier.price


def _exact(name: str, usd: Decimal, per: int) -> tuple[int, int]:
    """Dollars for so many as whole nano-dollars for so many: more of them where there are more than nine decimals."""
    numerator, denominator = usd.as_integer_ratio()
    while numerator * NANOS % denominator and per <= MAX_COUNT // 10:
        numerator, per = numerator * 10, per * 10
    if numerator * NANOS % denominator:
        raise Invalid("model", f"{name} has a price of more decimals than Bursar counts: set its price yourself")
    return numerator * NANOS // denominator, per
