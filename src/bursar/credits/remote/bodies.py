"""What a request's body says of the catalogue: amounts in credits or dollars, exact; times as RFC 3339.

What is not given, or is as it is by default, is left out, so that an older service understands the rest.
"""

from __future__ import annotations

from typing import Any

from bursar.core.model import Component, Instant
from bursar.core.money import to_number
from bursar.core.periods import format_instant
from bursar.credits.arguments import PriceIn
from bursar.models import ModelPrice


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are given."""
    return {name: value for name, value in fields.items() if value is not None}


def moment(instant: Instant | None) -> str | None:
    """A time that may be absent."""
    return None if instant is None else format_instant(instant)


def amount(nanos: int | None) -> Any:
    """An amount that may be absent."""
    return None if nanos is None else to_number(nanos)


def price_body(price: PriceIn) -> dict[str, Any]:
    """A skill's price as the API takes it."""
    components = price["components"]
    return given(
        cost=amount(price["cost"]),
        components=None if components is None else [_component(part, "credits") for part in components],
        rounding=price["rounding"],
        minimum=amount(price["minimum"]),
        markup=price["markup"],
    )


def model_price_body(price: ModelPrice) -> dict[str, Any]:
    """A model's price as the API takes it."""
    return given(
        components=[_component(part, "usd" if price.usd else "credits") for part in price.components],
        rounding=price.rounding,
        minimum=amount(price.minimum),
        markup=price.markup,
        valid_from=moment(price.valid_from),
        valid_to=moment(price.valid_to),
    )


def _component(part: Component, currency: str) -> dict[str, Any]:
    """`currency` is what its amount is in: `credits` or `usd`."""
    body = given(unit=part.unit, per=part.per, size=part.size, quality=part.quality, above=part.above or None)
    return body | {currency: to_number(part.credits)}
