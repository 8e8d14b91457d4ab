"""The blocking face of an asynchronous class, without writing it twice.

    class Credits(Blocking[AsyncCredits]):
        charge = blocking(AsyncCredits.charge)

Over a `ThreadPort` a coroutine of `AsyncCredits` blocks where it would suspend; so it can be run to its end in the
caller's own thread by one `send`. Names, parameters, types and docstrings are those of the asynchronous method.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)
P = ParamSpec("P")
R = TypeVar("R")


class Blocking(Generic[A_co]):
    """Something blocking over its asynchronous twin."""

    def __init__(self, twin: A_co) -> None:
        self._twin = twin


def twin(face: Blocking[A]) -> A:
    """What is asynchronous below a blocking face."""
    return face._twin  # noqa: SLF001 - its own module


def blocking(
    method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Blocking[A], P], R]:
    """The same method, blocking: the twin's own, where its class has another text for it."""
    name = method.__name__

    @wraps(method)
    def call(self: Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> R:
        coroutine: Coroutine[Any, Any, R] = getattr(self._twin, name)(*args, **kwargs)
        return drive(coroutine)

    return call


def drive(coroutine: Coroutine[Any, Any, R]) -> R:
    """The result of a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: R = stop.value
        return result
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} waited for something other than its port")
