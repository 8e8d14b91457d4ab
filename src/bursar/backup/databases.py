"""One connection in one tx, the same for both databases."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from msgspec import Struct

from bursar.store.url import PostgresAddress, open_store, parse_url

PREFETCH: Final = 2_000

Row: TypeAlias = Sequence[Any]


class Column(Struct, frozen=True):
    """A column's name, and its type as the database calls it."""

    name: str
    kind: str


class Database(Protocol):
    """One connection in one tx, as a backup and a restore need it. Values are the driver's own."""

    dialect: str

    async def columns(self, table: str) -> list[Column]: ...

    def rows(self, table: str, columns: Sequence[Column]) -> AsyncIterator[Row]: ...

    async def scalar(self, query: str) -> Any: ...

    async def execute(self, statement: str) -> None: ...

    async def insert(self, table: str, columns: Sequence[Column], rows: Sequence[Row]) -> None: ...


async def check_schema(url: str) -> None:
    """Raise `DatabaseUnavailable` or `NotMigrated` unless this Bursar can work there."""
    store = open_store(url)
    try:
        await store.open()
    finally:
        await store.close()


@asynccontextmanager
async def snapshot(url: str) -> AsyncIterator[Database]:
    """A read-only tx that sees one moment, beside whoever writes."""
    address = parse_url(url)
    if isinstance(address, PostgresAddress):
        async with _postgres(address, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as database:
            yield database
    else:
        with _sqlite(address.path, "BEGIN") as database:
            yield database


@asynccontextmanager
async def exclusive(url: str, tables: Sequence[str]) -> AsyncIterator[Database]:
    """A tx that has the database to itself, and commits unless something is raised."""
    address = parse_url(url)
    if isinstance(address, PostgresAddress):
        async with _postgres(address, "BEGIN") as database:
            await database.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
            yield database
    else:
        with _sqlite(address.path, "BEGIN IMMEDIATE") as database:
            yield database


@contextmanager
def _sqlite(path: Path, begin: str) -> Iterator[Database]:
    from bursar.store.sqlite import connect, translated  # noqa: PLC0415 - only the driver in use

    try:
        with closing(connect(path)) as connection:
            connection.execute(begin)
            yield _Sqlite(connection)
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise translated(error) from error


@asynccontextmanager
async def _postgres(address: PostgresAddress, begin: str) -> AsyncIterator[Database]:
    from bursar.store.postgres import DRIVER_ERRORS, connect, translated  # noqa: PLC0415 - only the driver in use

    settings = {"lock_timeout": "60s", "idle_in_transaction_session_timeout": "0"}
    try:
        connection = await connect(address, settings, statement_seconds=None)
        try:
            await connection.execute(begin)
            yield _Postgres(connection)
            await connection.execute("COMMIT")
        finally:
            connection.terminate()
    except DRIVER_ERRORS as error:
        raise translated(error) from error


class _Sqlite:
    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def columns(self, table: str) -> list[Column]:
        rows = self._connection.execute("SELECT name, type FROM pragma_table_info(?) ORDER BY cid", (table,))
        return [Column(name, kind) for name, kind in rows]

    async def rows(self, table: str, columns: Sequence[Column]) -> AsyncIterator[Row]:
        for row in self._connection.execute(_select(table, columns)):
            yield row

    async def scalar(self, query: str) -> Any:
        return next(iter(self._connection.execute(query).fetchone() or ()), None)

    async def execute(self, statement: str) -> None:
        self._connection.execute(statement)

    async def insert(self, table: str, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        marks = ", ".join("?" * len(columns))
        self._connection.executemany(f"INSERT INTO {table} ({_names(columns)}) VALUES ({marks})", rows)  # noqa: S608


class _Postgres:
    dialect = "postgres"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def columns(self, table: str) -> list[Column]:
        rows = await self._connection.fetch(
            """SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum""",
            table,
        )
        return [Column(name, kind) for name, kind in rows]

    async def rows(self, table: str, columns: Sequence[Column]) -> AsyncIterator[Row]:
        async for row in self._connection.cursor(_select(table, columns), prefetch=PREFETCH):
            yield tuple(row)

    async def scalar(self, query: str) -> Any:
        return await self._connection.fetchval(query)

    async def execute(self, statement: str) -> None:
        await self._connection.execute(statement)

    async def insert(self, table: str, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        names = [column.name for column in columns]
        await self._connection.copy_records_to_table(table, records=rows, columns=names)


def _select(table: str, columns: Sequence[Column]) -> str:
    return f"SELECT {_names(columns)} FROM {table}"  # noqa: S608 - our own names


def _names(columns: Sequence[Column]) -> str:
    return ", ".join(f'"{column.name}"' for column in columns)
