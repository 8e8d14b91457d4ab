"""The same story through the engine: every step is committed to SQLite, read back, and the account proven."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from bursar.catalog import Catalog
from bursar.core.commands import Command
from bursar.core.model import Plan
from bursar.engine import Engine
from bursar.store.migrate import migrate
from bursar.store.url import open_store
from tests.scenarios.engine import inspect
from tests.stateful.naive import PLANS
from tests.stateful.test_against_naive import Ledgers
from tests.support.clock import SetClock
from tests.support.ledger import START
from tests.support.scan import rows_in


@cache
def migrated() -> bytes:
    """An empty database file."""
    with tempfile.TemporaryDirectory() as folder:
        migrate(f"sqlite:///{folder}/bursar.db")
        return Path(folder, "bursar.db").read_bytes()


class EngineLedgers(Ledgers):
    """`Ledgers`, with an engine in the place of the machine."""

    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "bursar.db").write_bytes(migrated())
        self.store = open_store(f"sqlite:///{self.folder}/bursar.db")
        self.clock = SetClock()
        self.engine = Engine(self.store, Catalog(self.store), clock=self.clock, inspect=inspect)
        self.loop.run_until_complete(self._begin())

    async def _begin(self) -> None:
        await self.store.open()
        for name, (allowance, after) in PLANS.items():
            await self.engine.catalog.put_plan(Plan(name, name, allowance, after=after), START)
        await self.engine.start()

    def execute(self, command: Command) -> Any:
        return self.loop.run_until_complete(self.engine.execute(command))

    def move(self, now: int) -> None:
        self.clock.instant = now

    def views(self) -> dict[str, Any]:
        return {account: self.loop.run_until_complete(self._look(account)) for account in self.naive.accounts}

    async def _look(self, account: str) -> Any:
        assert (await rows_in(self.store, account)).findings() == []
        return await self.engine.view(account, members=True)

    def teardown(self) -> None:
        self.loop.run_until_complete(self._end())
        self.loop.close()
        shutil.rmtree(self.folder)

    async def _end(self) -> None:
        await self.engine.close()
        await self.store.close()


TestEngineLedgers = EngineLedgers.TestCase
TestEngineLedgers.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
