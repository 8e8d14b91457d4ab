"""A Bursar server in a process of its own, as its users run it: started, killed and stopped from outside.

    with BursarServer(database_url=url, data_dir=tmp_path) as server:
        httpx.get(f"{server.url}/healthz")
        server.kill()                                  # kill -9
        server.start()                                 # again, on the same port and data

The port is chosen by the system. What the server prints goes to `server.log` in the data folder.
"""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import HOST, free_port
from tests.support.watchdog import Watchdog

READY_SECONDS = 20.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.02
REPOSITORY = Path(__file__).resolve().parents[2]


class ServerError(RuntimeError):
    """The server did not start, or did not stop; the message ends with what it printed."""


class BursarServer:
    """One `python -m bursar serve`. Several may share a database and a data folder, as in production."""

    def __init__(
        self,
        *,
        database_url: str,
        data_dir: Path,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        """`environment` is added to what the other arguments set; no BURSAR_ variable of the tests' own
        environment reaches the server."""
        self.database_url = database_url
        self.data_dir = data_dir
        self.port = port
        self._environment = dict(environment or {})
        self._arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.terminate()

    @property
    def url(self) -> str:
        if self.port is None:
            raise ServerError("the server was not started")
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log_path(self) -> Path:
        return self.data_dir / f"server-{self.port}.log"

    @property
    def output(self) -> str:
        """All that this server printed so far, over all its starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self, *, wait: bool = True) -> None:
        """Start the server; with `wait`, return once `/healthz` answers 200."""
        if self._process is not None:
            raise ServerError("the server is running already")
        if self.port is None:
            self.port = free_port()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bursar", "serve", *self._arguments],
                cwd=REPOSITORY,
                env=self._variables(self.port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for the tests, which then stop the server
            )
        Watchdog.of_this_process().watch_process(self._process.pid)
        if wait:
            self.wait_until_healthy()

    def wait_until_healthy(self, timeout_seconds: float = READY_SECONDS) -> None:
        process = self._running()
        deadline = time.monotonic() + timeout_seconds
        while not self._is_healthy():
            if process.poll() is not None:
                self._forget()
                raise ServerError(f"the server ended with {process.returncode}:\n{self.output}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"the server was not healthy after {timeout_seconds} s:\n{self.output}")
            time.sleep(POLL_SECONDS)

    def wait_until_ended(self, timeout_seconds: float = STOP_SECONDS) -> int:
        """The exit code of a server that ends by itself (an unreachable database, a refused setting)."""
        process = self._running()
        try:
            code = process.wait(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(f"the server still ran after {timeout_seconds} s:\n{self.output}") from None
        self._forget()
        return code

    def kill(self) -> None:
        """`kill -9` the server and whatever else runs in its group."""
        process = self._running()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._forget()

    def terminate(self, end_with: signal.Signals = signal.SIGTERM) -> int:
        """Ask the server to stop (SIGINT: as Ctrl-C does) and return its exit code."""
        self._running().send_signal(end_with)
        return self.wait_until_ended()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise ServerError("the server is not running")
        return self._process

    def _forget(self) -> None:
        if self._process is not None:
            Watchdog.of_this_process().forget_process(self._process.pid)
            self._process = None

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _variables(self, port: int) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
        return {
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "BURSAR_HOST": HOST,
            "BURSAR_PORT": str(port),
            "BURSAR_DATABASE_URL": self.database_url,
            "BURSAR_DATA_DIR": str(self.data_dir),
            **self._environment,
        }
