"""From what callers write (credits, aware datetimes, mappings) to what commands carry.

Each function raises `Invalid` naming the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum
from typing import Any, Final, Literal, TypeAlias, TypedDict

import msgspec
from msgspec.structs import replace

from bursar import entropy
from bursar.answers import Paid
from bursar.core.commands import Charge, PlaceHold, check_amount
from bursar.core.errors import Invalid
from bursar.core.model import Component, Instant, Usage, encode_json
from bursar.core.money import BadAmount, Nanos, parse_credits
from bursar.core.periods import BadInstant, from_datetime
from bursar.models import ModelPrice

AmountIn: TypeAlias = int | str | Decimal
"""Credits, exact: never a float."""

UsageIn: TypeAlias = Usage | Mapping[str, Any]
Metadata: TypeAlias = Mapping[str, Any]
PaidIn: TypeAlias = Paid | Mapping[str, Any]
ComponentIn: TypeAlias = Component | Mapping[str, Any]
OverageIn: TypeAlias = Literal["debt", "cap", "reject"]
OnExpiryIn: TypeAlias = Literal["capture_held", "capture_measured", "release"]
ScopeIn: TypeAlias = Literal["account", "member", "key", "skill", "model", "run"]
WindowIn: TypeAlias = Literal["day", "week", "month", "lifetime"]
RoundingIn: TypeAlias = Literal["1", "0.01", "1e-9"]
PeriodIn: TypeAlias = Literal["month", "week", "day", "year", "none"]
AnchorIn: TypeAlias = Literal["calendar", "anniversary"]
WhenIn: TypeAlias = Literal["now", "period_end"]
RenewalIn: TypeAlias = Literal["reset", "rollover", "accumulate"]
ChargeIn: TypeAlias = Charge | Mapping[str, Any]


class PresetDefault(Enum):
    """The type of `PRESET_DEFAULT`."""

    PLAN = "the preset's default plan"


PRESET_DEFAULT: Final = PresetDefault.PLAN
"""The plan of an account that is opened without naming one, and the plan after one that names none; None is no plan."""


def amount_of(field: str, value: AmountIn) -> Nanos:
    """Zero or more."""
    try:
        return parse_credits(value)
    except BadAmount as bad:
        raise Invalid(field, str(bad)) from None


def some_amount(field: str, value: AmountIn | None) -> Nanos | None:
    """The same, where it may be absent."""
    return None if value is None else amount_of(field, value)


def signed_amount(field: str, value: AmountIn | None) -> Nanos | None:
    """The same, where it may also be negative."""
    if value is None:
        return None
    try:
        return parse_credits(value, allow_negative=True)
    except BadAmount as bad:
        raise Invalid(field, str(bad)) from None


def instant_of(field: str, value: datetime | None) -> Instant | None:
    """Of an aware datetime in any zone."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise Invalid(field, "must be a datetime with a time zone")
    try:
        return from_datetime(value)
    except BadInstant as bad:
        raise Invalid(field, str(bad)) from None


def json_of(field: str, value: Metadata | None) -> str | None:
    """Of a mapping that is JSON."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise Invalid(field, "must be a mapping")
    try:
        return encode_json(dict(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise Invalid(
            field, "must hold only what JSON can: text, numbers, lists, mappings, true, false, null"
        ) from None


def usage_of(value: UsageIn | None) -> Usage | None:
    """Of a `Usage`, or a mapping with its fields; `seconds` and `custom` may be numbers there."""
    if value is None or isinstance(value, Usage):
        return value
    fields = _mapping("usage", value, Usage.__struct_fields__)
    if "seconds" in fields:
        fields["seconds"] = _decimal("usage.seconds", fields["seconds"])
    if isinstance(fields.get("custom"), Mapping):
        custom = fields["custom"].items()
        fields["custom"] = {str(unit): _decimal(f"usage.custom.{unit}", quantity) for unit, quantity in custom}
    try:
        return msgspec.convert(fields, Usage)
    except msgspec.ValidationError as error:
        raise Invalid("usage", str(error)) from None


def decimal_of(field: str, value: AmountIn | None) -> str | None:
    """A plain decimal, such as a cost in USD, as text."""
    return None if value is None else _decimal(field, value)


def paid_of(value: PaidIn | None) -> tuple[str | None, str | None]:
    """What was paid and its currency, of a `Paid` or a mapping with `amount` and `currency`."""
    if value is None:
        return None, None
    if isinstance(value, Paid):
        return _decimal("paid.amount", value.amount), value.currency
    fields = _mapping("paid", value, Paid.__struct_fields__)
    if fields.keys() != set(Paid.__struct_fields__):
        raise Invalid("paid", "give an amount and a currency")
    return _decimal("paid.amount", fields["amount"]), fields["currency"]


def components_of(value: Iterable[ComponentIn] | None) -> list[Component] | None:
    """Of mappings in credits; a `Component` is in nano-credits already."""
    if value is None:
        return None
    return [
        part if isinstance(part, Component) else _component(f"components[{index}]", part)
        for index, part in enumerate(value)
    ]


class PriceIn(TypedDict):
    """A price as the catalogue takes it."""

    cost: Nanos | None
    components: list[Component] | None
    rounding: str
    minimum: Nanos
    markup: str


def price_of(
    cost: AmountIn | None,
    components: Iterable[ComponentIn] | None,
    rounding: str,
    minimum: AmountIn,
    markup: AmountIn,
) -> PriceIn:
    """A price from credits."""
    return {
        "cost": some_amount("cost", cost),
        "components": components_of(components),
        "rounding": rounding,
        "minimum": amount_of("minimum", minimum),
        "markup": _decimal("markup", markup),
    }


def model_price_of(
    components: Iterable[ComponentIn],
    rounding: str,
    minimum: AmountIn,
    markup: AmountIn,
    valid_from: datetime | None,
    valid_to: datetime | None,
) -> ModelPrice:
    """A model's price of mappings that are all in US dollars (`usd`), or all in credits."""
    given = list(components)
    parts = [
        part if isinstance(part, Component) else _component(f"components[{index}]", part, ("credits", "usd"))
        for index, part in enumerate(given)
    ]
    usd = ["usd" in part for part in given if not isinstance(part, Component)]
    if any(usd) and len(usd) != sum(usd):
        raise Invalid("components", "must all be in US dollars or all in credits")
    return ModelPrice(
        components=tuple(parts),
        usd=any(usd),
        rounding=rounding,
        minimum=amount_of("minimum", minimum),
        markup=_decimal("markup", markup),
        valid_from=instant_of("valid_from", valid_from),
        valid_to=instant_of("valid_to", valid_to),
    )


