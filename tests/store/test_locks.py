"""Who waits for whom. No test sleeps: it asks the server who is waiting."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bursar.store import sqlite
from bursar.store.base import Changes, Contention, Lane, LockTimeout, Store, Tx
from bursar.store.url import open_store
from tests.store.rows import account, write


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = open_store(url)
    await store.open()
    yield store
    await store.close()


async def with_accounts(url: str, *ids: str) -> None:
    async with opened(url) as store:
        lane = await store.lane()
        await write(lane, new_accounts=[account(name) for name in ids])
        await lane.close()


@asynccontextmanager
async def held(url: str, *ids: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Somebody else's tx that sits on these accounts."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("SELECT FROM bursar.accounts WHERE account_id = ANY(%s) FOR UPDATE", [list(ids)])
        yield connection


async def until_waiting(url: str, count: int = 1) -> None:
    """Return when that many connections of ours wait for a lock."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            found = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'bursar' AND wait_event_type = 'Lock'"
            )
            if (row := await found.fetchone()) and row[0] >= count:
                return
            await asyncio.sleep(0)


def locking(*ids: str) -> Callable[[Tx], Awaitable[list[Any]]]:
    async def work(tx: Tx) -> list[Any]:
        return list(await tx.lock(ids))

    return work


async def is_locked(url: str, account_id: str) -> bool:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        try:
            await connection.execute(
                "SELECT FROM bursar.accounts WHERE account_id = %s FOR UPDATE NOWAIT", [account_id]
            )
        except psycopg.errors.LockNotAvailable:
            return True
        return False


class TestPostgres:
    async def test_a_lane_waits_and_then_sees_what_the_other_wrote(self, pg_url: str) -> None:
        await with_accounts(pg_url, "a")
        async with opened(f"{pg_url}?lock_timeout=20s") as store, held(pg_url, "a") as other:
            lane = await store.lane()
            waiting = asyncio.create_task(lane.run(locking("a")))
            await until_waiting(pg_url)
            await other.execute("UPDATE bursar.accounts SET posted = 7 WHERE account_id = 'a'")
            await other.commit()
            assert await waiting == [account("a", posted=7)]
            await lane.close()

    async def test_it_gives_up_soon_and_the_others_are_untouched(self, pg_url: str) -> None:
        await with_accounts(pg_url, "a", "b")
        async with opened(pg_url) as store, held(pg_url, "a"):
            lane = await store.lane()
            with pytest.raises(LockTimeout):
                await lane.run(locking("a", "b"))
            assert await lane.run(locking("b")) == [account("b")]
            await lane.close()

    async def test_accounts_are_locked_in_id_order(self, pg_url: str) -> None:
        await with_accounts(pg_url, "c", "a", "b")
        for blocked, locked, free in [("a", "", "bc"), ("b", "a", "c"), ("c", "ab", "")]:
            async with opened(f"{pg_url}?lock_timeout=20s") as store, held(pg_url, blocked) as other:
                lane = await store.lane()
                waiting = asyncio.create_task(lane.run(locking("c", "a", "b")))
                await until_waiting(pg_url)
                assert [await is_locked(pg_url, name) for name in locked] == [True] * len(locked)
                assert [await is_locked(pg_url, name) for name in free] == [False] * len(free)
                await other.rollback()
                assert await waiting == [account("a"), account("b"), account("c")]
                await lane.close()

    async def test_those_that_are_free_can_be_had_without_waiting(self, pg_url: str) -> None:
        await with_accounts(pg_url, "a", "b", "c")

        async def work(tx: Tx) -> list[str]:
            return [row.account_id for row in await tx.lock_free(["a", "b", "c"])]

        async with opened(pg_url) as store, held(pg_url, "b"):
            lane = await store.lane()
            assert await lane.run(work) == ["a", "c"]
            await lane.close()

    async def test_a_deadlock_is_contention_for_one_and_nothing_for_the_other(self, pg_url: str) -> None:
        await with_accounts(pg_url, "a", "b")
        meeting = asyncio.Barrier(2)

        async def cross(lane: Lane, first: str, second: str) -> str:
            async def work(tx: Tx) -> str:
                await tx.lock([first])
                await meeting.wait()
                await tx.lock([second])
                return "done"

            try:
                return await lane.run(work)
            except Contention:
                return "contention"

        async with opened(f"{pg_url}?lock_timeout=20s&deadlock_timeout=10ms") as store:
            lanes = [await store.lane(), await store.lane()]
            answers = await asyncio.gather(cross(lanes[0], "a", "b"), cross(lanes[1], "b", "a"))
            assert sorted(answers) == ["contention", "done"]
            for lane in lanes:
                assert await lane.run(locking("a", "b")) == [account("a"), account("b")]
                await lane.close()

    async def test_each_lane_has_a_slot_and_gives_it_back(self, pg_url: str) -> None:
        async with (
            opened(pg_url) as store,
            await psycopg.AsyncConnection.connect(pg_url, autocommit=True) as c,
        ):

            async def slots() -> list[int]:
                found = await c.execute(
                    "SELECT l.objid::bigint FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
                    " WHERE l.locktype = 'advisory' AND d.datname = current_database() ORDER BY 1"
                )
                return [row[0] for row in await found.fetchall()]

            lanes = [await store.lane() for _ in range(3)]
            for lane in lanes:
                await lane.run(locking())
                await lane.run(locking("a"))
            assert await slots() == [0, 1, 2]
            await lanes[1].close()
            while await slots() != [0, 2]:
                await asyncio.sleep(0)
            await lanes[1].run(locking("a"))
            assert await slots() == [0, 1, 2]
            for lane in lanes:
                await lane.close()

    async def test_cancelling_lets_go_of_the_locks(self, pg_url: str) -> None:
        await with_accounts(pg_url, "a")
        async with opened(pg_url) as store:
            lane = await store.lane()
            locked = asyncio.Event()

            async def work(tx: Tx) -> None:
                await tx.lock(["a"])
                locked.set()
                await asyncio.Event().wait()

            task = asyncio.create_task(lane.run(work))
            await locked.wait()
            assert await is_locked(pg_url, "a")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while await is_locked(pg_url, "a"):
                await asyncio.sleep(0)
            assert await lane.run(locking("a")) == [account("a")]
            await lane.close()


