"""The one write path: group commit.

Callers submit commands and get a future. A lane takes whatever has queued for its accounts, opens one tx, locks the
accounts in id order, loads their books in a few set-based queries, decides each command in order, writes rows in
bulk, commits, then answers. An idle engine answers a single command at once; a busy one spreads the commit over
everything that waits.

    queued -> batch -> [lock, load, decide, write, commit] -> answered
                          | Contention, connection lost     try again, a few times
                          | ModelNotFound                   its published price is looked for, once; queued again
                          | LockTimeout                     what is blocked waits in the patient lane, the rest goes on
                          | Refused, anything else          halved until the culprit stands alone
                          | CommitInDoubt                   lock again, look for what it would have written, then decide

Lanes go by hash of the account, so that one process never contends with itself; processes contend by row lock. What a
lane knows of accounts between batches is its store's affair. An engine belongs to the event loop that started it;
other threads come in by `submit_threadsafe`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from bursar import entropy
from bursar.catalog import Catalog
from bursar.clock import TestClock, monotonic
from bursar.core.book import Book, Outcome
from bursar.core.commands import Command, check
from bursar.core.errors import BursarError, DatabaseUnavailable, EngineClosed, Invalid, Overloaded
from bursar.core.model import Instant
from bursar.engine.batch import Batch, Decided, Entry, Inspect, accounts_of
from bursar.engine.learning import Learning
from bursar.engine.lines import Line, Sink, Waiter
from bursar.engine.loading import read_book
from bursar.engine.stats import Stats
from bursar.store.base import CommitInDoubt, Contention, LockTimeout, Refused, Store, Tx

log = logging.getLogger("bursar.engine")

MAX_BATCH = 2_000
MAX_QUEUE = 20_000
MAX_ATTEMPTS = 8
RETRY_SECONDS = 0.01
RECONNECTS = 2
PATIENT_PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 15.0
"""How long a command waits for an account that somebody else has locked."""


class Engine:
    """See the module."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        *,
        clock: TestClock | None = None,
        lanes: int | None = None,
        max_batch: int = MAX_BATCH,
        max_queue: int = MAX_QUEUE,
        inspect: Inspect | None = None,
    ) -> None:
        self.store = store
        self.catalog = catalog
        self.clock = clock
        self.stats = Stats()
        self._lane_count = lanes or store.default_lanes
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._inspect = inspect
        self._lines: list[Line] = []
        self._patient: Line | None = None
        self._blocked: dict[str, int] = {}
        self._arrivals: deque[tuple[Command, Waiter]] = deque()
        self._admitting = False
        self._waiting = 0
        self._deciding = 0
        self._open = False
        self._learning = Learning(catalog, self.now, self._put, self._wake)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Open the lanes. The store is open already."""
        self._loop = asyncio.get_running_loop()
        self._lines = [Line(await self.store.lane()) for _ in range(self._lane_count)]
        self._open = True
        for line in self._lines:
            line.task = asyncio.create_task(self._work(line))

    async def close(self) -> None:
        """Take no more, finish what has queued, close the lanes."""
        self._open = False
        while unfinished := [line for line in self._all_lines() if line.task is not None and not line.task.done()]:
            self._wake()
            await asyncio.gather(*(line.task for line in unfinished if line.task is not None))
        for line in self._all_lines():
            if line.lane is not None:
                await line.lane.close()
        self._lines, self._patient = [], None

    def _all_lines(self) -> list[Line]:
        return self._lines + ([] if self._patient is None else [self._patient])

    @property
    def queued(self) -> int:
        """How many commands wait or are being decided."""
        return self._waiting + self._deciding + self._learning.waiting

    # Submitting

    def submit(self, command: Command) -> asyncio.Future[Outcome]:
        """Queue a command; its future raises the rejection. Refuses at once what is malformed, and when too much is
        queued.
        """
        if self._loop is None:
            raise EngineClosed
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._enqueue(command, future)
        return future

    async def execute(self, command: Command) -> Outcome:
        """Submit one command and wait for what it did."""
        return await self.submit(command)

    async def execute_many(self, commands: Iterable[Command]) -> list[Outcome | BursarError]:
        """Submit all; what each did or why it was refused, in order. A malformed one fails alone."""
        futures: list[asyncio.Future[Outcome] | BursarError] = []
        for command in commands:
            try:
                futures.append(self.submit(command))
            except BursarError as refusal:
                futures.append(refusal)
        await asyncio.gather(*(f for f in futures if isinstance(f, asyncio.Future)), return_exceptions=True)
        return [_settled(future) for future in futures]

    def submit_threadsafe(self, command: Command) -> Waiter:
        """Queue a command from any thread; `wait()` on what comes back."""
        if self._loop is None or not self._open:
            raise EngineClosed
        waiter = Waiter()
        self._arrivals.append((command, waiter))
        if not self._admitting:  # two threads may both find it so, and the second call finds nothing
            self._admitting = True
            self._loop.call_soon_threadsafe(self._admit)
        return waiter

    def _admit(self) -> None:
        self._admitting = False  # first: whoever arrives from here on calls again
        while self._arrivals:
            command, waiter = self._arrivals.popleft()
            try:
                self._enqueue(command, waiter)
            except Exception as refusal:  # noqa: BLE001 - whatever it is, it is this caller's, and the next ones wait
                waiter.set_exception(refusal)

    def _enqueue(self, command: Command, sink: Sink) -> None:
        if not self._open:
            raise EngineClosed
        check(command)
        if self.queued >= self._max_queue:
            raise Overloaded
        if not command.token:
            token, salt = entropy.identity()
            command = replace(command, token=token, salt=salt)
        if self._blocked and (command.account in self._blocked or getattr(command, "to", None) in self._blocked):
            self._wait_patiently(Entry(command), sink)
            return
        self._put(Entry(command), sink)

    def _put(self, entry: Entry, sink: Sink) -> None:
        self._waiting += 1
        self._lines[hash(entry.command.account) % len(self._lines)].put(entry, sink)

    def _wake(self) -> None:
        """Have the lanes look whether there is anything left to do."""
        for line in self._all_lines():
            line.arrived.set()

    # Working

    async def _work(self, line: Line) -> None:
        """A lane's life: take what has queued, settle it, until the engine closes and the queue is empty."""
        while True:
            if not line.queue:
                if not self._open and not self._learning.waiting:
                    return
                line.arrived.clear()
                await line.arrived.wait()
                continue
            taken = line.take(self._max_batch)
            self._waiting -= len(taken)
            wanted = [pair for pair in taken if not pair[1].done()]  # else cancelled before it began
            if wanted:
                await self._settle(line, wanted)
            if line.patient:
                self._unblock(taken)
            # Whoever was just answered comes first: what they ask next joins the next batch.
            await asyncio.sleep(PATIENT_PAUSE_SECONDS if line.patient and line.queue else 0)

    async def _settle(self, line: Line, taken: list[tuple[Entry, Sink]]) -> None:
        """Decide a batch and answer everybody in it, whatever happens."""
        decided: Sequence[Decided | None]
        self._deciding += len(taken)
        try:
            decided = await self._decide(line, [entry for entry, _ in taken])
        except Exception as error:
            log.exception("a batch of %d failed", len(taken))
            decided = [error] * len(taken)
        finally:
            self._deciding -= len(taken)
        for (entry, sink), result in zip(taken, decided, strict=True):
            if result is None:
                self._postpone(entry, sink)
            elif sink.done():
                continue
            elif type(result) is Outcome:
                sink.set_result(result)
            elif self._learning.helps(result):
                self._learning.wait(entry, sink, result)  # type: ignore[arg-type]  # by type, as below
            else:
                sink.set_exception(result)  # type: ignore[arg-type]  # by type: isinstance is slow on a Struct

    async def _decide(self, line: Line, entries: list[Entry]) -> Sequence[Decided | None]:
        """The outcome or rejection of each entry, committed. None: its account is locked by somebody else."""
        batch = Batch(entries, self.catalog, self.clock, skip_locked=line.patient, inspect=self._inspect)
        began = monotonic()
        attempt = 0
        error: BursarError = Overloaded()
        while attempt < MAX_ATTEMPTS or (batch.in_doubt and monotonic() - began < PATIENCE_SECONDS):
            try:
                if line.lane is None:
                    line.lane = await self.store.lane()
                decided = await line.lane.run(batch.run)
            except CommitInDoubt:
                self.stats.in_doubt += 1
                batch.doubt()
            except LockTimeout:
                batch.skip_locked = True
            except Contention:
                error = Overloaded()
            except DatabaseUnavailable as unreachable:
                error = unreachable
                if attempt >= RECONNECTS and not batch.in_doubt:
                    break
            except Exception as objection:
                if not batch.in_doubt:
                    return await self._halve(line, entries, objection)
                log.exception("looking for a commit whose answer was lost failed")
            else:
                self.stats.count([result for result in decided if result is not None], monotonic() - began)
                return decided
            self.stats.retries += 1
            await asyncio.sleep(RETRY_SECONDS * min(attempt, MAX_ATTEMPTS))
            attempt += 1
        if batch.in_doubt:
            error = DatabaseUnavailable("it was lost while committing: ask again, with the same idempotency key")
        return [error] * len(entries)

    async def _halve(self, line: Line, entries: list[Entry], objection: Exception) -> Sequence[Decided | None]:
        """Something in this batch cannot be carried out: find it, so that it fails alone."""
        if len(entries) == 1:
            verb = entries[0].command.verb
            if isinstance(objection, Refused):
                log.error("the database refuses a %s: %s", verb, objection)
                return [Invalid(verb, "the database does not take this")]
            log.error("a %s on account %r failed", verb, entries[0].command.account, exc_info=objection)
            return [objection]
        middle = len(entries) // 2
        first = await self._decide(line, entries[:middle])
        return [*first, *await self._decide(line, entries[middle:])]

    # Waiting for accounts that somebody else has locked

    def _postpone(self, entry: Entry, sink: Sink) -> None:
        """Let a command wait for its account without holding up anybody else, but not for ever."""
        entry.deadline = entry.deadline or monotonic() + PATIENCE_SECONDS
        if monotonic() < entry.deadline:
            self._wait_patiently(entry, sink)
        elif not sink.done():
            sink.set_exception(Overloaded())

    def _wait_patiently(self, entry: Entry, sink: Sink) -> None:
        if self._patient is None:
            self._patient = Line(None, patient=True)
        if self._patient.task is None or self._patient.task.done():  # done: the engine closes, and it had nothing to do
            self._patient.task = asyncio.create_task(self._work(self._patient))
        self._waiting += 1
        for account in accounts_of([entry.command]):
            self._blocked[account] = self._blocked.get(account, 0) + 1
        self._patient.put(entry, sink)

    def _unblock(self, taken: Iterable[tuple[Entry, Sink]]) -> None:
        for entry, _ in taken:
            for account in accounts_of([entry.command]):
                self._blocked[account] -= 1
                if self._blocked[account] == 0:
                    del self._blocked[account]

    # Reading

    async def learn(self, model: str) -> None:
        """Have the catalogue know what a model costs. Raises `ModelNotFound`, `Invalid`."""
        await self._learning.learn(model)

    async def view(self, account: str, *, members: bool = False) -> Book:
        """The account's book as it stands now: what is due is computed, not written. `members`: with all of them.
        `AccountNotFound`.
        """

        async def work(tx: Tx) -> Book:
            return await read_book(tx, account, self.catalog, self.clock, members=members)

        return await self.store.read(work)

    async def now(self) -> Instant:
        """The test clock's time, else the database's."""
        if self.clock is not None:
            return self.clock.now()

        async def work(tx: Tx) -> Instant:
            return (await tx.clock())[0]

        return await self.store.read(work)


def _settled(future: asyncio.Future[Outcome] | BursarError) -> Outcome | BursarError:
    if isinstance(future, BursarError):
        return future
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, BursarError):
        return error
    raise error
