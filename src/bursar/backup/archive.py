"""The file: what is in it, whether it is sound, how values stand in it."""

from __future__ import annotations

import zipfile
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from bursar.backup.databases import Column, Row
from bursar.core.errors import Invalid
from bursar.store.migrate import expected_revision

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
CHUNK_ROWS: Final = 2_000
READ_BYTES: Final = 1 << 20

CATALOGUE_TABLES: Final = ("settings", "catalogue", "skills", "prices", "models", "model_prices", "plans", "api_keys")
"""What a server that just started for the first time has in it already: a restore replaces it."""

LEDGER_TABLES: Final = (
    "accounts",
    "lots",
    "holds",
    "transactions",
    "idempotency_keys",
    "members",
    "totals",
    "paid_totals",
    "lot_totals",
    "logins",
    "identities",
    "media",
)
"""What a restore refuses to replace unless it is told to."""

TABLES: Final = (*CATALOGUE_TABLES, *LEDGER_TABLES)
"""Every table but the schema's version, each after those that it refers to."""

SINCE: Final = {
    "identities": "0003",
    "paid_totals": "0004",
    "lot_totals": "0004",
    "models": "0005",
    "model_prices": "0005",
    "members": "0007",
}
"""The revision that made a table, where it was not the first: an older backup does without."""

Say: TypeAlias = Callable[[str, int], None]
"""Told of the table under way, and how many of its rows are done."""

_EPOCH: Final = date(1970, 1, 1)


def say_nothing(table: str, rows: int) -> None:
    """For programs."""


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
        raise unsound(path, f"is no Bursar backup, or was cut short or altered ({error})") from None
    return manifest


def _check_manifest(path: Path, manifest: Manifest) -> None:
    if manifest.format != FORMAT or manifest.revision > expected_revision():
        raise unsound(path, f"was made by a newer Bursar, of schema {manifest.revision}")
    if manifest.tables.keys() != {table for table in TABLES if SINCE.get(table, "") <= manifest.revision}:
        raise unsound(path, "was altered: its tables are not those of a ledger")


def _check_table(path: Path, archive: zipfile.ZipFile, table: str, entry: TableEntry) -> None:
    digest, rows = sha256(), 0
    with archive.open(f"{table}.ndjson") as member:
        while text := member.read(READ_BYTES):
            digest.update(text)
            rows += text.count(b"\n")
    if (digest.hexdigest(), rows) != (entry.sha256, entry.rows):
        raise unsound(path, f"was altered: {table} is not what it was")


def unsound(path: Path, reason: str) -> Invalid:
    """The refusal of a file, by name."""
    return Invalid("file", f"{path} {reason}; nothing was restored")


def read_rows(archive: zipfile.ZipFile, table: str) -> Iterator[list[Row]]:
    """A table's rows, some at a time."""
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


def packer(columns: Sequence[Column]) -> Callable[[Row], Row]:
    """From a driver's row to one of the file."""
    return _converter(columns, _PACK)


def unpacker(columns: Sequence[Column], dialect: str) -> Callable[[Row], Row]:
    """From a row of the file to one for the driver of that dialect."""
    return _converter(columns, _UNPACK[dialect])


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
