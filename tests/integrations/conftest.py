"""Apps that spend, on real servers and sockets; and after every test a look whether some hold was left open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
import uvicorn
from waitress import wasyncore  # type: ignore[import-untyped]
from waitress.server import create_server  # type: ignore[import-untyped]

from bursar.credits import AsyncCredits, Credits
from tests.credits.conftest import Clock, clock, empty_url, servers, templates, url
from tests.support.ports import HOST

__all__ = ["clock", "empty_url", "servers", "templates", "url"]

SETTLED_SECONDS = 20.0


@pytest.fixture
def database() -> str:
    """Most of this never reaches what differs between databases; what does asks for each."""
    return "sqlite"


@pytest.fixture
async def credits(url: str, clock: Clock) -> AsyncIterator[AsyncCredits]:
    """A ledger in which alice has 100."""
    async with AsyncCredits.open(url, clock=str(clock.path)) as credits:
        await credits.open_account("alice")
        yield credits


@pytest.fixture
def blocking(url: str, clock: Clock) -> Iterator[Credits]:
    """The same for threads."""
    with Credits.open(url, clock=str(clock.path)) as credits:
        credits.open_account("alice")
        yield credits


@pytest.fixture(autouse=True)
def no_hold_stays_open(url: str) -> Iterator[None]:
    yield
    with Credits.open(url, clock="2026-01-10T12:00:00Z") as credits:
        for account in credits.accounts(limit=1_000).data:
            assert account.held == 0, [hold for hold in credits.holds(account.id).data if hold.settled_at is None]
        assert credits.verify().findings == []


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """The address of a uvicorn that serves this app on the test's own event loop."""
    config = uvicorn.Config(app, HOST, 0, lifespan="off", log_config=None, timeout_graceful_shutdown=5)
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
        if task.done():
            task.result()
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://{HOST}:{port}"
    server.should_exit = True
    await task


@contextmanager
def serving_wsgi(app: Any, threads: int = 16) -> Iterator[str]:
    """The address of a waitress that serves this app on threads."""
    connections: dict[int, Any] = {}
    server = create_server(app, map=connections, host=HOST, port=0, threads=threads, channel_timeout=30)
    leave = threading.Event()

    def loop() -> None:
        while not leave.is_set():
            wasyncore.loop(timeout=1, use_poll=True, map=connections, count=1)
        server.task_dispatcher.shutdown()
        server.close()
        wasyncore.close_all(connections)

    thread = threading.Thread(target=loop, name="waitress")
    thread.start()
    try:
        yield f"http://{HOST}:{server.effective_port}"
    finally:
        with suppress(OSError):  # it may have left already, when a worker woke it up
            server.trigger.pull_trigger(leave.set)
        thread.join()


async def eventually(look: Callable[[], Any]) -> None:
    """Look again until it is so: nothing announces what a client that is gone leaves behind."""
    async with asyncio.timeout(SETTLED_SECONDS):
        while not await look():
            await asyncio.sleep(0.01)
