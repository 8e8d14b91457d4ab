"""What a command asks for, and the price that holds for it now: of a skill, else of a model, else of neither.

A skill's price comes first: a model named beside it is for the record. A model is known to the catalogue, or it is
unpublished and the model `*` prices it; else it is refused by name, and whoever decides may look for its price and
try again.
"""

from __future__ import annotations

from msgspec.structs import replace

from bursar.core import pricing
from bursar.core.commands import Capture, Spend
from bursar.core.errors import ModelDisabled, ModelNotFound, SkillDisabled, SkillNotFound
from bursar.core.model import Catalogue, Hold, Instant, Model, Price, Usage
from bursar.core.timeline import price_at, usd_at

ANY_MODEL = "*"
"""The model that stands for those without a price of their own."""


def find_price(command: Spend, catalogue: Catalogue, now: Instant) -> Price | None:
    """The price that holds for a charge or hold; None for a bare amount. Refuses what is unknown or disabled."""
    if command.skill is not None:
        skill = catalogue.skills.get(command.skill)
        if skill is None:
            raise SkillNotFound(command.skill)
        if not skill.active:
            raise SkillDisabled(command.skill)
        return price_at(skill, now) if skill.later else skill.price
    if command.amount is not None:
        return None
    assert command.model is not None
    model = find_model(command.model, catalogue)
    if not model.active:
        raise ModelDisabled(command.model)
    return price_at(model, now)


def find_model(name: str, catalogue: Catalogue) -> Model:
    """The model whose price a name has. Raises `ModelNotFound`."""
    model = catalogue.models.get(name)
    if model is None and name in catalogue.unpublished:
        model = catalogue.models.get(ANY_MODEL)
    if model is None:
        raise ModelNotFound(name)
    return model


def provider_cost(command: Spend, model: str, price: Price | None, catalogue: Catalogue, now: Instant) -> str | None:
    """What the provider takes for a call of its model, in US dollars, where the catalogue knows."""
    if price is None and command.usage is None:
        return None
    return _provider_cost(model, command.usage, command.quantity, price, catalogue, now)


def with_provider_cost(command: Capture, hold: Hold, catalogue: Catalogue, now: Instant) -> Capture:
    """The capture with what the provider takes for its usage, unless it says so itself."""
    if command.provider_cost_usd is not None or hold.model is None or command.usage is None:
        return command
    price = None if hold.price_version is None else catalogue.prices[hold.skill, hold.price_version]
    cost = _provider_cost(hold.model, command.usage, 1, price, catalogue, now)
    return command if cost is None else replace(command, provider_cost_usd=cost)


def _provider_cost(
    name: str, usage: Usage | None, quantity: int, price: Price | None, catalogue: Catalogue, now: Instant
) -> str | None:
    """By the very price that was charged where that is in US dollars, else by the one that the model has now. What
    stands for models that nobody knows says nothing of a provider.
    """
    if price is not None and price.skill == ANY_MODEL:
        return None
    if price is None or price.usd_per_credit is None:
        model = catalogue.models.get(name)
        price = None if model is None else usd_at(model, now)
    return None if price is None else pricing.provider_cost(price, usage, quantity)


def sold(skill: str | None, model: str | None, price_version: int | None) -> str:
    """The other side of spending: `skill:CHAT`, `model:gpt-4o`, or no more than `world:usage`."""
    if skill is not None:
        return f"skill:{skill}"
    return "world:usage" if price_version is None else f"model:{model}"
