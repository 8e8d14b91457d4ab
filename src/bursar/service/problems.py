"""Refusals over HTTP: one table from `Kind` to a status, and problem+json (RFC 9457) as Bursar's own API answers it.

    {"type": "urn:bursar:problem:insufficient_credits", "title": "Payment required", "status": 402,
     "code": "insufficient_credits", "detail": "This needs 5 credits; 3 are available.",
     "required": 5, "available": 3, "resets_at": "2025-02-01T00:00:00Z"}

The errors of `core` know no protocol; what only a protocol can refuse (no key, no such path, a body too large) is a
`Refusal`. A published contract has its own small table over the same two families.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import ClassVar, Final

import msgspec
from msgspec import Struct

from bursar.answers import ENCODER
from bursar.core.errors import Amount, BursarError, DatabaseUnavailable, Invalid, Kind
from bursar.core.money import to_number
from bursar.core.periods import format_instant

PROBLEM_JSON: Final = b"application/problem+json"
RETRY_SECONDS: Final = 1
RETRY_DATABASE_SECONDS: Final = 2
RETRY_IDENTITY_SECONDS: Final = 10

STATUS: Final[dict[Kind, int]] = {
    Kind.INVALID: 422,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.INSUFFICIENT: 402,
    Kind.DENIED: 403,
    Kind.UNAVAILABLE: 503,
}
"""What each kind of refusal is over HTTP. Never 429 for credits (only sign-ins wait): clients retry that by
themselves.
"""

Headers = list[tuple[bytes, bytes]]


class FieldError(Struct, frozen=True):
    """What is wrong with one field of a request."""

    field: str
    reason: str


class InvalidFields(Invalid):
    """{field}: {reason}"""  # noqa: D400 - an error's docstring is its message

    errors: list[FieldError]

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(errors[0].field, errors[0].reason)
        self.errors = list(errors)


class Refusal(Exception):
    """Something that only HTTP can refuse."""

    status: ClassVar[int]
    code: ClassVar[str]

    def __init__(self, detail: str, headers: Headers | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers or []


class Unauthenticated(Refusal):
    """No key or token, or none that is good."""

    status = 401
    code = "unauthenticated"

    def __init__(self, detail: str = "Send a key or token that is good: Authorization: Bearer ...") -> None:
        super().__init__(detail, [(b"www-authenticate", b"Bearer")])


class Forbidden(Refusal):
    """The key is good, but not for this."""

    status = 403
    code = "forbidden"


class RouteNotFound(Refusal):
    """There is nothing at this path."""

    status = 404
    code = "route_not_found"


class MethodNotAllowed(Refusal):
    """The path is there, the method is not."""

    status = 405
    code = "method_not_allowed"


class TooLarge(Refusal):
    """The body is larger than the bound."""

    status = 413
    code = "too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The body is larger than {limit_bytes} bytes.")


class Busy(Refusal):
    """Too many of one costly kind of request at once."""

    status = 503
    code = "overloaded"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, [(b"retry-after", b"%d" % RETRY_SECONDS)])


class TooManyAttempts(Refusal):
    """Too many failed sign-ins: wait before the next one."""

    status = 429
    code = "too_many_attempts"

    def __init__(self, wait_seconds: int) -> None:
        detail = f"Too many failed sign-ins. Try again in {wait_seconds} seconds."
        super().__init__(detail, [(b"retry-after", b"%d" % wait_seconds)])


class SignInFailed(Refusal):
    """An identity provider's answer does not sign anybody in."""

    status = 401
    code = "sign_in_failed"


class IdentityProviderFailed(Refusal):
    """An identity provider answered with something that makes no sense."""

    status = 502
    code = "identity_provider_failed"


class IdentityProviderUnreachable(Refusal):
    """An identity provider does not answer: nobody can be recognised by it just now."""

    status = 503
    code = "identity_provider_unreachable"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, [(b"retry-after", b"%d" % RETRY_IDENTITY_SECONDS)])


class ProviderFailed(Refusal):
    """Who was to generate could not: nothing was charged."""

    status = 502
    code = "provider_failed"


class Internal(Refusal):
    """A bug of ours: logged under the request id that the answer names."""

    status = 500
    code = "internal"

    def __init__(self, request_id: str) -> None:
        super().__init__(f"Something went wrong on our side. Quote {request_id} to have it looked up.")
        self.request_id = request_id


class Problem(Struct, frozen=True):
    """A refusal (RFC 9457), for the documentation; the facts behind it stand beside these members."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldError] = msgspec.field(default_factory=list)


class Rendered(Struct, frozen=True):
    """A refusal, ready to be sent."""

    status: int
    code: str
    members: dict[str, object]
    headers: Headers

    def encode(self) -> bytes:
        return ENCODER.encode(self.members)


def problem_of(error: BursarError | Refusal) -> Rendered:
    """The refusal as problem+json shows it."""
    if isinstance(error, BursarError):
        status, headers = STATUS[error.kind], retry_headers(error)
        detail, evidence = str(error), evidence_of(error)
    else:
        status, headers, detail = error.status, error.headers, error.detail
        evidence = {"request_id": error.request_id} if isinstance(error, Internal) else {}
    members: dict[str, object] = {
        "type": f"urn:bursar:problem:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": error.code,
        "detail": detail,
    }
    return Rendered(status, error.code, members | evidence, headers)


def retry_headers(error: BursarError) -> Headers:
    """When to come back, where coming back can help."""
    if error.kind is not Kind.UNAVAILABLE:
        return []
    seconds = RETRY_DATABASE_SECONDS if isinstance(error, DatabaseUnavailable) else RETRY_SECONDS
    return [(b"retry-after", b"%d" % seconds)]


def evidence_of(error: BursarError) -> dict[str, object]:
    """The typed facts as JSON shows them: amounts in credits, instants as RFC 3339."""
    return {name: _shown(name, value) for name, value in error.evidence().items()}


def _shown(name: str, value: object) -> object:
    if isinstance(value, Amount):
        return to_number(value)
    if name.endswith("_at") and isinstance(value, int):
        return format_instant(value)
    if isinstance(value, str):
        # A caller's own text may be anything, and an answer must be UTF-8.
        return value.encode("utf-8", "replace").decode()
    return value
