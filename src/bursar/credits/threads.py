"""A way to the engine for threads: an event loop in a thread of its own, started when first needed.

    caller's thread   command -> engine.submit_threadsafe -> Waiter.wait      (one lock for each command, no Future)
    bursar's thread   event loop, engine, connections

Before a fork everything is drained and closed, and each side opens its own again when it next needs it: an inherited
SQLite file would have lost its locks, an inherited socket would outlive its owner. What other threads submit meanwhile
waits.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from bursar.clock import monotonic
from bursar.core.book import Outcome
from bursar.core.commands import Command
from bursar.core.errors import BursarError, EngineClosed
from bursar.credits.ports import HandedOver, Undo, Work, log
from bursar.credits.runtime import Runtime
from bursar.engine import Waiter

T = TypeVar("T")

Start = Callable[[], Awaitable[Runtime]]

EXIT_SECONDS = 1.0
"""How long a thread may take to be gone; only its last few instructions are left."""


class Room:
    """One thread with an event loop and an open ledger in it, from `open` to `close`."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._thread = threading.Thread(target=self._run, name="bursar", daemon=True)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave = asyncio.Event()
        self._unwanted = False
        self.runtime: Runtime | None = None

    def open(self) -> Runtime:
        """Start the thread and the ledger in it; raises what went wrong there."""
        self._thread.start()
        try:
            self._ready.wait()
        except BaseException:
            self.leave()
            raise
        if self.runtime is None:
            self._thread.join()
            raise self._failure or EngineClosed()
        return self.runtime

    def begin(self, work: Work[T]) -> Future[T]:
        """Start work in the room, from any thread."""
        assert self._loop is not None
        assert self.runtime is not None
        return asyncio.run_coroutine_threadsafe(self._do(work, self.runtime), self._loop)

    def leave(self) -> None:
        """Ask the room to finish what was submitted, and to close; do not wait for it."""
        self._unwanted = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._leave.set)

    def close(self) -> None:
        """The same, and wait until its threads are gone."""
        before = threading.enumerate()
        self.leave()
        self._thread.join()
        _await_exit(thread for thread in before if not thread.is_alive())

    def is_mine(self) -> bool:
        """Whether the caller runs in the room's own thread, which must never wait for itself."""
        return threading.get_ident() == self._thread.ident

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as failure:  # noqa: BLE001 - whoever opens the room raises it
            self._failure = failure
            if self._ready.is_set():
                log.error("the ledger's thread ended badly", exc_info=failure)
        finally:
            self._ready.set()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.runtime = await self._start()
        try:
            self._ready.set()
            if not self._unwanted:
                await self._leave.wait()
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            await self.runtime.close()

    async def _do(self, work: Work[T], runtime: Runtime) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await work(runtime)
        finally:
            self._tasks.discard(task)


