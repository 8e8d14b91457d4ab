"""Runs: a budget for an agent's whole task, which its calls draw from.

    with credits.run("alice", 10) as run:
        run.charge(skill="TEXT_GENERATION")
        with run.hold(skill="GEO_WRITER_FULL") as hold:
            ...
    run.answer.spent

Entered, the budget is set aside; left, whatever happened, the run is closed: calls that are still in flight end by
their own rule, what is left returns to the lots. A process that dies leaves that to the run's expiry.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self

from bursar import allotments
from bursar.answers import HoldAnswer, Page, Receipt, RunAnswer
from bursar.core.commands import DEFAULT_TTL_SECONDS, CloseRun, Command, OpenRun
from bursar.core.errors import BursarError
from bursar.credits import arguments
from bursar.credits.arguments import AmountIn, Metadata
from bursar.credits.driving import Blocking, blocking, drive
from bursar.credits.face import Face, run_id_of, stamp
from bursar.credits.holding import AsyncHold, Hold
from bursar.credits.ports import HandedOver, Port, log
from bursar.credits.told import Done
from bursar.reports import DEFAULT_LIMIT

if TYPE_CHECKING:
    from bursar.credits.asynchronous import AsyncCredits

P = ParamSpec("P")


class AsyncRunning(Face):
    """The verbs of runs; `AsyncCredits.run` makes one to be entered."""

    async def open_run(
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
    ) -> RunAnswer:
        """Set a budget aside, until `close_run`, be it in another process; in another `run`, out of that one's.

        Raises `AccountNotFound`, `AccountFrozen`, `RunNotOpen`, `LimitExceeded`, `InsufficientCredits`.
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
        return await self.get_run(account, run_id_of(await self._port.execute(command)))

    async def get_run(self, account: str, run: str) -> RunAnswer:
        """The run as it stands now, with what its calls came to. Raises `AccountNotFound`, `RunNotFound`."""
        return await self._port.run(lambda runtime: allotments.find_run(runtime.engine, account, run))

    async def runs(self, account: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT) -> Page[RunAnswer]:
        """The account's runs, ended ones too. Raises `AccountNotFound`."""
        return await self._port.run(
            lambda runtime: allotments.list_runs(runtime.engine, account, cursor=cursor, limit=limit)
        )

    async def run_calls(
        self, account: str, run: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Page[Receipt]:
        """What the run's calls were charged, newest first, refunds too. Raises `AccountNotFound`, `RunNotFound`."""
        return await self._port.run(
            lambda runtime: allotments.list_run_calls(
                runtime.engine, runtime.receipts, account, run, cursor=cursor, limit=limit
            )
        )

    async def close_run(
        self, account: str, run: str, *, idempotency_key: str | None = None, actor: str = "library"
    ) -> RunAnswer:
        """End the run: calls in flight end by their own rule, what is left returns. One that has ended is shown.

        Raises `AccountNotFound`, `RunNotFound`.
        """
        await self._port.insist(CloseRun(**stamp(account, actor, idempotency_key), run=run))
        return await self.get_run(account, run)


def run_command(
    account: str,
    budget: AmountIn,
    *,
    metadata: Metadata | None,
    idempotency_key: str | None,
    actor: str,
    **plain: Any,
) -> OpenRun:
    """The command of one run; `plain` is what the command carries as it is."""
    return OpenRun(
        **stamp(account, actor, idempotency_key),
        budget=arguments.amount_of("budget", budget),
        metadata=arguments.json_of("metadata", metadata),
        **plain,
    )


class AsyncRun:
    """One run, made by `AsyncCredits.run`; see the module for how it ends."""

    def __init__(self, credits: AsyncCredits, port: Port, command: OpenRun) -> None:
        self._credits = credits
        self._port = port
        self._command = command
        self._id: str | None = None
        self._answer: RunAnswer | None = None

    @property
    def id(self) -> str:
        """Its id, by which other processes may draw from it."""
        if self._id is None:
            raise RuntimeError("a run is opened by entering it: `with credits.run(...) as run`")
        return self._id

    @property
    def answer(self) -> RunAnswer:
        """The run as it ended."""
        if self._answer is None:
            raise RuntimeError("a run is added up when it ends; `get` shows it as it is now")
        return self._answer

    async def get(self) -> RunAnswer:
        """The run as it stands now."""
        return await self._credits.get_run(self._command.account, self.id)

    async def charge(self, /, amount: AmountIn | None = None, **terms: Any) -> Receipt:
        """Charge a call to the run; `terms` are those of `AsyncCredits.charge`. Raises `RunExhausted`, `RunNotOpen`."""
        return await self._credits.charge(self._command.account, amount, **self._within(terms))

    async def place_hold(self, /, amount: AmountIn | None = None, **terms: Any) -> HoldAnswer:
        """Set credits of the run aside; `terms` are those of `AsyncCredits.place_hold`. Raises `RunExhausted`."""
        return await self._credits.place_hold(self._command.account, amount, **self._within(terms))

    def hold(self, /, amount: AmountIn | None = None, **terms: Any) -> AsyncHold:
        """A hold on the run's budget around a call; `terms` are those of `AsyncCredits.hold`."""
        return self._credits.hold(self._command.account, amount, **self._within(terms))

    def run(self, budget: AmountIn, **terms: Any) -> AsyncRun:
        """A run in this one; `terms` are those of `AsyncCredits.run`."""
        return self._credits.run(self._command.account, budget, **self._within(terms))

    async def close(self) -> RunAnswer:
        """End it now."""
        self._answer = await self._credits.close_run(self._command.account, self.id, actor=self._command.actor)
        return self._answer

    def _within(self, terms: dict[str, Any]) -> dict[str, Any]:
        return {"actor": self._command.actor} | terms | {"run": self.id}

    async def __aenter__(self) -> Self:
        if self._id is not None:
            raise RuntimeError("a run is entered once: make another one")
        self._id = run_id_of(await self._port.insist(self._command, self._take_back))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._answer is not None:
            return
        try:
            await self.close()
        except HandedOver:
            return
        except BursarError as failure:
            if error is None:
                raise
            error.add_note(f"The run {self.id} could not be closed: {failure}")
            log.warning("the run %s could not be closed: %s", self.id, failure)

    def _take_back(self, done: Done) -> Command | None:
        """For a caller that was cancelled while the run was being opened: no call will follow."""
        if done.replayed:
            return None
        return CloseRun(**stamp(self._command.account, self._command.actor), run=run_id_of(done))


def _held(method: Callable[Concatenate[AsyncRun, P], AsyncHold]) -> Callable[Concatenate[Run, P], Hold]:
    @wraps(method)
    def call(self: Run, /, *args: P.args, **kwargs: P.kwargs) -> Hold:
        return Hold(method(self._twin, *args, **kwargs))

    return call


class Run(Blocking[AsyncRun]):
    """One run, made by `Credits.run`: `AsyncRun`, blocking."""

    @property
    def id(self) -> str:
        """Its id, by which other processes may draw from it."""
        return self._twin.id

    @property
    def answer(self) -> RunAnswer:
        """The run as it ended."""
        return self._twin.answer

    get = blocking(AsyncRun.get)
    charge = blocking(AsyncRun.charge)
    place_hold = blocking(AsyncRun.place_hold)
    hold = _held(AsyncRun.hold)
    close = blocking(AsyncRun.close)

    def run(self, budget: AmountIn, **terms: Any) -> Run:
        """A run in this one; `terms` are those of `Credits.run`."""
        return Run(self._twin.run(budget, **terms))

    def __enter__(self) -> Self:
        drive(self._twin.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        drive(self._twin.__aexit__(kind, error, traceback))
