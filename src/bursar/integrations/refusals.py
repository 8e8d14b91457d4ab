"""What a request is answered that is not let in: a status by the kind of refusal, and a body of the app's choice.

    CreditsMiddleware(app, ..., refuse=plain)        {"error": "This needs 5 credits; 3 are available."}
                               refuse=problem        application/problem+json, as Bursar's own API
                               refuse=api_calls      402 {"error": "Insufficient credits. Please contact support ..."}
                               refuse=skills         402 {"error": "Insufficient credits"}, {"error": "Tool disabled"}

or any function from the refusal to an `Answer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, TypeAlias

from msgspec import Struct

from bursar.answers import ENCODER
from bursar.core.errors import (
    Amount,
    BursarError,
    Denied,
    InsufficientCredits,
    Invalid,
    Kind,
    SkillDisabled,
)
from bursar.core.money import to_number
from bursar.core.periods import format_instant

STATUS: Final[dict[Kind, int]] = {
    Kind.INVALID: 422,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.INSUFFICIENT: 402,
    Kind.DENIED: 403,
    Kind.UNAVAILABLE: 503,
}
"""What each kind of refusal is over HTTP."""

RETRY_SECONDS: Final = 1

API_CALLS_TEXT: Final = "Insufficient credits. Please contact support to add more credits to your account."
SKILLS_TEXTS: Final[dict[type[BursarError], str]] = {
    InsufficientCredits: "Insufficient credits",
    SkillDisabled: "Tool disabled",
}
"""The published documents' own words."""


class NobodySpends(Denied):
    """Sign in first: this costs credits, and there is no account to pay them."""

    code: ClassVar[str] = "unauthenticated"


class Answer(Struct, frozen=True):
    """What is sent in place of the handler's answer."""

    status: int
    body: Mapping[str, Any]
    content_type: str = "application/json"

    def encode(self) -> bytes:
        return ENCODER.encode(self.body)


Refuse: TypeAlias = Callable[[BursarError], Answer]


def status_of(refusal: BursarError) -> int:
    """401 where nobody is there to pay, else by its kind."""
    return 401 if isinstance(refusal, NobodySpends) else STATUS[refusal.kind]


def headers_of(refusal: BursarError) -> dict[str, str]:
    """When to come back, where coming back can help."""
    return {"Retry-After": str(RETRY_SECONDS)} if refusal.kind is Kind.UNAVAILABLE else {}


def plain(refusal: BursarError) -> Answer:
    """`{error}`, in the ledger's words."""
    return Answer(status_of(refusal), {"error": _words(refusal)})


def problem(refusal: BursarError) -> Answer:
    """RFC 9457, with the facts."""
    evidence = {} if refusal.kind is Kind.UNAVAILABLE else refusal.evidence()
    facts = {name: _shown(name, value) for name, value in evidence.items()}
    status = status_of(refusal)
    named = {"type": f"urn:bursar:problem:{refusal.code}", "status": status, "code": refusal.code}
    return Answer(status, {**named, "detail": _words(refusal), **facts}, "application/problem+json")


def api_calls(refusal: BursarError) -> Answer:
    """The `api-calls` contract: below one credit its own sentence."""
    if isinstance(refusal, InsufficientCredits):
        return Answer(402, {"error": API_CALLS_TEXT})
    return plain(refusal)


def skills(refusal: BursarError) -> Answer:
    """The `skills` contract: whatever `charge_user` refuses is a 402."""
    text = SKILLS_TEXTS.get(type(refusal))
    return plain(refusal) if text is None else Answer(402, {"error": text})


def _words(refusal: BursarError) -> str:
    """Its message. What a driver says of a database names hosts: that is for the log."""
    if refusal.kind is Kind.UNAVAILABLE:
        return "Credits cannot be checked right now; try again in a moment."
    if isinstance(refusal, Invalid):
        return f"{refusal.field} {refusal.reason}".encode("utf-8", "replace").decode()
    return str(refusal).encode("utf-8", "replace").decode()


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, Amount):
        return to_number(value)
    if name.endswith("_at") and isinstance(value, int):
        return format_instant(value)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
