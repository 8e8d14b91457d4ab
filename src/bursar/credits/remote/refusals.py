"""From problem+json back to the error that it was: the same class, with the same typed evidence."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from inspect import get_annotations
from typing import Any, ClassVar, Final

import msgspec

from bursar.core import errors
from bursar.core.errors import (
    Amount,
    BursarError,
    Conflict,
    Denied,
    EngineClosed,
    Insufficient,
    Invalid,
    NotFound,
    Unavailable,
)
from bursar.core.money import parse_credits
from bursar.core.periods import parse_instant

STANDARD: Final = frozenset({"type", "title", "status", "code", "detail"})
"""The members that every problem has; what stands beside them is evidence."""

ROUTES: Final = frozenset({"route_not_found", "method_not_allowed"})
"""What a service says of a request that it does not know: it is an older one, or the address is wrong."""

FAMILY: Final[dict[int, type[BursarError]]] = {
    402: Insufficient,
    403: Denied,
    404: NotFound,
    409: Conflict,
}
"""What a code that this version does not know yet belongs to, by its status."""


class Unauthenticated(Denied):
    """The service does not know this key: pass `api_key`, or set BURSAR_API_KEY."""

    code: ClassVar[str] = "unauthenticated"


class Forbidden(Denied):
    """The service does not allow this: {detail}"""  # noqa: D400 - an error's docstring is its message

    code: ClassVar[str] = "forbidden"
    detail: str


class ServiceUnavailable(Unavailable):
    """The service did not answer as it should: {reason}"""  # noqa: D400 - see above

    code: ClassVar[str] = "service_unavailable"
    reason: str

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)


def refusal_of(status: int, body: bytes) -> BursarError:
    """The error behind an answer that is none of the good ones."""
    problem = _problem(body)
    if problem is None:
        return ServiceUnavailable(f"status {status}")
    code, detail = problem["code"], str(problem.get("detail", ""))
    if code == Forbidden.code:
        return Forbidden(detail=detail)
    known = _known().get(code)
    if known is not None:
        evidence = {name: value for name, value in problem.items() if name not in STANDARD}
        return _rebuild(known, evidence, detail)
    if code in ROUTES:
        return ServiceUnavailable(detail)
    if status in FAMILY:
        return _unknown(FAMILY[status](), code, detail)
    if 400 <= status < 500:
        return Invalid("request", detail or code)
    return ServiceUnavailable(f"{code}: {detail}")


def _problem(body: bytes) -> dict[str, Any] | None:
    """A problem as Bursar writes them, its numbers exact."""
    try:
        problem = msgspec.json.Decoder(dict[str, Any], float_hook=str).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return problem if isinstance(problem.get("code"), str) else None


def _rebuild(cls: type[BursarError], evidence: dict[str, Any], detail: str) -> BursarError:
    """An error with that evidence, whatever its constructor takes; one that lacks what its message shows is unknown."""
    error = cls.__new__(cls)
    BursarError.__init__(error, **{name: _evidence(cls, name, value) for name, value in evidence.items()})
    try:
        str(error)
    except KeyError:
        return _unknown(cls.__mro__[1](), cls.code, detail)
    return error


def _unknown(error: BursarError, code: str, detail: str) -> BursarError:
    error.add_note(f"{code}: {detail}")
    return error


def _evidence(cls: Any, name: str, value: Any) -> Any:
    """One fact, from how JSON shows it to how the error has it."""
    if value is None:
        return None
    if "Amount" in _annotations(cls).get(name, ""):
        return Amount(parse_credits(value, allow_negative=True))
    return parse_instant(value) if name.endswith("_at") and isinstance(value, str) else value


@cache
def _annotations(cls: Any) -> dict[str, str]:
    return {name: str(kind) for base in reversed(cls.__mro__) for name, kind in get_annotations(base).items()}


@cache
def _known() -> dict[str, type[BursarError]]:
    """Every error that a service may name: the ledger's own, and a key that is not good.

    Its engine being closed is its own affair: that is no answer.
    """
    ours = [error for error in _below(BursarError) if error.__module__ == errors.__name__]
    known = {error.code: error for error in ours if error is not EngineClosed}
    return known | {Unauthenticated.code: Unauthenticated}


def _below(error: type[BursarError]) -> Iterator[type[BursarError]]:
    for sub in error.__subclasses__():
        yield from _below(sub)
        yield sub
