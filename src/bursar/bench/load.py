"""Many callers on one engine, in its process and on its event loop: each waits for one command at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from time import perf_counter

from bursar.bench.ledger import SKILL, Acknowledged, Ledger
from bursar.bench.picks import pick_uniformly
from bursar.bench.results import Round
from bursar.core.commands import Capture, Charge, PlaceHold
from bursar.engine import Engine

Step = Callable[[Engine, str, str | None, Acknowledged], Awaitable[None]]
"""One unit of work on an account under an idempotency key (None: without one); what it was told goes to the last
argument.
"""

_run_number = count(1)


async def charge(engine: Engine, account: str, key: str | None, acknowledged: Acknowledged) -> None:
    """One charge by skill."""
    outcome = await engine.execute(Charge(account=account, skill=SKILL, key=key))
    assert outcome.transaction is not None
    acknowledged[account].append(outcome.transaction.id)


async def hold_and_capture(engine: Engine, account: str, key: str | None, acknowledged: Acknowledged) -> None:
    """One hold by skill, then its capture."""
    placed = await engine.execute(PlaceHold(account=account, skill=SKILL, key=key))
    assert placed.hold is not None
    captured = await engine.execute(Capture(account=account, hold=placed.hold.hold_id))
    assert captured.transaction is not None
    acknowledged[account].append(captured.transaction.id)


async def run_load(
    ledger: Ledger, step: Step, *, seconds: float, callers: int, keyed: bool = True, hot: bool = False
) -> Round:
    """Let so many callers work for so long, then finish what they have begun."""
    accounts = ledger.accounts[:1] if hot else ledger.accounts
    waits: list[float] = []
    run = next(_run_number)
    began = perf_counter()
    until = began + seconds

    async def caller(number: int) -> None:
        picks = pick_uniformly(accounts, number)
        for turn in count():
            start = perf_counter()
            if start >= until:
                return
            key = f"bench-{run}-{number}-{turn}" if keyed else None
            await step(ledger.engine, next(picks), key, ledger.acknowledged)
            waits.append(perf_counter() - start)

    await asyncio.gather(*map(caller, range(callers)))
    return Round(len(waits), perf_counter() - began, waits)
