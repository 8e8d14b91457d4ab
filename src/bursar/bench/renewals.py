"""Everybody is due at midnight: how fast the renewal job of one process walks them, and how long charges that come in
meanwhile wait, compared with before.

Charges come at a steady pace, on accounts that are not due, in the same process and through the same engine. Nobody is
renewed twice or not at all, and no charge is lost: what is not so is counted.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Final

from bursar.bench.ledger import CREDITS, PLAN, SKILL, scan_accounts
from bursar.bench.options import Options
from bursar.bench.picks import pick_uniformly
from bursar.bench.place import PostgresPlace
from bursar.bench.results import Figure, Round, make_side
from bursar.catalog import Preset, make_skill
from bursar.clock import TestClock
from bursar.collector import calm
from bursar.core.commands import Charge, Command, Grant, OpenAccount
from bursar.core.errors import BursarError
from bursar.core.model import Component, Instant
from bursar.core.money import NANOS
from bursar.core.periods import parse_instant
from bursar.core.pricing import make_price
from bursar.credits import AsyncCredits
from bursar.service.jobs import Jobs

BEFORE: Final = parse_instant("2026-01-15T00:00:00Z")
MIDNIGHT: Final = parse_instant("2026-02-01T00:00:00Z")
AFTER: Final = parse_instant("2026-03-01T00:00:00Z")

CALLERS: Final = 50
EVERY_SECONDS: Final = 0.1
"""Each caller charges so often: 500 charges a second."""

FLOOR: Final = 5_000
CEILING: Final = 3


class Hand(TestClock):
    """A clock that is put forward."""

    def __init__(self, instant: Instant) -> None:
        self.instant = instant

    def now(self) -> Instant:
        return self.instant


async def renewal_figures(options: Options, place: PostgresPlace, say: Callable[[str], None]) -> list[Figure]:
    """Accounts walked per second, and the p99 of charges meanwhile over that of charges before."""
    clock = Hand(BEFORE)
    due = [f"due-{number:07d}" for number in range(options.due)]
    busy = [f"busy-{number:06d}" for number in range(options.accounts)]
    say(f"filling {len(due)} accounts that will be due at midnight")
    async with _opened(await place.add("renewals"), clock) as credits:
        await _do_all(credits, (OpenAccount(account=name, plan=PLAN.name) for name in due))
        await _do_all(credits, (OpenAccount(account=name) for name in busy))
        await _do_all(credits, (Grant(account=name, amount=CREDITS * NANOS) for name in busy))
        await place.settle()
        told = Counter[str]()
        await _charges(credits, busy, told, asyncio.create_task(asyncio.sleep(min(1.0, options.seconds))))
        calm()
        say("charges before midnight")
        idle = await _charges(credits, busy, told, asyncio.create_task(asyncio.sleep(options.seconds)))
        calm()
        say("midnight")
        clock.instant = MIDNIGHT
        began = perf_counter()
        walk = asyncio.create_task(Jobs(credits, every_seconds=3_600).run_once())
        meanwhile = await _charges(credits, busy, told, walk)
        walked = Round(walk.result(), perf_counter() - began, [])
        mismatches = await _audit(credits, told)
    return _figures(walked, idle, meanwhile, mismatches)


def _figures(walked: Round, idle: Round, meanwhile: Round, mismatches: int) -> list[Figure]:
    before, during = make_side("charges before", [idle]), make_side("charges meanwhile", [meanwhile])
    ratio = during.p99_ms / before.p99_ms if before.p99_ms else 0.0
    return [
        Figure(
            name="renewals",
            title=f"{walked.done:,} accounts due at once",
            value=round(walked.per_second),
            unit="/s",
            bound=FLOOR,
            met=walked.per_second >= FLOOR,
            mismatches=mismatches,
            sides=[],
        ),
        Figure(
            name="renewals_wait",
            title="p99 of charges meanwhile",
            value=round(ratio, 2),
            unit="x",
            bound=CEILING,
            at_most=True,
            met=ratio <= CEILING,
            mismatches=0,
            sides=[during, before],
        ),
    ]


@asynccontextmanager
async def _opened(url: str, clock: TestClock) -> AsyncIterator[AsyncCredits]:
    skill = make_skill(SKILL, make_price(SKILL, 1, (Component("call", NANOS),), created_at=BEFORE))
    preset = Preset("bench", default_plan=PLAN.name, plans=(PLAN,), skills=(skill,))
    async with AsyncCredits.open(url, preset=preset, clock=clock) as credits:
        yield credits


async def _do_all(credits: AsyncCredits, commands: Iterable[Command]) -> None:
    for result in await credits.engine.execute_many(commands):
        if isinstance(result, BursarError):
            raise result


async def _charges(
    credits: AsyncCredits, accounts: list[str], told: Counter[str], until: asyncio.Task[object]
) -> Round:
    """Charges at a steady pace, until something else has ended."""
    waits: list[float] = []
    began = perf_counter()

    async def caller(number: int) -> None:
        picks = pick_uniformly(accounts, number)
        await asyncio.sleep(EVERY_SECONDS * number / CALLERS)
        while not until.done():
            start, account = perf_counter(), next(picks)
            await credits.engine.execute(Charge(account=account, skill=SKILL))
            told[account] += 1
            waits.append(perf_counter() - start)
            await asyncio.sleep(max(EVERY_SECONDS - (perf_counter() - start), 0))

    await asyncio.gather(until, *map(caller, range(CALLERS)))
    return Round(len(waits), perf_counter() - began, waits)


async def _audit(credits: AsyncCredits, told: Counter[str]) -> int:
    """How many accounts are not as they must be: renewed once, or charged as often as was acknowledged."""
    wrong = 0
    async for account in scan_accounts(credits.store):
        if account.plan is None:
            wrong += account.seq != 1 + told[account.account_id]
        else:
            wrong += (account.seq, account.next_reset, account.posted) != (3, AFTER, PLAN.allowance)
    return wrong
