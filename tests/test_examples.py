"""Every example runs, as its first lines say."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bursar import Credits
from tests.support.ports import HOST, free_port
from tests.support.process import BursarServer
from tests.support.watchdog import Watchdog

EXAMPLES = Path(__file__).parents[1] / "examples"
ALICE = {"X-User": "alice"}
READY_SECONDS = 60.0


def variables(folder: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
    return inherited | {"BURSAR_URL": f"sqlite:///{folder / 'bursar.db'}", "PYTHONUNBUFFERED": "1"} | more


@contextmanager
def running(command: list[str], folder: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process of its own, stopped in the end."""
    with (folder / "example.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=variables(folder, **more), stdout=log, stderr=log)
    Watchdog.of_this_process().watch_process(process.pid)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        Watchdog.of_this_process().forget_process(process.pid)


@contextmanager
def serving(name: str, folder: Path, **more: str) -> Iterator[httpx.Client]:
    """A client of the example that serves, once it does."""
    port = free_port()
    with (
        running([sys.executable, str(EXAMPLES / name)], folder, PORT=str(port), **more) as process,
        httpx.Client(base_url=f"http://{HOST}:{port}", headers=ALICE, timeout=30) as client,
    ):
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                client.get("/health")
                break
            except httpx.ConnectError:
                assert process.poll() is None, (folder / "example.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield client


def my_new_tool(client: httpx.Client) -> None:
    """The document's route, step by step."""
    refused = client.post("/api/my-tool")
    assert (refused.status_code, refused.json()) == (402, {"error": "Insufficient credits"})
    assert client.post("/api/top-up").json() == {"credits": 15}
    assert client.post("/api/my-tool").json() == {"success": True, "held": 10}
    assert client.get("/api/credits").json() == {"credits": 5}
    assert client.post("/api/my-tool").status_code == 402


def test_the_fastapi_app(tmp_path: Path) -> None:
    with serving("fastapi_app.py", tmp_path) as client, Credits.open(f"sqlite:///{tmp_path}/bursar.db") as credits:
        my_new_tool(client)
        credits.skills.set_price("MY_NEW_TOOL", 2)
        assert client.post("/api/my-tool").status_code == 200
        credits.skills.disable("MY_NEW_TOOL")
        stopped = client.post("/api/my-tool")
        assert (stopped.status_code, stopped.json()) == (402, {"error": "Tool disabled"})
        assert client.get("/api/words").text == "to be or not"
        assert client.get("/api/credits").json() == {"credits": 2}
        assert client.get("/api/words", headers={"X-User": ""}).status_code == 422
        assert credits.verify().findings == []


def test_the_fastapi_app_on_a_service(tmp_path: Path) -> None:
    with BursarServer(database_url=f"sqlite:///{tmp_path}/bursar.db", data_dir=tmp_path) as server:
        (key,) = re.findall(r"bk_\S+", server.output)
        with serving("fastapi_app.py", tmp_path, BURSAR_URL=server.url, BURSAR_API_KEY=key) as client:
            my_new_tool(client)
            assert client.get("/api/words").text == "to be or not"
            assert client.get("/api/credits").json() == {"credits": 4}


def test_the_flask_app(tmp_path: Path) -> None:
    with serving("flask_app.py", tmp_path) as client, Credits.open(f"sqlite:///{tmp_path}/bursar.db") as credits:
        assert client.get("/hello").json() == {"hello": "world"}
        assert client.get("/nobody").status_code == 404
        assert client.post("/text/3").status_code == 200
        assert credits.balance("alice").available == 96
        credits.adjust("alice", to=0, reason="the test")
        refused = client.get("/hello")
        assert refused.status_code == 402
        assert refused.json() == {
            "error": "Insufficient credits. Please contact support to add more credits to your account."
        }
        assert client.get("/health").status_code == 200


def test_the_django_project(tmp_path: Path) -> None:
    with serving("django_app.py", tmp_path) as client:
        assert client.get("/credits/").json() == {"credits": 0}
        assert client.post("/picture/").json() == {"picture": "/pictures/alice/1", "cost": 5}
        assert client.get("/picture/").status_code == 405
        assert client.get("/credits/").json() == {"credits": 95}


def test_the_celery_task(tmp_path: Path) -> None:
    settings = {"CELERY_FOLDER": str(tmp_path / "folder"), "PYTHONPATH": str(EXAMPLES)}
    worker = [sys.executable, "-m", "celery", "--app", "celery_task", "worker", "--pool", "solo", "--loglevel", "info"]
    with running([*worker, "--without-gossip", "--without-mingle"], tmp_path, **settings):
        asked = subprocess.run(
            [sys.executable, str(EXAMPLES / "celery_task.py"), "alice"],
            cwd=tmp_path,
            env=variables(tmp_path, **settings),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert asked.returncode == 0, asked.stderr + (tmp_path / "example.log").read_text()
    assert asked.stdout.splitlines() == [
        "{'picture': 'a picture of the sea'}",
        "failed, and free: alice wants nothing",
        "95 credits left",
        "{'error': 'This needs 5 credits; 4 are available.'}",
    ]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_is_run_by_one_of_these_tests(path: Path) -> None:
    tests = Path(__file__).read_text() + (Path(__file__).parent / "test_public_names.py").read_text()
    assert f'"{path.name}"' in tests
