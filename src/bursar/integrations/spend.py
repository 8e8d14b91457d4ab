"""One piece of work that costs credits: held before, settled after. One text for callers in loops and in threads.

    entered                         held; an account that is not there yet is opened
    done                            charged: the real cost where the meter heard of one, else the quote
    failed                          released: whoever asked got nothing
    left (whoever asked is gone)    charged, as far as it came: the real cost so far, else the quote
    the process dies                what the hold's `on_expiry` says, when its time is over

Work is over before it is settled, and may have been answered: a settlement that the ledger cannot take is logged
and left to the hold's end, never raised.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from bursar.core.errors import AccountNotFound, BursarError, Invalid
from bursar.credits import AsyncCredits, AsyncHold, Credits
from bursar.integrations.meter import Meter

log = logging.getLogger("bursar.integrations")

AnyCredits: TypeAlias = AsyncCredits | Credits
Ledger: TypeAlias = AnyCredits | Callable[[], AnyCredits]
"""A ledger, or what finds it when it is first needed: an app often opens it after it was put together."""


class Spend:
    """See the module. Over blocking credits none of its methods suspends."""

    def __init__(
        self, credits: AsyncCredits, account: str, terms: Mapping[str, Any], *, open_accounts: bool = True
    ) -> None:
        self._credits = credits
        self._account = account
        self._terms = terms
        self._open_accounts = open_accounts
        self._settled = False
        self._meter: Meter | None = None
        self._hold: AsyncHold | None = None

    @property
    def meter(self) -> Meter:
        """Once it is entered."""
        assert self._meter is not None
        return self._meter

    async def enter(self) -> Meter:
        """Hold what it costs. Raises what `hold` raises: then nothing is held, and the work must not begin."""
        try:
            self._hold = await self._credits.hold(self._account, **self._terms).__aenter__()
        except AccountNotFound:
            if not self._open_accounts:
                raise
            await self._credits.open_account(self._account)
            self._hold = await self._credits.hold(self._account, **self._terms).__aenter__()
        self._meter = Meter(self._hold)
        return self._meter

    async def done(self) -> None:
        """Charge it. Once it is settled, nothing."""
        if not self._settled:
            self._settled = True
            await self._safely(self._capture)

    async def failed(self, error: BaseException | None = None) -> None:
        """Give it back. Once it is settled, nothing."""
        if not self._settled:
            self._settled = True
            await self._safely(lambda: self._give_back(error))

    async def _safely(self, settle: Callable[[], Any]) -> None:
        try:
            await settle()
        except BursarError as failure:
            facts = (self.meter.hold_id, self._account, failure)
            log.error("the hold %s of %s could not be settled: %s", *facts)  # noqa: TRY400 - no bug of ours

    async def _capture(self) -> None:
        assert self._hold is not None
        try:
            await self._hold.capture(**(self.meter.real or {}))
        except Invalid as refusal:
            # Usage where an amount was held, say: a mistake of the app's, which must not make its calls free.
            facts = (self.meter.hold_id, refusal)
            log.error("the real cost of %s is refused, the quote is charged: %s", *facts)  # noqa: TRY400 - as above
            await self._hold.capture()

    async def _give_back(self, error: BaseException | None) -> None:
        assert self._hold is not None
        failure = error if isinstance(error, Exception) else Failed()
        await self._hold.__aexit__(type(failure), failure, failure.__traceback__)


class Failed(Exception):
    """The work came to nothing, and said so otherwise than by an exception."""


def find_async(ledger: Ledger) -> AsyncCredits:
    """The ledger, for an event loop. Raises `TypeError` for one that would block it."""
    credits = ledger() if callable(ledger) else ledger
    if isinstance(credits, AsyncCredits):
        return credits
    raise TypeError(f"AsyncCredits are needed here, not {type(credits).__name__}: those would block the event loop")


def find_blocking(ledger: Ledger) -> AsyncCredits:
    """What is behind blocking credits, whose methods never suspend: to be driven. Raises `TypeError`."""
    credits = ledger() if callable(ledger) else ledger
    if isinstance(credits, Credits):
        return credits._twin  # noqa: SLF001 - the one text of both faces
    raise TypeError(f"blocking Credits are needed here, not {type(credits).__name__}: nothing here can await")
