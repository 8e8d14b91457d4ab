"""Something that an identity provider tells everybody (where it is, its keys), remembered and asked for again.

However many callers want it, and whatever they want of it, it is asked for by one at a time and at most once per
`PAUSE_SECONDS`: nobody can make us hammer a provider with tokens that name keys which do not exist. While the provider
is away, what is known stays good for a day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

from bursar import clock
from bursar.service.problems import IdentityProviderUnreachable, Refusal

GOOD_SECONDS: Final = 600.0
"""After this it is asked for again, in passing: a key that was withdrawn is dead."""

PAUSE_SECONDS: Final = 10.0
KEPT_SECONDS: Final = 86_400.0

T = TypeVar("T")


class Refreshed(Generic[T]):
    """The last answer, and when it was asked for."""

    def __init__(self, load: Callable[[], Awaitable[T]]) -> None:
        self._load = load
        self._known: tuple[T, float] | None = None
        self._asked_at: float | None = None
        self._failure: Refusal | None = None
        self._task: asyncio.Task[None] | None = None

    async def get(self, wanted: Callable[[T], bool] = lambda _: True) -> T:
        """What is known; asked for anew where it is old or is not what is wanted, which may still be so afterwards.

        Raises `IdentityProviderUnreachable`, `IdentityProviderFailed`.
        """
        value = self._value()
        is_wanted = value is not None and wanted(value)
        if not is_wanted or self._age() > GOOD_SECONDS:
            self._ask()
        if not is_wanted and self._task is not None:
            # The one who asks may be gone before the answer is there; the others still wait for it.
            await asyncio.shield(self._task)
            value = self._value()
        if value is None:
            raise self._failure or IdentityProviderUnreachable("The identity provider cannot be reached.")
        return value

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _value(self) -> T | None:
        return self._known[0] if self._known is not None and self._age() <= KEPT_SECONDS else None

    def _age(self) -> float:
        return float("inf") if self._known is None else clock.monotonic() - self._known[1]

    def _ask(self) -> None:
        now = clock.monotonic()
        if self._task is None and (self._asked_at is None or now - self._asked_at >= PAUSE_SECONDS):
            self._asked_at = now
            self._task = asyncio.create_task(self._refresh(), name="bursar-identity")
            self._task.add_done_callback(self._done)

    async def _refresh(self) -> None:
        try:
            self._known, self._failure = (await self._load(), clock.monotonic()), None
        except Refusal as refusal:
            self._failure = refusal

    def _done(self, _task: asyncio.Task[Any]) -> None:
        self._task = None