class ThreadPort:
    """For callers in threads: no method ever suspends."""

    def __init__(self, start: Start) -> None:
        self._start = start
        # Reentrant: a signal's handler and a finalizer run inside whatever their thread is doing.
        self._lock = threading.RLock()
        self._room: Room | None = None
        self._runtime: Runtime | None = None
        self._closed = False
        self._chores: set[threading.Thread] = set()
        _ports.add(self)

    def __del__(self) -> None:
        if self._room is not None:
            self._room.leave()

    def open(self) -> None:
        """Start now, so that what is wrong is known now."""
        with self._lock:
            self._open_room()

    @property
    def runtime(self) -> Runtime:
        """What was open last; closed or not, what it knows of the catalogue can be asked."""
        if self._runtime is None:
            raise EngineClosed
        return self._runtime

    @property
    def default_plan(self) -> str | None:
        return self.runtime.catalog.default_plan

    async def execute(self, command: Command) -> Outcome:
        return self._submit(command).wait()

    async def execute_many(self, commands: Sequence[Command]) -> list[Outcome | BursarError]:
        return await self.run(lambda runtime: runtime.engine.execute_many(commands))

    async def insist(self, command: Command, undo: Undo | None = None) -> Outcome:
        if self._is_own_thread():
            # A finalizer that happens to run in the room: the command is carried out, but cannot be waited for.
            self.runtime.engine.submit(command).add_done_callback(partial(_report, command))
            raise HandedOver
        waiter: Waiter | None = None
        try:
            waiter = self._submit(command)
            return waiter.wait()
        except BaseException:
            # Refused, or else a signal's handler raised while the thread was waiting.
            if undo is not None and waiter is not None:
                self._take_back(waiter, undo)
            raise

    async def run(self, work: Work[T]) -> T:
        self._refuse_own_thread()
        with self._lock:
            self._open_room()
            assert self._room is not None
            future = self._room.begin(work)
        return future.result()

    async def close(self) -> None:
        self._finish_chores()
        with self._lock:
            self._closed = True
            self._retire()

    def _finish_chores(self) -> None:
        """Wait for what is being taken back."""
        for chore in list(self._chores):
            chore.join()

    def stand_still(self) -> bool:
        """Close what is open and let nobody open it until `move_on`. Not for the room's own thread: False."""
        if self._is_own_thread():
            return False
        self._finish_chores()
        self._lock.acquire()
        self._retire()
        return True

    def move_on(self) -> None:
        """Whoever needs the ledger next opens it anew."""
        self._lock.release()

    def _retire(self) -> None:
        if self._room is not None:
            self._room.close()
            self._room = None

    def forget(self) -> None:
        """In a forked child: what was open is the parent's, and so are the threads that waited here."""
        if self._room is not None:
            _abandoned.append(self._room)
        self._lock = threading.RLock()
        self._room = None
        self._chores = set()

    def _submit(self, command: Command) -> Waiter:
        self._refuse_own_thread()
        with self._lock:
            return self._open_room().engine.submit_threadsafe(command)

    def _open_room(self) -> Runtime:
        """What is open, opened first where nothing is. Under the lock."""
        if self._room is None or self._runtime is None:
            if self._closed:
                raise EngineClosed
            self._room = Room(self._start)
            try:
                self._runtime = self._room.open()
            except BaseException:
                self._room = None
                raise
        return self._runtime

    def _is_own_thread(self) -> bool:
        room = self._room
        return room is not None and room.is_mine()

    def _refuse_own_thread(self) -> None:
        if self._is_own_thread():
            raise RuntimeError("the ledger's own thread cannot wait for itself")

    def _take_back(self, waiter: Waiter, undo: Undo) -> None:
        """Undo a command once it is carried out, if it is; in a thread of its own where that has to be waited for."""
        if waiter.done():
            self._undo(waiter, undo)
            return
        chore = threading.Thread(target=self._chore, args=(waiter, undo), name="bursar-undo", daemon=True)
        self._chores.add(chore)
        chore.start()

    def _chore(self, waiter: Waiter, undo: Undo) -> None:
        try:
            self._undo(waiter, undo)
        finally:
            self._chores.discard(threading.current_thread())

    def _undo(self, waiter: Waiter, undo: Undo) -> None:
        try:
            command = undo(waiter.wait())
        except Exception:  # noqa: BLE001 - it was refused: there is nothing to undo, and its caller knows
            return
        if command is None:
            return
        try:
            self._submit(command).wait()
        except Exception as error:  # noqa: BLE001 - nobody is there to raise it to
            log.warning("a %s after an interruption failed: %s", command.verb, error)


def _await_exit(threads: Iterable[threading.Thread]) -> None:
    """Wait until the system too has ended these threads, which before Python 3.13 is a little after `join` returns.

    A thread on its way out takes locks of OpenSSL; a child forked at that moment would inherit them locked, and wait
    for ever when it first connects.
    """
    deadline = monotonic() + EXIT_SECONDS
    for thread in threads:
        while Path(f"/proc/self/task/{thread.native_id}").exists() and monotonic() < deadline:
            time.sleep(0.0001)


def _report(command: Command, future: asyncio.Future[Outcome]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        log.warning("a %s that nobody could wait for failed: %s", command.verb, error)


_ports: WeakSet[ThreadPort] = WeakSet()
_forking: list[ThreadPort] = []
_abandoned: list[Room] = []
"""A parent's rooms, kept for ever in a child: to collect them would touch what is the parent's."""


def _before_fork() -> None:
    _forking.extend(port for port in list(_ports) if port.stand_still())


def _after_fork_in_parent() -> None:
    while _forking:
        _forking.pop().move_on()


def _after_fork_in_child() -> None:
    _forking.clear()
    for port in list(_ports):
        port.forget()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
