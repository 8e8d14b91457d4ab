"""What may happen to a batch on its way, and a store in whose lanes it does.

Every attempt to commit a batch draws its fate. A fate strikes before the first step, between two steps, or at the
commit, whose answer it may swallow. Since it is the store that loses the answer, it knows what the engine cannot:
whether the commit landed. It tells the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from random import Random
from typing import Any, TypeVar

from bursar.core.errors import DatabaseUnavailable
from bursar.store.base import CommitInDoubt, Contention, Lane, LockTimeout, Store, Tx, Work
from tests.sim.journal import Attempt, Journal

T = TypeVar("T")

LAST_STEP = 12
"""A batch takes about that many."""


class Fate(StrEnum):
    FINE = "nothing happens"
    DIES = "the process dies at a step"
    DIES_BEFORE_COMMIT = "the process dies before the commit"
    DIES_AFTER_COMMIT = "the process dies after the commit"
    CUT = "the connection is lost at a step"
    CONTENTION = "a deadlock at a step"
    LOCK_TIMEOUT = "somebody else has an account"
    LOST = "the commit's answer is lost: it landed"
    LOST_IN_VAIN = "the commit's answer is lost: it did not land"
    LATE = "the commit's answer is lost, and it lands later"


AT_A_STEP = (Fate.DIES, Fate.CUT, Fate.CONTENTION)


class Died(BaseException):
    """Ends the engine, as the end of its process would."""


class Abandoned(Exception):
    """Ends a tx without a commit."""


class Watched:
    """A tx that notes what the journal wants to know, and on which something may happen before each step."""

    def __init__(self, tx: Tx, attempt: Attempt, strike: Callable[[], None]) -> None:
        self._tx = tx
        self._strike = strike
        self.attempt = attempt

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._tx, name)

        async def step(*args: Any) -> Any:
            self._strike()
            if name == "write":
                self.attempt.writes = True
            result = await method(*args)
            if name in ("lock", "lock_free"):
                self.attempt.locked()
            if name == "clock":
                self.attempt.clock()
            return result

        return step


class FatefulStore:
    """A store whose lanes draw a fate for each batch, until `calm`."""

    def __init__(self, store: Store, random: Random, journal: Journal, risk: float) -> None:
        self.inner = store
        self.dialect = store.dialect
        self.default_lanes = store.default_lanes
        self.random = random
        self.journal = journal
        self.risk = risk
        self.calm = False
        self.dead = False
        self.under_way = 0
        self.idle = asyncio.Event()
        self.fates: list[Fate] = []
        self.died: Callable[[], None] = lambda: None
        self.late: set[asyncio.Task[None]] = set()

    def draw(self) -> Fate:
        if self.calm or self.random.random() > self.risk:
            return Fate.FINE
        possible = [fate for fate in Fate if fate is not Fate.LATE or self.dialect == "postgres"]
        fate = self.random.choice(possible)
        self.fates.append(fate)
        return fate

    def die(self) -> None:
        """Strike: what is under way in other lanes may still land, and nobody hears of it."""
        if not self.dead:
            self.calm = self.dead = True  # the dead draw no further fates
            self.died()
        raise Died

    async def until_all_died(self) -> None:
        """Return when nothing is under way any more."""
        while self.under_way:
            self.idle.clear()
            await self.idle.wait()

    async def open(self) -> None:
        await self.inner.open()

    async def lane(self) -> Lane:
        return FatefulLane(self, await self.inner.lane())

    async def read(self, work: Work[T]) -> T:
        return await self.inner.read(work)

    async def write(self, work: Work[T]) -> T:
        return await self.inner.write(work)

    async def close(self) -> None:
        while self.late:
            await asyncio.wait(self.late)
        await self.inner.close()


class FatefulLane:
    """One of its lanes."""

    def __init__(self, store: FatefulStore, lane: Lane) -> None:
        self._store = store
        self._lane = lane

    async def run(self, work: Work[T]) -> T:
        store = self._store
        if store.dead:
            raise Died
        store.under_way += 1
        try:
            result = await self._run(work, store.draw())
        finally:
            store.under_way -= 1
            store.idle.set()
        if store.dead:
            raise Died  # it landed, and nobody hears of it
        return result

    async def _run(self, work: Work[T], fate: Fate) -> T:
        attempt = self._store.journal.begin(work)
        strike = self._striking(fate)

        async def watched(tx: Tx) -> T:
            result = await work(Watched(tx, attempt, strike))  # type: ignore[arg-type]
            attempt.decided = list(result)  # type: ignore[call-overload]
            if fate is Fate.DIES_BEFORE_COMMIT:
                self._store.die()
            if fate is Fate.LOST_IN_VAIN:
                raise Abandoned
            return result

        if fate is Fate.LOCK_TIMEOUT:
            raise LockTimeout("somebody else has it")
        if fate is Fate.LATE:
            await self._land_later(watched, attempt)
        try:
            result = await self._lane.run(watched)
        except Abandoned:
            raise CommitInDoubt("the connection is gone") from None
        attempt.land()
        if fate is Fate.DIES_AFTER_COMMIT:
            self._store.die()
        if fate is Fate.LOST:
            raise CommitInDoubt("the connection is gone")
        return result

    async def close(self) -> None:
        await self._lane.close()

    def _striking(self, fate: Fate) -> Callable[[], None]:
        """Called before each step; strikes at one of them."""
        left = self._store.random.randrange(LAST_STEP) if fate in AT_A_STEP else -1

        def strike() -> None:
            nonlocal left
            left -= 1
            if left != -1:
                return
            if fate is Fate.DIES:
                self._store.die()
            if fate is Fate.CONTENTION:
                raise Contention("a deadlock")
            connection = getattr(self._lane, "_connection", None)
            if connection is None:
                raise DatabaseUnavailable("the connection is gone")
            connection.terminate()  # whatever the tx does next finds out

        return strike

    async def _land_later(self, work: Work[Any], attempt: Attempt) -> None:
        """Lose the connection now, and let its server finish a little later."""
        written = asyncio.Event()
        turns = self._store.random.randrange(40)

        async def slowly(tx: Tx) -> None:
            await work(tx)
            written.set()
            for _ in range(turns):
                await asyncio.sleep(0.001)

        async def finish(lane: Lane) -> None:
            try:
                await lane.run(slowly)
                attempt.land()
            finally:
                await lane.close()

        task = asyncio.create_task(finish(self._lane))
        self._lane = await self._store.inner.lane()
        writing = asyncio.create_task(written.wait())
        await asyncio.wait([task, writing], return_when=asyncio.FIRST_COMPLETED)
        if not written.is_set():
            writing.cancel()
            await task  # it failed before it came to the commit: that the engine is told
        self._store.late.add(task)
        task.add_done_callback(self._store.late.discard)
        raise CommitInDoubt("the connection is gone")
