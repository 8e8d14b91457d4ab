"""What a URL names, and what is said of one that names nothing; never a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from bursar.core.errors import Invalid
from bursar.store.postgres import PostgresStore
from bursar.store.sqlite import SqliteStore
from bursar.store.url import PostgresAddress, SqliteAddress, open_store, parse_url


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///bursar.db", "bursar.db"),
        ("sqlite:///data/bursar.db", "data/bursar.db"),
        ("sqlite:////var/lib/bursar.db", "/var/lib/bursar.db"),
        ("sqlite:///with%20space%3F.db", "with space?.db"),
    ],
)
def test_sqlite(url: str, path: str) -> None:
    assert parse_url(url) == SqliteAddress(Path(path))
    assert isinstance(open_store(url), SqliteStore)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h:5433/d", PostgresAddress("postgresql://u:p@h:5433/d")),
        ("postgres://h/d", PostgresAddress("postgresql://h/d")),
        (
            "postgresql://h/d?schema=credits&lanes=4&sslmode=require&channel_binding=require",
            PostgresAddress("postgresql://h/d?sslmode=require", "credits", 4, {"sslmode": "require"}),
        ),
        (
            "postgresql:///d?host=/var/run/postgresql",
            PostgresAddress("postgresql:///d?host=%2Fvar%2Frun%2Fpostgresql", options={"host": "/var/run/postgresql"}),
        ),
    ],
)
def test_postgres(url: str, expected: PostgresAddress) -> None:
    assert parse_url(url) == expected
    store = open_store(url)
    assert isinstance(store, PostgresStore)
    assert store.default_lanes == expected.lanes


def test_the_environment_names_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSAR_SCHEMA", "from_env")
    named = parse_url("postgresql://h/d")
    overruled = parse_url("postgresql://h/d?schema=from_url")
    assert isinstance(named, PostgresAddress)
    assert isinstance(overruled, PostgresAddress)
    assert (named.schema, overruled.schema) == ("from_env", "from_url")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://file.db",
        "sqlite:///file.db?mode=ro",
        "sqlite:///nul%00",
        "mysql://me:hunter2@h/d",
        "postgresql+asyncpg://me:hunter2@h/d",
        "postgresql://me:hunter2@h:port/d",
        "postgresql://me:hunter2@h/d?schema=Bursar",
        "postgresql://me:hunter2@h/d?schema=a;drop",
        "postgresql://me:hunter2@h/d?schema=pg_catalog",
        "postgresql://me:hunter2@h/d?lanes=0",
        "postgresql://me:hunter2@h/d?lanes=65",
        "postgresql://me:hunter2@h/d?lanes=many",
        "postgresql://me:hunter2@[h/d",
    ],
)
def test_what_names_nothing(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        open_store(url)
    assert caught.value.field == "database_url"
    assert "hunter2" not in str(caught.value)


def test_an_address_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(parse_url("postgresql://me:hunter2@h/d?passfile=hunter2"))
