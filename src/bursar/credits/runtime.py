"""A ledger that is open: its store, catalogue and engine, started on one event loop and closed on it."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from bursar.answers import Receipts
from bursar.catalog import Catalog, Preset
from bursar.clock import TestClock, test_clock_from
from bursar.core.errors import NotMigrated
from bursar.engine import Engine
from bursar.presets import load_preset
from bursar.settings import load_settings
from bursar.store.base import Store
from bursar.store.migrate import migrate
from bursar.store.url import open_store
from bursar.totals import count_in


class Opening(Struct, frozen=True, kw_only=True):
    """What is needed to open a ledger, as often as a fork makes it necessary; see `AsyncCredits.open`."""

    url: str
    preset: Preset | None
    migrate: bool | None
    clock: TestClock | None
    lanes: int | None

    async def start(self) -> Runtime:
        """Open it on the running event loop. Raises DatabaseUnavailable, NotMigrated; then nothing stays open."""
        store = await self._open_store()
        try:
            catalog = Catalog(store)
            engine = Engine(store, catalog, clock=self.clock, lanes=self.lanes)
            catalogue = await catalog.load()
            if self.preset is not None and not (catalogue.skills or catalogue.plans):
                await catalog.seed(self.preset, await engine.now())
            await engine.start()
        except BaseException:
            await store.close()
            raise
        return Runtime(store, catalog, engine, Receipts(catalog))

    async def _open_store(self) -> Store:
        store = open_store(self.url)
        try:
            await store.open()
            return store
        except NotMigrated as behind:
            await store.close()
            if not self._may_migrate(store, behind):
                raise
        except BaseException:
            await store.close()
            raise
        applied = await asyncio.to_thread(migrate, self.url)
        store = open_store(self.url)
        try:
            await store.open()
            await count_in(store, applied)
        except BaseException:
            await store.close()
            raise
        return store

    def _may_migrate(self, store: Store, behind: NotMigrated) -> bool:
        if self.migrate is not None:
            return self.migrate
        return store.dialect == "sqlite" or behind.evidence()["found"] == "none"


class Runtime(Struct, frozen=True):
    """See the module."""

    store: Store
    catalog: Catalog
    engine: Engine
    receipts: Receipts

    async def close(self) -> None:
        """Finish what has been submitted, then let go of the database."""
        try:
            await self.engine.close()
        finally:
            await self.store.close()


def prepare(
    url: str,
    *,
    preset: str | Preset | None,
    migrate: bool | None,
    clock: TestClock | str | None,
    lanes: int | None,
) -> Opening:
    """Check the arguments of `open`, before anything is opened. Raises `Invalid`."""
    if isinstance(clock, str) or clock is None:
        clock = test_clock_from(clock or load_settings().test_clock)
    return Opening(
        url=url,
        preset=load_preset(preset) if isinstance(preset, str) else preset,
        migrate=migrate,
        clock=clock,
        lanes=lanes,
    )
