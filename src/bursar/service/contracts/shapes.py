"""Refusals as each published document shows them: a status by the kind, and a body.

    ai-credits     400 {"statusCode": 400, "message": "Insufficient AI credits. You have 3 credits, but need 5."}
    skills         402 {"error": "Insufficient credits"}
    api-calls      402 {"error": "Insufficient credits. Please contact support to add more credits to your account."}
    tokens         429 {"error": "Insufficient credits", "detail": "You have 0 credits ...", "status": 429}
    usd            402 {"error": "InsufficientCredits", "message": "This needs ...", "required": 0.02, "available": 0}

What only HTTP can refuse has a status of its own in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeAlias

from msgspec import Struct

from bursar.answers import Number
from bursar.contracts import ai_credits, api_calls, skills, tokens
from bursar.core.errors import BursarError, InsufficientCredits, Kind
from bursar.service.problems import STATUS as STATUS_OF_KIND
from bursar.service.problems import Headers, InvalidFields, Refusal, Unauthenticated, retry_headers
from bursar.settings import Settings

Statuses: TypeAlias = dict[Kind, int]

AI_CREDITS_STATUS: Final[Statuses] = {
    Kind.INVALID: 400,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.INSUFFICIENT: 400,
    Kind.DENIED: 403,
    Kind.UNAVAILABLE: 503,
}
SKILLS_STATUS: Final[Statuses] = {**STATUS_OF_KIND, Kind.INVALID: 400, Kind.DENIED: 402}
API_CALLS_STATUS: Final[Statuses] = {**STATUS_OF_KIND, Kind.INVALID: 400}
USD_STATUS: Final[Statuses] = {**STATUS_OF_KIND, Kind.INVALID: 400}
TOKENS_STATUS: Final[Statuses] = {**STATUS_OF_KIND, Kind.INVALID: 400, Kind.INSUFFICIENT: tokens.STATUS}
"""What each kind of refusal is in each contract."""


class StatusMessage(Struct, frozen=True, rename="camel"):
    """The body of every refusal of `ai-credits`."""

    status_code: int
    message: str


class ErrorOnly(Struct, frozen=True):
    """The body of every refusal of `skills` and `api-calls`."""

    error: str


class Named(Struct, frozen=True, omit_defaults=True):
    """The body of every refusal of `usd`; the amounts where credits are too few, in dollars."""

    error: str
    message: str
    required: Number | None = None
    available: Number | None = None


class Refused(Struct, frozen=True):
    """A refusal, ready to be sent."""

    status: int
    body: Struct
    headers: Headers


Refuse: TypeAlias = Callable[[BursarError | Refusal, Settings], Refused]


def ai_credits_refusal(error: BursarError | Refusal, _: Settings) -> Refused:
    """`{statusCode, message}`."""
    text = ai_credits.insufficient_message(error) if isinstance(error, InsufficientCredits) else words(error)
    status = status_of(error, AI_CREDITS_STATUS)
    return Refused(status, StatusMessage(status, text), headers_of(error))


def skills_refusal(error: BursarError | Refusal, _: Settings) -> Refused:
    """`{error}`: what `charge_user` refuses is a 402."""
    status = status_of(error, SKILLS_STATUS)
    text = skills.refusal_text(error) if isinstance(error, BursarError) and status == 402 else words(error)
    return Refused(status, ErrorOnly(text), headers_of(error))


def api_calls_refusal(error: BursarError | Refusal, _: Settings) -> Refused:
    """`{error}`."""
    text = api_calls.INSUFFICIENT if isinstance(error, InsufficientCredits) else words(error)
    return Refused(status_of(error, API_CALLS_STATUS), ErrorOnly(text), headers_of(error))


def tokens_refusal(error: BursarError | Refusal, settings: Settings) -> Refused:
    """`{error, detail, status}`."""
    status = status_of(error, TOKENS_STATUS)
    if isinstance(error, InsufficientCredits):
        return Refused(status, tokens.insufficient(error, settings.tokens_per_credit), [])
    return Refused(status, tokens.Refused(HTTPStatus(status).phrase, words(error), status), headers_of(error))


def usd_refusal(error: BursarError | Refusal, _: Settings) -> Refused:
    """`{error, message}`: the error by its name."""
    name, text, status = type(error).__name__, words(error), status_of(error, USD_STATUS)
    if isinstance(error, InsufficientCredits):
        body = Named(name, text, error.required.credits, error.available.credits)
    else:
        body = Named(name, text)
    return Refused(status, body, headers_of(error))


def status_of(error: BursarError | Refusal, table: Statuses) -> int:
    """By its kind; what only HTTP can refuse has a status of its own."""
    return table[error.kind] if isinstance(error, BursarError) else error.status


def headers_of(error: BursarError | Refusal) -> Headers:
    """What goes with it."""
    return retry_headers(error) if isinstance(error, BursarError) else error.headers


def words(error: BursarError | Refusal) -> str:
    """What a person reads."""
    if isinstance(error, Unauthenticated):
        return HTTPStatus.UNAUTHORIZED.phrase
    if isinstance(error, Refusal):
        return error.detail
    if isinstance(error, InvalidFields):
        return "; ".join(f"{wrong.field}: {wrong.reason}" for wrong in error.errors)
    return str(error).encode("utf-8", "replace").decode()
