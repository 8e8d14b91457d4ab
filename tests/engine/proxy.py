"""A man in the middle of PostgreSQL's wire, who cuts the connection when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from urllib.parse import urlsplit

from tests.support.ports import HOST


class Cut(Enum):
    """Where: COMMIT never arrives, or its answer never does."""

    BEFORE = "before"
    AFTER = "after"


class Proxy:
    """Passes everything on, but the next COMMIT where `cut` says so; then it is whole again."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._connections: set[asyncio.Task[None]] = set()
        self.cut: Cut | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # one of the two sides is gone
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(HOST, self._server_port)
        answers = asyncio.create_task(self._pass_on(server_reader, writer))
        try:
            while sent := await reader.read(2**16):
                if self.cut is None or not sent.endswith(b"COMMIT\0"):
                    server_writer.write(sent)
                    continue
                await self._stop(answers)  # so that the answer stays here
                cut, self.cut = self.cut, None
                if cut is Cut.AFTER:
                    server_writer.write(sent)
                    assert b"COMMIT" in await server_reader.read(2**16)
                return
        finally:
            await self._stop(answers)
            server_writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while received := await reader.read(2**16):
                writer.write(received)
        writer.close()

    async def _stop(self, answers: asyncio.Task[None]) -> None:
        answers.cancel()
        with suppress(asyncio.CancelledError):
            await answers

    async def close(self) -> None:
        """Cut whoever is still connected."""
        for connection in list(self._connections):
            connection.cancel()
            with suppress(asyncio.CancelledError):
                await connection


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy in front of that server, and the URL that leads through it."""
    parts = urlsplit(url)
    assert parts.port
    proxy = Proxy(parts.port)
    server = await asyncio.start_server(proxy.serve, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield proxy, url.replace(f":{parts.port}/", f":{port}/")
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()
