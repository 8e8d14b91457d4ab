"""Refusals: every kind has its status in every face, and shows its evidence as JSON should."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import msgspec
import pytest

from bursar.core import errors
from bursar.core.errors import (
    AccountNotFound,
    BursarError,
    DatabaseUnavailable,
    InsufficientCredits,
    Kind,
    Overloaded,
)
from bursar.service import problems
from bursar.service.contracts import shapes
from bursar.service.contracts.registry import CONTRACTS
from bursar.service.problems import InvalidFields, Refusal, problem_of
from bursar.settings import Settings

START_OF_2025 = 1_738_368_000_000_000


def all_refusals() -> Iterator[type[Refusal]]:
    return (kind for _, kind in inspect.getmembers(problems, inspect.isclass) if issubclass(kind, Refusal))


def test_every_kind_has_a_status_in_every_face() -> None:
    names = ("AI_CREDITS", "SKILLS", "API_CALLS", "TOKENS", "USD")
    tables = [getattr(shapes, f"{name}_STATUS") for name in names]
    assert len(tables) == len(CONTRACTS)
    for table in (problems.STATUS, *tables):
        assert set(table) == set(Kind)
        assert all(400 <= status < 600 for status in table.values())


def test_credits_are_never_refused_with_a_status_that_clients_retry() -> None:
    assert 429 not in problems.STATUS.values()


def test_every_error_has_a_code_of_its_own() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BursarError)]
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes)), codes
    own = [kind.code for kind in all_refusals() if kind is not Refusal]
    assert len(own) == len(set(own))


def test_evidence_is_shown_in_credits_and_rfc_3339() -> None:
    problem = problem_of(InsufficientCredits(5_000_000_000, 2_500_000_000, START_OF_2025))
    assert msgspec.json.decode(problem.encode()) == {
        "type": "urn:bursar:problem:insufficient_credits",
        "title": "Payment Required",
        "status": 402,
        "code": "insufficient_credits",
        "detail": "This needs 5 credits; 2.5 are available.",
        "required": 5,
        "available": 2.5,
        "resets_at": "2025-02-01T00:00:00Z",
    }


def test_what_cannot_be_encoded_does_not_break_the_answer() -> None:
    encoded = problem_of(AccountNotFound("\ud800")).encode()
    assert msgspec.json.decode(encoded)["account"] == "?"


@pytest.mark.parametrize("error", [Overloaded(), DatabaseUnavailable("it is gone")])
def test_what_may_be_tried_again_says_when(error: BursarError) -> None:
    names = [name for name, _ in problem_of(error).headers]
    assert problem_of(error).status == 503
    assert names == [b"retry-after"]
    for contract in CONTRACTS:
        assert contract.refuse(error, Settings()).headers == problem_of(error).headers


def test_each_field_is_named() -> None:
    wrong = [problems.FieldError("a", "is required"), problems.FieldError("b.c", "must be more")]
    members = msgspec.json.decode(problem_of(InvalidFields(wrong)).encode())
    assert members["errors"] == [
        {"field": "a", "reason": "is required"},
        {"field": "b.c", "reason": "must be more"},
    ]
    assert shapes.words(InvalidFields(wrong)) == "a: is required; b.c: must be more"
