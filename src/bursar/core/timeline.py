"""Which price holds when.

Among the versions whose time a moment falls into (`valid_from <= now < valid_to`), the one that began last holds; of
two that began together, the higher version. So a price that was set for a while gives way to the one before it, and
one that was announced still comes when another is set meanwhile.

A price that begins the moment it is set holds from then on whatever any clock says: what a later reader sees of the
past is cut off there. The others take over at their instants, in every process, by the ledger's own clock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable
from itertools import pairwise
from operator import itemgetter

from msgspec.structs import replace

from bursar.core import text
from bursar.core.errors import Invalid
from bursar.core.model import Catalogue, Instant, Later, Model, Price, Skill

_moment = itemgetter(0)


def price_at(priced: Skill | Model, now: Instant) -> Price:
    """The price of a skill or model that holds now."""
    return holding(priced.price, priced.later, now) if priced.later else priced.price


def as_of(catalogue: Catalogue, now: Instant) -> Catalogue:
    """The catalogue in which each skill's `price` is the one that holds now: for showing it."""
    skills = {name: replace(skill, price=price_at(skill, now), later=()) for name, skill in catalogue.skills.items()}
    return replace(catalogue, skills=skills)


def usd_at(model: Model, now: Instant) -> Price | None:
    """What the provider takes now, where that is known."""
    return None if model.usd is None else holding(model.usd, model.usd_later, now)


def holding(price: Price, later: Later, now: Instant) -> Price:
    """Of a price and those that take over from it, the one that holds now."""
    begun = bisect_right(later, now, key=_moment)
    return later[begun - 1][1] if begun else price


def arrange(versions: Collection[Price]) -> tuple[Price, Later]:
    """The price that holds from the last one that was set to hold at once, and what takes over from it when.

    Among the versions is one that was set to hold at once and has no end.
    """
    began = _last_begun(versions)
    ends = (price.valid_to for price in versions if price.valid_to is not None)
    moments = sorted({began, *(m for m in (*ends, *(price.valid_from for price in versions)) if m > began)})
    holds = [(moment, _winner(versions, moment)) for moment in moments]
    later = [(m, price) for (_, before), (m, price) in pairwise(holds) if price is not before]
    return holds[0][1], tuple(later)


def dated(price: Price, versions: Iterable[Price], valid_from: Instant | None, valid_to: Instant | None) -> Price:
    """The price, set now (its `created_at`), to hold from `valid_from` (None: at once) until before `valid_to`.

    Raises `Invalid` for a time in the past: what was charged was charged.
    """
    now = max(price.created_at, _last_begun(versions))
    if valid_from is not None:
        text.check_instant("valid_from", valid_from)
        if valid_from < price.created_at:
            raise Invalid("valid_from", "lies in the past: what was charged by then was charged")
    begins = now if valid_from is None else max(valid_from, now)
    if valid_to is not None:
        text.check_instant("valid_to", valid_to)
        if valid_to <= begins:
            raise Invalid("valid_to", "must lie after the moment from which the price holds")
    return replace(price, created_at=now, valid_from=begins, valid_to=valid_to)


def _last_begun(versions: Iterable[Price]) -> Instant:
    """When the last of those began that were set to hold at once."""
    return max((price.valid_from for price in versions if price.valid_from == price.created_at), default=0)


def _winner(versions: Iterable[Price], moment: Instant) -> Price:
    in_force = (p for p in versions if p.valid_from <= moment and (p.valid_to is None or moment < p.valid_to))
    return max(in_force, key=lambda price: (price.valid_from, price.version))
