"""Database URLs.

    sqlite:///relative/file.db      sqlite:////absolute/file.db
    postgresql://user:password@host:port/dbname?schema=bursar&lanes=2
    postgresql:///dbname?host=/var/run/postgresql

Of a PostgreSQL URL's options, `schema` (default: BURSAR_SCHEMA, else `bursar`) and `lanes` are Bursar's; all
others go to the driver and the server (`sslmode`, `lock_timeout`, ...). No error message repeats a password.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from bursar.core.errors import Invalid
from bursar.store.base import Store

DEFAULT_SCHEMA: Final = "bursar"
DEFAULT_LANES: Final = 2
MAX_LANES: Final = 64

_FIELD: Final = "database_url"
_SCHEMA_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_IGNORED: Final = frozenset({"channel_binding", "connect_timeout", "gssencmode"})
"""Options that libpq knows and our driver would hand to the server, which does not."""


@dataclass(frozen=True)
class SqliteAddress:
    """A database file."""

    path: Path


@dataclass(frozen=True)
class PostgresAddress:
    """A database, and the schema in it that is Bursar's; `options` are those of the URL."""

    dsn: str = field(repr=False)
    schema: str = DEFAULT_SCHEMA
    lanes: int = DEFAULT_LANES
    options: dict[str, str] = field(default_factory=dict, repr=False)


Address: TypeAlias = SqliteAddress | PostgresAddress


def parse_url(url: str) -> Address:
    """What a URL names; raises Invalid (field `database_url`)."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise Invalid(_FIELD, "is not a URL such as sqlite:///bursar.db or postgresql://host/dbname")
    if scheme == "sqlite":
        return _parse_sqlite(url)
    if scheme in ("postgresql", "postgres"):
        return _parse_postgres(url)
    raise Invalid(_FIELD, f"names a database that Bursar does not know: {scheme[:40]!r}")


def open_store(url: str) -> Store:
    """The store that a URL names, not yet connected; raises Invalid."""
    # Only the driver in use is imported: the other one costs time and memory.
    match parse_url(url):
        case SqliteAddress() as address:
            from bursar.store.sqlite import SqliteStore  # noqa: PLC0415

            return SqliteStore(address)
        case PostgresAddress() as address:
            from bursar.store.postgres import PostgresStore  # noqa: PLC0415

            return PostgresStore(address)


def _parse_sqlite(url: str) -> SqliteAddress:
    rest = url.removeprefix("sqlite://")
    if "?" in rest or "#" in rest:
        raise Invalid(_FIELD, "a SQLite URL takes no options; write ? as %3F and # as %23 in a file's name")
    if not rest.startswith("/"):
        raise Invalid(_FIELD, "names a file by sqlite:///relative.db or sqlite:////absolute.db")
    name = unquote(rest[1:])
    if name in ("", ":memory:"):
        raise Invalid(_FIELD, "a ledger in memory would not be durable: name a file, as sqlite:///bursar.db")
    if "\0" in name:
        raise Invalid(_FIELD, "a file's name cannot hold NUL")
    return SqliteAddress(Path(name))


def _parse_postgres(url: str) -> PostgresAddress:
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        _ = parts.port if "," not in parts.netloc else None
    except ValueError:
        raise Invalid(_FIELD, "is malformed; special characters of a password are written as %XX") from None
    options = {name: value for name, value in pairs if name not in _IGNORED}
    schema = options.pop("schema", None) or os.environ.get("BURSAR_SCHEMA") or DEFAULT_SCHEMA
    lanes = options.pop("lanes", str(DEFAULT_LANES))
    if not _SCHEMA_NAME.fullmatch(schema) or schema.startswith("pg_"):
        raise Invalid(_FIELD, "schema: a lower-case name of letters, digits and underscores")
    if not lanes.isascii() or not lanes.isdigit() or not 1 <= int(lanes[:9]) <= MAX_LANES:
        raise Invalid(_FIELD, f"lanes: a number from 1 to {MAX_LANES}")
    query = f"?{urlencode(options)}" if options else ""
    dsn = f"postgresql://{parts.netloc}{parts.path}{query}"  # urlunsplit drops the slashes of an empty host
    return PostgresAddress(dsn=dsn, schema=schema, lanes=int(lanes), options=options)
