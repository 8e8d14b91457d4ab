"""1,000 accounts are due at one midnight, four processes walk them at that moment, and again a year later: each renews
once per period, as its rule says.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from bursar.catalog import Catalog
from bursar.core.commands import Charge, Grant, OpenAccount
from bursar.core.errors import BursarError
from bursar.core.model import Account, Plan, Transaction
from bursar.core.money import NANOS
from bursar.core.periods import format_instant
from bursar.engine import Engine
from bursar.store.base import Store, Tx
from bursar.store.url import open_store
from bursar.verify import verify
from tests.support.clock import SetClock
from tests.support.ledger import instant
from tests.support.process import REPOSITORY

PLANS = (
    Plan("free", "Free", 100 * NANOS),
    Plan("roll", "Roll", 100 * NANOS, renewal="rollover", rollover_cap=150 * NANOS),
    Plan("gold", "Gold", 100 * NANOS, renewal="accumulate"),
    Plan("mine", "Mine", 100 * NANOS, anchor="anniversary"),
    Plan("pro", "Pro", 500 * NANOS, duration_days=100, after="free"),
)
AFTER_A_MONTH = {"free": 160, "roll": 190, "gold": 190, "mine": 160, "pro": 560}
"""30 of the plan's credits were left, of Pro's 430; 50 were bought and 10 given."""

AFTER_A_YEAR = {"free": (160, 3), "roll": (310, 14), "gold": (1_390, 14), "mine": (160, 3), "pro": (160, 5)}
"""And how many allowances there were: of the months that nobody saw `reset` has the current one, `accumulate` each,
`rollover` each up to its cap. Pro had its last month, and ended in it.
"""

ACCOUNTS = [(f"user-{number:04d}", PLANS[number % len(PLANS)].name) for number in range(1_000)]


class Walker:
    """One of the processes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def walk(self) -> int:
        """Have it do a round; how many accounts it touched."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return int(await self.answer())

    async def answer(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the other process has ended"
        return line


@asynccontextmanager
async def walker(url: str, clock: Path) -> AsyncIterator[Walker]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.renewals.walker", url, str(clock)),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        other = Walker(process)
        await other.answer()
        yield other
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0


@asynccontextmanager
async def filled(url: str) -> AsyncIterator[Store]:
    """A ledger of the accounts, each of which has spent 70, bought 50 and was given 10."""
    store = open_store(url)
    await store.open()
    clock = SetClock(instant("2026-01-01"))
    engine = Engine(store, Catalog(store), clock=clock)
    for plan in PLANS:
        await engine.catalog.put_plan(plan, clock.instant)
    await engine.start()
    try:
        for make in (
            lambda name, plan: OpenAccount(account=name, plan=plan),
            lambda name, plan: Charge(account=name, amount=70 * NANOS),
            lambda name, plan: Grant(account=name, amount=50 * NANOS, source="purchase"),
            lambda name, plan: Grant(account=name, amount=10 * NANOS, source="bonus"),
        ):
            results = await engine.execute_many(make(name, plan) for name, plan in ACCOUNTS)
            assert not [result for result in results if isinstance(result, BursarError)]
        yield store
    finally:
        await engine.close()
        await store.close()


async def rows(store: Store) -> tuple[list[Account], dict[str, Counter[str]]]:
    """Every account, and how often something took effect on each: `PLAN 2026-02-01`."""

    async def work(tx: Tx) -> tuple[list[Account], dict[str, Counter[str]]]:
        accounts = [Account(*row) for row in await tx.fetch("scan_accounts", "", 2_000)]
        events = {}
        for account in accounts:
            history = [Transaction(*row) for row in await tx.fetch("scan_transactions", account.account_id, 0, 1_000)]
            events[account.account_id] = Counter(
                f"{row.type} {format_instant(row.effective_at)[:10]}" for row in history
            )
        return accounts, events

    return await store.read(work)


@pytest.mark.timeout(300)
async def test_each_renews_once_a_period_as_its_rule_says(either_url: str, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("2026-01-31T23:59:59Z")
    async with filled(either_url) as store, AsyncExitStack() as stack:
        walkers = await asyncio.gather(*(stack.enter_async_context(walker(either_url, clock)) for _ in range(4)))
        assert await asyncio.gather(*(one.walk() for one in walkers)) == [0, 0, 0, 0]

        clock.write_text("2026-02-01T00:00:00Z")
        touched = await asyncio.gather(*(one.walk() for one in walkers))
        assert sum(touched) >= len(ACCOUNTS)
        accounts, events = await rows(store)
        plan_of = dict(ACCOUNTS)
        for account in accounts:
            name = account.account_id
            assert account.posted == AFTER_A_MONTH[plan_of[name]] * NANOS, name
            assert events[name]["PLAN 2026-02-01"] == 1, name
            assert account.next_reset == instant("2026-03-01"), name
        assert await asyncio.gather(*(one.walk() for one in walkers)) == [0, 0, 0, 0]

        clock.write_text("2027-02-01T00:00:00Z")
        await asyncio.gather(*(one.walk() for one in walkers))
        accounts, events = await rows(store)
        for account in accounts:
            name = account.account_id
            assert account.next_reset == instant("2027-03-01"), name
            assert account.recorded_at == instant("2027-02-01"), name
            granted = sum(count for event, count in events[name].items() if event.startswith("PLAN"))
            assert (account.posted // NANOS, granted) == AFTER_A_YEAR[plan_of[name]], name
            assert account.plan == ("free" if plan_of[name] == "pro" else plan_of[name]), name
        assert (await verify(store)).findings == []
