"""One function for both faces of the ledger: with `Credits` it answers, with `AsyncCredits` it is awaited.

result = charge_user(credits, "alice", "GEO_WRITER_FULL", "GEO Writer Generation: keyword")
result = await charge_user(async_credits, "alice", "GEO_WRITER_FULL", "GEO Writer Generation: keyword")
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from bursar.credits import AsyncCredits, Credits
from bursar.credits.driving import drive, twin

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Both(Protocol[P, R_co]):
    """A function of a contract."""

    @overload
    def __call__(self, credits: Credits, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, credits: AsyncCredits, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]: ...


def both(function: Callable[Concatenate[AsyncCredits, P], Coroutine[Any, Any, R]]) -> Both[P, R]:
    """Make a coroutine function, which may wait for nothing but the ledger, one for both faces."""

    @wraps(function)
    def call(credits: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        if isinstance(credits, Credits):
            return drive(function(twin(credits), *args, **kwargs))
        return function(credits, *args, **kwargs)

    return call
