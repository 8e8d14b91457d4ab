"""What calls of a provider's model cost: learned from what is published, or set by hand, by dates.

A model is learned when it is first named, once for all processes: its price becomes rows, and from then on nobody asks
the package where it came from. A price in US dollars becomes credits by two settings of the catalogue, what a credit
is worth and the markup; it carries them along, so that a change of a setting is a new version of every such price.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import astuple, replace

from bursar.catalog import MODEL_MARKUP, USD_PER_CREDIT, Catalog, get_setting
from bursar.core import text
from bursar.core.errors import AlreadyExists, Invalid, ModelNotFound
from bursar.core.model import Catalogue, Component, Instant, Model, Price
from bursar.core.money import Nanos, Rounding
from bursar.core.pricing import check_markup, check_worth, make_price
from bursar.core.timeline import dated, holding
from bursar.pricebook import add_model_price, model_versions
from bursar.published import Dated, Published, find_published
from bursar.store.base import Tx

OWN = "own"
MAX_MODELS = 1_000
MAX_UNPUBLISHED = 10_000


class Terms(Struct, frozen=True):
    """How dollars become credits. Without `usd_per_credit` no price in US dollars holds."""

    usd_per_credit: str | None
    markup: str = "1"


class ModelPrice(Struct, frozen=True, kw_only=True):
    """A price to be set: components in US dollars (`usd`), which the catalogue's terms turn into credits, or in
    credits with a markup of their own.
    """

    components: tuple[Component, ...]
    usd: bool = False
    rounding: str = Rounding.NANO
    minimum: Nanos = 0
    markup: str = "1"
    valid_from: Instant | None = None
    valid_to: Instant | None = None


def find_entry(catalogue: Catalogue, name: str) -> Model:
    """The model of that very name. Raises `ModelNotFound`."""
    model = catalogue.models.get(name)
    if model is None:
        raise ModelNotFound(name)
    return model


async def learn(catalog: Catalog, name: str, now: Instant) -> Model:
    """The model, from now on in the catalogue with its published price, unless it is there.

    Raises `ModelNotFound` where none is published, which is remembered, `Invalid` where it cannot be used.
    """
    text.check_name("model", name)
    known = (await catalog.newest()).models.get(name)
    if known is not None:
        return known
    try:
        published = await asyncio.to_thread(find_published, name, now)
    except ModelNotFound:
        if len(catalog.unpublished) >= MAX_UNPUBLISHED:
            catalog.unpublished.clear()
        catalog.unpublished.add(name)
        raise

    async def change(tx: Tx, catalogue: Catalogue) -> None:
        if name not in catalogue.models:
            await _begin(tx, catalogue, name, now)
            await _publish(tx, catalogue, name, published, now)

    return (await catalog.change(change)).models[name]


async def add(catalog: Catalog, name: str, now: Instant) -> Model:
    """A new model with its published price. Raises `AlreadyExists`, `ModelNotFound`, `Invalid`."""
    if name in (await catalog.newest()).models:
        raise AlreadyExists("model", name)
    return await learn(catalog, name, now)


async def set_price(catalog: Catalog, name: str, wanted: ModelPrice, now: Instant) -> Price:
    """A new version of a model's price; the model is new, or its price so far is what holds before and after.

    Raises `ModelNotFound` where a new model has no price before or after that, `Invalid`.
    """
    text.check_name("model", name)
    if name not in (await catalog.newest()).models:
        await _learn_before(catalog, name, wanted, now)
    made: Price | None = None

    async def change(tx: Tx, catalogue: Catalogue) -> None:
        nonlocal made
        price = _make(name, wanted, await _terms(tx), now)
        versions = model_versions(catalogue, name)
        price = dated(price, versions, wanted.valid_from, wanted.valid_to)
        if not versions:
            await _begin(tx, catalogue, name, now)
        made = replace(price, version=_next_version(catalogue))
        await add_model_price(tx, made)

    catalogue = await catalog.change(change)
    assert made is not None
    return catalogue.prices[None, made.version]


async def _learn_before(catalog: Catalog, name: str, wanted: ModelPrice, now: Instant) -> None:
    """Learn what is published of a new model: what holds around a price with dates, and what its provider takes."""
    try:
        await learn(catalog, name, now)
    except (ModelNotFound, Invalid):
        if wanted.valid_from is not None or wanted.valid_to is not None:
            raise


async def refresh(catalog: Catalog, name: str, now: Instant) -> Model:
    """The model at what is published now, as new versions; what was set by hand no longer holds, nor will. Nothing
    where that is so already. Raises `ModelNotFound`, `Invalid`.
    """
    find_entry(await catalog.newest(), name)
    published = await asyncio.to_thread(find_published, name, now)

    async def change(tx: Tx, catalogue: Catalogue) -> None:
        model = find_entry(catalogue, name)
        if not _stands(model, published, await _terms(tx), now):
            await _publish(tx, catalogue, name, _over(published, model, now), now)

    return (await catalog.change(change)).models[name]


async def switch(catalog: Catalog, name: str, now: Instant, *, active: bool) -> Model:
    """The kill switch: disabled, the very next call is refused, and what is in flight may settle.

    Raises `ModelNotFound`; a model that was never named is learned first. Raises `Invalid` where it cannot be.
    """
    if name not in (await catalog.newest()).models:
        await learn(catalog, name, now)

    async def change(tx: Tx, catalogue: Catalogue) -> None:
        find_entry(catalogue, name)
        await tx.execute("update_model", name, active)

    return (await catalog.change(change)).models[name]


async def terms(catalog: Catalog) -> Terms:
    """How dollars become credits now."""
    return await catalog.store.read(_terms)


async def set_terms(
    catalog: Catalog, now: Instant, *, usd_per_credit: str | None = None, markup: str | None = None
) -> Terms:
    """Change what is not None; every price in US dollars is a new version, which holds for the very next charge."""
    worth = None if usd_per_credit is None else check_worth(USD_PER_CREDIT, usd_per_credit)
    factor = None if markup is None else check_markup(MODEL_MARKUP, markup)

    async def change(tx: Tx, catalogue: Catalogue) -> None:
        before = await _terms(tx)
        after = Terms(worth or before.usd_per_credit, factor or before.markup)
        if after == before:
            return
        if after.usd_per_credit is not None:
            await tx.execute("replace_setting", USD_PER_CREDIT, after.usd_per_credit)
        await tx.execute("replace_setting", MODEL_MARKUP, after.markup)
        await _reprice(tx, catalogue, after, now)

    await catalog.change(change)
    return await terms(catalog)


async def _terms(tx: Tx) -> Terms:
    return Terms(await get_setting(tx, USD_PER_CREDIT), await get_setting(tx, MODEL_MARKUP) or "1")


async def _begin(tx: Tx, catalogue: Catalogue, name: str, now: Instant) -> None:
    if len(catalogue.models) >= MAX_MODELS:
        raise Invalid("model", f"the catalogue has {MAX_MODELS} models, which is all that it takes")
    await tx.execute("insert_model", name, True, now)


async def _publish(tx: Tx, catalogue: Catalogue, name: str, published: Published, now: Instant) -> None:
    """The published price, as it holds now and as it is announced, over whatever was set before."""
    how = await _terms(tx)
    versions = model_versions(catalogue, name)
    number = _next_version(catalogue)
    for moment, components in published.prices:
        price = _in_usd(name, components, how, published.source, now)
        price = replace(dated(price, versions, moment, None), version=number)
        await add_model_price(tx, price)
        versions.append(price)
        number += 1


async def _reprice(tx: Tx, catalogue: Catalogue, how: Terms, now: Instant) -> None:
    """Each price in US dollars that holds now or will, anew: for the time that it holds."""
    number = _next_version(catalogue)
    for model in catalogue.models.values():
        versions = model_versions(catalogue, model.name)
        for moment, end, old in _spans(model, now):
            if old.usd_per_credit is None:
                continue
            price = _in_usd(model.name, old.components, how, old.source, now, old.rounding, old.minimum)
            price = replace(dated(price, versions, moment, end), version=number)
            await add_model_price(tx, price)
            versions.append(price)
            number += 1


def _spans(model: Model, now: Instant) -> Iterable[tuple[Instant | None, Instant | None, Price]]:
    """From when until when each price of a model holds, from now on; None: already, and without an end."""
    coming = [(moment, price) for moment, price in model.later if moment > now]
    ends = [*(moment for moment, _ in coming), None]
    begun = [(None, holding(model.price, model.later, now)), *coming]
    return [(moment, end, price) for (moment, price), end in zip(begun, ends, strict=True)]


def _stands(model: Model, published: Published, how: Terms, now: Instant) -> bool:
    """Whether the model's price is, and will be, the published one under these terms."""
    spans = _spans(model, now)
    if any((p.source, p.usd_per_credit, p.markup) != (published.source, *astuple(how)) for _, _, p in spans):
        return False
    return _changes((m, price.components) for m, _, price in spans) == _changes(published.prices)


