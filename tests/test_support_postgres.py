"""The servers that other tests rely on: they start, answer, survive a crash and leave nothing behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psutil
import psycopg
import pytest

from tests.support.postgres import PostgresServer, has_ended
from tests.support.postgres_install import (
    Flavour,
    available_flavours,
    find_bin_folder,
    reachable_install,
    server_user,
)

pytestmark = pytest.mark.postgres

REPOSITORY = Path(__file__).resolve().parents[1]


def processes_of(pid: int) -> list[psutil.Process]:
    postmaster = psutil.Process(pid)
    return [postmaster, *postmaster.children(recursive=True)]


def wait_until(condition: Callable[[], bool], timeout_seconds: float = 15) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_at_least_one_flavour_is_there() -> None:
    assert available_flavours()


async def test_answers_over_tcp_and_over_its_socket(postgres_server: PostgresServer, postgres_url: str) -> None:
    dbname = postgres_url.rpartition("/")[2]
    for url in (postgres_url, postgres_server.socket_url(dbname)):
        connection = await asyncpg.connect(url)
        try:
            assert str(await connection.fetchval("SELECT version()")).startswith("PostgreSQL 1")
            assert await connection.fetchval("SELECT current_database()") == dbname
            assert await connection.fetchval("SHOW fsync") == "on"
        finally:
            await connection.close()


def test_each_database_is_fresh_and_may_copy_a_template(postgres_server: PostgresServer) -> None:
    template = postgres_server.create_database()
    with psycopg.connect(template) as connection:
        connection.execute("CREATE TABLE marks (mark int)")
    copy, empty = (
        postgres_server.create_database(template.rpartition("/")[2]),
        postgres_server.create_database(),
    )
    found = []
    for url in (copy, empty):
        with psycopg.connect(url) as connection:
            found.append(connection.execute("SELECT to_regclass('marks')::text").fetchone())
    assert found == [("marks",), (None,)]
    for url in (template, copy, empty):
        postgres_server.drop_database(url)


def test_an_acknowledged_row_survives_a_crash(postgres_server: PostgresServer, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE marks (mark int)")
        connection.execute("INSERT INTO marks VALUES (42)")
    lost = psycopg.connect(postgres_url)
    before = processes_of(postgres_server.pid)
    postgres_server.crash()
    assert not postgres_server.is_running
    assert all(map(has_ended, before))
    with pytest.raises(psycopg.OperationalError):
        lost.execute("SELECT 1")
    lost.close()
    postgres_server.restart()
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT mark FROM marks").fetchone() == (42,)


@pytest.mark.parametrize("flavour", list(Flavour), ids=str)
@pytest.mark.parametrize("crash_first", [False, True], ids=["running", "crashed"])
def test_stop_leaves_no_process_and_no_file(flavour: Flavour, crash_first: bool) -> None:
    if find_bin_folder(flavour) is None:
        pytest.skip(f"{flavour} is not here")
    server = PostgresServer(flavour)
    server.start()
    root, processes = server.root, processes_of(server.pid)
    if crash_first:
        server.crash()
    server.stop()
    assert all(map(has_ended, processes))
    assert not root.exists()


@pytest.mark.parametrize("end_with", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_nothing_outlives_a_test_process_that_dies(end_with: signal.Signals) -> None:
    script = (
        "from tests.support.postgres import PostgresServer, available_flavours\n"
        "server = PostgresServer(available_flavours()[0])\n"
        "server.start()\n"
        "print(server.pid, server.root, flush=True)\n"
        "import signal; signal.pause()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with child:
        assert child.stdout is not None
        pid, root = child.stdout.readline().split()
        processes = processes_of(int(pid))
        assert len(processes) > 1
        child.send_signal(end_with)
        child.wait()
    wait_until(lambda: not Path(root).exists())
    assert all(map(has_ended, processes))


def test_binaries_that_the_servers_user_cannot_reach_are_copied(tmp_path: Path) -> None:
    user = server_user()
    if user is None:
        pytest.skip("not root: the server runs as the tests' own user, who reaches the binaries")
    hidden = tmp_path / "site-packages" / "wheel" / "pginstall" / "bin"
    hidden.mkdir(parents=True)
    (hidden / "postgres").write_text("#!/bin/sh\necho here\n")
    (hidden / "postgres").chmod(0o700)
    (tmp_path / "site-packages").chmod(0o700)
    libraries = tmp_path / "site-packages" / "wheel.libs"
    libraries.mkdir()
    (libraries / "libpq.so").write_text("a library")
    with PostgresServer(available_flavours()[0]) as server:
        copy = reachable_install(hidden, user, server.root)
        assert copy != hidden
        output = subprocess.run(
            [copy / "postgres"],
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            cwd="/",
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    assert output == "here\n"


def test_a_command_runs_with_a_database_of_its_own() -> None:
    result = subprocess.run(
        [
            *(sys.executable, "-m", "tests.support.postgres", "--"),
            *(sys.executable, "-c", "import os, sys; print(os.environ['BURSAR_DATABASE_URL']); sys.exit(7)"),
        ],
        cwd=REPOSITORY,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 7, result.stderr
    assert result.stdout.startswith("postgresql://postgres@127.0.0.1:")


def test_a_server_starts_in_under_three_seconds() -> None:
    begun = time.monotonic()
    with PostgresServer(available_flavours()[0]), contextlib.nullcontext(time.monotonic() - begun) as seconds:
        assert seconds < 3
