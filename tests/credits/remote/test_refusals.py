"""Every error of the ledger crosses the wire and is the same on the other side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bursar.core import errors
from bursar.core.errors import BursarError, Conflict, Denied, Insufficient, InsufficientCredits, Invalid, NotFound
from bursar.core.money import NANOS
from bursar.credits.remote.refusals import (
    FAMILY,
    Forbidden,
    ServiceUnavailable,
    Unauthenticated,
    refusal_of,
)
from bursar.service import problems
from bursar.service.problems import FieldError, InvalidFields, problem_of

NEW_YEAR = 1_735_689_600_000_000


def leaves(error: type[BursarError] = BursarError) -> Iterator[type[BursarError]]:
    for sub in error.__subclasses__():
        if sub.__module__ == errors.__name__:
            yield from leaves(sub)
            if not any(below.__module__ == errors.__name__ for below in sub.__subclasses__()):
                yield sub


def example(cls: type[BursarError]) -> BursarError:
    """An error of that class, with evidence of every kind that its annotations name."""
    kinds: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        kinds |= {name: kind for name, kind in vars(base).get("__annotations__", {}).items() if "ClassVar" not in kind}
    evidence: dict[str, Any] = {}
    for name, kind in kinds.items():
        if "Amount" in kind:
            evidence[name] = errors.Amount(-NANOS // 2)
        elif "int" in kind:
            evidence[name] = NEW_YEAR
        else:
            evidence[name] = f"some {name}"
    error = cls.__new__(cls)
    BursarError.__init__(error, **evidence)
    return error


@pytest.mark.parametrize("cls", sorted(set(leaves()) - {errors.EngineClosed}, key=str))
def test_an_error_is_the_same_on_both_sides(cls: type[BursarError]) -> None:
    error = example(cls)
    problem = problem_of(error)
    same = refusal_of(problem.status, problem.encode())
    assert type(same) is cls
    assert same.evidence() == error.evidence()
    assert [type(value) for value in same.evidence().values()] == [type(value) for value in error.evidence().values()]
    assert str(same) == str(error)


def test_amounts_are_exact_and_may_be_absent() -> None:
    error = InsufficientCredits(5_000_000_001, -1, None)
    same = refusal_of(402, problem_of(error).encode())
    assert isinstance(same, InsufficientCredits)
    assert (same.required, same.available, same.resets_at) == (5_000_000_001, -1, None)
    assert str(same.required) == "5.000000001"


def test_every_field_that_is_wrong_is_told() -> None:
    error = InvalidFields([FieldError("amount", "is required"), FieldError("colour", "is no field")])
    same = refusal_of(422, problem_of(error).encode())
    assert isinstance(same, Invalid)
    assert (same.field, same.reason) == ("amount", "is required")
    assert same.evidence()["errors"][1] == {"field": "colour", "reason": "is no field"}  # type: ignore[index]


@pytest.mark.parametrize(
    ("refusal", "cls", "words"),
    [
        (problems.Unauthenticated(), Unauthenticated, "does not know this key"),
        (problems.Forbidden("This key was made without may_grant."), Forbidden, "without may_grant"),
        (problems.TooLarge(10), Invalid, "larger than 10 bytes"),
        (problems.RouteNotFound("There is nothing at /x."), ServiceUnavailable, "nothing at /x"),
        (problems.MethodNotAllowed("This path takes POST."), ServiceUnavailable, "takes POST"),
        (problems.Internal("abc"), ServiceUnavailable, "abc"),
        (problems.Busy("Too many."), errors.Overloaded, "Too much is queued"),
        (errors.EngineClosed(), ServiceUnavailable, "has been closed"),
    ],
)
def test_what_only_http_can_refuse(refusal: problems.Refusal | BursarError, cls: type[BursarError], words: str) -> None:
    problem = problem_of(refusal)
    error = refusal_of(problem.status, problem.encode())
    assert type(error) is cls
    assert words in str(error)


@pytest.mark.parametrize(
    ("status", "family"), [(402, Insufficient), (403, Denied), (404, NotFound), (409, Conflict), (422, Invalid)]
)
def test_a_code_of_a_newer_service_is_one_of_its_family(status: int, family: type[BursarError]) -> None:
    error = refusal_of(status, b'{"code": "brand_new", "detail": "Something else.", "status": 402}')
    assert isinstance(error, family)
    assert "Something else." in str(error) + "".join(getattr(error, "__notes__", []))


def test_a_known_code_without_its_evidence_is_one_of_its_family() -> None:
    error = refusal_of(402, b'{"code": "insufficient_credits", "detail": "No.", "status": 402}')
    assert type(error) is Insufficient
    assert error.__notes__ == ["insufficient_credits: No."]


@pytest.mark.parametrize(
    ("status", "body"),
    [(502, b"<html>"), (503, b""), (500, b"[]"), (302, b"{}"), (400, b'{"code": 7}'), (404, b"\xff")],
)
def test_what_is_no_problem_is_a_service_that_is_not_there(status: int, body: bytes) -> None:
    error = refusal_of(status, body)
    assert isinstance(error, ServiceUnavailable)
    assert str(status) in str(error)


def test_every_status_of_a_refusal_is_known() -> None:
    assert set(problems.STATUS.values()) <= {*FAMILY, 422, 503}
