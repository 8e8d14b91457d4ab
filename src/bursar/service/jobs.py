"""What nobody touches gets done as well: holds and lots that are due expire, plans that are due renew.

A job decides nothing. Each round takes a bounded page of due accounts and submits `Touch` for them: the engine does
what is due, once, whoever asks; so any number of processes may do this at once, and the rows are the same without
any of them. A round that meets an outage is tried again at the next one.
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

PAGE: Final = 500
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
        """One round: everything that is due now, page by page. How many accounts were touched."""
        touched, renewed, before = 0, 0, set[str]()
        while not self._stop.is_set():
            due = await self._due()
            accounts = {account.account_id for account, _ in due}
            if not accounts or accounts == before:
                break
            for (account, now), outcome in zip(due, await self._touch(due), strict=True):
                touched += 1
                if isinstance(outcome, Outcome) and _renewed(account, outcome.account, now):
                    renewed += 1
                    self._log_renewal(outcome.account, first=renewed == 1)
            before = accounts
            if len(accounts) < PAGE:
                break
        if renewed:
            logger.info("%s", ai_credits.reset_completed_line(renewed), extra={"users": renewed})
        return touched

    async def _due(self) -> list[tuple[Account, Instant]]:
        """A page of accounts on which something is due, as they are."""
        now = await self._credits.engine.now()

        async def work(tx: Tx) -> list[Account]:
            rows = await tx.fetch("due_accounts", now, PAGE)
            return await tx.accounts([row[0] for row in rows]) if rows else []

        return [(account, now) for account in await self._credits.store.read(work)]

    async def _touch(self, due: list[tuple[Account, Instant]]) -> list[Outcome | BursarError]:
        commands = []
        for account, _ in due:
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


def _renewed(before: Account, after: Account | None, now: Instant) -> bool:
    """Whether the plan's renewal was among what was due."""
    due = before.next_reset is not None and before.next_reset <= now
    return due and after is not None and after.last_reset != before.last_reset


def _jitter() -> float:
    """0.5 to 1.5, so that processes do not march in step."""
    return 0.5 + int(entropy.token()[:8], 16) / 2**32
