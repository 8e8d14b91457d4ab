"""Ledgers of each test's own with the default preset, on SQLite and one PostgreSQL: the stores' tests run on each."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from bursar.credits import AsyncCredits, Credits
from tests.support.postgres import PostgresServer
from tests.support.postgres_install import Flavour, available_flavours

DATABASES = ["sqlite", *(pytest.param(flavour, id=f"postgres-{flavour}") for flavour in available_flavours()[:1])]

on_one_database = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what never reaches a database."""


class Clock:
    """Time that stands where it was put; `path` is what BURSAR_TEST_CLOCK would name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set("2026-01-10T12:00:00Z")

    def set(self, instant: str) -> None:
        """Written aside and moved into place: nobody reads half of it."""
        aside = self.path.with_suffix(".new")
        aside.write_text(instant)
        aside.replace(self.path)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "clock")


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[Flavour], PostgresServer]]:
    """Starts each flavour when it is first asked for."""
    with ExitStack() as stack:
        yield cache(lambda flavour: stack.enter_context(PostgresServer(flavour)))


@pytest.fixture(scope="session")
def templates(
    servers: Callable[[Flavour], PostgresServer], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Where a fresh ledger stands, to be copied: a file, or the name of a database."""

    @cache
    def template(database: str) -> str:
        if database == "sqlite":
            path = tmp_path_factory.mktemp("template") / "bursar.db"
            Credits.open(f"sqlite:///{path}").close()
            return str(path)
        url = servers(Flavour(database)).create_database()
        Credits.open(url).close()
        return url.rpartition("/")[2]

    return template


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_url(database: str, servers: Callable[[Flavour], PostgresServer], tmp_path: Path) -> Iterator[str]:
    """A database with nothing in it."""
    if database == "sqlite":
        yield f"sqlite:///{tmp_path / 'bursar.db'}"
        return
    server = servers(Flavour(database))
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def url(
    database: str,
    servers: Callable[[Flavour], PostgresServer],
    templates: Callable[[str], str],
    tmp_path: Path,
) -> Iterator[str]:
    """A ledger with the default preset and no accounts."""
    if database == "sqlite":
        shutil.copy(templates("sqlite"), tmp_path / "bursar.db")
        yield f"sqlite:///{tmp_path / 'bursar.db'}"
        return
    server = servers(Flavour(database))
    url = server.create_database(templates(database))
    yield url
    server.drop_database(url)


@pytest.fixture
async def credits(url: str, clock: Clock) -> AsyncIterator[AsyncCredits]:
    async with AsyncCredits.open(url, clock=str(clock.path)) as credits:
        yield credits


@pytest.fixture
def blocking(url: str, clock: Clock) -> Iterator[Credits]:
    with Credits.open(url, clock=str(clock.path)) as credits:
        yield credits
