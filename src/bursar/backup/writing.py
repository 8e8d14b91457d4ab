"""From a database into a file."""

from __future__ import annotations

import os
import zipfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from bursar import clock, entropy
from bursar.backup.archive import (
    CHUNK_ROWS,
    FORMAT,
    MANIFEST,
    TABLES,
    Manifest,
    Say,
    TableEntry,
    packer,
    say_nothing,
)
from bursar.backup.databases import Database, Row, check_schema, snapshot
from bursar.core.periods import format_instant
from bursar.store.migrate import VERSION_TABLE

COMPRESSION_LEVEL: Final = 3


async def write_backup(url: str, path: Path, say: Say = say_nothing) -> Manifest:
    """Write one moment of a database to a file, which only its owner may read; a file that is there is replaced at
    the end.

    Raises `DatabaseUnavailable`, `NotMigrated`, `OSError`.
    """
    await check_schema(url)
    draft = path.with_name(f".{path.name}.{entropy.token()}")
    try:
        with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
            async with snapshot(url) as database:
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
    pack = packer(columns)
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
