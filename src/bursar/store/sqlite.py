"""SQLite: one file, one writer with a thread of its own, a few readers beside it.

WAL with `synchronous=FULL`: each commit is on the disk before it is answered, and readers see the last commit
without waiting. All writing of a process goes through one connection; processes take turns at BEGIN
IMMEDIATE.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from bursar.core.errors import DatabaseUnavailable, NotMigrated
from bursar.core.model import Account, Hold, Instant, Lot, Member, Remembered, Transaction
from bursar.store.base import Changes, CommitInDoubt, Contention, Duplicate, Lane, Pair, Refused, StoreError, Work
from bursar.store.migrate import check_version, expected_revision
from bursar.store.queries import load_queries
from bursar.store.rows import (
    TABLES,
    Row,
    RowType,
    as_rows,
    balance_of,
    columns,
    ended_lot_of,
    lot_of,
    lot_rows,
    paid_rows,
    settled_hold_of,
    spent_of,
    total_rows,
)
from bursar.store.url import SqliteAddress

T = TypeVar("T")

BUSY_SECONDS: Final = 5.0
READERS: Final = 4
SLOT: Final = 0
MIN_VERSION: Final = (3, 37, 0)

_encode: Final = msgspec.json.Encoder().encode
_INSERTS: Final = {
    row_type: f"INSERT INTO {table} ({', '.join(columns(row_type))})"  # noqa: S608 - our own names
    f" VALUES ({', '.join('?' * len(columns(row_type)))})"
    for row_type, table in TABLES.items()
}
_CONTENTION: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DUPLICATE: Final = frozenset({sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE})
_REFUSED: Final = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG})
_UNAVAILABLE: Final = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


def translated(error: sqlite3.Error | OverflowError | UnicodeEncodeError) -> Exception:
    """The one table from SQLite's errors to ours."""
    if not isinstance(error, sqlite3.Error):
        return Refused(str(error))
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of the bits only tell kinds of it apart
    if getattr(error, "sqlite_errorcode", 0) in _DUPLICATE:
        return Duplicate(str(error))
    if code in _CONTENTION:
        return Contention(str(error))
    if code in _UNAVAILABLE:
        return DatabaseUnavailable(str(error))
    if code in _REFUSED or isinstance(error, sqlite3.DataError | sqlite3.IntegrityError):
        return Refused(str(error))
    return StoreError(str(error))


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection without implicit transactions, durable, that waits for its turn."""
    if sqlite3.sqlite_version_info < MIN_VERSION:
        raise DatabaseUnavailable(f"SQLite {sqlite3.sqlite_version} is too old, 3.37 is the oldest that serves")
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            # A batch touches thousands of pages: keep them at hand, and copy the log back now and then, not after each.
            connection.execute("PRAGMA cache_size = -65536")
            connection.execute("PRAGMA wal_autocheckpoint = 16384")
    except BaseException:
        connection.close()
        raise
    return connection


def turn_wal_on(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging, for good; waits for other processes, which SQLite itself
    does not here.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not isinstance(translated(error), Contention) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def run_now(work: Work[T], tx: SqliteTx) -> T:
    """Run work to its end in this thread; it awaits nothing but the tx, which never suspends."""
    steps = work(tx).__await__()
    try:
        next(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result
    steps.close()
    raise RuntimeError("the work waited for something other than its tx")


class SqliteTx:
    """One tx on one connection: the methods are coroutines that never suspend."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany
        self._queries = load_queries("sqlite")

    async def lock(self, accounts: Sequence[str]) -> list[Account]:
        return [Account(*row) for row in self._by_json("lock_accounts", accounts)]

    async def lock_free(self, accounts: Sequence[str]) -> list[Account]:
        return [Account(*row) for row in self._by_json("lock_free_accounts", accounts)]

    async def accounts(self, accounts: Sequence[str]) -> list[Account]:
        return [Account(*row) for row in self._by_json("get_accounts", accounts)]

    async def clock(self) -> tuple[Instant, int]:
        now, version = self._execute(self._queries["clock"]).fetchone()
        return now, version

    async def live_lots(self, accounts: Sequence[str]) -> list[Lot]:
        return list(map(_lot, self._by_json("live_lots", accounts)))

    async def due_holds(self, accounts: Sequence[str], now: Instant) -> list[Hold]:
        return [Hold(*row) for row in self._by_json("due_holds", accounts, now)]

    async def keys(self, pairs: Sequence[Pair]) -> list[Remembered]:
        return [Remembered(*row) for row in self._by_json("find_keys", pairs)]

    async def holds(self, pairs: Sequence[Pair]) -> list[Hold]:
        return [Hold(*row) for row in self._by_json("find_holds", pairs)]

    async def lots(self, pairs: Sequence[Pair]) -> list[Lot]:
        return list(map(_lot, self._by_json("find_lots", pairs)))

    async def transactions(self, pairs: Sequence[tuple[str, int]]) -> list[Transaction]:
        return [Transaction(*row) for row in self._by_json("find_transactions", pairs)]

    async def refunds(self, pairs: Sequence[Pair]) -> list[Transaction]:
        return [Transaction(*row) for row in self._by_json("find_refunds", pairs)]

    async def members(self, pairs: Sequence[Pair]) -> list[Member]:
        return [Member(*row) for row in self._by_json("find_members", pairs)]

    async def write(self, changes: Changes) -> None:
        self._update("update_spent", map(spent_of, changes.spent), len(changes.spent))
        self._update("update_balances", map(balance_of, changes.balances), len(changes.balances))
        self._update("update_accounts", as_rows(changes.accounts), len(changes.accounts))
        self._update("update_lots", map(lot_of, changes.lots), len(changes.lots))
        self._update("update_ended_lots", map(ended_lot_of, changes.ended_lots), len(changes.ended_lots))
        settled = changes.settled_holds
        self._update("update_settled_holds", map(settled_hold_of, settled), len(settled))
        self._update("update_holds", as_rows(changes.holds), len(changes.holds))
        self._update("update_members", as_rows(changes.members), len(changes.members))
        self._insert(Account, changes.new_accounts)
        self._insert(Lot, changes.new_lots)
        self._insert(Hold, changes.new_holds)
        self._insert(Member, changes.new_members)
        self._insert(Transaction, changes.transactions)
        self._insert(Remembered, changes.keys)
        self._count("add_totals", total_rows(changes.tally))
        self._count("add_paid_totals", paid_rows(changes.tally))
        self._count("add_lot_totals", lot_rows(changes.tally))

    async def fetch(self, name: str, *args: Any) -> list[tuple[Any, ...]]:
        return self._execute(self._queries[name], args).fetchall()

    async def execute(self, name: str, *args: Any) -> int:
        return self._execute(self._queries[name], args).rowcount

    async def execute_many(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        self._executemany(self._queries[name], rows)

    def _by_json(self, name: str, wanted: Sequence[object], *args: object) -> Iterable[tuple[Any, ...]]:
        return self._execute(self._queries[name], (_encode(wanted).decode(), *args)) if wanted else ()

    def _update(self, name: str, rows: Iterable[tuple[Any, ...]], count: int) -> None:
        if count and self._executemany(self._queries[name], rows).rowcount != count:
            raise StoreError(f"{name}: a row that was to change is not there")

    def _count(self, name: str, rows: list[Row]) -> None:
        self._executemany(self._queries[name], [(SLOT, *row) for row in rows])

    def _insert(self, row_type: RowType, values: Sequence[msgspec.Struct]) -> None:
        if values:
            self._executemany(_INSERTS[row_type], as_rows(values))


def _lot(row: tuple[Any, ...]) -> Lot:
    lot = Lot(*row)
    lot.started = bool(lot.started)
    lot.live = bool(lot.live)
    return lot


class _Session:
    """One connection in one thread; it is opened when first used and again after it broke."""

    def __init__(self, path: Path, begin: str, *, read_only: bool) -> None:
        self._path = path
        self._begin = begin
        self._read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._tx: SqliteTx | None = None

    def run(self, work: Work[T]) -> T:
        try:
            connection, tx = self._connected()
            connection.execute(self._begin)
        except sqlite3.Error as error:
            self.close()
            raise translated(error) from error
        try:
            result = run_now(work, tx)
        except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
            self._roll_back(connection)
            raise translated(error) from error
        except BaseException:
            self._roll_back(connection)
            raise
        self._commit(connection)
        return result

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._tx = None

    def _connected(self) -> tuple[sqlite3.Connection, SqliteTx]:
        if self._connection is None or self._tx is None:
            self._connection = connect(self._path, read_only=self._read_only)
            self._tx = SqliteTx(self._connection)
            if not self._read_only:
                turn_wal_on(self._connection)
        return self._connection, self._tx

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()

    def _commit(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(connection)
            found = translated(error)
            if isinstance(found, Contention | Refused):
                raise found from error
            # The log may hold the commit although the disk refused to say so.
            self.close()
            raise CommitInDoubt(str(error)) from error


class SqliteLane:
    """A way to the store's one writer."""

    def __init__(self, run: Callable[[Work[Any]], asyncio.Future[Any]]) -> None:
        self._run = run

    async def run(self, work: Work[T]) -> T:
        result: T = await self._run(work)
        return result

    async def close(self) -> None:
        """Nothing to do: the writer is the store's."""


class SqliteStore:
    """A ledger in one file."""

    dialect = "sqlite"
    default_lanes = 1

    def __init__(self, address: SqliteAddress) -> None:
        self._path = address.path
        self._writer = _Session(self._path, "BEGIN IMMEDIATE", read_only=False)
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="bursar-writer")
        self._read_threads = ThreadPoolExecutor(READERS, thread_name_prefix="bursar-reader")
        self._local = threading.local()
        self._readers: list[_Session] = []

    async def open(self) -> None:
        if not await asyncio.get_running_loop().run_in_executor(None, self._path.exists):
            raise NotMigrated(found="none", wanted=expected_revision())
        try:
            version = await self.read(_schema_version)
        except StoreError as error:
            if "no such table" not in str(error):
                raise
            version = None
        check_version(version)

    async def lane(self) -> Lane:
        return SqliteLane(self._submit)

    async def read(self, work: Work[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._read_threads, self._read, work)

    async def write(self, work: Work[T]) -> T:
        result: T = await self._submit(work)
        return result

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        for threads in (self._read_threads, self._write_thread):
            await loop.run_in_executor(None, threads.shutdown)
        for session in (self._writer, *self._readers):
            with suppress(sqlite3.Error):
                session.close()

    def _submit(self, work: Work[Any]) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._write_thread, self._writer.run, work)

    def _read(self, work: Work[T]) -> T:
        session: _Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = _Session(self._path, "BEGIN", read_only=True)
            self._readers.append(session)
        return session.run(work)


async def _schema_version(tx: Any) -> tuple[str, str | None] | None:
    rows: list[tuple[str, str | None]] = await tx.fetch("schema_version")
    return rows[0] if rows else None
