"""Where the bench keeps its tables: schemas or files of its own, which are gone afterwards, also after Ctrl-C.

A schema of the bench carries a mark as its comment. One without it is somebody's data: the bench refuses to touch it.
One with it is what a killed bench left behind, unless that bench still holds its lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import asyncpg

from bursar.core.errors import DatabaseUnavailable, Invalid
from bursar.store.postgres import DRIVER_ERRORS, Connection, connect
from bursar.store.url import PostgresAddress, parse_url

MARK: Final = "made by bursar bench, which drops it"


class PostgresPlace:
    """A family of schemas beside the one that the URL names: `bursar_bench_engine`, `bursar_bench_naive`, ..."""

    def __init__(self, address: PostgresAddress, connection: Connection) -> None:
        self._address = address
        self._connection = connection
        self._schemas: list[str] = []

    async def add(self, name: str) -> str:
        """The URL of a new, empty schema. Raises `Invalid` where a schema of that name holds somebody's data."""
        schema = f"{self._address.schema}_bench_{name}"
        comment = await self._connection.fetchrow(
            "SELECT obj_description(oid, 'pg_namespace') AS text FROM pg_namespace WHERE nspname = $1", schema
        )
        if comment is not None and comment["text"] != MARK:
            reason = f"the schema {schema} was not made by bursar bench; name another one with ?schema="
            raise Invalid("database_url", reason)
        await self._connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
        self._schemas.append(schema)
        async with self._connection.transaction():
            await self._connection.execute(f'CREATE SCHEMA "{schema}"')
            await self._connection.execute(f"COMMENT ON SCHEMA \"{schema}\" IS '{MARK}'")
        return with_schema(self._address, schema)

    async def version(self) -> str:
        version: str = await self._connection.fetchval("SHOW server_version")
        return version

    async def settle(self) -> None:
        """Let the server write out and sort what a fill left behind, so that no round pays for it."""
        for row in await self._connection.fetch(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1)", self._schemas
        ):
            await self._connection.execute('VACUUM ANALYZE "{}"."{}"'.format(*row), timeout=600)
        with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
            await self._connection.execute("CHECKPOINT", timeout=600)

    async def remove(self) -> None:
        for schema in self._schemas:
            await self._connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE', timeout=120)


@contextlib.asynccontextmanager
async def postgres_place(url: str) -> AsyncIterator[PostgresPlace]:
    """Schemas of the bench's own, under a lock that keeps a second bench away."""
    address = parse_url(url)
    assert isinstance(address, PostgresAddress)
    try:
        connection = await connect(address, {"lock_timeout": "60s"}, statement_seconds=60)
    except DRIVER_ERRORS as error:
        raise DatabaseUnavailable(str(error) or type(error).__name__) from error
    place = PostgresPlace(address, connection)
    try:
        lock = zlib.crc32(f"bursar bench {address.schema}".encode())
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock):
            raise Invalid("database_url", "another bench runs on this database")
        try:
            yield place
        finally:
            # Shielded: a second Ctrl-C while the tables are dropped must not leave half of them.
            await asyncio.shield(place.remove())
    finally:
        connection.terminate()


@contextlib.contextmanager
def sqlite_place(folder: Path) -> Iterator[Path]:
    """A folder for the bench's own files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
    except OSError as error:
        raise DatabaseUnavailable(f"{folder}: {error.strerror}") from error
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def with_schema(address: PostgresAddress, schema: str) -> str:
    """The URL of the same database with another schema."""
    parts = urlsplit(address.dsn)
    options = {**address.options, "schema": schema, "lanes": str(address.lanes)}
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(options), ""))
