"""Connections that go away, at each moment of a tx: what was written, what is said, and that it goes on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from urllib.parse import urlsplit

import psycopg
import pytest

from bursar.core.errors import DatabaseUnavailable
from bursar.store.base import Changes, CommitInDoubt, Lane, Store, Tx
from bursar.store.url import open_store
from tests.store.rows import account, write
from tests.support.ports import free_port


class Cut(Enum):
    """Where the proxy cuts: COMMIT never arrives, or its answer never does."""

    BEFORE = "before"
    AFTER = "after"


class Proxy:
    """Stands between us and the server, and cuts the connection at the next COMMIT when told to."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self.cut: Cut | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        answers = asyncio.create_task(self._pass_on(server_reader, writer))
        while sent := await reader.read(2**16):
            if self.cut is None or not sent.endswith(b"COMMIT\0"):
                server_writer.write(sent)
                continue
            answers.cancel()  # so that the answer stays here
            with suppress(asyncio.CancelledError):
                await answers
            if self.cut is Cut.AFTER:
                server_writer.write(sent)
                assert b"COMMIT" in await server_reader.read(2**16)
            self.cut = None
            break
        answers.cancel()
        writer.transport.abort()
        server_writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while received := await reader.read(2**16):
            writer.write(received)
        writer.close()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    parts = urlsplit(url)
    assert parts.port
    proxy = Proxy(parts.port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield proxy, url.replace(f":{parts.port}/", f":{port}/")
    server.close()


async def kill_all(url: str) -> None:
    """pg_terminate_backend for every connection of ours; returns when they are gone."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            found = await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'bursar'"
            )
            if not await found.fetchall():
                return


async def ids_of(store: Store) -> list[str]:
    found = await store.read(lambda tx: tx.fetch("scan_accounts", "", 100))
    return [row[0] for row in found]


@pytest.mark.parametrize("cut", Cut)
async def test_a_connection_lost_during_commit_is_in_doubt(pg_url: str, cut: Cut) -> None:
    async with proxied(pg_url) as (proxy, url):
        store, direct = open_store(url), open_store(pg_url)
        lane = await store.lane()
        await write(lane, new_accounts=[account("a")])
        proxy.cut = cut
        with pytest.raises(CommitInDoubt):
            await write(lane, new_accounts=[account("b")])
        expected = ["a"] if cut is Cut.BEFORE else ["a", "b"]
        assert await ids_of(direct) == expected
        await write(lane, new_accounts=[account("c")])
        assert await ids_of(direct) == [*expected, "c"]
        await lane.close()
        await store.close()
        await direct.close()


async def test_a_connection_killed_inside_a_tx_leaves_nothing(pg_url: str, pg_store: Store) -> None:
    lane = await pg_store.lane()

    async def work(tx: Tx) -> None:
        await tx.write(Changes(new_accounts=[account("a")]))
        await kill_all(pg_url)
        await tx.accounts(["a"])

    with pytest.raises(DatabaseUnavailable):
        await lane.run(work)
    await goes_on(pg_store, lane)


async def test_a_connection_killed_right_before_commit(pg_url: str, pg_store: Store) -> None:
    lane = await pg_store.lane()

    async def work(tx: Tx) -> None:
        await tx.write(Changes(new_accounts=[account("a")]))
        await kill_all(pg_url)

    with pytest.raises((DatabaseUnavailable, CommitInDoubt)):
        await lane.run(work)
    await goes_on(pg_store, lane)


async def test_a_connection_killed_while_idle_is_not_noticed(pg_url: str, pg_store: Store) -> None:
    lane = await pg_store.lane()
    await write(lane)
    await ids_of(pg_store)
    await kill_all(pg_url)
    await goes_on(pg_store, lane)


async def goes_on(store: Store, lane: Lane) -> None:
    assert await ids_of(store) == []
    await write(lane, new_accounts=[account("after")])
    assert await ids_of(store) == ["after"]
    await lane.close()


async def test_a_unix_socket(pg_url: str) -> None:
    with psycopg.connect(pg_url) as session:
        settings = "SELECT current_setting('unix_socket_directories'), current_setting('port'), current_database()"
        row = session.execute(settings).fetchone()
    assert row
    folder, port, database = row
    store = open_store(f"postgresql://postgres@/{database}?host={folder}&port={port}")
    await store.open()
    assert await ids_of(store) == []
    await store.close()


async def test_a_server_that_is_not_there() -> None:
    store = open_store(f"postgresql://me:hunter2@127.0.0.1:{free_port()}/nowhere")
    with pytest.raises(DatabaseUnavailable) as caught:
        await store.open()
    assert "hunter2" not in str(caught.value)
    await store.close()


async def test_a_database_that_is_not_there(pg_url: str) -> None:
    store = open_store(re.sub(r"/\w+$", "/nowhere", pg_url))
    with pytest.raises(DatabaseUnavailable, match="nowhere"):
        await store.open()
    await store.close()
