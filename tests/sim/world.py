"""Servers that die and come back, callers who insist, a clock that jumps; all of it drawn from one seed."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

from bursar.core.book import Book, Outcome
from bursar.core.commands import Command
from bursar.core.errors import BursarError, Kind, Unavailable
from bursar.core.invariants import check_book
from bursar.engine import Engine, Waiter
from bursar.store.url import open_store
from tests.engine.audit import Ledger
from tests.engine.rig import Hands
from tests.sim.fates import Died, FatefulStore
from tests.sim.journal import Journal, WatchedCatalog
from tests.sim.script import Change, Intent, Script

ATTEMPTS = 12
"""How often a caller asks again before it gives up."""


class Gone(Exception):
    """The server died before it answered."""


def object_to_unsound(book: Book) -> None:
    """Have the engine look at every book after every command."""
    findings = check_book(book)
    assert not findings, "\n".join(map(str, findings))


class Server:
    """An engine with connections of its own; when it dies, another one takes its place."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self._lives = 0
        self._waiters: list[Waiter] = []
        self._mourning: set[asyncio.Task[None]] = set()
        self._serves = asyncio.Event()
        self._changing = asyncio.Lock()
        self.fates = Counter[str]()
        self.commits = 0

    async def start(self) -> None:
        world = self._world
        self._lives += 1
        random = Random(f"{world.seed} {self._name} {self._lives}")
        self.store = FatefulStore(open_store(world.url), random, world.journal, world.risk)
        self.store.died = self._die
        await self.store.open()
        catalog = WatchedCatalog(self.store)
        await catalog.load()
        self.catalog = catalog
        self.engine = Engine(self.store, catalog, clock=world.clock, inspect=object_to_unsound)
        await self.engine.start()
        self._death: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters = []
        self._serves.set()

    async def ask(self, command: Command) -> Outcome:
        """What it answers; `Gone` where it dies meanwhile."""
        await self._serves.wait()
        future = self.engine.submit(command)
        awaited: list[asyncio.Future[Any]] = [future, self._death]
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            return future.result()
        raise Gone

    async def ask_from_a_thread(self, command: Command) -> Outcome:
        await self._serves.wait()
        waiter = self.engine.submit_threadsafe(command)
        self._waiters.append(waiter)
        return await asyncio.to_thread(waiter.wait)

    async def change(self, change: Change) -> None:
        async with self._changing:
            await change(self.catalog)

    async def stop(self) -> None:
        """As an orderly end does it."""
        while self._mourning:
            await asyncio.wait(self._mourning)
        self.store.calm = True
        await self.engine.close()
        await self._close_store()

    async def _close_store(self) -> None:
        self.fates.update(self.store.fates)
        self.commits += self.engine.stats.batches
        await self.store.close()

    def _die(self) -> None:
        """Called by whoever strikes, in whatever thread."""
        self._world.loop.call_soon_threadsafe(self._mourn)

    def _mourn(self) -> None:
        """Nobody hears of the dead again."""
        self._serves.clear()
        self._death.set_result(None)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(Gone())
        task = asyncio.create_task(self._succeed())
        self._mourning.add(task)
        task.add_done_callback(self._mourning.discard)

    async def _succeed(self) -> None:
        """Close the connections, as the system does it for a process that has ended; then start another one."""
        lines = self.engine._all_lines()
        await self.store.until_all_died()
        tasks = [line.task for line in lines if line.task is not None]
        for task in tasks:
            task.cancel()  # those that had nothing to do
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(result, (Died, asyncio.CancelledError, type(None))):
                raise result
        for line in lines:
            if line.lane is not None:
                await line.lane.close()
        async with self._changing:
            await self._close_store()
            await self.start()


class World:
    """Everything of one run."""

    def __init__(
        self, url: str, seed: int, *, servers: int, callers: int, steps: int, risk: float, threads: bool
    ) -> None:
        self.url = url
        self.seed = seed
        self.risk = risk
        self.threads = threads
        self.clock = Hands()
        self.journal = Journal(self.clock)
        self.random = Random(f"{seed} world")
        self.servers = [Server(self, f"server {number}") for number in range(servers)]
        self.script = Script(Random(f"{seed} script"), self.clock)
        self.callers = callers
        self.steps = steps
        self.answers = Counter[str]()

    async def run(self) -> None:
        """Let everybody do what the script says, then make an end of it."""
        self.loop = asyncio.get_running_loop()
        await asyncio.gather(*(server.start() for server in self.servers))
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self.callers):
                    group.create_task(self._call(Random(f"{self.seed} caller {number}")))
        finally:
            for server in self.servers:
                await server.stop()

    async def _call(self, random: Random) -> None:
        for _ in range(self.steps):
            change = self.script.change(random)
            if change is not None:
                await random.choice(self.servers).change(change)
            intent = self.script.next(random)
            copies = random.choice((1, 1, 1, 1, 2, 3)) if intent.repeatable else 1
            await asyncio.gather(*(self._insist(intent, random) for _ in range(copies)))

    async def _insist(self, intent: Intent, random: Random) -> None:
        """Ask until there is an answer; where asking twice would be two wishes, once."""
        for _ in range(ATTEMPTS if intent.repeatable else 1):
            server = random.choice(self.servers)
            from_thread = self.threads and random.random() < 0.3
            try:
                outcome = await (server.ask_from_a_thread if from_thread else server.ask)(intent.command)
            except (Gone, Unavailable) as nothing:
                intent.uncertain = True
                self.answers[type(nothing).__name__] += 1
            except BursarError as refusal:
                assert refusal.kind is not Kind.UNAVAILABLE
                intent.refusals.append(refusal)
                self.answers[refusal.code] += 1
                return
            else:
                intent.outcomes.append(outcome)
                self.script.learn(intent, outcome)
                self.answers[f"{outcome.verb}{' again' if outcome.replayed else ''}"] += 1
                return

    def judge(self, ledgers: dict[str, Ledger]) -> None:
        """Raise AssertionError where what was answered is not what is stored."""
        for intent in self.script.intents:
            intent.judge(ledgers)
