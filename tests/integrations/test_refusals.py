"""What a request is answered that is not let in."""

from __future__ import annotations

import json
from itertools import product

import pytest

from bursar.contracts import api_calls as api_calls_contract
from bursar.contracts import skills as skills_contract
from bursar.core.errors import (
    AccountFrozen,
    BursarError,
    DatabaseUnavailable,
    InsufficientCredits,
    Invalid,
    Kind,
    SkillDisabled,
)
from bursar.integrations import refusals
from bursar.integrations.gate import CHARGED, Ending, is_success
from bursar.integrations.refusals import (
    STATUS,
    NobodySpends,
    Refuse,
    api_calls,
    headers_of,
    plain,
    problem,
    skills,
    status_of,
)
from bursar.service.problems import STATUS as SERVICES_STATUS
from bursar.service.problems import problem_of

SHORT = InsufficientCredits(5_000_000_000, 2_500_000_000, 1_735_689_600_000_000)


def test_every_kind_has_a_status_and_it_is_the_services() -> None:
    assert set(STATUS) == set(Kind)
    assert STATUS == SERVICES_STATUS


def test_every_end_of_a_response_is_decided() -> None:
    assert set(CHARGED) == set(product((True, False), Ending))
    assert [status for status in (None, 199, 200, 204, 299, 300, 404) if is_success(status)] == [200, 204, 299]


def test_a_problem_is_that_of_bursars_own_api() -> None:
    ours, theirs = json.loads(problem(SHORT).encode()), json.loads(problem_of(SHORT).encode())
    assert ours == {name: value for name, value in theirs.items() if name != "title"}


@pytest.mark.parametrize("refuse", [plain, problem, api_calls, skills])
@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Invalid("account", "must be text"), 422),
        (AccountFrozen("alice"), 403),
        (NobodySpends(), 401),
        (DatabaseUnavailable("connect to 10.0.0.7:5432 as bursar refused"), 503),
    ],
)
def test_other_refusals_look_the_same_everywhere(refuse: Refuse, refusal: BursarError, status: int) -> None:
    answer = refuse(refusal)
    assert (answer.status, status_of(refusal)) == (status, status)
    assert ("Retry-After" in headers_of(refusal)) is (status == 503)


def test_what_a_driver_says_stays_in_the_log() -> None:
    shown = plain(DatabaseUnavailable("connect to 10.0.0.7:5432 refused")).encode()
    assert b"10.0.0.7" not in shown
    shown = problem(DatabaseUnavailable("connect to 10.0.0.7:5432 refused")).encode()
    assert b"10.0.0.7" not in shown


def test_the_published_contracts_own_words() -> None:
    text = "Insufficient credits. Please contact support to add more credits to your account."
    assert (api_calls(SHORT).status, api_calls(SHORT).body) == (402, {"error": text})
    assert (skills(SHORT).status, skills(SHORT).body) == (402, {"error": "Insufficient credits"})
    assert (skills(SkillDisabled("X")).status, skills(SkillDisabled("X")).body) == (402, {"error": "Tool disabled"})
    assert (plain(SHORT).status, plain(SHORT).body) == (402, {"error": "This needs 5 credits; 2.5 are available."})


def test_a_callers_own_text_is_no_reason_to_break() -> None:
    assert plain(Invalid("\ud800", "must be valid")).encode() == b'{"error":"? must be valid"}'
    assert problem(AccountFrozen("\ud800")).encode()


def test_the_documents_words_are_those_of_their_contracts() -> None:
    assert refusals.API_CALLS_TEXT == api_calls_contract.INSUFFICIENT
    assert {
        InsufficientCredits: skills_contract.INSUFFICIENT,
        SkillDisabled: skills_contract.DISABLED,
    } == refusals.SKILLS_TEXTS
