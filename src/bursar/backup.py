"""Backup and restore: one portable file, from either database into either.

A backup is a zip archive: `TABLE.ndjson` for each table, a row a line as a JSON array in the order of its columns, and
`manifest.json` with the schema's revision and each table's columns, number of rows and SHA-256. In it times are
microseconds since 1970, days count from 1970-01-01, booleans are 0 and 1, bytes are base64; the same whichever
database it came from.

    backup   one moment of the whole database, read beside a running server; the file appears when it is whole
    restore  all or nothing, into a ledger that is empty, after the whole file was found sound

Not in it: the signing secrets and the pictures in the data folder (the database has the pictures as well).
"""

from __future__ import annotations

import os
import sqlite3
import zipfile
import zlib
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from bursar import clock, entropy
from bursar.core.errors import Conflict, Invalid
from bursar.core.periods import format_instant
from bursar.store.migrate import VERSION_TABLE, expected_revision, migrate
from bursar.store.url import PostgresAddress, open_store, parse_url

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
CHUNK_ROWS: Final = 2_000
READ_BYTES: Final = 1 << 20
COMPRESSION_LEVEL: Final = 3

CATALOGUE_TABLES: Final = ("settings", "catalogue", "skills", "prices", "plans", "api_keys")
"""What a server that just started for the first time has in it already: a restore replaces it."""

LEDGER_TABLES: Final = (
    "accounts",
    "lots",
    "holds",
    "transactions",
    "idempotency_keys",
    "totals",
    "logins",
    "media",
)
"""What a restore refuses to replace unless it is told to."""

TABLES: Final = (*CATALOGUE_TABLES, *LEDGER_TABLES)
"""Every table but the schema's version, each after those that it refers to."""

COMPATIBILITY: Final = "compatible_from"
"""The one setting that belongs to the schema, not to the ledger."""

_EPOCH: Final = date(1970, 1, 1)

Row = Sequence[Any]
Say = Callable[[str, int], None]
"""Told of the table under way, and how many of its rows are done."""


class NotEmpty(Conflict):
    """This database has a ledger already ({what}): restore into an empty one, or replace it with --force."""

    code = "not_empty"
    what: str

    def __init__(self, what: str) -> None:
        super().__init__(what=what)


class TableEntry(Struct, frozen=True):
    """What the manifest says of a table."""

    columns: list[str]
    rows: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """What is in a backup."""

    format: int
    revision: str
    dialect: str
    created_at: str
    tables: dict[str, TableEntry]


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


def _say_nothing(table: str, rows: int) -> None:
    """For programs."""


# Backup


async def write_backup(url: str, path: Path, say: Say = _say_nothing) -> Manifest:
    """Write one moment of a database to a file, which only its owner may read; a file that is there is replaced at
    the end.

    Raises `DatabaseUnavailable`, `NotMigrated`, `OSError`.
    """
    await _check_schema(url)
    draft = path.with_name(f".{path.name}.{entropy.token()}")
    try:
        with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
            async with _snapshot(url) as database:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL) as archive:
                    manifest = await _write_all(database, archive, say)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    return manifest


async def _write_all(database: Database, archive: zipfile.ZipFile, say: Say) -> Manifest:
    tables = {}
    for table in TABLES:
        tables[table] = await _write_table(database, archive, table, say)
    manifest = Manifest(
        format=FORMAT,
        revision=await database.scalar(f"SELECT version_num FROM {VERSION_TABLE}"),  # noqa: S608 - our own name
        dialect=database.dialect,
        created_at=format_instant(clock.now()),
        tables=tables,
    )
    archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    return manifest


async def _write_table(database: Database, archive: zipfile.ZipFile, table: str, say: Say) -> TableEntry:
    columns = await database.columns(table)
    pack = _converter(columns, _PACK)
    encode = msgspec.json.Encoder().encode_lines
    digest, count = sha256(), 0
    chunk: list[Row] = []
    with archive.open(f"{table}.ndjson", "w", force_zip64=True) as member:

        def flush() -> None:
            text = encode(chunk)
            digest.update(text)
            member.write(text)
            chunk.clear()
            say(table, count)

        async for row in database.rows(table, columns):
            chunk.append(pack(row))
            count += 1
            if len(chunk) == CHUNK_ROWS:
                flush()
        flush()
    return TableEntry([column.name for column in columns], count, digest.hexdigest())


# Restore


async def restore_backup(url: str, path: Path, *, force: bool = False, say: Say = _say_nothing) -> Manifest:
    """Load a backup into the ledger at `url`, which is made if need be. All or nothing; `force` replaces what is there.

    Raises `Invalid` (field `file`) for a file that is no backup, is cut short or was altered, `NotEmpty`,
    `DatabaseUnavailable`.
    """
    manifest = check_backup(path)
    migrate(url)
    await _check_schema(url)
    async with _exclusive(url) as database:
        if not force:
            await _refuse_ledger(database)
        await _load_all(database, path, manifest, say)
    return manifest


