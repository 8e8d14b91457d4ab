"""Which price holds when: what began last, for as long as it was set to hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bursar.core.errors import Invalid
from bursar.core.model import Catalogue, Component, Instant, Model, Price, Skill
from bursar.core.timeline import arrange, as_of, dated, holding, price_at, usd_at

NOW = 1_000


def price(version: int, valid_from: Instant, valid_to: Instant | None = None, set_at: Instant | None = None) -> Price:
    """One that was set to hold at once, unless `set_at` says when it was announced."""
    return Price(
        "SKILL",
        version,
        (Component("call", version),),
        created_at=valid_from if set_at is None else set_at,
        valid_from=valid_from,
        valid_to=valid_to,
    )


def versions_at(versions: list[Price], *moments: Instant) -> list[int]:
    first, later = arrange(versions)
    return [holding(first, later, moment).version for moment in moments]


FIRST = price(1, 0)


def test_the_last_price_that_was_set_holds() -> None:
    assert versions_at([FIRST], 0, 10**9) == [1, 1]
    assert versions_at([FIRST, price(2, 50), price(3, 60)], 60, 10**9) == [3, 3]


def test_an_announced_price_holds_from_its_instant_on() -> None:
    assert versions_at([FIRST, price(2, 100, set_at=50)], 99, 100, 101) == [1, 2, 2]


def test_a_price_for_a_while_gives_way_to_the_one_before() -> None:
    assert versions_at([FIRST, price(2, 100, 200, set_at=50)], 99, 100, 199, 200) == [1, 2, 2, 1]
    assert versions_at([FIRST, price(2, 100, 200)], 100, 199, 200) == [2, 2, 1]


def test_an_announced_price_comes_though_another_is_set_meanwhile() -> None:
    assert versions_at([FIRST, price(2, 100, set_at=50), price(3, 60)], 60, 99, 100) == [3, 3, 2]


def test_a_price_that_is_set_later_holds_though_another_was_announced_for_before() -> None:
    assert versions_at([FIRST, price(2, 100, set_at=50), price(3, 150)], 150, 10**9) == [3, 3]


def test_of_two_that_begin_together_the_later_one_holds() -> None:
    assert versions_at([FIRST, price(2, 100, set_at=50), price(3, 100, set_at=60)], 99, 100) == [1, 3]


def test_prices_for_a_while_lie_one_in_another() -> None:
    inner = [FIRST, price(2, 100, 400, set_at=50), price(3, 200, 300, set_at=50)]
    assert versions_at(inner, 99, 100, 199, 200, 299, 300, 399, 400) == [1, 2, 2, 3, 3, 2, 2, 1]


def test_a_price_that_was_set_holds_even_where_a_clock_is_behind() -> None:
    """Whoever reads it has read that it was set: it was."""
    assert versions_at([FIRST, price(2, 50)], 0, 49) == [2, 2]


def test_what_does_not_change_is_no_change() -> None:
    first, later = arrange([FIRST, price(2, 100, 200, set_at=50), price(3, 90, 300, set_at=60)])
    assert (first.version, [(moment, p.version) for moment, p in later]) == (1, [(90, 3), (100, 2), (200, 3), (300, 1)])
    assert arrange([FIRST, price(2, 60)]) == (price(2, 60), ())


moments = st.integers(0, 30)


@st.composite
def histories(draw: st.DrawFn) -> list[Price]:
    """Versions as they may have been set, one after another."""
    versions = [FIRST]
    at = 0
    for version in range(2, draw(st.integers(2, 7))):
        at += draw(st.integers(0, 5))
        begins = draw(st.none() | st.integers(at, 30))
        ends = draw(st.none() | st.integers((at if begins is None else begins) + 1, 40))
        versions.append(dated(replace(price(version, at), valid_from=at), versions, begins, ends))
    return versions


@given(versions=histories(), moment=st.integers(0, 45))
def test_the_timeline_says_what_the_rule_says(versions: list[Price], moment: Instant) -> None:
    last_set = max(p.valid_from for p in versions if p.valid_from == p.created_at)
    now = max(moment, last_set)
    in_force = [p for p in versions if p.valid_from <= now and (p.valid_to is None or now < p.valid_to)]
    expected = max(in_force, key=lambda p: (p.valid_from, p.version))
    first, later = arrange(versions)
    assert holding(first, later, now) == expected
    assert [at for at, _ in later] == sorted({at for at, _ in later})


# Dates


def test_a_price_without_dates_holds_at_once_and_for_good() -> None:
    made = dated(price(2, NOW), [FIRST], None, None)
    assert (made.created_at, made.valid_from, made.valid_to) == (NOW, NOW, None)


def test_a_price_may_begin_and_end_later() -> None:
    made = dated(price(2, NOW), [FIRST], NOW + 5, NOW + 9)
    assert (made.created_at, made.valid_from, made.valid_to) == (NOW, NOW + 5, NOW + 9)


def test_a_price_that_is_set_never_begins_before_one_that_was_set_before() -> None:
    """The clock of another process may have been ahead."""
    ahead = price(2, NOW + 7)
    made = dated(price(3, NOW), [FIRST, ahead], None, None)
    assert (made.created_at, made.valid_from) == (NOW + 7, NOW + 7)
    assert versions_at([FIRST, ahead, made], NOW) == [3]


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "field"),
    [
        (NOW - 1, None, "valid_from"),
        (0, None, "valid_from"),
        (-1, None, "valid_from"),
        (None, NOW, "valid_to"),
        (None, NOW - 1, "valid_to"),
        (NOW + 5, NOW + 5, "valid_to"),
        (NOW + 5, NOW + 4, "valid_to"),
        (2**62, None, "valid_from"),
        (None, 2**62, "valid_to"),
    ],
)
def test_a_time_in_the_past_is_refused_by_name(valid_from: int | None, valid_to: int | None, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        dated(price(2, NOW), [FIRST], valid_from, valid_to)
    assert refused.value.field == field


# What has prices


def test_a_skill_and_a_model_have_the_price_of_the_moment() -> None:
    later = ((100, price(2, 100)),)
    skill = Skill("SKILL", "Skill", None, active=True, created_at=0, price=FIRST, later=later)
    model = Model("m", active=True, created_at=0, price=FIRST, later=later, usd=FIRST, usd_later=later)
    assert [price_at(skill, now).version for now in (99, 100)] == [1, 2]
    assert [price_at(model, now).version for now in (99, 100)] == [1, 2]
    usd = [usd_at(model, now) for now in (99, 100)]
    assert [p.version for p in usd if p is not None] == [1, 2]
    assert usd_at(replace(model, usd=None), 100) is None


def test_a_catalogue_is_shown_as_of_a_moment() -> None:
    later = ((100, price(2, 100)),)
    skills = {
        "A": Skill("A", "A", None, active=True, created_at=0, price=FIRST),
        "B": Skill("B", "B", None, active=True, created_at=0, price=FIRST, later=later),
    }
    catalogue = Catalogue(1, skills, {}, {})
    assert {name: skill.price.version for name, skill in as_of(catalogue, 100).skills.items()} == {"A": 1, "B": 2}
