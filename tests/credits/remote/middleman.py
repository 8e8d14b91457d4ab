"""A man in the middle of HTTP, who loses answers, or requests, when told to; and counts connections."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support.ports import HOST


class Fate(Enum):
    """What becomes of the next request."""

    PASS = "pass"
    LOSE_REQUEST = "lose the request"
    LOSE_ANSWER = "lose the answer"
    BUSY = "answer 503"
    NONSENSE = "answer something else"


SAID = {
    Fate.BUSY: b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy",
    Fate.NONSENSE: b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p/>",
}


class Middleman:
    """In a thread of its own; `fates` are those of the requests to come, then all pass."""

    def __init__(self, url: str) -> None:
        self._port = urlsplit(url).port
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="middleman")
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self.fates: deque[Fate] = deque()
        self.requests: list[bytes] = []
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, HOST, 0)
        self.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await _message(reader)
        self.requests.append(request)
        fate = self.fates.popleft() if self.fates else Fate.PASS
        if fate in SAID:
            writer.write(SAID[fate])
            return True
        if fate is Fate.LOSE_REQUEST:
            return False
        server_reader, server_writer = await asyncio.open_connection(HOST, self._port)
        server_writer.write(request)
        answer = await _message(server_reader)
        server_writer.transport.abort()
        if fate is Fate.LOSE_ANSWER:
            return False
        writer.write(answer)
        await writer.drain()
        return True


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One request or answer, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0]) if lengths else 0)