def check_backup(path: Path) -> Manifest:
    """Read a whole backup and find it sound. Raises `Invalid` (field `file`), `OSError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
            _check_manifest(path, manifest)
            for table, entry in manifest.tables.items():
                _check_table(path, archive, table, entry)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        msgspec.MsgspecError,
    ) as error:
        raise _unsound(path, f"is no Bursar backup, or was cut short or altered ({error})") from None
    return manifest


def _check_manifest(path: Path, manifest: Manifest) -> None:
    if manifest.format != FORMAT or manifest.revision > expected_revision():
        raise _unsound(path, f"was made by a newer Bursar, of schema {manifest.revision}")
    if manifest.tables.keys() != set(TABLES):
        raise _unsound(path, "was altered: its tables are not those of a ledger")


def _check_table(path: Path, archive: zipfile.ZipFile, table: str, entry: TableEntry) -> None:
    digest, rows = sha256(), 0
    with archive.open(f"{table}.ndjson") as member:
        while text := member.read(READ_BYTES):
            digest.update(text)
            rows += text.count(b"\n")
    if (digest.hexdigest(), rows) != (entry.sha256, entry.rows):
        raise _unsound(path, f"was altered: {table} is not what it was")


def _unsound(path: Path, reason: str) -> Invalid:
    return Invalid("file", f"{path} {reason}; nothing was restored")


async def _refuse_ledger(database: Database) -> None:
    for table in LEDGER_TABLES:
        if await database.scalar(f"SELECT 1 FROM {table} LIMIT 1") is not None:  # noqa: S608 - our own names
            raise NotEmpty(table)


async def _load_all(database: Database, path: Path, manifest: Manifest, say: Say) -> None:
    version = await database.scalar("SELECT version FROM catalogue")
    for table in reversed(TABLES):
        keep = f" WHERE name <> '{COMPATIBILITY}'" if table == "settings" else ""
        await database.execute(f"DELETE FROM {table}{keep}")  # noqa: S608 - our own names
    with zipfile.ZipFile(path) as archive:
        for table in TABLES:
            await _load_table(database, path, archive, table, manifest.tables[table], say)
    # Newer than what any process remembers, so that each reads it anew.
    await database.execute(f"UPDATE catalogue SET version = version + {int(version or 0)}")  # noqa: S608 - a number


async def _load_table(
    database: Database, path: Path, archive: zipfile.ZipFile, table: str, entry: TableEntry, say: Say
) -> None:
    there = {column.name: column for column in await database.columns(table)}
    unknown = [name for name in entry.columns if name not in there]
    if unknown:
        raise _unsound(path, f"has columns that this Bursar does not know: {table}.{unknown[0]}")
    columns = [there[name] for name in entry.columns]
    unpack = _converter(columns, _UNPACK[database.dialect])
    done = 0
    for rows in _read_rows(archive, table):
        chosen = [row for row in rows if table != "settings" or row[0] != COMPATIBILITY]
        await database.insert(table, columns, [unpack(row) for row in chosen])
        done += len(rows)
        say(table, done)


def _read_rows(archive: zipfile.ZipFile, table: str) -> Iterator[list[Row]]:
    decode = msgspec.json.Decoder(list[Any]).decode
    chunk: list[Row] = []
    with archive.open(f"{table}.ndjson") as member:
        for line in member:
            chunk.append(decode(line))
            if len(chunk) == CHUNK_ROWS:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


# Values: as the drivers have them, and as they stand in the file

_PACK: Final[dict[str, Callable[[Any], Any]]] = {
    "boolean": int,
    "date": lambda day: (day - _EPOCH).days,
}
_UNPACK: Final[dict[str, dict[str, Callable[[Any], Any]]]] = {
    "sqlite": {"BLOB": b64decode},
    "postgres": {"bytea": b64decode, "boolean": bool, "date": lambda days: _EPOCH + timedelta(days=days)},
}


def _converter(columns: Sequence[Column], by_kind: dict[str, Callable[[Any], Any]]) -> Callable[[Row], Row]:
    changes = [(number, by_kind[column.kind]) for number, column in enumerate(columns) if column.kind in by_kind]
    if not changes:
        return tuple

    def convert(row: Row) -> Row:
        values = list(row)
        for number, change in changes:
            if values[number] is not None:
                values[number] = change(values[number])
        return values

    return convert


# Databases


async def _check_schema(url: str) -> None:
    store = open_store(url)
    try:
        await store.open()
    finally:
        await store.close()


@asynccontextmanager
async def _snapshot(url: str) -> AsyncIterator[Database]:
    """A read-only tx that sees one moment, beside whoever writes."""
    address = parse_url(url)
    if isinstance(address, PostgresAddress):
        async with _postgres(address, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as database:
            yield database
    else:
        with _sqlite(address.path, "BEGIN") as database:
            yield database


@asynccontextmanager
async def _exclusive(url: str) -> AsyncIterator[Database]:
    """A tx that has the database to itself, and commits unless something is raised."""
    address = parse_url(url)
    if isinstance(address, PostgresAddress):
        async with _postgres(address, "BEGIN") as database:
            await database.execute(f"LOCK TABLE {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE")
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
        async for row in self._connection.cursor(_select(table, columns), prefetch=CHUNK_ROWS):
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
