"""The real stage: an engine over a database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bursar import models
from bursar.catalog import Catalog
from bursar.core.book import Book, Outcome
from bursar.core.commands import Command
from bursar.core.invariants import check_book
from bursar.core.model import Component, Instant, Plan
from bursar.core.money import Nanos
from bursar.engine import Engine
from bursar.store.base import Store
from bursar.store.url import open_store
from tests.support.clock import SetClock
from tests.support.ledger import Rows
from tests.support.scan import rows_in


class EngineStage:
    """Every book that a batch writes is looked at; what was written is read back after each step."""

    def __init__(self, store: Store, engine: Engine, clock: SetClock) -> None:
        self.store = store
        self.engine = engine
        self.clock = clock

    @property
    def now(self) -> Instant:
        return self.clock.instant

    @now.setter
    def now(self, now: Instant) -> None:
        self.clock.instant = now

    async def put_plan(self, plan: Plan) -> None:
        await self.engine.catalog.put_plan(plan, self.now)

    async def put_price(
        self, skill: str, cost: Nanos, *, valid_from: Instant | None = None, valid_to: Instant | None = None
    ) -> None:
        catalog = self.engine.catalog
        if skill in catalog.current.skills:
            await catalog.set_price(skill, cost=cost, valid_from=valid_from, valid_to=valid_to, now=self.now)
        else:
            await catalog.add_skill(skill, cost=cost, now=self.now)

    async def switch_skill(self, skill: str, *, active: bool) -> None:
        await self.engine.catalog.update_skill(skill, active=active)

    async def put_model(self, model: str, components: Sequence[Component]) -> None:
        catalog = self.engine.catalog
        await models.set_terms(catalog, self.now, usd_per_credit="0.01")
        price = models.ModelPrice(components=tuple(components), usd=True)
        await models.set_price(catalog, model, price, self.now)

    async def switch_model(self, model: str, *, active: bool) -> None:
        await models.switch(self.engine.catalog, model, self.now, active=active)

    async def execute(self, command: Command) -> Outcome:
        return await self.engine.execute(command)

    async def view(self, account: str, *, members: bool = False) -> Book:
        return await self.engine.view(account, members=members)

    async def rows(self, account: str) -> Rows:
        return await rows_in(self.store, account)


@asynccontextmanager
async def engine_stage(url: str) -> AsyncIterator[EngineStage]:
    """A stage on the migrated database at `url`."""
    store = open_store(url)
    await store.open()
    clock = SetClock()
    engine = Engine(store, Catalog(store), clock=clock, inspect=inspect)
    await engine.start()
    try:
        yield EngineStage(store, engine, clock)
    finally:
        await engine.close()
        await store.close()


def inspect(book: Book) -> None:
    """Raise where a book is not sound."""
    findings = check_book(book)
    assert not findings, "\n".join(map(str, findings))
