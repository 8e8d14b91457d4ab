"""kill -9 of the server under load, again and again: nothing acknowledged is lost, nothing happens twice."""

from __future__ import annotations

import http
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.crash.load import ACCOUNTS
from tests.support.postgres import PostgresServer
from tests.support.postgres_install import available_flavours
from tests.support.process import REPOSITORY, BursarServer
from tests.support.watchdog import Watchdog

KILLS = int(os.environ.get("BURSAR_KILLS", "20"))
OPENING = 1_000_000
BEFORE, AFTER = "2026-01-10T00:00:00Z", "2026-01-12T00:00:00Z"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(params=["sqlite", *(f"postgres-{flavour}" for flavour in available_flavours()[:1])])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
        return
    with PostgresServer(available_flavours()[0]) as server:
        yield server.create_database()


class Admin:
    """The administrator, asking one thing at a time."""

    def __init__(self, server: BursarServer) -> None:
        found = re.search(r"bk_[\w-]+", server.output)
        assert found, server.output
        self.key = found.group()
        self._server = server

    def ask(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection.request(method, f"/api/v1/{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status < http.HTTPStatus.BAD_REQUEST, f"{method} {path}: {answer.status} {text!r}"
        return json.loads(text)

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        cursor = ""
        while True:
            page = self.ask("GET", f"{path}?limit=1000{cursor}")
            yield from page["data"]
            if page["next_cursor"] is None:
                return
            cursor = f"&cursor={page['next_cursor']}"


def spawn(*arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=REPOSITORY, start_new_session=True)
    Watchdog.of_this_process().watch_process(process.pid)
    return process


def test_kill_9_under_load(database_url: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("BURSAR_SIM_SEED", "20260110"))
    print(f"seed {seed}")
    clock, log = tmp_path / "clock", tmp_path / "load.log"
    clock.write_text(BEFORE)
    server = BursarServer(
        database_url=database_url,
        data_dir=tmp_path / "data",
        environment={"BURSAR_TEST_CLOCK": str(clock), "BURSAR_JOB_SECONDS": "0.2"},
    )
    server.start()
    try:
        admin = Admin(server)
        for account in ACCOUNTS:
            admin.ask("POST", "accounts", {"id": account, "plan": None})
            admin.ask("POST", f"accounts/{account}/grants", {"amount": OPENING, "source": "purchase"})
        load = spawn("tests.crash.load", server.url, admin.key, str(log), str(seed))
        try:
            kill_again_and_again(server, Random(seed))
        finally:
            load.send_signal(signal.SIGTERM)
            assert load.wait(timeout=120) == 0
            Watchdog.of_this_process().forget_process(load.pid)
        judge(admin, log)
        settle_what_is_left(admin, clock)
    finally:
        if server.is_running:
            server.terminate()


def kill_again_and_again(server: BursarServer, random: Random) -> None:
    for _ in range(KILLS):
        killer = spawn("tests.crash.killer", str(server.pid), str(random.uniform(0.05, 0.8)))
        assert server.wait_until_ended(timeout_seconds=30) == -signal.SIGKILL
        assert killer.wait(timeout=10) == 0
        Watchdog.of_this_process().forget_process(killer.pid)
        server.start()


def judge(admin: Admin, log: Path) -> None:
    """Hold the ledger against the load's own log."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line for line in lines if "fault" in line] == []
    acknowledged = {line["name"]: line for line in lines if line.get("acknowledged")}
    asked = {line["name"] for line in lines if line.get("asked")}
    assert len(acknowledged) > KILLS, "the load got nowhere"
    assert asked == acknowledged.keys(), "every intent was answered in the end"

    for account in ACCOUNTS:
        rows = list(admin.pages(f"accounts/{account}/transactions"))
        assert sorted(row["seq"] for row in rows) == list(range(1, len(rows) + 1))
        spent = [row for row in rows if row["type"] == "CONSUMPTION"]
        holds = {hold["id"]: hold for hold in admin.pages(f"accounts/{account}/holds")}
        mine = {name: line for name, line in acknowledged.items() if line["account"] == account}
        charges = {name: line for name, line in mine.items() if line["kind"] in ("charge", "capture")}
        assert Counter(row["description"] for row in spent) == Counter(charges.keys()), "each once, and nothing else"
        for row in spent:
            line = charges[row["description"]]
            assert (row["id"], -row["amount"], row["hold"]) == (line["id"], line["amount"], line.get("hold"))
        placed = {line["id"] for line in mine.values() if line["kind"] == "hold"}
        assert holds.keys() == placed, "each hold once, and nothing else"
        balance = admin.ask("GET", f"accounts/{account}/balance")
        assert balance["posted"] == OPENING - sum(line["amount"] for line in charges.values())
        assert balance["held"] == sum(hold["amount"] for hold in holds.values() if hold["state"] == "dispatched")
    assert admin.ask("POST", "verify")["sound"]


def settle_what_is_left(admin: Admin, clock: Path) -> None:
    """What the dead left dispatched is charged by policy when it is due: a crash is never a free call."""
    left = {
        (account, hold["id"])
        for account in ACCOUNTS
        for hold in admin.pages(f"accounts/{account}/holds")
        if hold["state"] == "dispatched"
    }
    assert left, "the load left nothing to its fate"
    clock.write_text(AFTER)
    for account, hold_id in left:
        hold = admin.ask("GET", f"accounts/{account}/holds/{hold_id}")
        assert (hold["state"], hold["captured"]) == ("expired", hold["amount"])
    for account in ACCOUNTS:
        assert admin.ask("GET", f"accounts/{account}/balance")["held"] == 0
    assert admin.ask("POST", "verify")["sound"]
