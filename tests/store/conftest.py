"""Stores on a database of each test's own: SQLite, and every PostgreSQL that is there."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from bursar.store.base import Lane, Store
from bursar.store.migrate import migrate
from bursar.store.url import open_store
from tests.support.postgres import PostgresServer
from tests.support.postgres_install import Flavour, available_flavours

Servers = Callable[[Flavour], PostgresServer]
POSTGRES = [pytest.param(flavour, id=f"postgres-{flavour}") for flavour in available_flavours()]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Starts each flavour when it is first asked for."""
    with ExitStack() as stack:
        yield cache(lambda flavour: stack.enter_context(PostgresServer(flavour)))


@pytest.fixture(scope="session")
def migrated(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Flavour | None], str]:
    """Where a migrated database stands: a file to copy, or the URL of a database to empty. None is SQLite."""

    @cache
    def migrated_once(flavour: Flavour | None) -> str:
        if flavour is None:
            path = tmp_path_factory.mktemp("migrated") / "bursar.db"
            migrate(f"sqlite:///{path}")
            return str(path)
        url = servers(flavour).create_database()
        migrate(url)
        return url

    return migrated_once


def emptied(url: str) -> str:
    """Delete every row of the ledger and the catalogue: far quicker than a database of its own for each test."""
    tables = """
        accounts lots holds transactions idempotency_keys members totals paid_totals lot_totals prices skills plans
        logins identities api_keys media
    """
    with psycopg.connect(url, autocommit=True) as connection:
        for table in tables.split():
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("bursar", table)))
        connection.execute("DELETE FROM bursar.settings WHERE name <> 'compatible_from'")
    return url


@pytest.fixture(params=["sqlite", *POSTGRES])
def empty_url(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[str]:
    """A database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'bursar.db'}"
        return
    server = servers(request.param)
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture(params=POSTGRES)
def empty_pg_url(request: pytest.FixtureRequest, servers: Servers) -> Iterator[str]:
    """A database on PostgreSQL with nothing in it."""
    server = servers(request.param)
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture(params=["sqlite", *POSTGRES])
def url(request: pytest.FixtureRequest, migrated: Callable[[Flavour | None], str], tmp_path: Path) -> str:
    """A migrated database without accounts."""
    if request.param == "sqlite":
        shutil.copy(migrated(None), tmp_path / "bursar.db")
        return f"sqlite:///{tmp_path / 'bursar.db'}"
    return emptied(migrated(request.param))


@pytest.fixture(params=POSTGRES)
def pg_url(request: pytest.FixtureRequest, migrated: Callable[[Flavour | None], str]) -> str:
    """A migrated database on PostgreSQL, without accounts."""
    return emptied(migrated(request.param))


@pytest.fixture
def fresh_pg_url(empty_pg_url: str) -> str:
    """A migrated database on PostgreSQL that never held anything: the planner knows nothing of it."""
    migrate(empty_pg_url)
    return empty_pg_url


@pytest.fixture
def sqlite_url(migrated: Callable[[Flavour | None], str], tmp_path: Path) -> str:
    """A migrated database file."""
    shutil.copy(migrated(None), tmp_path / "bursar.db")
    return f"sqlite:///{tmp_path / 'bursar.db'}"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = open_store(url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def lane(store: Store) -> AsyncIterator[Lane]:
    lane = await store.lane()
    yield lane
    await lane.close()


@pytest.fixture
async def pg_store(pg_url: str) -> AsyncIterator[Store]:
    store = open_store(pg_url)
    await store.open()
    yield store
    await store.close()
