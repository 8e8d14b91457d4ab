"""The HTTP figures: servers in processes of their own, and `loadgen`, which loads them from another."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import msgspec

from bursar.bench.ledger import SKILL, Ledger
from bursar.bench.loadgen import Order, Report
from bursar.bench.options import Options
from bursar.bench.results import Figure, Round, compare, make_side, measure
from bursar.core.errors import DatabaseUnavailable
from bursar.service.keys import Keys

HOST: Final = "127.0.0.1"
CONNECTIONS: Final = 64
READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.005


class Process:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, started_seconds: float) -> None:
        self.port = port
        self.started_seconds = started_seconds
        self._process = process

    def resident_mib(self) -> float:
        """The memory that it has in use."""
        shown = subprocess.run(  # noqa: S603 - our own process
            ["ps", "-o", "rss=", "-p", str(self._process.pid)],  # noqa: S607 - wherever the system has it
            capture_output=True,
            check=True,
            text=True,
        )
        return int(shown.stdout) / 1024


async def http_figure(options: Options, ledger: Ledger, folder: Path) -> Figure:
    """Charges over HTTP against an endpoint that does nothing, in turns."""
    _, api_key = await Keys(ledger.store).create("service", name="bench")
    ours: list[Round] = []
    theirs: list[Round] = []
    refused = 0
    async with serve_ledger(ledger, folder) as server, serve_noop(folder) as noop:
        for number in range(-1, options.rounds):
            for port, rounds in ((server.port, ours), (noop.port, theirs)):
                if number == 0 and port == server.port:
                    await ledger.begin()
                report = await _load(options, ledger, folder, api_key, port, f"http-{number}")
                if number < 0:
                    continue  # warm
                refused += len(report.refused)
                rounds.append(Round(len(report.waits), report.seconds, report.waits))
                for account, ids in report.acknowledged.items():
                    ledger.acknowledged[account] += ids
    return compare(
        "http",
        "HTTP, POST /accounts/{a}/charges",
        0.5,
        make_side("bursar serve", ours, CONNECTIONS),
        make_side("no-op FastAPI", theirs, CONNECTIONS),
        await ledger.audit() + refused,
    )


async def server_figures(options: Options, ledger: Ledger, folder: Path) -> list[Figure]:
    """What a server takes before anybody asks it anything."""
    starts, sizes = [], []
    for _ in range(options.rounds):
        async with serve_ledger(ledger, folder) as server:
            starts.append(server.started_seconds)
            sizes.append(server.resident_mib())
    return [
        measure("memory", "server, memory when idle", median(sizes), "MiB", 130),
        measure("start", "server, ready after", median(starts), "s", 2),
    ]


@asynccontextmanager
async def serve_ledger(ledger: Ledger, folder: Path) -> AsyncIterator[Process]:
    """`bursar serve` on this ledger."""
    port = _free_port()
    settings = {
        "BURSAR_DATABASE_URL": ledger.url,
        "BURSAR_DATA_DIR": str(folder / "data"),
        "BURSAR_HOST": HOST,
        "BURSAR_PORT": str(port),
    }
    async with _serve(["-m", "bursar", "serve"], settings, port, folder / "serve.log") as process:
        yield process


@asynccontextmanager
async def serve_noop(folder: Path) -> AsyncIterator[Process]:
    """The endpoint that does nothing."""
    port = _free_port()
    async with _serve(["-m", "bursar.bench.noop", str(port)], {}, port, folder / "noop.log") as process:
        yield process


@asynccontextmanager
async def _serve(arguments: list[str], settings: dict[str, str], port: int, log: Path) -> AsyncIterator[Process]:
    """A process of this Python, from its start until it answers; it is stopped at the end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
    began = perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own program
            [sys.executable, *arguments],
            env=inherited | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the bench, which then stops it
        )
    try:
        while not await _is_ready(port):
            if process.poll() is not None or perf_counter() - began > READY_SECONDS:
                raise DatabaseUnavailable(f"{' '.join(arguments)} did not start: {_last_line(log)}")
            await asyncio.sleep(POLL_SECONDS)
        yield Process(process, port, perf_counter() - began)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_line(log: Path) -> str:
    return "".join(log.read_text(errors="replace").strip().splitlines()[-1:])


async def _is_ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    try:
        writer.write(f"GET /readyz HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline()).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
    finally:
        writer.close()


async def _load(options: Options, ledger: Ledger, folder: Path, api_key: str, port: int, tag: str) -> Report:
    order = Order(
        port=port,
        accounts=ledger.accounts,
        skill=SKILL,
        api_key=api_key,
        tag=tag,
        connections=CONNECTIONS,
        seconds=options.seconds,
    )
    asked, answered = folder / "order.json", folder / "report.json"
    asked.write_bytes(msgspec.json.encode(order))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bursar.bench.loadgen", str(asked), str(answered)
    )
    try:
        code = await process.wait()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if code:
        raise DatabaseUnavailable("the load generator failed: see above")
    return msgspec.json.decode(answered.read_bytes(), type=Report)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
    return port
