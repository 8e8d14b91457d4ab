"""PostgreSQL by asyncpg: a lane is one connection; bulk goes in as columns, what is new by COPY.

READ COMMITTED is enough, since every account is locked before it is read, in one ordered statement.
`synchronous_commit` is on: what is answered is on the disk. Statements name no schema: each connection's
`search_path` is Bursar's own and nothing else. Times are integers of microseconds in Python and `timestamptz`
in the database.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import asyncpg
import msgspec

from bursar.core.errors import DatabaseUnavailable
from bursar.core.model import Account, Hold, Instant, Lot, Member, Remembered, Transaction
from bursar.store.base import (
    Changes,
    CommitInDoubt,
    Contention,
    Duplicate,
    Lane,
    LockTimeout,
    Pair,
    Refused,
    StoreError,
    Work,
)
from bursar.store.known import Known
from bursar.store.migrate import check_version
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
from bursar.store.url import PostgresAddress

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 30.0
ROLLBACK_SECONDS: Final = 5.0
READERS: Final = 4
WRITERS: Final = 2
SLOTS: Final = 1024

_EPOCH: Final = 946_684_800 * 10**6
"""PostgreSQL counts from 2000-01-01."""

_ALWAYS: Final = {"synchronous_commit": "on", "timezone": "UTC"}
_DEFAULTS: Final = {
    "application_name": "bursar",
    "jit": "off",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
}
_LANE: Final = {
    # Whoever waits longer goes to a batch of its own, so that one slow tx of an app stalls nobody else.
    "lock_timeout": "250ms",
    # Every statement of a lane is a lookup by key. Planned once, for few rows, by index: never again, and
    # never by a scan because a table happened to be small when the statement was prepared.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_READ: Final = {"plan_cache_mode": "force_custom_plan"}

_BEGIN_WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    OverflowError,
    UnicodeEncodeError,
)
"""What the driver raises; TimeoutError and OSError for a connection that is slow or gone."""

_BY_STATE: Final[dict[str, type[StoreError | DatabaseUnavailable]]] = {
    # The whole state first, its class otherwise.
    "0A000": Contention,  # a prepared plan that a migration made stale
    "08": DatabaseUnavailable,
    "22": Refused,
    "23": Refused,
    "23505": Duplicate,  # such as two processes that made the same account at once
    "25006": DatabaseUnavailable,  # a standby
    "25P03": DatabaseUnavailable,
    "28": DatabaseUnavailable,
    "3D": DatabaseUnavailable,
    "40": Contention,
    "42501": DatabaseUnavailable,
    "53": DatabaseUnavailable,
    "54": Refused,
    "55P03": LockTimeout,
    "57014": Contention,
    "57": DatabaseUnavailable,
    "58": DatabaseUnavailable,
}


def translated(error: BaseException) -> Exception:
    """The one table from the driver's and the server's errors to ours."""
    reason = str(error) or type(error).__name__
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        found = _BY_STATE.get(state) or _BY_STATE.get(state[:2]) or StoreError
    elif isinstance(error, asyncpg.OutdatedSchemaCacheError):
        found = Contention
    elif isinstance(error, OverflowError | UnicodeEncodeError) or _is_unfit(error):
        found = Refused
    else:
        found = DatabaseUnavailable
    return found(reason)


def _is_unfit(error: BaseException) -> bool:
    """Whether the driver could not encode an argument, as opposed to having lost its connection."""
    return isinstance(error, ValueError) and not isinstance(error, asyncpg.ClientConfigurationError)


Connection: TypeAlias = "asyncpg.Connection[Any]"


async def connect(
    address: PostgresAddress,
    settings: dict[str, str] | None = None,
    statement_seconds: float | None = STATEMENT_SECONDS,
) -> Connection:
    """A connection whose session is set up; raises what the driver raises."""
    wanted = _DEFAULTS | (settings or {})
    chosen = {name: value for name, value in address.options.items() if name in wanted}
    connection = await asyncpg.connect(
        address.dsn,
        timeout=CONNECT_SECONDS,
        command_timeout=statement_seconds,
        max_cached_statement_lifetime=0,
        server_settings=wanted | chosen | _ALWAYS | {"search_path": f'"{address.schema}"'},
    )
    try:
        await connection.set_type_codec(
            "timestamptz",
            schema="pg_catalog",
            encoder=lambda instant: (instant - _EPOCH,),
            decoder=lambda parts: parts[0] + _EPOCH,
            format="tuple",
        )
    except BaseException:
        connection.terminate()
        raise
    return connection


class PostgresTx:
    """The tx under way on one connection, and the statements prepared there."""

    def __init__(self, connection: Connection, slot: int, known: Known) -> None:
        self._connection = connection
        self._slot = slot
        self._known = known
        self._stamp: int | None = None
        self._changes: Changes | None = None
        self._queries = load_queries("postgres")
        self._prepared: dict[str, PreparedStatement[Any]] = {}

    def began(self) -> None:
        """A tx begins on the connection."""
        self._known.begin()
        self._stamp = self._changes = None

    def committed(self) -> None:
        """It has committed. Remember what it left, unless it was more than a batch of changes."""
        if self._stamp is not None:
            self._known.commit(self._changes or Changes(), self._stamp)

    async def lock(self, accounts: Sequence[str]) -> list[Account]:
        stamps: dict[str, int] = dict(await self._by_ids("lock_accounts", accounts))
        rows = {account_id: self._known.account(account_id, stamp) for account_id, stamp in stamps.items()}
        unknown = [account_id for account_id, row in rows.items() if row is None]
        for row in await self.accounts(unknown):
            rows[row.account_id] = row
            self._known.read(row, stamps[row.account_id])
        return [row for row in rows.values() if row is not None]

    async def lock_free(self, accounts: Sequence[str]) -> list[Account]:
        return [Account(*row) for row in await self._by_ids("lock_free_accounts", accounts)]

    async def accounts(self, accounts: Sequence[str]) -> list[Account]:
        return [Account(*row) for row in await self._by_ids("get_accounts", accounts)]

    async def clock(self) -> tuple[Instant, int]:
        [(now, version, self._stamp)] = await self._run("clock")
        return now, version

    async def live_lots(self, accounts: Sequence[str]) -> list[Lot]:
        lots: list[Lot] = []
        unknown: list[str] = []
        for account_id in accounts:
            known = self._known.lots(account_id)
            if known is None:
                unknown.append(account_id)
            else:
                lots += known
        if unknown:
            read = [Lot(*row) for row in await self._by_ids("live_lots", unknown)]
            self._known.read_lots(unknown, read)
            lots += read
        return lots

    async def due_holds(self, accounts: Sequence[str], now: Instant) -> list[Hold]:
        holds: list[Hold] = []
        unknown: list[str] = []
        for account_id in accounts:
            known = self._known.due_holds(account_id, now)
            if known is None:
                unknown.append(account_id)
            else:
                holds += known
        return holds + [Hold(*row) for row in await self._by_ids("due_holds", unknown, now)]

    async def keys(self, pairs: Sequence[Pair]) -> list[Remembered]:
        return [Remembered(*row) for row in await self._by_pairs("find_keys", pairs)]

    async def holds(self, pairs: Sequence[Pair]) -> list[Hold]:
        known = {pair: self._known.hold(pair) for pair in pairs}
        unknown = [pair for pair, hold in known.items() if hold is None]
        holds = [hold for hold in known.values() if hold is not None]
        return holds + [Hold(*row) for row in await self._by_pairs("find_holds", unknown)]

    async def lots(self, pairs: Sequence[Pair]) -> list[Lot]:
        for account_id, _ in pairs:
            self._known.forget(account_id)  # a spent lot that comes back to life is none of those that are remembered
        return [Lot(*row) for row in await self._by_pairs("find_lots", pairs)]

    async def transactions(self, pairs: Sequence[tuple[str, int]]) -> list[Transaction]:
        return [Transaction(*row) for row in await self._by_pairs("find_transactions", pairs)]

    async def refunds(self, pairs: Sequence[Pair]) -> list[Transaction]:
        return [Transaction(*row) for row in await self._by_pairs("find_refunds", pairs)]

    async def members(self, pairs: Sequence[Pair]) -> list[Member]:
        return [Member(*row) for row in await self._by_pairs("find_members", pairs)]

    async def write(self, changes: Changes) -> None:
        if self._changes is not None:
            self._known.begin()  # whoever writes more than once in a tx is none of the engine's batches
        self._changes = changes
        await self._update("update_spent", list(map(spent_of, changes.spent)))
        await self._update("update_balances", list(map(balance_of, changes.balances)))
        await self._update("update_accounts", as_rows(changes.accounts))
        await self._update("update_lots", list(map(lot_of, changes.lots)))
        await self._update("update_ended_lots", list(map(ended_lot_of, changes.ended_lots)))
        await self._update("update_settled_holds", list(map(settled_hold_of, changes.settled_holds)))
        await self._update("update_holds", as_rows(changes.holds))
        await self._update("update_members", as_rows(changes.members))
        await self._copy(Account, changes.new_accounts)
        await self._copy(Lot, changes.new_lots)
        await self._copy(Hold, changes.new_holds)
        await self._copy(Member, changes.new_members)
        await self._copy(Transaction, changes.transactions)
        await self._copy(Remembered, changes.keys)
        await self._count("add_totals", total_rows(changes.tally))
        await self._count("add_paid_totals", paid_rows(changes.tally))
        await self._count("add_lot_totals", lot_rows(changes.tally))

    async def fetch(self, name: str, *args: Any) -> list[tuple[Any, ...]]:
        return list(map(tuple, await self._run(name, *args)))

    async def execute(self, name: str, *args: Any) -> int:
        self._known.begin()
        await self._run(name, *args)
        return _count(self._prepared[name])

    async def execute_many(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            self._known.begin()
            await (await self._statement(name)).executemany(rows)

    async def _statement(self, name: str) -> PreparedStatement[Any]:
        statement = self._prepared.get(name)
        if statement is None:
            statement = self._prepared[name] = await self._connection.prepare(self._queries[name])
        return statement

    async def _run(self, name: str, *args: Any) -> list[Any]:
        statement = self._prepared.get(name) or await self._statement(name)
        return await statement.fetch(*args)

    async def _by_ids(self, name: str, accounts: Sequence[str], *args: Any) -> list[Any]:
        return await self._run(name, accounts, *args) if accounts else []

    async def _by_pairs(self, name: str, pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
        return await self._run(name, *zip(*pairs, strict=True)) if pairs else []

    async def _update(self, name: str, rows: list[Row]) -> None:
        if not rows:
            return
        await self._run(name, *zip(*rows, strict=True))
        if _count(self._prepared[name]) != len(rows):
            raise StoreError(f"{name}: a row that was to change is not there")

    async def _count(self, name: str, rows: list[Row]) -> None:
        if rows:
            await self._run(name, self._slot, *zip(*rows, strict=True))

    async def _copy(self, row_type: RowType, values: Sequence[msgspec.Struct]) -> None:
        if values:
            await self._connection.copy_records_to_table(
                TABLES[row_type], records=as_rows(values), columns=columns(row_type)
            )


def _count(statement: PreparedStatement[Any]) -> int:
    """The number at the end of a status such as `UPDATE 3` or `INSERT 0 3`."""
    return int((statement.get_statusmsg() or "0").rpartition(" ")[2])


class PostgresLane:
    """One connection; connects when first used, and again when it was lost."""

    def __init__(self, address: PostgresAddress, begin: str, settings: dict[str, str], *, counts: bool = False) -> None:
        """`counts` claims a slot for daily totals, which only a lane of the engine writes; only such a one remembers
        accounts.
        """
        self._address = address
        self._begin_statement = begin
        self._settings = settings
        self._counts = counts
        self._known = Known() if counts else Known(0)
        self._connection: Connection | None = None
        self._tx: PostgresTx | None = None

    async def run(self, work: Work[T]) -> T:
        connection, tx = await self._begin()
        try:
            result = await work(tx)
        except DRIVER_ERRORS as error:
            await self._roll_back(connection)
            raise translated(error) from error
        except Exception:
            await self._roll_back(connection)
            raise
        except BaseException:
            self._drop()  # cancelled: the server rolls back when it sees the connection gone
            raise
        await self._commit(connection)
        tx.committed()
        return result

    async def close(self) -> None:
        connection, self._connection, self._tx = self._connection, None, None
        if connection is not None:
            try:
                await connection.close(timeout=ROLLBACK_SECONDS)
            except DRIVER_ERRORS:
                connection.terminate()

    async def _begin(self) -> tuple[Connection, PostgresTx]:
        """Begin, on a new connection when the old one turns out to be lost: nothing has been done on
        it yet.
        """
        if self._connection is not None and self._tx is not None and not self._connection.is_closed():
            try:
                await self._connection.execute(self._begin_statement)
                self._tx.began()
                return self._connection, self._tx
            except DRIVER_ERRORS:
                pass
            except BaseException:
                self._drop()
                raise
        self._drop()
        try:
            self._connection = connection = await connect(self._address, self._settings)
            self._tx = tx = PostgresTx(connection, await self._claim_slot(connection), self._known)
            await connection.execute(self._begin_statement)
            tx.began()
        except DRIVER_ERRORS as error:
            self._drop()
            raise DatabaseUnavailable(str(error) or type(error).__name__) from error
        except BaseException:
            self._drop()
            raise
        return connection, tx

    async def _claim_slot(self, connection: Connection) -> int:
        """The lowest slot that no other writer of this schema has; the server frees it with the
        connection.
        """
        if not self._counts:
            return SLOTS
        kind = zlib.crc32(f"bursar totals {self._address.schema}".encode()) - 2**31
        for slot in range(SLOTS):
            if await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", kind, slot):
                return slot
        raise DatabaseUnavailable(f"more than {SLOTS} writers")

    async def _roll_back(self, connection: Connection) -> None:
        try:
            await connection.execute("ROLLBACK", timeout=ROLLBACK_SECONDS)
        except DRIVER_ERRORS:
            self._drop()
        except BaseException:
            self._drop()
            raise

    async def _commit(self, connection: Connection) -> None:
        if connection.is_closed():
            self._drop()
            raise DatabaseUnavailable("the connection was lost before COMMIT")
        try:
            answer = await connection.execute("COMMIT")
        except DRIVER_ERRORS as error:
            self._drop()
            found = translated(error)
            if isinstance(found, Contention | Refused | LockTimeout):
                raise found from error
            raise CommitInDoubt(str(error) or type(error).__name__) from error
        except BaseException:
            self._drop()
            raise
        if answer != "COMMIT":
            raise Refused("a statement had failed, so the server rolled back")

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                self._connection.terminate()
        self._connection = self._tx = None
        self._known.lose()


class _Pool:
    """A few connections that take turns, the one used last first."""

    def __init__(self, lanes: Sequence[PostgresLane]) -> None:
        self._lanes = lanes
        self._idle: asyncio.LifoQueue[PostgresLane] = asyncio.LifoQueue()
        for lane in reversed(lanes):
            self._idle.put_nowait(lane)

    async def run(self, work: Work[T]) -> T:
        lane = await self._idle.get()
        try:
            return await lane.run(work)
        finally:
            self._idle.put_nowait(lane)

    async def close(self) -> None:
        for lane in self._lanes:
            await lane.close()


class PostgresStore:
    """A ledger in one schema of one database. Belongs to the event loop that opens it."""

    dialect = "postgres"

    def __init__(self, address: PostgresAddress) -> None:
        self._address = address
        self.default_lanes = address.lanes
        self._readers = _Pool([PostgresLane(address, _BEGIN_READ, _READ) for _ in range(READERS)])
        self._writers = _Pool([PostgresLane(address, _BEGIN_WRITE, {}) for _ in range(WRITERS)])

    async def open(self) -> None:
        try:
            version = await self.read(_schema_version)
        except StoreError as error:
            if not isinstance(error.__cause__, asyncpg.UndefinedTableError):
                raise
            version = None
        check_version(version)

    async def lane(self) -> Lane:
        return PostgresLane(self._address, _BEGIN_WRITE, _LANE, counts=True)

    async def read(self, work: Work[T]) -> T:
        return await self._readers.run(work)

    async def write(self, work: Work[T]) -> T:
        return await self._writers.run(work)

    async def close(self) -> None:
        await self._readers.close()
        await self._writers.close()


async def _schema_version(tx: Any) -> tuple[str, str | None] | None:
    rows: list[tuple[str, str | None]] = await tx.fetch("schema_version")
    return rows[0] if rows else None
