"""Fixtures: a migrated database of each test's own, on SQLite and on every PostgreSQL that is there.

The folders beside this one import them into their conftest.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from bursar.store.migrate import migrate
from tests.support.postgres import PostgresServer
from tests.support.postgres_install import Flavour, available_flavours

Servers = Callable[[Flavour], PostgresServer]
Migrated = Callable[[Flavour | None], str]

FLAVOURS = [pytest.param(flavour, id=f"postgres-{flavour}") for flavour in available_flavours()]
ONE_FLAVOUR = FLAVOURS[:1]
"""For what is slow and asks nothing of the server's version."""


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Starts each flavour when it is first asked for."""
    with ExitStack() as stack:
        yield cache(lambda flavour: stack.enter_context(PostgresServer(flavour)))


@pytest.fixture(scope="session")
def migrated(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Migrated:
    """A migrated database: a file to copy (None: SQLite), or the URL of one to empty."""

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


def provide(flavour: Flavour | None, migrated: Migrated, folder: Path) -> str:
    """The URL of a database with nothing in it."""
    if flavour is not None:
        return emptied(migrated(flavour))
    shutil.copy(migrated(None), folder / "bursar.db")
    return f"sqlite:///{folder / 'bursar.db'}"


def emptied(url: str) -> str:
    """Delete every row of the ledger and the catalogue: far quicker than a database of its own for each test."""
    tables = [
        "accounts",
        "lots",
        "holds",
        "transactions",
        "idempotency_keys",
        "members",
        "totals",
        "paid_totals",
        "lot_totals",
        "prices",
        "skills",
        "model_prices",
        "models",
        "plans",
    ]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )  # what a test that failed has left behind
        for table in tables:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("bursar", table)))
        connection.execute("DELETE FROM bursar.settings WHERE name <> 'compatible_from'")
    return url


@pytest.fixture(params=[pytest.param(None, id="sqlite"), *FLAVOURS])
def url(request: pytest.FixtureRequest, migrated: Migrated, tmp_path: Path) -> str:
    """On each database."""
    return provide(request.param, migrated, tmp_path)


@pytest.fixture(params=[pytest.param(None, id="sqlite"), *ONE_FLAVOUR])
def either_url(request: pytest.FixtureRequest, migrated: Migrated, tmp_path: Path) -> str:
    """On SQLite and on one PostgreSQL."""
    return provide(request.param, migrated, tmp_path)


@pytest.fixture
def sqlite_url(migrated: Migrated, tmp_path: Path) -> str:
    return provide(None, migrated, tmp_path)


@pytest.fixture(params=FLAVOURS)
def pg_url(request: pytest.FixtureRequest, migrated: Migrated, tmp_path: Path) -> str:
    """On each PostgreSQL."""
    return provide(request.param, migrated, tmp_path)


@pytest.fixture(params=ONE_FLAVOUR)
def one_pg_url(request: pytest.FixtureRequest, migrated: Migrated, tmp_path: Path) -> str:
    """On one PostgreSQL."""
    return provide(request.param, migrated, tmp_path)
