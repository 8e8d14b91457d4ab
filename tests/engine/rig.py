"""An engine to try things on: opened on a URL, what its lanes do in the hands of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from bursar.catalog import Catalog, Preset
from bursar.clock import TestClock
from bursar.core.book import Outcome
from bursar.core.commands import Charge, Command, Grant, OpenAccount
from bursar.core.errors import BursarError
from bursar.core.model import Account, Component, Instant, Plan, Skill, Transaction
from bursar.core.pricing import make_price
from bursar.engine import Engine
from bursar.store.base import Lane, Store, Tx, Work
from bursar.store.url import open_store

T = TypeVar("T")

CREDIT = 1_000_000_000
SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
T0 = 1_767_225_600_000_000
"""2026-01-01."""

PRESET = Preset(
    "test",
    default_plan="free",
    plans=(
        Plan("free", "Free", 100 * CREDIT),
        Plan("saving", "Saving", 10 * CREDIT, renewal="accumulate"),
        Plan("pro", "Pro", 300 * CREDIT, after="free", prorated=True),
    ),
    skills=(
        Skill("TEXT", "Text", None, True, T0, make_price("TEXT", 1, (Component("call", CREDIT),), created_at=T0)),
        Skill(
            "TOKENS", "Tokens", None, True, T0, make_price("TOKENS", 1, (Component("output_token", 3),), created_at=T0)
        ),
    ),
)


class Hands(TestClock):
    """A clock that stands where the test put it."""

    def __init__(self, instant: Instant = T0) -> None:
        super().__init__("2026-01-01T00:00:00Z")
        self.instant = instant

    def now(self) -> Instant:
        # The base class asks before there is an instant.
        return getattr(self, "instant", T0)


RunLane = Callable[[Lane, "Work[Any]"], Awaitable[Any]]


async def run_plainly(lane: Lane, work: Work[Any]) -> Any:
    return await lane.run(work)


class Tampered:
    """A store whose lanes do with each piece of work what `run` says; `batches` counts them."""

    def __init__(self, store: Store) -> None:
        self.inner = store
        self.dialect = store.dialect
        self.default_lanes = store.default_lanes
        self.run: RunLane = run_plainly
        self.batches = 0

    async def open(self) -> None:
        await self.inner.open()

    async def lane(self) -> Lane:
        return _TamperedLane(self, await self.inner.lane())

    async def read(self, work: Work[T]) -> T:
        return await self.inner.read(work)

    async def write(self, work: Work[T]) -> T:
        return await self.inner.write(work)

    async def close(self) -> None:
        await self.inner.close()


class _TamperedLane:
    def __init__(self, store: Tampered, lane: Lane) -> None:
        self._store = store
        self._lane = lane

    async def run(self, work: Work[T]) -> T:
        self._store.batches += 1
        result: T = await self._store.run(self._lane, work)
        return result

    async def close(self) -> None:
        await self._lane.close()


class Gate:
    """Lets no batch through until it is opened; what is submitted meanwhile queues up behind the first."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._open = asyncio.Event()

    async def __call__(self, lane: Lane, work: Work[Any]) -> Any:
        self.reached.set()
        await self._open.wait()
        return await lane.run(work)

    def open(self) -> None:
        self._open.set()


class Rig:
    """An open engine, its store and its catalogue."""

    def __init__(self, store: Tampered, catalog: Catalog, engine: Engine) -> None:
        self.store = store
        self.catalog = catalog
        self.engine = engine

    async def open_account(self, account: str = "alice", credits: int = 0, **fields: Any) -> None:
        """An account, with a purchase of whole credits."""
        await self.engine.execute(OpenAccount(account=account, **fields))
        if credits:
            await self.engine.execute(Grant(account=account, amount=credits * CREDIT, source="purchase"))

    async def account(self, account: str = "alice") -> Account:
        """Its row as it is stored."""
        [row] = await self.store.read(lambda tx: tx.accounts([account]))
        return row

    async def transactions(self, account: str = "alice") -> list[Transaction]:
        """All its transactions as they are stored, oldest first."""

        async def work(tx: Tx) -> list[Transaction]:
            return [Transaction(*row) for row in await tx.fetch("scan_transactions", account, 0, 10**6)]

        return await self.store.read(work)

    async def at_once(self, *commands: Command) -> list[Outcome | BaseException]:
        """What each came to. All are queued before any lane takes one: a batch for each lane."""
        futures = [self.engine.submit(command) for command in commands]
        return await asyncio.gather(*futures, return_exceptions=True)


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Rig]:
    """An engine of its own on this database; the first one seeds the catalogue. `options` are the engine's."""
    store = Tampered(open_store(url))
    await store.open()
    try:
        catalog = Catalog(store)
        if not (await catalog.load()).plans:
            await catalog.seed(PRESET, T0)
        engine = Engine(store, catalog, **options)
        await engine.start()
        try:
            yield Rig(store, catalog, engine)
        finally:
            await engine.close()
    finally:
        await store.close()


def charge(account: str = "alice", credits: int = 1, **fields: Any) -> Charge:
    return Charge(account=account, amount=credits * CREDIT, **fields)


def done(results: Iterable[Any]) -> list[Outcome]:
    """Those that were carried out."""
    return [result for result in results if isinstance(result, Outcome)]


def refused(results: Iterable[Any]) -> list[str]:
    """The codes of those that were refused; raises what is no refusal."""
    codes = []
    for result in results:
        if isinstance(result, BursarError):
            codes.append(result.code)
        elif isinstance(result, BaseException):
            raise result
    return codes


class Tripwire:
    """A tx on which every step passes a test's hands first: `before(name, arguments)` and `after(name)` may raise."""

    def __init__(
        self,
        tx: Tx,
        before: Callable[[str, tuple[Any, ...]], None] | None = None,
        after: Callable[[str], None] | None = None,
    ) -> None:
        self._tx = tx
        self._before = before
        self._after = after

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._tx, name)

        async def step(*args: Any) -> Any:
            if self._before is not None:
                self._before(name, args)
            result = await method(*args)
            if self._after is not None:
                self._after(name)
            return result

        return step
