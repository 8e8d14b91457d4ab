"""Ways to a service: pooled connections, one deadline for each call, and repeats where repeating is safe.

    LoopConnection     for event loops, on the one that opened it
    ThreadConnection   for threads: one pool for all; a method never suspends, so that one text serves both faces

A request that did not arrive is sent again. So is one whose answer was lost or was a 502, 503 or 504, where it is
`repeatable`: it only reads, is the same however often it is done, or carries an idempotency key. That goes on until
the call's time is over, which outlives a service that is started anew. Between two tries lies what `Retry-After` asks
for, else twice the time before.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

import httpx
from msgspec import Struct

from bursar.clock import monotonic
from bursar.core.errors import BursarError, EngineClosed
from bursar.credits.driving import drive
from bursar.credits.ports import HandedOver, Home
from bursar.credits.remote.place import Place
from bursar.credits.remote.refusals import ServiceUnavailable, refusal_of

T = TypeVar("T")

Query = dict[str, str | int]
Work = Callable[[], Coroutine[Any, Any, T]]
Undo = Callable[[T], Coroutine[Any, Any, object] | None]

API: Final = "/api/v1/"
FIRST_PAUSE_SECONDS: Final = 0.1
LONG_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 30.0
"""How long a connection is kept that nobody uses: less than servers and load balancers keep theirs."""
POOL: Final = httpx.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=IDLE_SECONDS)

AGAIN: Final = frozenset({429, 502, 503, 504})
"""Statuses of somebody who is too busy, or of a proxy whose server is away."""

log = logging.getLogger("bursar.credits")


class Request(Struct, frozen=True):
    """What is asked. `patient`: an answer may take as long as it takes. `once`: it is not worth a second try."""

    method: str
    path: str
    query: Query = {}
    body: bytes | None = None
    repeatable: bool = True
    patient: bool = False
    once: bool = False


class Answer(Struct, frozen=True):
    """A good answer."""

    status: int
    body: bytes
    replayed: bool


class Connection(Protocol):
    """What a port needs of a way to the service."""

    async def ask(self, request: Request) -> Answer:
        """A good answer; a refusal is raised. Raises `ServiceUnavailable`, `EngineClosed`."""

    async def insist(self, work: Work[T], undo: Undo[T] | None) -> T:
        """Do it even if the caller is cancelled or interrupted while it waits; what `undo` makes of it follows then."""

    async def close(self) -> None:
        """Finish what is under way, for as long as a call may take, and close. Again: nothing."""


class _Connection:
    """What both have in common: one request, over and over."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._closed = False

    async def _ask(self, request: Request) -> Answer:
        deadline = monotonic() + self._place.timeout_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                response = await self._send(request, max(deadline - monotonic(), 0.001))
            except httpx.HTTPError as error:
                failure: BursarError = ServiceUnavailable(f"{type(error).__name__} {error}".strip())
                again = request.repeatable or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                wait = pause
            else:
                if response.is_success:
                    return Answer(response.status_code, response.content, "idempotency-replayed" in response.headers)
                failure = refusal_of(response.status_code, response.content)
                again = request.repeatable and response.status_code in AGAIN
                wait = max(pause, _asked_to_wait(response))
            if request.once or not again or monotonic() + wait >= deadline:
                raise failure
            await self._pause(wait)
            pause = min(2 * pause, LONG_PAUSE_SECONDS)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise EngineClosed

    def _arguments(self, request: Request, seconds: float) -> dict[str, Any]:
        headers = {} if request.body is None else {"Content-Type": "application/json"}
        return {
            "method": request.method,
            "url": request.path if request.path.startswith("/") else API + request.path,
            "params": request.query or None,
            "content": request.body,
            "headers": headers,
            "timeout": httpx.Timeout(seconds, read=None if request.patient else seconds),
        }

    def _settings(self) -> dict[str, Any]:
        headers = {"Accept": "application/json", "User-Agent": "bursar"}
        if self._place.api_key is not None:
            headers["Authorization"] = f"Bearer {self._place.api_key}"
        return {"base_url": self._place.url, "headers": headers, "limits": POOL}

    async def _send(self, request: Request, seconds: float) -> httpx.Response:
        raise NotImplementedError

    async def _pause(self, seconds: float) -> None:
        raise NotImplementedError


