"""Loads an HTTP server with charges, from a process of its own: many connections that are kept alive, one request at
a time each.

`python -m bursar.bench.loadgen` reads an `Order` as JSON from standard input and writes a `Report` to standard
output. It speaks just enough HTTP/1.1 to be faster than any server in Python: bytes out, status and Content-Length
in.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final, cast

import msgspec
import uvloop
from msgspec import Struct

from bursar.bench.picks import pick_uniformly

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_ID = re.compile(rb'"id": ?"(tx_[^"]+)"')


PATIENCE_SECONDS: Final = 30.0
"""How long the last answers may take."""


class Order(Struct, frozen=True, kw_only=True):
    """What to send, where to, and for how long."""

    port: int
    accounts: list[str]
    skill: str
    api_key: str
    tag: str
    """Begins every idempotency key."""
    connections: int
    seconds: float
    host: str = "127.0.0.1"


class Report(Struct, kw_only=True):
    """What came back: how long each answer took, what was acknowledged to which account, what was refused."""

    seconds: float
    waits: list[float]
    acknowledged: dict[str, list[str]]
    refused: list[str]


class Connection(asyncio.Protocol):
    """One connection: sends a charge, waits for its answer, sends the next one until time is up."""

    def __init__(self, order: Order, number: int, until: float, report: Report) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._report = report
        self._until = until
        self._requests = _requests(order, number)
        self._received = b""
        self._account = ""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n") if separator else None
        if length is None or len(body) < int(length[1]):
            return
        self._received = b""
        self._report.waits.append(perf_counter() - self._sent_at)
        self._take(head, body)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.done.done():
            self._report.refused.append("the server closed a connection")
            self.done.set_result(None)

    def _take(self, head: bytes, body: bytes) -> None:
        status, found = _STATUS.match(head), _ID.search(body)
        if status is None or status[1] != b"201":
            self._report.refused.append(body[:200].decode(errors="replace"))
        elif found is not None:
            self._report.acknowledged.setdefault(self._account, []).append(found[1].decode())

    def _send(self) -> None:
        self._sent_at = perf_counter()
        if self._sent_at >= self._until:
            self.done.set_result(None)
            self._transport.close()
            return
        self._account, request = next(self._requests)
        self._transport.write(request)


def _requests(order: Order, number: int) -> Iterator[tuple[str, bytes]]:
    """Charges without end, each with the account that it is for."""
    head = f"Host: {order.host}\r\nAuthorization: Bearer {order.api_key}\r\nContent-Type: application/json\r\n"
    for turn, account in enumerate(pick_uniformly(order.accounts, number)):
        body = f'{{"skill":"{order.skill}","idempotency_key":"{order.tag}-{number}-{turn}"}}'
        line = f"POST /api/v1/accounts/{account}/charges HTTP/1.1\r\n"
        yield account, f"{line}{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def _same(connection: Connection) -> Connection:
    return connection


async def load(order: Order) -> Report:
    """Carry out an order."""
    report = Report(seconds=0.0, waits=[], acknowledged={}, refused=[])
    loop = asyncio.get_running_loop()
    began = perf_counter()
    connections = [Connection(order, number, began + order.seconds, report) for number in range(order.connections)]
    async with asyncio.timeout(order.seconds + PATIENCE_SECONDS):
        for connection in connections:
            await loop.create_connection(partial(_same, connection), order.host, order.port)
        await asyncio.gather(*(connection.done for connection in connections))
    report.seconds = perf_counter() - began
    return report


if __name__ == "__main__":
    given = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Order)
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(uvloop.run(load(given))))