def charge(
    account: str,
    amount: AmountIn | None = None,
    *,
    usage: UsageIn | None = None,
    provider_cost_usd: AmountIn | None = None,
    metadata: Metadata | None = None,
    idempotency_key: str | None = None,
    **plain: Any,
) -> Charge:
    """The command of one charge; `plain` is what the command carries as it is."""
    token, salt = entropy.identity()
    return Charge(
        account=account,
        token=token,
        salt=salt,
        key=idempotency_key,
        amount=None if amount is None else amount_of("amount", amount),
        usage=usage_of(usage),
        provider_cost_usd=decimal_of("provider_cost_usd", provider_cost_usd),
        metadata=json_of("metadata", metadata),
        **plain,
    )


def place_hold(
    account: str,
    *,
    amount: AmountIn | None,
    usage: UsageIn | None,
    at_least: AmountIn | None,
    metadata: Metadata | None,
    idempotency_key: str | None,
    **plain: Any,
) -> PlaceHold:
    """The command of one hold; `plain` is what the command carries as it is."""
    token, salt = entropy.identity()
    return PlaceHold(
        account=account,
        token=token,
        salt=salt,
        key=idempotency_key,
        amount=some_amount("amount", amount),
        usage=usage_of(usage),
        at_least=some_amount("at_least", at_least),
        metadata=json_of("metadata", metadata),
        **plain,
    )


def charge_from(value: ChargeIn, actor: str) -> Charge:
    """The command of one charge of many: a mapping with the arguments of `charge`, or a `Charge` itself."""
    if isinstance(value, Charge):
        if value.token:
            return value
        token, salt = entropy.identity()
        return replace(value, token=token, salt=salt)
    fields = {"actor": actor} | _mapping("", value, _CHARGE_FIELDS)
    if "account" not in fields:
        raise Invalid("account", "is needed")
    return charge(**fields)


_CHARGE_FIELDS = (
    "account",
    "amount",
    "skill",
    "model",
    "usage",
    "quantity",
    "member",
    "run",
    "provider_cost_usd",
    "description",
    "metadata",
    "idempotency_key",
    "actor",
)


def _component(field: str, value: Mapping[str, Any], amounts: tuple[str, ...] = ("credits",)) -> Component:
    """Of a mapping with one of these amounts."""
    fields = _mapping(field, value, {*Component.__struct_fields__, *amounts})
    given = [name for name in amounts if name in fields]
    if "unit" not in fields or len(given) != 1:
        raise Invalid(field, f"give a unit and its {' or '.join(amounts)}")
    amount = amount_of(f"{field}.{given[0]}", fields.pop(given[0]))
    check_amount(f"{field}.{given[0]}", amount, zero=True)
    try:
        return msgspec.convert(fields | {"credits": amount}, Component)
    except msgspec.ValidationError as error:
        raise Invalid(field, str(error)) from None


def _mapping(field: str, value: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """A copy with known keys only."""
    if not isinstance(value, Mapping):
        raise Invalid(field or "charge", "must be a mapping")
    known = list(known)
    for key in value:
        if key not in known:
            close = get_close_matches(str(key), known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise Invalid(f"{field}.{key}".lstrip("."), f"unknown key; {hint}")
    return dict(value)


def _decimal(field: str, value: object) -> str:
    """A number as plain decimal text; whether it makes sense is the rules' business."""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal) and value.is_finite() and -30 < value.adjusted() < 30:
        return f"{value:f}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**30:
        return str(value)
    raise Invalid(field, "must be an integer, a decimal string or a Decimal")
