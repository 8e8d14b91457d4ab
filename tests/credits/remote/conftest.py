"""The face's own tests, with a real server between the face and the ledger: a socket, uvicorn, the whole service."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from bursar.credits import AsyncCredits, Credits
from bursar.service.app import create_app
from bursar.service.server import _configuration, _listener, _Server
from bursar.settings import Settings
from tests.credits.conftest import Clock

NEVER_SECONDS = 3_600.0


class Service:
    """A service in a thread of its own, from `start` to `stop`; `key` is an administrator's."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.key = ""
        self.loop: asyncio.AbstractEventLoop
        self._create: Callable[[str], Coroutine[Any, Any, tuple[Any, str]]]
        self.url = ""
        self._ready = threading.Event()
        self._server: _Server | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="service")

    def start(self) -> None:
        self._thread.start()
        self._ready.wait(30)
        if self._failure is not None:
            raise self._failure
        assert self.url

    def new_key(self, role: str) -> str:
        """Another key of this service."""
        return asyncio.run_coroutine_threadsafe(self._create(role), self.loop).result()[1]

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(30)

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve())
        except BaseException as failure:
            self._failure = failure
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        app = create_app(self.settings)
        with _listener(self.settings) as listener:
            async with app.opened() as context:
                self._create = context.keys.create
                _, self.key = await self._create("admin")
                self._server = _Server(_configuration(app, self.settings), self._ready.set)
                host, port = listener.getsockname()[:2]
                self.url = f"http://{host}:{port}"
                await self._server.serve(sockets=[listener])


@pytest.fixture
def database() -> str:
    """What is behind the service."""
    return "sqlite"


@pytest.fixture
def service(
    database: str, templates: Callable[[str], str], tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    shutil.copy(templates("sqlite"), tmp_path / "bursar.db")
    settings = Settings(data_dir=tmp_path, port=0, job_seconds=NEVER_SECONDS, test_clock=str(clock.path))
    service = Service(settings)
    service.start()
    monkeypatch.setenv("BURSAR_API_KEY", service.key)
    yield service
    service.stop()


@pytest.fixture
def url(service: Service) -> str:
    return service.url


@pytest.fixture
async def credits(url: str) -> AsyncIterator[AsyncCredits]:
    async with AsyncCredits.open(url) as credits:
        yield credits


@pytest.fixture
def blocking(url: str) -> Iterator[Credits]:
    with Credits.open(url) as credits:
        yield credits