class TestSqlite:
    async def test_a_file_that_somebody_else_writes_is_contention(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
        path = sqlite_url.removeprefix("sqlite:///")
        other = sqlite3.connect(path, isolation_level=None)
        async with opened(sqlite_url) as store:
            lane = await store.lane()
            await write(lane, new_accounts=[account("a")])
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Contention):
                await lane.run(locking("a"))
            assert await store.read(lambda tx: tx.accounts(["a"])) == [account("a")]
            other.execute("ROLLBACK")
            assert await lane.run(locking("a")) == [account("a")]
        other.close()

    async def test_two_processes_take_turns(self, sqlite_url: str) -> None:
        async with opened(sqlite_url) as one, opened(sqlite_url) as two:
            lanes = [await one.lane(), await two.lane()]
            await write(lanes[0], new_accounts=[account("a")])

            async def add(tx: Tx) -> None:
                [row] = await tx.lock(["a"])
                row.posted += 1
                changes = Changes(balances=[row])
                await tx.write(changes)

            await asyncio.gather(*(lane.run(add) for lane in lanes * 25))
            assert await one.read(lambda tx: tx.accounts(["a"])) == [account("a", posted=50)]

    async def test_work_that_waits_for_something_else_is_an_error(self, sqlite_url: str) -> None:
        async def work(tx: Tx) -> None:
            await tx.write(Changes(new_accounts=[account("a")]))
            await asyncio.sleep(0)

        async with opened(sqlite_url) as store:
            lane = await store.lane()
            with pytest.raises(RuntimeError, match="other than its tx"):
                await lane.run(work)
            assert await store.read(lambda tx: tx.accounts(["a"])) == []

    async def test_it_is_durable(self, sqlite_url: str) -> None:
        async with opened(sqlite_url) as store:
            lane = await store.lane()
            await lane.run(locking("a"))
            connection = sqlite.connect(Path(sqlite_url.removeprefix("sqlite:///")))
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
            assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
            connection.close()
