"""From a file into a database."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

from bursar.backup.archive import (
    LEDGER_TABLES,
    TABLES,
    Manifest,
    Say,
    TableEntry,
    check_backup,
    read_rows,
    say_nothing,
    unpacker,
    unsound,
)
from bursar.backup.databases import Database, check_schema, exclusive
from bursar.core.errors import Conflict
from bursar.store.migrate import migrate
from bursar.store.url import open_store
from bursar.totals import COUNTED_SINCE, repair

COMPATIBILITY: Final = "compatible_from"
"""The one setting that belongs to the schema, not to the ledger."""


class NotEmpty(Conflict):
    """This database has a ledger already ({what}): restore into an empty one, or replace it with --force."""

    code = "not_empty"
    what: str

    def __init__(self, what: str) -> None:
        super().__init__(what=what)


async def restore_backup(url: str, path: Path, *, force: bool = False, say: Say = say_nothing) -> Manifest:
    """Load a backup into the ledger at `url`, which is made if need be. All or nothing; `force` replaces what is there.

    Raises `Invalid` (field `file`) for a file that is no backup, is cut short or was altered, `NotEmpty`,
    `DatabaseUnavailable`.
    """
    manifest = check_backup(path)
    migrate(url)
    await check_schema(url)
    async with exclusive(url, TABLES) as database:
        if not force:
            await _refuse_ledger(database)
        await _load_all(database, path, manifest, say)
    if manifest.revision < COUNTED_SINCE:
        await _count_in(url)
    return manifest


async def _count_in(url: str) -> None:
    """What was backed up under an older schema is not in the newer totals."""
    store = open_store(url)
    try:
        await store.open()
        await repair(store)
    finally:
        await store.close()


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
        for table in filter(manifest.tables.__contains__, TABLES):
            await _load_table(database, path, archive, table, manifest.tables[table], say)
    # Newer than what any process remembers, so that each reads it anew.
    await database.execute(f"UPDATE catalogue SET version = version + {int(version or 0)}")  # noqa: S608 - a number


async def _load_table(
    database: Database, path: Path, archive: zipfile.ZipFile, table: str, entry: TableEntry, say: Say
) -> None:
    there = {column.name: column for column in await database.columns(table)}
    unknown = [name for name in entry.columns if name not in there]
    if unknown:
        raise unsound(path, f"has columns that this Bursar does not know: {table}.{unknown[0]}")
    columns = [there[name] for name in entry.columns]
    unpack = unpacker(columns, database.dialect)
    done = 0
    for rows in read_rows(archive, table):
        chosen = [row for row in rows if table != "settings" or row[0] != COMPATIBILITY]
        await database.insert(table, columns, [unpack(row) for row in chosen])
        done += len(rows)
        say(table, done)
