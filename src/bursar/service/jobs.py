"""What nobody touches gets done as well: holds and lots that are due expire, plans that are due renew.

A job decides nothing. Each round reads a bounded window of due accounts and submits `Touch` for them, a page at a
time: the engine does what is due, once, whoever asks; so any number of processes may do this at once, and the rows are
the same without any of them. Each takes the pages of a window in an order of its own and leaves out what others have
done meanwhile, so that they share the work without knowing of each other. A page is small and the next one waits for
it: charges that come in meanwhile wait for no more than a page. A round that meets an outage is tried again at the
next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from bursar import entropy
from bursar.clock import monotonic
from bursar.contracts import ai_credits
from bursar.core.book import Outcome
from bursar.core.commands import Touch
from bursar.core.errors import BursarError, Unavailable
from bursar.core.model import Account, Instant
from bursar.credits import AsyncCredits
from bursar.store.base import StoreError, Tx

PAGE: Final = 100
WINDOW: Final = 20 * PAGE
STOP_SECONDS: Final = 5.0
QUIET_SECONDS: Final = 60.0
"""How often an outage is mentioned while it lasts."""

logger = logging.getLogger("bursar.jobs")


class Jobs:
    """One background task of this process."""

    def __init__(self, credits: AsyncCredits, every_seconds: float) -> None:
        self._credits = credits
        self._every_seconds = every_seconds
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._complained_at: float | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._work(), name="bursar-jobs")

    async def stop(self) -> None:
        """Finish the page at hand; one that hangs is given up, which loses nothing."""
        self._stop.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(self._task, STOP_SECONDS)

    async def _work(self) -> None:
        while not self._stop.is_set():
            try:
                await self.run_once()
                self._complained_at = None
            except (Unavailable, StoreError) as error:
                self._complain(error)
            except Exception:
                logger.exception("a round of jobs broke; the next one tries again")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._every_seconds * _jitter())

    async def run_once(self) -> int:
        """One round: everything that is due now, window by window. How many accounts were touched."""
        touched, renewed, before = 0, 0, list[str]()
        while not self._stop.is_set():
            now = await self._credits.engine.now()
            window = await self._window(now)
            if not window or window == before:
                break
            for page in _pages(window):
                if self._stop.is_set():
                    break
                due = await self._still_due(page, now)
                for account, outcome in zip(due, await self._touch(due), strict=True):
                    touched += 1
                    if isinstance(outcome, Outcome) and _renewed(account, outcome.account, now):
                        renewed += 1
                        self._log_renewal(outcome.account, first=renewed == 1)
            before = window
            if len(window) < WINDOW:
                break
        if renewed:
            logger.info("%s", ai_credits.reset_completed_line(renewed), extra={"users": renewed})
        return touched

    async def _window(self, now: Instant) -> list[str]:
        """The first accounts on which something is due."""

        async def work(tx: Tx) -> list[str]:
            return [row[0] for row in await tx.fetch("due_accounts", now, WINDOW)]

        return await self._credits.store.read(work)

    async def _still_due(self, page: list[str], now: Instant) -> list[Account]:
        """Those accounts of a page that nobody else has done meanwhile, as they are."""
        accounts = await self._credits.store.read(lambda tx: tx.accounts(page))
        return [
            account
            for account in accounts
            if account.open_holds or (account.due_at is not None and account.due_at <= now)
        ]

    async def _touch(self, due: list[Account]) -> list[Outcome | BursarError]:
        commands = []
        for account in due:
            token, salt = entropy.identity()
            commands.append(Touch(account=account.account_id, token=token, salt=salt, actor="job"))
        return await self._credits.engine.execute_many(commands)

    def _log_renewal(self, account: Account | None, *, first: bool) -> None:
        if account is None:
            return
        if first:
            logger.info("%s", ai_credits.RESET_STARTED)
        limit = ai_credits.limit_of(account, self._credits.catalog.current)
        logger.info("%s", ai_credits.reset_line(account.account_id, limit), extra={"user": account.account_id})

    def _complain(self, error: Exception) -> None:
        now = monotonic()
        if self._complained_at is None or now - self._complained_at > QUIET_SECONDS:
            self._complained_at = now
            logger.warning("jobs wait for the database: %s", error)


def _pages(window: list[str]) -> list[list[str]]:
    """The window in pages, in an order that is another one in each process."""
    pages = [window[start : start + PAGE] for start in range(0, len(window), PAGE)]
    return sorted(pages, key=lambda _: entropy.token())


def _renewed(before: Account, after: Account | None, now: Instant) -> bool:
    """Whether the plan's renewal was among what was due."""
    due = before.next_reset is not None and before.next_reset <= now
    return due and after is not None and after.last_reset != before.last_reset


def _jitter() -> float:
    """0.5 to 1.5, so that processes do not march in step."""
    return 0.5 + int(entropy.token()[:8], 16) / 2**32
