"""No threads: what would run in one is done at once. So a run on SQLite is the same whenever it has the same seed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


class InlineExecutor(Executor):
    """Does it at once."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the running event loop, until the test ends."""
    inline = InlineExecutor()

    def run_in_executor(_: object, fn: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        return asyncio.wrap_future(inline.submit(fn, *args))

    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", run_in_executor)
