"""Ways to the engine, from wherever the caller is.

`Port` is what the face needs of one. Its methods are coroutines for both faces: over a `LoopPort` they suspend, over a
`ThreadPort` (in `threads`) they block and never suspend, so that one text of the face serves both.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from bursar.core.book import Outcome
from bursar.core.commands import Command
from bursar.core.errors import BursarError, EngineClosed
from bursar.credits.runtime import Runtime
from bursar.credits.told import Done

log = logging.getLogger("bursar.credits")

T = TypeVar("T")

Work: TypeAlias = Callable[[Runtime], Awaitable[T]]
Undo: TypeAlias = Callable[[Done], Command | None]

SERVICES_PLAN: Final = "the service's own default plan"
"""What a ledger behind HTTP calls the plan of a new account: which one that is, the service knows."""


class HandedOver(Exception):
    """The command will be carried out, but its caller cannot wait for it."""


class Port(Protocol):
    """Raises `EngineClosed` after `close`."""

    @property
    def runtime(self) -> Runtime:
        """What is open now."""

    @property
    def default_plan(self) -> str | None:
        """What a new account gets where none is named."""

    async def execute(self, command: Command) -> Done:
        """What the command did; its rejection is raised."""

    async def execute_many(self, commands: Sequence[Command]) -> Sequence[Done | BursarError]:
        """What each did or why it was refused, in order."""

    async def insist(self, command: Command, undo: Undo | None = None) -> Done:
        """Like `execute`, and carried out even if the caller is cancelled or interrupted while it waits.

        Then, once it is carried out, the command that `undo` makes of its outcome follows. Raises `HandedOver`
        where waiting is impossible.
        """

    async def run(self, work: Work[T]) -> T:
        """The result of work on the engine's own event loop."""

    async def close(self) -> None:
        """Finish what was submitted, and close. Again: nothing."""


class Home:
    """The event loop that a ledger was opened on, and bridges to it from any other in this process."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()

    def is_here(self) -> bool:
        """Whether the caller runs on it."""
        return asyncio.get_running_loop() is self._loop

    def bring(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Run it on that loop and await it on this one; cancelling here cancels there."""
        problem = self._problem()
        if problem is not None:
            coroutine.close()
            raise problem
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def _problem(self) -> Exception | None:
        if os.getpid() != self._pid:
            return RuntimeError("these AsyncCredits were opened before a fork: open them again in this process")
        if self._loop.is_closed():
            return EngineClosed()
        if not self._loop.is_running():
            return RuntimeError("the event loop that opened these AsyncCredits does not run: open them on this one")
        return None


class LoopPort:
    """For callers on event loops: the engine's own, and by a bridge any other in this process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._home = Home()
        self._chores: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None

    @property
    def runtime(self) -> Runtime:
        return self._runtime

    @property
    def default_plan(self) -> str | None:
        return self._runtime.catalog.default_plan

    async def execute(self, command: Command) -> Outcome:
        if self._home.is_here():
            return await self._runtime.engine.submit(command)
        return await self._home.bring(self._runtime.engine.execute(command))

    async def execute_many(self, commands: Sequence[Command]) -> list[Outcome | BursarError]:
        return await self.run(lambda runtime: runtime.engine.execute_many(commands))

    async def insist(self, command: Command, undo: Undo | None = None) -> Outcome:
        return await self._run(lambda _: self._insist(command, undo))

    async def run(self, work: Work[T]) -> T:
        if self._closing is not None:
            raise EngineClosed
        return await self._run(work)

    async def close(self) -> None:
        if self._closing is None or not self._closing.done():
            await self._run(lambda _: self._close())

    async def _insist(self, command: Command, undo: Undo | None) -> Outcome:
        future = self._runtime.engine.submit(command)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if undo is not None:
                chore = asyncio.create_task(self._take_back(future, undo))
                self._chores.add(chore)
                chore.add_done_callback(self._chores.discard)
            raise

    async def _take_back(self, future: asyncio.Future[Outcome], undo: Undo) -> None:
        try:
            command = undo(await asyncio.shield(future))
        except Exception:  # noqa: BLE001 - it was refused: there is nothing to take back
            return
        if command is None:
            return
        try:
            await asyncio.shield(self._runtime.engine.submit(command))
        except Exception as error:  # noqa: BLE001 - nobody is there to raise it to
            log.warning("a %s after a cancellation failed: %s", command.verb, error)

    async def _close(self) -> None:
        while self._chores:
            await asyncio.wait(self._chores)
        if self._closing is None:
            self._closing = asyncio.create_task(self._runtime.close())
        await asyncio.shield(self._closing)

    async def _run(self, work: Work[T]) -> T:
        if self._home.is_here():
            return await work(self._runtime)
        return await self._home.bring(_coroutine(work, self._runtime))


async def _coroutine(work: Work[T], runtime: Runtime) -> T:
    return await work(runtime)
