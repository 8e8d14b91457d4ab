"""The server as its users meet it: a process of its own, curl, signals, a database that comes and goes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.service.conftest import POSTGRES, Servers
from tests.support.ports import HOST, free_port
from tests.support.process import REPOSITORY, BursarServer, ServerError

V1 = "/api/v1"
IDLE_MEBIBYTES = 130

MakeServer = Callable[..., BursarServer]


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    """Starts servers that are stopped at the end."""
    made: list[BursarServer] = []

    def make(url: str, **environment: str) -> BursarServer:
        server = BursarServer(database_url=url, data_dir=tmp_path / "data", environment=environment)
        made.append(server)
        server.start()
        return server

    yield make
    for server in made:
        if server.is_running:
            server.kill()


def admin_key(server: BursarServer) -> str:
    found = re.search(r"\bbk_[A-Za-z0-9_-]{43}", server.output)
    assert found is not None, server.output
    return found.group()


def curl(*arguments: str) -> tuple[int, str]:
    """The status and body of what curl gets."""
    command = ["curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def register(server: BursarServer, email: str = "user@example.com") -> str:
    body = json.dumps({"email": email, "password": "correct horse"})
    status, answer = curl(f"{server.url}/api/auth/register", "-H", "Content-Type: application/json", "-d", body)
    assert status == 201, answer
    token: str = json.loads(answer)["token"]
    return token


def test_the_five_tests_of_the_document(make_server: MakeServer, database_url: str) -> None:
    server = make_server(database_url, BURSAR_DEV="1")
    token = register(server)
    url = server.url

    def ask(method: str, path: str, body: str | None = None) -> tuple[int, dict[str, Any]]:
        sent = () if body is None else ("-H", "Content-Type: application/json", "-d", body)
        status, answer = curl("-X", method, f"{url}{path}", "-H", f"Authorization: Bearer {token}", *sent)
        return status, json.loads(answer)

    status, balance = ask("GET", "/api/ai/credits")
    assert (status, balance["credits"]) == (200, 100)
    status, text = ask("POST", "/api/ai/generate-text", '{"prompt":"Test","tone":"friendly","length":"short"}')
    assert (status, text["credits_remaining"]) == (201, 99)
    image = '{"prompt":"Test image","width":1024,"height":1024}'
    status, made = ask("POST", "/api/ai/generate-image", image)
    assert (status, made["credits_remaining"]) == (201, 94)
    for left in range(89, 0, -5):
        status, made = ask("POST", "/api/ai/generate-image", image)
        assert (status, made["credits_remaining"]) == (201, left)
    status, refused = ask("POST", "/api/ai/generate-image", image)
    assert (status, refused["statusCode"]) == (400, 400)
    assert re.fullmatch(
        r"Insufficient AI credits\. You have 4 credits, but need 5\. Credits will reset on \d{1,2}/1/\d{4}\.",
        refused["message"],
    )
    status, reset = ask("PATCH", "/api/ai/credits/reset")
    assert (status, reset["message"], reset["balance"]["credits"]) == (200, "Credits reset successfully", 100)
    assert server.terminate() == 0
    assert server.output.count("💰 Deducted 5 credits from user ") == 19


def test_what_is_printed_can_be_pasted(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(f"sqlite:///{tmp_path / 'bursar.db'}")
    lines = [line.strip() for line in server.output.splitlines() if "curl " in line]
    assert len(lines) == 3
    done = subprocess.run(["sh", "-ec", "\n".join(lines)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert '{"credits":100,' in done.stdout
    assert '"credits_remaining":99}' in done.stdout


def test_it_stops_cleanly_and_starts_where_it_was(make_server: MakeServer, database_url: str) -> None:
    server = make_server(database_url)
    key = admin_key(server)
    headers = {"Authorization": f"Bearer {key}"}
    httpx.post(f"{server.url}{V1}/accounts", json={"id": "alice"}, headers=headers).raise_for_status()
    assert server.terminate() == 0
    server.start()
    assert server.output.count(key) == 1
    assert server.output.count("shown this once") == 1
    assert httpx.get(f"{server.url}{V1}/accounts/alice", headers=headers).json()["available"] == 100
    assert server.terminate(signal.SIGINT) == 0
    assert "Traceback" not in server.output


def test_an_answer_under_way_is_finished_when_it_stops(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(f"sqlite:///{tmp_path / 'bursar.db'}")
    token = register(server)
    answers: list[httpx.Response] = []
    body = {"prompt": "x", "width": 2048, "height": 2048}

    async def ask_and_stop() -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            headers = {"Authorization": f"Bearer {token}"}
            url = f"{server.url}/api/ai/generate-image"
            asked = asyncio.create_task(client.post(url, json=body, headers=headers))
            held = f"{server.url}/metrics"
            while True:
                metrics = (await client.get(held)).text
                if int(re.search(r"bursar_batches_total (\d+)", metrics).group(1)) >= 2:  # type: ignore[union-attr]
                    break
            psutil.Process(server.pid).terminate()
            answers.append(await asked)

    asyncio.run(ask_and_stop())
    assert server.wait_until_ended() == 0
    assert answers[0].status_code == 201


def run_serve(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A server that is expected not to start."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
    variables |= {"BURSAR_DATA_DIR": str(tmp_path / "data"), "BURSAR_PORT": str(free_port())} | environment
    command = [sys.executable, "-m", "bursar", "serve"]
    return subprocess.run(
        command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"BURSAR_DATABASE_URL": "postgresql://bursar:hunter2@127.0.0.1:1/bursar"}, "database"),
        ({"BURSAR_DATABASE_URL": "sqlite:////dev/null/folder/bursar.db"}, "database"),
        ({"BURSAR_DATABASE_URL": "mysql://x"}, "database_url"),
        ({"BURSAR_DATA_DIR": "/dev/null/data"}, "/dev/null/data"),
        ({"BURSAR_PORT": "http"}, "BURSAR_PORT"),
        ({"BURSAR_PRESET": "no-such"}, "no-such"),
        ({"BURSAR_TEST_CLOCK": "2025-01-01T00:00:00Z", "BURSAR_PRODUCTION": "1"}, "BURSAR_TEST_CLOCK"),
        ({"BURSAR_DEV": "1", "BURSAR_PRODUCTION": "1"}, "BURSAR_DEV"),
        ({"BURSAR_TEST_CLOCK": "yesterday"}, "BURSAR_TEST_CLOCK"),
        ({"BURSAR_PROVIDER": "openai"}, "BURSAR_OPENAI_API_KEY"),
        ({"BURSAR_SECRETS": "a:short"}, "BURSAR_SECRETS"),
    ],
    ids=range(11),
)
def test_what_keeps_it_from_starting_is_one_clear_line(tmp_path: Path, environment: dict[str, str], said: str) -> None:
    done = run_serve(tmp_path, **environment)
    assert done.returncode == 1, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert said in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts(tmp_path: Path, number: signal.Signals) -> None:
    """A database that never answers keeps it opening for as long as we like."""
    with socket.socket() as silent:
        silent.bind((HOST, 0))
        silent.listen()
        url = f"postgresql://bursar@{HOST}:{silent.getsockname()[1]}/bursar?sslmode=disable"
        server = BursarServer(database_url=url, data_dir=tmp_path / "data")
        server.start(wait=False)
        connection, _ = silent.accept()
        assert server.terminate(number) == 0, server.output
        connection.close()
    assert "Traceback" not in server.output


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_serve(tmp_path, BURSAR_PORT=port)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert port in done.stderr


def test_what_it_does_not_know_is_named(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(f"sqlite:///{tmp_path / 'bursar.db'}", BURSAR_DATABSE_URL="x")
    assert "BURSAR_DATABSE_URL" in server.output


def test_a_clock_that_is_not_real_is_announced(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(f"sqlite:///{tmp_path / 'bursar.db'}", BURSAR_TEST_CLOCK="2025-01-15T00:00:00Z")
    assert "TIME IS NOT REAL" in server.output
    status, balance = curl(f"{server.url}/api/ai/credits", "-H", f"Authorization: Bearer {register(server)}")
    assert (status, json.loads(balance)["next_reset"]) == (200, "2025-02-01T00:00:00.000Z")


def test_it_is_small_when_idle(make_server: MakeServer, tmp_path: Path) -> None:
    """How soon it is ready is a figure of the benchmark: a test that runs beside others cannot tell."""
    server = make_server(f"sqlite:///{tmp_path / 'bursar.db'}")  # which also migrates
    assert server.terminate() == 0
    server.start()
    resident = psutil.Process(server.pid).memory_info().rss / 2**20
    print(f"{resident:.0f} MiB resident")
    assert resident <= IDLE_MEBIBYTES


def test_curl_sends_too_much(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(f"sqlite:///{tmp_path / 'bursar.db'}")
    big = tmp_path / "big"
    big.write_bytes(b'{"amount": 1, "description": "' + b"x" * 2**21)
    key = ("-H", f"Authorization: Bearer {admin_key(server)}")
    for path in ("accounts/alice/charges", "charges/batch", "skills"):
        for chunked in ((), ("-H", "Transfer-Encoding: chunked")):
            status, body = curl(f"{server.url}{V1}/{path}", *key, *chunked, "--data-binary", f"@{big}")
            assert (status, json.loads(body)["code"]) == (413, "too_large")


def test_the_answers_headers(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(f"sqlite:///{tmp_path / 'bursar.db'}")
    headers = httpx.get(f"{server.url}/healthz").headers
    assert headers["server"] == "bursar"
    assert httpx.get(f"{server.url}/docs").status_code == 200


@pytest.mark.parametrize("flavour", POSTGRES)
def test_a_database_that_is_lost_and_comes_back(make_server: MakeServer, servers: Servers, flavour: Any) -> None:
    postgres = servers(flavour)
    server = make_server(postgres.create_database())
    headers = {"Authorization": f"Bearer {admin_key(server)}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=30) as client:
        client.post(f"{V1}/accounts", json={"id": "alice"}).raise_for_status()
        postgres.crash()
        try:
            for answer in (
                client.post(f"{V1}/accounts/alice/charges", json={"amount": 1}),
                client.get(f"{V1}/accounts/alice"),
                client.get("/readyz"),
                client.post(f"{V1}/skills", json={"name": "X", "cost": 1}),
            ):
                assert answer.status_code == 503, answer.text
                assert answer.headers["retry-after"].isdigit()
            assert client.get("/healthz").status_code == 200
            login = client.post("/api/auth/login", json={"email": "a@b.c", "password": "12345678"})
            assert (login.status_code, login.json()["statusCode"]) == (503, 503)
        finally:
            postgres.restart()
        deadline = time.monotonic() + 20
        while client.post(f"{V1}/accounts/alice/charges", json={"amount": 1}).status_code != 201:
            assert time.monotonic() < deadline, server.output
        assert client.get(f"{V1}/accounts/alice").json()["available"] == 99
    assert server.terminate() == 0


@pytest.mark.parametrize("flavour", POSTGRES)
async def test_two_processes_never_spend_what_is_not_there(
    make_server: MakeServer, servers: Servers, flavour: Any
) -> None:
    """200 charges of 1 on an account of 100, from several connections, against two processes."""
    url = servers(flavour).create_database()
    both = [make_server(url), make_server(url)]
    assert sum(server.output.count("shown this once") for server in both) == 1
    headers = {"Authorization": f"Bearer {admin_key(both[0])}"}
    clients = [httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) for server in both]
    for name in ("charged", "held"):
        await clients[0].post(f"{V1}/accounts", json={"id": name})
    charges = await asyncio.gather(
        *(clients[n % 2].post(f"{V1}/accounts/charged/charges", json={"amount": 1}) for n in range(200))
    )
    assert sorted(answer.status_code for answer in charges) == [201] * 100 + [402] * 100
    history = (await clients[0].get(f"{V1}/accounts/charged/transactions?limit=1000")).json()["data"]
    assert [item["seq"] for item in history] == list(range(101, 0, -1))
    assert history[0]["posted_after"] == 0
    holds = await asyncio.gather(
        *(clients[n % 2].post(f"{V1}/accounts/held/holds", json={"amount": 1}) for n in range(200))
    )
    placed = [answer.json()["id"] for answer in holds if answer.status_code == 201]
    assert len(placed) == 100
    captures = await asyncio.gather(
        *(clients[n % 2].post(f"{V1}/accounts/held/holds/{hold}/capture") for n, hold in enumerate(placed))
    )
    assert {answer.status_code for answer in captures} == {201}
    assert (await clients[1].get(f"{V1}/accounts/held")).json()["posted"] == 0
    for client in clients:
        await client.aclose()


def test_processes_that_start_at_once_on_nothing(database_url: str, tmp_path: Path) -> None:
    """One migrates, one seeds, one prints the key; all of them serve, and know each other's tokens."""
    servers = [BursarServer(database_url=database_url, data_dir=tmp_path / "data") for _ in range(3)]
    try:
        for server in servers:
            server.start(wait=False)
        for server in servers:
            server.wait_until_healthy()
        assert sum(server.output.count("shown this once") for server in servers) == 1
        headers = {"Authorization": f"Bearer {register(servers[0])}"}
        for server in servers:
            assert httpx.get(f"{server.url}/api/ai/credits", headers=headers).json()["credits"] == 100
    finally:
        for server in servers:
            if server.is_running:
                assert server.terminate() == 0


def test_a_server_that_cannot_start_says_so_to_the_tests(tmp_path: Path) -> None:
    server = BursarServer(database_url="mysql://x", data_dir=tmp_path)
    with pytest.raises(ServerError, match="database_url"):
        server.start()
