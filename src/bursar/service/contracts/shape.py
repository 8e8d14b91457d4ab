"""Refusals as the `ai-credits` document shows them: `{"statusCode": 400, "message": "..."}`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from msgspec import Struct

from bursar.contracts.ai_credits import insufficient_message
from bursar.core.errors import BursarError, InsufficientCredits, Kind
from bursar.service.problems import Headers, InvalidFields, Refusal, Unauthenticated, retry_headers

STATUS: Final[dict[Kind, int]] = {
    Kind.INVALID: 400,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.INSUFFICIENT: 400,
    Kind.DENIED: 403,
    Kind.UNAVAILABLE: 503,
}
"""What each kind of refusal is in this contract."""


class Refused(Struct, frozen=True, rename="camel"):
    """The body of every refusal."""

    status_code: int
    message: str


def refused(error: BursarError | Refusal) -> tuple[Refused, Headers]:
    """The refusal in the document's shape, and its headers."""
    if isinstance(error, BursarError):
        return Refused(STATUS[error.kind], _message(error)), retry_headers(error)
    if isinstance(error, Unauthenticated):
        return Refused(error.status, HTTPStatus.UNAUTHORIZED.phrase), error.headers
    return Refused(error.status, error.detail), error.headers


def _message(error: BursarError) -> str:
    if isinstance(error, InsufficientCredits):
        return insufficient_message(error)
    if isinstance(error, InvalidFields):
        return "; ".join(f"{wrong.field}: {wrong.reason}" for wrong in error.errors)
    return str(error).encode("utf-8", "replace").decode()
