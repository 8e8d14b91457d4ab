"""The error tree: codes are unique, evidence is kept, the drawing in the docstring is complete."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

import pytest

from bursar.core import errors
from bursar.core.errors import Amount, BursarError, InsufficientCredits, Kind

SAMPLES: dict[str, Any] = {
    "field": "amount",
    "reason": "must be {more} than zero",
    "required": 5_000_000_000,
    "available": -500_000_000,
    "resets_at": 1_767_225_600_000_000,
    "refundable": 1_500_000_000,
    "found": "0001",
    "wanted": "0002",
}


def tree(kind: type[BursarError]) -> list[type[BursarError]]:
    """The error and those below it; what other layers add for themselves is theirs."""
    own = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [kind, *(below for child in own for below in tree(child))]


TREE = tree(BursarError)


def sample(kind: type[BursarError]) -> BursarError:
    """One with evidence."""
    if kind.__init__ is BursarError.__init__:
        return kind()
    names = list(inspect.signature(kind.__init__).parameters)[1:]
    return kind(**{name: SAMPLES.get(name, f"some {name}") for name in names})


each_error = pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)


def test_codes_are_unique_and_well_formed() -> None:
    codes = [kind.code for kind in TREE]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)
    assert all("code" in vars(kind) for kind in TREE), "a code is never inherited"


def test_the_drawing_is_the_tree() -> None:
    drawn = set(re.findall(r"\b[A-Z]\w+\b", (errors.__doc__ or "").partition("`code` is public")[0]))
    assert {kind.__name__ for kind in TREE} <= drawn
    assert drawn - {kind.__name__ for kind in TREE} == {"Every", "Bursar"}
    assert {error.__name__ for _, error in inspect.getmembers(errors, _is_error)} == {kind.__name__ for kind in TREE}


def test_each_branch_has_a_kind_of_its_own() -> None:
    branches = BursarError.__subclasses__()
    assert {branch.kind for branch in branches} == set(Kind)
    for branch in branches:
        assert {kind.kind for kind in tree(branch)} == {branch.kind}


@each_error
def test_the_message_is_the_first_line_of_the_docstring(kind: type[BursarError]) -> None:
    error = sample(kind)
    template = (kind.__doc__ or "").splitlines()[0]
    assert str(error)
    for piece in re.split(r"\{[^}]*\}", template):
        assert piece in str(error)
    assert set(re.findall(r"\{(\w+)", template)) <= set(error.evidence())


@each_error
def test_an_error_survives_copying_and_pickling(kind: type[BursarError]) -> None:
    error = sample(kind)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert again.evidence() == error.evidence()
        assert str(again) == str(error)


@each_error
def test_evidence_is_declared(kind: type[BursarError]) -> None:
    declared = {name for base in kind.__mro__ for name in getattr(base, "__annotations__", {})}
    assert set(sample(kind).evidence()) <= declared


def test_amounts_are_shown_as_credits() -> None:
    error = InsufficientCredits(5_000_000_000, -500_000_000)
    assert str(error) == "This needs 5 credits; -0.5 are available."
    assert type(error.evidence()["required"]) is Amount
    assert type(pickle.loads(pickle.dumps(error)).required) is Amount
    assert error.resets_at is None


def _is_error(member: object) -> bool:
    return isinstance(member, type) and issubclass(member, BursarError)
