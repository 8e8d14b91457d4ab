"""Changes rows behind the ledger's back, by raw SQL, and puts them back."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.string import TextLoader

KEYS = {
    "accounts": ("account_id",),
    "lots": ("account_id", "lot_id"),
    "holds": ("account_id", "hold_id"),
    "transactions": ("account_id", "seq"),
    "idempotency_keys": ("account_id", "key"),
    "members": ("account_id", "member"),
    "totals": ("slot", "day", "type", "skill", "model", "plan"),
    "paid_totals": ("slot", "day", "type", "skill", "model", "plan", "currency", "costed"),
    "lot_totals": ("slot", "source", "expires", "currency"),
}
CHOICES = {"status": ("closed", "active"), "state": ("released", "expired")}
"""Columns that take only some values."""

Row = dict[str, Any]


def altered(column: str, value: Any) -> Any:
    """Another value of the same kind, as near as it can be."""
    match value:
        case "added" | "removed":
            return "named"
        case _ if column in CHOICES:
            return next(other for other in CHOICES[column] if other != value)
        case bool():
            return not value
        case int() if column in ("started", "live"):
            return 1 - value
        case int():
            return value + (1_000 if column == "seq" else -1 if column == "held" and value else 1)
        case bytes():
            return (value[:-1] + bytes([value[-1] ^ 1])) if value else b"x"
        case str():
            return _altered_text(value)
        case date():
            return value + timedelta(days=1)
    raise TypeError(type(value))


def _altered_text(text: str) -> str:
    """One character is another one; JSON stays JSON."""
    if text in ("[]", "{}"):
        return {"[]": '[["x",1]]', "{}": '{"x":1}'}[text]
    at = max(map(text.rfind, "0123456789"))
    if at < 0:
        return text[:-1] + ("x" if text[-1:] != "x" else "y")
    return text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :]


def invented(kind: str) -> Any:
    """A value for a column that was NULL."""
    if "timestamp" in kind:
        return "2026-01-02T03:04:05Z"
    if kind in ("BLOB", "bytea"):
        return b"0123456789abcdef"
    if kind.startswith("json"):
        return '{"made":"up"}'
    return 7 if kind.upper() in ("INTEGER", "BIGINT") else "made up"


class Database(ABC):
    """A database file or a schema, opened by no more than its driver."""

    @abstractmethod
    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]: ...

    @abstractmethod
    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None: ...

    @abstractmethod
    def kinds(self, table: str) -> dict[str, str]:
        """The columns of a table, in order, and their types."""

    def rows(self, table: str) -> list[Row]:
        return self.query(f"SELECT * FROM {table} ORDER BY {', '.join(KEYS[table])}")

    def update(self, table: str, row: Row, column: str, value: Any) -> None:
        where, key = self._where(table, row)
        self.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", [value, *key])

    def delete(self, table: str, row: Row) -> None:
        where, key = self._where(table, row)
        self.execute(f"DELETE FROM {table} WHERE {where}", key)

    def insert(self, table: str, row: Row) -> None:
        marks = ", ".join("?" * len(row))
        self.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))

    @contextmanager
    def without(self, table: str, row: Row) -> Iterator[None]:
        """The row is gone, for a while."""
        self.delete(table, row)
        try:
            yield
        finally:
            self.insert(table, row)

    @contextmanager
    def changed(self, table: str, row: Row, column: str, value: Any) -> Iterator[Row]:
        """One column is different, for a while."""
        self.update(table, row, column, value)
        new = {**row, column: value}
        try:
            yield new
        finally:
            self.update(table, new, column, row[column])

    def refuses(self, table: str, row: Row, column: str, value: Any) -> bool:
        """Whether the database itself does not take such a value."""
        try:
            with self.changed(table, row, column, value):
                return False
        except (sqlite3.IntegrityError, psycopg.IntegrityError):
            return True

    def _where(self, table: str, row: Row) -> tuple[str, list[Any]]:
        return " AND ".join(f"{key} = ?" for key in KEYS[table]), [row[key] for key in KEYS[table]]


class SqliteDatabase(Database):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.row_factory = sqlite3.Row

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return [dict(row) for row in self._connection.execute(statement, parameters)]

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        assert self._connection.execute(statement, parameters).rowcount == 1

    def kinds(self, table: str) -> dict[str, str]:
        return {row["name"]: row["type"] for row in self.query(f"PRAGMA table_info({table})")}


class PostgresDatabase(Database):
    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return self._connection.execute(_psycopg(statement), parameters).fetchall()

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        assert self._connection.execute(_psycopg(statement), parameters).rowcount == 1

    def kinds(self, table: str) -> dict[str, str]:
        rows = self.query(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'bursar' AND table_name = ? ORDER BY ordinal_position",
            [table],
        )
        return {row["column_name"]: row["data_type"] for row in rows}


def _psycopg(statement: str) -> sql.SQL:
    return sql.SQL(statement.replace("?", "%s"))


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """The database behind a URL."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            yield SqliteDatabase(connection)
        return
    with psycopg.connect(url, autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
        connection.execute("SET search_path TO bursar")
        connection.execute("SET timezone TO 'UTC'")
        connection.adapters.register_loader("json", TextLoader)
        yield PostgresDatabase(connection)