class LoopConnection(_Connection):
    """See the module. It belongs to the loop that opened it; calls from other loops are brought there."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._home = Home()
        self._pool = httpx.AsyncClient(**self._settings())
        self._asked = 0
        self._quiet = asyncio.Event()
        self._chores: set[asyncio.Task[Any]] = set()

    async def ask(self, request: Request) -> Answer:
        return await self._at_home(lambda: self._ask_here(request))

    async def insist(self, work: Work[T], undo: Undo[T] | None) -> T:
        return await self._at_home(lambda: self._insist(work, undo))

    async def close(self) -> None:
        if not self._closed:
            await self._at_home(self._close)

    async def _at_home(self, work: Work[T]) -> T:
        if self._home.is_here():
            return await work()
        return await self._home.bring(work())

    async def _ask_here(self, request: Request) -> Answer:
        self._refuse_closed()
        self._asked += 1
        try:
            return await self._ask(request)
        finally:
            self._asked -= 1
            if self._closed and not self._asked:
                self._quiet.set()

    async def _insist(self, work: Work[T], undo: Undo[T] | None) -> T:
        task = asyncio.ensure_future(work())
        self._keep(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._keep(asyncio.ensure_future(_finish(task, undo)))
            raise

    async def _close(self) -> None:
        while self._chores:
            await asyncio.wait(self._chores)
        self._closed = True
        while self._asked:
            await self._quiet.wait()
        await self._pool.aclose()

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _send(self, request: Request, seconds: float) -> httpx.Response:
        return await self._pool.request(**self._arguments(request, seconds))

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _finish(task: asyncio.Task[T], undo: Undo[T] | None) -> None:
    """See something through that nobody waits for any more."""
    with suppress(BursarError):  # it was refused: there is nothing to undo
        made = await asyncio.shield(task)
        await _undo(made, undo)


async def _undo(made: T, undo: Undo[T] | None) -> None:
    following = None if undo is None else undo(made)
    if following is None:
        return
    try:
        await following
    except BursarError as error:
        log.warning("what an interruption left could not be taken back: %s", error)


class ThreadConnection(_Connection):
    """See the module."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._lock = threading.Condition()
        self._asked = 0
        self._asking = threading.local()
        self._pool: httpx.Client | None = None
        self._pid = os.getpid()
        self._chores: set[threading.Thread] = set()

    async def ask(self, request: Request) -> Answer:
        if self._pid != os.getpid():
            self._forget_parent()
        with self._lock:
            self._refuse_closed()
            self._asked += 1
        before, self._asking.now = self._is_asking(), True
        try:
            return await self._ask(request)
        finally:
            self._asking.now = before
            with self._lock:
                self._asked -= 1
                self._lock.notify_all()

    def _is_asking(self) -> bool:
        """Whether this thread is in the middle of a request."""
        return getattr(self._asking, "now", False)

    async def insist(self, work: Work[T], undo: Undo[T] | None) -> T:
        if self._is_asking():
            # A finalizer that happens to run while its thread may hold the pool's lock: it cannot wait for it.
            self._begin_chore(work, undo)
            raise HandedOver
        try:
            return await work()
        except BursarError:
            raise
        except BaseException:
            # A signal's handler raised while the thread was waiting: whether the request arrived is not known. It is
            # safe to repeat, so it is repeated.
            self._begin_chore(work, undo)
            raise

    def _begin_chore(self, work: Work[T], undo: Undo[T] | None) -> None:
        chore = threading.Thread(target=self._chore, args=(work, undo), name="bursar-undo", daemon=True)
        self._chores.add(chore)
        chore.start()

    def _chore(self, work: Work[T], undo: Undo[T] | None) -> None:
        try:
            with suppress(BursarError):
                drive(_again(work, undo))
        finally:
            self._chores.discard(threading.current_thread())

    async def close(self) -> None:
        for chore in list(self._chores):
            chore.join()
        if self._pid != os.getpid():
            self._forget_parent()
        with self._lock:
            self._closed = True
            self._lock.wait_for(lambda: not self._asked, self._place.timeout_seconds)
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    async def _send(self, request: Request, seconds: float) -> httpx.Response:
        return self._find_pool().request(**self._arguments(request, seconds))

    async def _pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - no event loop is near: see the module

    def _find_pool(self) -> httpx.Client:
        """This process's own: a forked child must not speak on its parent's connections."""
        with self._lock:
            if self._pool is None:
                self._pool = httpx.Client(**self._settings())
            return self._pool

    def _forget_parent(self) -> None:
        """In a forked child. Its parent's lock may be held by a thread that is not here."""
        self._lock, self._asked, self._chores = threading.Condition(), 0, set()
        self._pid = os.getpid()
        if self._pool is not None:
            _abandoned.append(self._pool)
            self._pool = None


_abandoned: list[httpx.Client] = []
"""A parent's pools, kept for ever in a child: to collect them would close what is the parent's."""


async def _again(work: Work[T], undo: Undo[T] | None) -> None:
    await _undo(await work(), undo)


def _asked_to_wait(response: httpx.Response) -> float:
    """Seconds that the answer asks for."""
    asked = response.headers.get("retry-after", "")
    return min(float(asked), LONGEST_PAUSE_SECONDS) if asked.isascii() and asked.isdigit() else 0.0
