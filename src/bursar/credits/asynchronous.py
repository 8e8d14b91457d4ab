"""The library's face, asynchronous. It translates: credits and times in, answers out. No rule lives here."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self

from bursar import reports
from bursar.answers import Page, Receipt
from bursar.catalog import Catalog, Preset
from bursar.clock import TestClock
from bursar.core import text
from bursar.core.commands import DEFAULT_TTL_SECONDS
from bursar.credits import arguments
from bursar.credits.accounts import AsyncAccounts
from bursar.credits.arguments import AmountIn, Metadata
from bursar.credits.catalogue import AsyncPlans, AsyncSkills
from bursar.credits.giving import AsyncGiving
from bursar.credits.limiting import AsyncLimiting
from bursar.credits.models import AsyncModels
from bursar.credits.ports import LoopPort, Port
from bursar.credits.remote.opening import remote
from bursar.credits.remote.place import DEFAULT_TIMEOUT_SECONDS, is_service, place_of
from bursar.credits.reporting import AsyncReports
from bursar.credits.running import AsyncRun, AsyncRunning, run_command
from bursar.credits.runtime import Opening, prepare
from bursar.credits.spending import AsyncSpending
from bursar.engine import Engine
from bursar.reports import DEFAULT_LIMIT, Filter
from bursar.store.base import Store
from bursar.verify import Verdict, verify


class AsyncCredits(AsyncAccounts, AsyncSpending, AsyncGiving, AsyncLimiting, AsyncRunning):
    """A credit ledger. Open one with `AsyncCredits.open`, and close it when done.

    Amounts are credits: `int`, `Decimal` or decimal text, never a float. `idempotency_key` names one intent: the
    same call again answers as the first time. `actor` is recorded as who asked. What Bursar refuses is raised as
    a `BursarError`; a call that was refused has changed nothing.

    It belongs to the event loop that opened it; while that one runs, calls from other loops are brought to it. A
    process that forks opens it afterwards, in each child (`Credits` may be opened before).
    """

    def __init__(self, port: Port) -> None:
        super().__init__(port)
        self.skills = AsyncSkills(port)
        self.models = AsyncModels(port)
        self.plans = AsyncPlans(port)
        self.reports = AsyncReports(port)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        preset: str | Preset | None = "ai-credits",
        migrate: bool | None = None,
        clock: TestClock | str | None = None,
        lanes: int | None = None,
        api_key: str | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> Opened:
        """The ledger at `sqlite:///FILE`, `postgresql://...` or `https://...`: await it, or enter it by `async with`.

        `preset` (a name, the path of a TOML file, or None) fills a catalogue that is empty. `migrate` brings the
        schema up before use: None does so for a SQLite file, and for a PostgreSQL database that has no schema of
        Bursar's yet; one that is older is refused (`NotMigrated`), because other processes may rely on it. `clock`
        replaces time in tests; else BURSAR_TEST_CLOCK does. `lanes` is the number of connections that write.

        Behind `https://...` a service keeps the ledger, with a preset of its own, and is asked by its API (needs the
        extra `client`). `api_key` is sent, else BURSAR_API_KEY; who asked is recorded as that key, not as `actor`. A
        call takes at most `timeout_seconds`, repeats included.

        Raises `Invalid`, `DatabaseUnavailable`, `NotMigrated`, `ServiceUnavailable`.
        """
        if is_service(url):
            own = {"migrate": migrate, "clock": clock, "lanes": lanes}
            return Opened(partial(remote("open_on_loop"), place_of(url, api_key, timeout_seconds, own)))
        opening = prepare(url, preset=preset, migrate=migrate, clock=clock, lanes=lanes)
        return Opened(partial(cls._over, opening))

    @classmethod
    async def _over(cls, opening: Opening) -> AsyncCredits:
        return cls(LoopPort(await opening.start()))

    async def close(self) -> None:
        """Finish what was submitted, then close. Afterwards every call raises `EngineClosed`."""
        await self._port.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def engine(self) -> Engine:
        """The engine below, on the event loop that opened it."""
        return self._port.runtime.engine

    @property
    def store(self) -> Store:
        """The database below."""
        return self._port.runtime.store

    @property
    def catalog(self) -> Catalog:
        """Skills, prices and plans as this process last saw them."""
        return self._port.runtime.catalog

    def run(
        self,
        account: str,
        budget: AmountIn,
        *,
        ttl_seconds: int = DEFAULT_TTL_SECONDS,
        run: str | None = None,
        member: str | None = None,
        description: str | None = None,
        metadata: Metadata | None = None,
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> AsyncRun:
        """A budget for a whole task, as a context manager; in another `run`, out of that one's.

            with credits.run("alice", 10) as run:
                run.charge(skill="TEXT_GENERATION")

        Entering sets the budget aside; raises what `open_run` raises. Leaving closes it, whatever happened.
        """
        command = run_command(
            account,
            budget,
            ttl_seconds=ttl_seconds,
            run=run,
            member=member,
            description=description,
            metadata=metadata,
            idempotency_key=idempotency_key,
            actor=actor,
        )
        return AsyncRun(self, self._port, command)

    async def history(
        self,
        account: str,
        *,
        type: str | None = None,
        skill: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[Receipt]:
        """The account's transactions, newest first, effective from `since` and before `until`.

        Raises `AccountNotFound`.
        """
        wanted = _filter(type, skill, since, until)
        return await self._port.run(
            lambda runtime: reports.list_transactions(
                runtime.engine, runtime.receipts, account, wanted, cursor=cursor, limit=limit
            )
        )

    async def receipt(self, account: str, transaction: str) -> Receipt:
        """One transaction, explained. Raises `AccountNotFound`, `TransactionNotFound`."""
        return await self._port.run(
            lambda runtime: reports.find_receipt(runtime.engine, runtime.receipts, account, transaction)
        )

    async def verify(self, account: str | None = None) -> Verdict:
        """Prove one account, or the whole ledger: every row recomputed by the rules. Raises `AccountNotFound`."""
        if account is not None:
            text.check_id("account", account)
        accounts = None if account is None else [account]
        return await self._port.run(lambda runtime: verify(runtime.store, accounts=accounts))


def _filter(type_: str | None, skill: str | None, since: datetime | None, until: datetime | None) -> Filter:
    return Filter(type_, skill, arguments.instant_of("since", since), arguments.instant_of("until", until))


class Opened:
    """What `AsyncCredits.open` gives: `await` it, or enter it by `async with`, which closes it at the end."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, AsyncCredits]]) -> None:
        self._start = start
        self._credits: AsyncCredits | None = None

    def __await__(self) -> Generator[Any, None, AsyncCredits]:
        return self._start().__await__()

    async def __aenter__(self) -> AsyncCredits:
        self._credits = await self._start()
        return self._credits

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._credits is not None:
            await self._credits.close()
