"""Brings a database's schema up, and says whether a schema will do.

The revisions are hand-written SQL (`migrations/sql/{sqlite,postgres}/NNNN_*.sql`), one name each, applied by
alembic in one tx: all or nothing. Processes that start at once take turns. A running server never imports
alembic: it compares two strings.

**Side by side.** A new process migrates while old ones still run. So a release first *expands* (new tables,
new columns that may be NULL or have a default; views may grow at their end): its migration leaves
`settings.compatible_from` as it is, and the old process accepts the newer schema. Only a later release
*contracts*, when no process of the older one runs any more: that migration sets `compatible_from` to the
oldest revision whose Bursar can still run on the result, and older ones refuse to start.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bursar.core.errors import DatabaseUnavailable, Invalid, NotMigrated
from bursar.store.url import PostgresAddress, SqliteAddress, parse_url

if TYPE_CHECKING:
    from sqlalchemy import Connection

VERSION_TABLE: Final = "bursar_version"

_FOLDER: Final = Path(__file__).parent / "migrations"
_OBJECT: Final = re.compile(r"^CREATE (?:TABLE|VIEW) (\w+)", re.MULTILINE)
_one_at_a_time: Final = threading.Lock()  # alembic's context is a global of the process


@cache
def revisions() -> tuple[str, ...]:
    """Every revision that this Bursar knows, oldest first."""
    return tuple(sorted(path.name[:4] for path in (_FOLDER / "versions").glob("[0-9]*.py")))


def expected_revision() -> str:
    """The schema that this Bursar was written for."""
    return revisions()[-1]


def check_version(version: tuple[str, str | None] | None) -> None:
    """Raise NotMigrated unless this Bursar can run on a schema of that (revision, compatible_from)."""
    wanted = expected_revision()
    if version is None:
        raise NotMigrated(found="none", wanted=wanted)
    found, compatible_from = version
    if found < wanted:
        raise NotMigrated(found=found, wanted=wanted)
    if found > wanted and (compatible_from is None or compatible_from > wanted):
        raise NotMigrated(found=found, wanted=wanted)


def migrate(url: str) -> list[str]:
    """Apply what is missing; the revisions applied, oldest first.

    Raises Invalid for a URL that is none or a database whose tables are somebody else's, DatabaseUnavailable.
    """
    address = parse_url(url)
    with _one_at_a_time:
        if isinstance(address, SqliteAddress):
            return _migrate_sqlite(address)
        # In a thread of its own, so that a caller's running event loop does not matter.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, _migrate_postgres(address)).result()


def _migrate_sqlite(address: SqliteAddress) -> list[str]:
    from bursar.store.sqlite import translated  # noqa: PLC0415

    try:
        _create_file(address.path)
        return _upgrade_sqlite(address.path)
    except sqlite3.Error as error:
        raise translated(error) from error
    except OSError as error:
        raise DatabaseUnavailable(f"{address.path}: {error.strerror}") from error


def _create_file(path: Path) -> None:
    """The file holds people's names and hashes of secrets: only its owner reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)


def _upgrade_sqlite(path: Path) -> list[str]:
    # What takes a second or two to load is there before the lock is taken, for which others wait some seconds only.
    import alembic.command  # noqa: F401, PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    from bursar.store.sqlite import connect, turn_wal_on  # noqa: PLC0415

    engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            _refuse_foreign(path.name, "sqlite", _names(connection, "SELECT name FROM sqlite_master"))
            applied = _upgrade(connection)
            connection.commit()
    except DBAPIError as error:
        raise error.orig or error from error
    with closing(connect(path)) as plain:
        turn_wal_on(plain)
    return applied


async def _migrate_postgres(address: PostgresAddress) -> list[str]:
    import asyncpg  # noqa: PLC0415
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    from bursar.store.postgres import DRIVER_ERRORS, connect, translated  # noqa: PLC0415

    async def creator() -> asyncpg.Connection[Any]:
        return await connect(address, {"lock_timeout": "0"}, statement_seconds=None)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            applied = await connection.run_sync(_upgrade_postgres, address.schema)
            await connection.commit()
    except Exception as error:
        cause = _driver_error(error)
        if isinstance(cause, DRIVER_ERRORS):
            raise translated(cause) from error
        raise
    finally:
        await engine.dispose()
    return applied


def _upgrade_postgres(connection: Connection, schema: str) -> list[str]:
    lock = zlib.crc32(f"bursar migrate {schema}".encode())
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock})")
    exists = connection.exec_driver_sql("SELECT to_regnamespace($1) IS NOT NULL", (schema,)).scalar()
    if not exists:
        connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
    relations = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace($1)"
    _refuse_foreign(f"the schema {schema}", "postgres", _names(connection, relations, schema))
    return _upgrade(connection)


def _names(connection: Connection, query: str, *args: str) -> set[str]:
    return {row[0] for row in connection.exec_driver_sql(query, args)}


def _refuse_foreign(place: str, dialect: str, found: set[str]) -> None:
    """Without our version table, tables of our names are somebody else's."""
    if VERSION_TABLE in found:
        return
    names: set[str] = set()
    for path in (_FOLDER / "sql" / dialect).glob("*.sql"):
        names.update(_OBJECT.findall(path.read_text(encoding="utf-8")))
    foreign = ", ".join(sorted(names & found))
    if foreign:
        reason = f"{place} already has tables that are not Bursar's ({foreign}); nothing was changed"
        raise Invalid("database_url", reason)


def _upgrade(connection: Connection) -> list[str]:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.migration import MigrationContext  # noqa: PLC0415

    options = {"version_table": VERSION_TABLE}
    before = MigrationContext.configure(connection, opts=options).get_current_revision() or ""
    if before >= expected_revision():
        return []  # current, or newer than this Bursar knows: whether that will do is decided on opening
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return [revision for revision in revisions() if revision > before]


def _driver_error(error: BaseException) -> BaseException:
    """What the driver itself said, under SQLAlchemy's wrappings of it."""
    while error.__class__.__module__.startswith("sqlalchemy"):
        cause = error.__cause__ or error.__context__
        if cause is None:
            break
        error = cause
    return error


def statements(script: str) -> list[str]:
    """The statements of a migration's SQL; each ends with a semicolon at the end of its line."""
    return [part.strip() for part in script.split(";\n") if not _only_comments(part)]


def _only_comments(text: str) -> bool:
    return all(line.startswith("--") or not line.strip() for line in text.splitlines())
