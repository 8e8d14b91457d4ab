"""Holds as context managers: credits set aside while a call runs, settled whatever happens to it.

    entered         the hold is placed, dispatched, in one step
    left            captured as held, unless it was captured or released inside
    Exception       released; one that expired meanwhile is captured for 0, which takes back what expiry charged
    cancellation    (any other BaseException) settled by `on_expiry`: the call may have cost something

Settling is carried out even if the caller is cancelled once more while it waits. What went wrong inside is what is
raised: should settling fail as well, the error carries a note, and the hold expires by policy.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from bursar.answers import HoldAnswer, Number, Receipt
from bursar.core.commands import Command, PlaceHold, Release
from bursar.core.errors import BursarError, HoldNotOpen
from bursar.core.model import HoldState, OnExpiry
from bursar.credits.arguments import AmountIn, Metadata, UsageIn
from bursar.credits.driving import Blocking, blocking, drive
from bursar.credits.face import hold_of, stamp
from bursar.credits.ports import HandedOver, Port, log
from bursar.credits.told import Done

if TYPE_CHECKING:
    from bursar.credits.spending import AsyncSpending


class AsyncHold:
    """One hold, made by `AsyncCredits.hold`; see the module for how it ends."""

    def __init__(self, credits: AsyncSpending, port: Port, command: PlaceHold) -> None:
        self._credits = credits
        self._port = port
        self._command = command
        self._answer: HoldAnswer | None = None
        self._receipt: Receipt | None = None
        self._released = False

    @property
    def answer(self) -> HoldAnswer:
        """The hold as it was last seen."""
        if self._answer is None:
            raise RuntimeError("a hold is placed by entering it: `with credits.hold(...) as hold`")
        return self._answer

    @property
    def id(self) -> str:
        """Its id, by which other processes may settle it."""
        return self.answer.id

    @property
    def amount(self) -> Number:
        """How much is held: less than the quote where `at_least` allowed it."""
        return self.answer.amount

    @property
    def receipt(self) -> Receipt | None:
        """What it came to, once it is captured."""
        return self._receipt

    async def capture(
        self,
        amount: AmountIn | None = None,
        *,
        usage: UsageIn | None = None,
        provider_cost_usd: AmountIn | None = None,
        description: str | None = None,
        metadata: Metadata | None = None,
    ) -> Receipt:
        """Charge the real cost: an amount, or usage at the price that the hold pinned; neither: as held.

        The same again answers the same. Raises `HoldNotOpen`.
        """
        self._receipt = await self._credits.capture(
            self._command.account,
            self.id,
            amount,
            usage=usage,
            provider_cost_usd=provider_cost_usd,
            description=description,
            metadata=metadata,
            actor=self._command.actor,
        )
        return self._receipt

    async def release(self) -> HoldAnswer:
        """End it with no charge. Raises `HoldNotOpen`."""
        account, actor = self._command.account, self._command.actor
        self._answer = await self._credits.release(account, self.id, actor=actor)
        self._released = True
        return self._answer

    async def dispatch(self, *, measured: AmountIn | None = None) -> HoldAnswer:
        """Report what was measured so far: what `on_expiry="capture_measured"` settles by. Raises `HoldNotOpen`."""
        account, actor = self._command.account, self._command.actor
        self._answer = await self._credits.dispatch(account, self.id, measured=measured, actor=actor)
        return self._answer

    async def extend(
        self,
        amount: AmountIn | None = None,
        *,
        ttl_seconds: int | None = None,
        measured: AmountIn | None = None,
    ) -> HoldAnswer:
        """Hold more, or longer from now, for a long stream. Raises `HoldNotOpen`, `InsufficientCredits`."""
        account, actor = self._command.account, self._command.actor
        self._answer = await self._credits.extend(
            account, self.id, amount, ttl_seconds=ttl_seconds, measured=measured, actor=actor
        )
        return self._answer

    async def __aenter__(self) -> Self:
        if self._answer is not None:
            raise RuntimeError("a hold is entered once: make another one")
        answer = hold_of(await self._port.insist(self._command, self._take_back))
        if answer.state not in (HoldState.OPEN, HoldState.DISPATCHED):
            # The replay of one that has ended permits no further call.
            raise HoldNotOpen(answer.id, answer.state)
        self._answer = answer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._receipt is not None or self._released:
            return
        try:
            await self._settle(error)
        except (HoldNotOpen, HandedOver):
            return  # settled by somebody else: a capture under way, another process
        except BursarError as failure:
            if error is None:
                raise
            error.add_note(f"The hold {self.id} could not be settled: {failure}")
            log.warning("the hold %s could not be settled: %s", self.id, failure)

    async def _settle(self, error: BaseException | None) -> None:
        measured = self.answer.measured
        if isinstance(error, Exception):
            await self._give_back()
        elif error is not None and self._command.on_expiry == OnExpiry.RELEASE:
            await self.release()
        elif error is not None and self._command.on_expiry == OnExpiry.CAPTURE_MEASURED:
            await self.capture(measured)
        else:
            await self.capture()

    async def _give_back(self) -> None:
        try:
            await self.release()
        except HoldNotOpen as ended:
            if ended.state != HoldState.EXPIRED:
                raise
            await self.capture(0)

    def _take_back(self, done: Done) -> Command | None:
        """For a caller that was cancelled while the hold was being placed: no call will follow."""
        if done.replayed:
            return None
        return Release(**stamp(self._command.account, self._command.actor), hold=hold_of(done).id)


class Hold(Blocking[AsyncHold]):
    """One hold, made by `Credits.hold`: `AsyncHold`, blocking."""

    @property
    def answer(self) -> HoldAnswer:
        """The hold as it was last seen."""
        return self._twin.answer

    @property
    def id(self) -> str:
        """Its id, by which other processes may settle it."""
        return self._twin.id

    @property
    def amount(self) -> Number:
        """How much is held: less than the quote where `at_least` allowed it."""
        return self._twin.amount

    @property
    def receipt(self) -> Receipt | None:
        """What it came to, once it is captured."""
        return self._twin.receipt

    capture = blocking(AsyncHold.capture)
    release = blocking(AsyncHold.release)
    dispatch = blocking(AsyncHold.dispatch)
    extend = blocking(AsyncHold.extend)

    def __enter__(self) -> Self:
        drive(self._twin.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        drive(self._twin.__aexit__(kind, error, traceback))