def _over(published: Published, model: Model, now: Instant) -> Published:
    """The published price, said again where another one would take over from it."""
    said = dict(published.prices)
    moments = sorted({moment for moment, _ in model.later if moment > now} - said.keys())
    again = [(moment, [c for m, c in published.prices if m is None or m <= moment][-1]) for moment in moments]
    return replace(published, prices=[*published.prices, *again])


def _changes(prices: Iterable[Dated]) -> list[Dated]:
    """The prices without those that only say again what holds."""
    changes: list[Dated] = []
    for moment, components in prices:
        if not changes or changes[-1][1] != components:
            changes.append((moment, components))
    return changes


def _make(name: str, wanted: ModelPrice, how: Terms, now: Instant) -> Price:
    if wanted.usd:
        if check_markup("markup", wanted.markup) != "1":
            raise Invalid("markup", "is the catalogue's own where a price is in US dollars")
        return _in_usd(name, wanted.components, how, OWN, now, wanted.rounding, wanted.minimum)
    return make_price(
        name,
        1,
        wanted.components,
        rounding=wanted.rounding,
        minimum=wanted.minimum,
        markup=wanted.markup,
        created_at=now,
        source=OWN,
    )


def _in_usd(
    name: str,
    components: tuple[Component, ...],
    how: Terms,
    source: str | None,
    now: Instant,
    rounding: str = Rounding.NANO,
    minimum: Nanos = 0,
) -> Price:
    if how.usd_per_credit is None:
        reason = f"{name} is priced in US dollars, and the catalogue does not say what a credit is worth"
        raise Invalid("usd_per_credit", f"{reason}: set usd_per_credit")
    return make_price(
        name,
        1,
        components,
        rounding=rounding,
        minimum=minimum,
        markup=how.markup,
        created_at=now,
        usd_per_credit=how.usd_per_credit,
        source=source,
    )


def _next_version(catalogue: Catalogue) -> int:
    """Models share one count, which never goes back."""
    return max((version for skill, version in catalogue.prices if skill is None), default=0) + 1
