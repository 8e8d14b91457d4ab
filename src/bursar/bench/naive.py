"""The naive pattern that each published system uses: one tx for each charge.

    BEGIN; read the price; SELECT the account FOR UPDATE; UPDATE it; INSERT the transaction; COMMIT

On the same tables with the same indexes, made by the same migrations; with the same driver, its statements prepared;
as durable. It keeps no lots, no idempotency keys, no totals and no chain: all that is in its favour.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from bursar import clock
from bursar.bench.ledger import SKILL, Ledger
from bursar.bench.picks import pick_uniformly
from bursar.bench.results import Round
from bursar.core.model import Transaction
from bursar.core.money import NANOS
from bursar.store.migrate import migrate
from bursar.store.postgres import Connection
from bursar.store.postgres import connect as connect_postgres
from bursar.store.rows import columns
from bursar.store.sqlite import connect as connect_sqlite
from bursar.store.url import PostgresAddress, parse_url

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

_COLUMNS: Final = ", ".join(columns(Transaction))
_HASH: Final = bytes(32)

_PRICE = """SELECT p.flat, p.version FROM skills AS s JOIN prices AS p ON p.skill = s.name
WHERE s.name = {0} AND s.active ORDER BY p.version DESC LIMIT 1"""
_LOCK = "SELECT posted, held, seq FROM accounts WHERE account_id = {0}"
_UPDATE = "UPDATE accounts SET posted = {1}, spent = spent + {2}, seq = {3}, recorded_at = {4} WHERE account_id = {0}"
_INSERT = f"""INSERT INTO transactions ({_COLUMNS}) VALUES (
    {{0}}, {{1}}, {{2}}, 'CONSUMPTION', {{3}}, {{4}}, {{5}}, {{6}}, {{7}}, NULL, NULL, {{8}}, NULL, NULL,
    'library', {{9}}, NULL, NULL, NULL, NULL, {{10}}, {{10}}, NULL, NULL, NULL, NULL, NULL, {{11}}, NULL
)"""  # noqa: S608 - our own names


_AUDIT = """SELECT a.account_id, a.posted, a.seq, count(t.seq) FROM accounts AS a
LEFT JOIN transactions AS t ON t.account_id = a.account_id GROUP BY a.account_id, a.posted, a.seq"""

Standing = dict[str, tuple[int, int, int]]
"""Each account's posted, seq and number of transactions."""


def _standing(rows: Iterable[Sequence[Any]]) -> Standing:
    return {account: (posted, seq, number) for account, posted, seq, number in rows}


def _mismatches(before: Standing, after: Standing, charged: Counter[str]) -> int:
    """How many accounts do not stand where the acknowledged charges, of one credit each, must have left them."""
    wrong = 0
    for account, (posted, seq, number) in before.items():
        times = charged[account]
        wrong += after.get(account) != (posted - times * NANOS, seq + times, number + times)
    return wrong


def _statement(text: str, dialect: str) -> str:
    """With the placeholders of a dialect: $1, $2, ... or ?1, ?2, ..."""
    sign = "$" if dialect == "postgres" else "?"
    return text.format(*(f"{sign}{number}" for number in range(1, 13)))


def _transaction(account: str, seq: int, cost: int, posted: int, held: int, version: int, now: int) -> tuple[Any, ...]:
    """The arguments of `_INSERT`: as much text and as many bytes as the engine writes."""
    entries, counterparty = f'[["g_{seq:020x}",{-cost}]]', f"skill:{SKILL}"
    identity = (account, seq, f"tx_{seq}_{seq:020x}")
    return (*identity, -cost, posted, held, entries, SKILL, version, counterparty, now, _HASH)


