"""Prices as rows: how the versions of a skill's or model's price are written and read.

A Bursar of before may run on beside this one for a while. It knows nothing of a component that names a length of the
prompt (`above`), which is therefore kept apart in `tiers`; and it writes prices that begin when they are set, whose
`valid_from` is NULL.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from msgspec.json import Decoder
from msgspec.structs import replace

from bursar.core.model import Catalogue, Component, Instant, Model, Price, Skill, encode_json
from bursar.core.money import Rounding
from bursar.core.timeline import arrange
from bursar.store.base import Tx

_decode_components = Decoder(tuple[Component, ...]).decode


async def read_skills(tx: Tx) -> tuple[dict[str, Skill], list[Price]]:
    """All skills that have a price, and every version of their prices."""
    versions = _by_name(_skill_price(row) for row in await tx.fetch("list_prices"))
    for name in versions:
        versions[name] = _begun(versions[name])
    prices = [price for prices in versions.values() for price in prices]
    skills = {}
    for name, display_name, description, active, created_at in await tx.fetch("list_skills"):
        if name in versions:
            price, later = arrange(versions[name])
            skills[name] = Skill(name, display_name, description, bool(active), created_at, price, later)
    return skills, prices


async def read_models(tx: Tx) -> tuple[dict[str, Model], list[Price]]:
    """All models, and every version of their prices."""
    prices = [_model_price(row) for row in await tx.fetch("list_model_prices")]
    versions = _by_name(prices)
    models = {}
    for name, active, created_at in await tx.fetch("list_models"):
        if name in versions:
            models[name] = make_model(name, created_at, versions[name], active=bool(active))
    return models, prices


def make_model(name: str, created_at: Instant, versions: list[Price], *, active: bool = True) -> Model:
    """A model of all the versions of its price."""
    price, later = arrange(versions)
    in_usd = [version for version in versions if version.usd_per_credit is not None]
    usd, usd_later = arrange(in_usd) if in_usd else (None, ())
    return Model(name, active, created_at, price, later, usd, usd_later)


def skill_versions(catalogue: Catalogue, name: str) -> list[Price]:
    """Every version of a skill's price, oldest first."""
    return [price for (skill, _), price in catalogue.prices.items() if skill == name]


def model_versions(catalogue: Catalogue, name: str) -> list[Price]:
    """Every version of a model's price, oldest first."""
    return [price for (skill, _), price in catalogue.prices.items() if skill is None and price.skill == name]


async def add_price(tx: Tx, price: Price) -> None:
    """A new version of a skill's price."""
    await tx.execute(
        "insert_price",
        price.skill,
        price.version,
        encode_json([component for component in price.components if not component.above]),
        price.rounding.value,
        price.minimum,
        price.markup,
        price.created_at,
        price.flat,
        price.valid_from,
        price.valid_to,
        encode_json(tiers) if (tiers := [c for c in price.components if c.above]) else None,
    )


async def add_model_price(tx: Tx, price: Price) -> None:
    """A new version of a model's price."""
    await tx.execute(
        "insert_model_price",
        price.version,
        price.skill,
        price.source,
        encode_json(price.components),
        price.rounding.value,
        price.minimum,
        price.markup,
        price.usd_per_credit,
        price.created_at,
        price.flat,
        price.valid_from,
        price.valid_to,
    )


def _begun(versions: list[Price]) -> list[Price]:
    """The versions, each of which begins: one without a time at once, never before those that were set before it."""
    begun: list[Price] = []
    last = 0
    for version in versions:
        price = version
        if not price.valid_from:
            begins = max(price.created_at, last)
            price = replace(price, created_at=begins, valid_from=begins)
        if price.valid_from == price.created_at:
            last = max(last, price.valid_from)
        begun.append(price)
    return begun


def _by_name(prices: Iterable[Price]) -> dict[str, list[Price]]:
    """The rows come in order of name."""
    return {name: list(versions) for name, versions in groupby(prices, key=lambda price: price.skill)}


def _skill_price(row: tuple[Any, ...]) -> Price:
    skill, version, components, rounding, minimum, markup, created_at, flat, valid_from, valid_to, tiers = row
    return Price(
        skill,
        version,
        _decode_components(components) + (() if tiers is None else _decode_components(tiers)),
        Rounding(rounding),
        minimum,
        markup,
        created_at,
        flat,
        valid_from or 0,
        valid_to,
    )


def _model_price(row: tuple[Any, ...]) -> Price:
    version, model, source, components, rounding, minimum, markup, usd_per_credit, created_at, flat, begins, ends = row
    return Price(
        model,
        version,
        _decode_components(components),
        Rounding(rounding),
        minimum,
        markup,
        created_at,
        flat,
        begins,
        ends,
        usd_per_credit,
        source,
    )