class PostgresNaive:
    """Some connections, each of which charges one account after another."""

    def __init__(self, address: PostgresAddress, before: Standing) -> None:
        self._address = address
        self._before = before
        self._workers: list[_Worker] = []
        self._charged: Counter[str] = Counter()

    @classmethod
    async def open(cls, url: str, like: Ledger) -> PostgresNaive:
        """Tables like those of a ledger, with its accounts and prices."""
        migrate(url)
        address, other = parse_url(url), parse_url(like.url)
        assert isinstance(address, PostgresAddress)
        assert isinstance(other, PostgresAddress)
        connection = await connect_postgres(address)
        try:
            for table in ("accounts", "skills", "prices"):
                await connection.execute(f'INSERT INTO {table} SELECT * FROM "{other.schema}".{table}')  # noqa: S608
            return cls(address, _standing(await connection.fetch(_AUDIT)))
        finally:
            await connection.close()

    async def run(self, accounts: list[str], seconds: float, connections: int) -> Round:
        """Charge without a pause on so many connections."""
        while len(self._workers) < connections:
            connection = await connect_postgres(self._address, {"lock_timeout": "60s"})
            self._workers.append(await _Worker.prepare(connection))
        waits: list[float] = []
        began = perf_counter()

        async def work(number: int) -> None:
            picks = pick_uniformly(accounts, number)
            while (start := perf_counter()) < began + seconds:
                account = next(picks)
                await self._workers[number].charge(account)
                waits.append(perf_counter() - start)
                self._charged[account] += 1

        await asyncio.gather(*map(work, range(connections)))
        return Round(len(waits), perf_counter() - began, waits)

    async def audit(self) -> int:
        """How many accounts are not as was acknowledged."""
        rows = await self._workers[0].connection.fetch(_AUDIT, timeout=600)
        return _mismatches(self._before, _standing(rows), self._charged)

    async def close(self) -> None:
        for worker in self._workers:
            worker.connection.terminate()


class _Worker:
    """One connection and its prepared statements."""

    def __init__(self, connection: Connection, statements: list[PreparedStatement[Any]]) -> None:
        self.connection = connection
        self._price, self._lock, self._update, self._insert = statements

    @classmethod
    async def prepare(cls, connection: Connection) -> _Worker:
        texts = (_PRICE, f"{_LOCK} FOR UPDATE", _UPDATE, _INSERT)
        return cls(connection, [await connection.prepare(_statement(text, "postgres")) for text in texts])

    async def charge(self, account: str) -> None:
        await self.connection.execute("BEGIN")
        [(cost, version)] = await self._price.fetch(SKILL)
        [(posted, held, seq)] = await self._lock.fetch(account)
        assert posted - held >= cost
        now = clock.now()
        await self._update.fetch(account, posted - cost, cost, seq + 1, now)
        await self._insert.fetch(*_transaction(account, seq + 1, cost, posted - cost, held, version, now))
        await self.connection.execute("COMMIT")


class SqliteNaive:
    """One connection: SQLite has one writer, and more of them only get in each other's way."""

    def __init__(self, path: Path, before: Standing) -> None:
        self._path = path
        self._before = before
        self._charged: Counter[str] = Counter()

    @classmethod
    async def open(cls, path: Path, like: Ledger) -> SqliteNaive:
        """A file like that of a ledger, with its accounts and prices."""
        migrate(f"sqlite:///{path}")
        with closing(connect_sqlite(path)) as connection:
            connection.execute("ATTACH ? AS other", (like.url.removeprefix("sqlite:///"),))
            for table in ("accounts", "skills", "prices"):
                connection.execute(f"INSERT INTO {table} SELECT * FROM other.{table}")  # noqa: S608
            return cls(path, _standing(connection.execute(_AUDIT).fetchall()))

    async def run(self, accounts: list[str], seconds: float) -> Round:
        """Charge without a pause."""
        return await asyncio.to_thread(self._run, accounts, seconds)

    def _run(self, accounts: list[str], seconds: float) -> Round:
        waits: list[float] = []
        picks = pick_uniformly(accounts, 0)
        with closing(connect_sqlite(self._path)) as connection:
            began = perf_counter()
            while (start := perf_counter()) < began + seconds:
                account = next(picks)
                self._charge(connection, account)
                waits.append(perf_counter() - start)
                self._charged[account] += 1
            return Round(len(waits), perf_counter() - began, waits)

    def _charge(self, connection: sqlite3.Connection, account: str) -> None:
        connection.execute("BEGIN IMMEDIATE")
        cost, version = connection.execute(_SQLITE_PRICE, (SKILL,)).fetchone()
        posted, held, seq = connection.execute(_SQLITE_LOCK, (account,)).fetchone()
        assert posted - held >= cost
        now = clock.now()
        connection.execute(_SQLITE_UPDATE, (account, posted - cost, cost, seq + 1, now))
        connection.execute(_SQLITE_INSERT, _transaction(account, seq + 1, cost, posted - cost, held, version, now))
        connection.execute("COMMIT")

    async def audit(self) -> int:
        """How many accounts are not as was acknowledged."""
        with closing(connect_sqlite(self._path)) as connection:
            rows = connection.execute(_AUDIT).fetchall()
        return _mismatches(self._before, _standing(rows), self._charged)


_SQLITE_PRICE, _SQLITE_LOCK, _SQLITE_UPDATE, _SQLITE_INSERT = (
    _statement(text, "sqlite") for text in (_PRICE, _LOCK, _UPDATE, _INSERT)
)
