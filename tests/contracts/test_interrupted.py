"""Generations that are interrupted: by a caller who leaves, by a server that dies."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.test_providers import SECRET, Answer, Upstream, texts
from tests.service.test_server import register
from tests.support.process import BursarServer

TEXT = {"prompt": "Test", "tone": "friendly", "length": "short"}


class Gated(Upstream):
    """Answers when it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.script = self.wait

    def wait(self, path: str, body: dict[str, Any]) -> Answer:
        self.reached.set()
        self.released.wait()
        return texts(path, body)


@pytest.fixture
def upstream() -> Iterator[Gated]:
    server = Gated()
    yield server
    server.close()


@pytest.fixture
def server(upstream: Gated, database_url: str, tmp_path: Path) -> Iterator[BursarServer]:
    (tmp_path / "clock").write_text("2025-01-10T00:00:00Z")
    environment = {
        "BURSAR_OPENAI_BASE_URL": upstream.url,
        "BURSAR_OPENAI_API_KEY": SECRET,
        "BURSAR_TEST_CLOCK": str(tmp_path / "clock"),
        "BURSAR_JOB_SECONDS": "3600",
    }
    made = BursarServer(database_url=database_url, data_dir=tmp_path / "data", environment=environment)
    with made:
        yield made


def ask_and_leave(server: BursarServer, token: str, upstream: Gated) -> None:
    """Send a whole request, wait until the provider works on it, and hang up."""
    body = json.dumps(TEXT).encode()
    head = (
        f"POST /api/ai/generate-text HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Idempotency-Key: once\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port or 0)) as connection:
        connection.sendall(head.encode() + body)
        assert upstream.reached.wait(20)


def test_a_caller_who_left_finds_the_answer_by_asking_again(server: BursarServer, upstream: Gated) -> None:
    token = register(server)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "once"}
    ask_and_leave(server, token, upstream)
    with httpx.Client(base_url=server.url, headers=headers, timeout=20) as client:
        assert client.get("/api/ai/credits").json()["credits"] == 99
        assert client.post("/api/ai/generate-text", json=TEXT).status_code == 409
        upstream.released.set()
        answer = client.post("/api/ai/generate-text", json=TEXT)
        while answer.status_code == 409:
            answer = client.post("/api/ai/generate-text", json=TEXT)
        assert (answer.status_code, answer.headers["idempotency-replayed"]) == (201, "true")
        assert answer.json()["credits_remaining"] == 99
        assert client.get("/api/ai/credits").json()["credits"] == 99
    assert len(upstream.asked) == 1


def test_a_server_that_dies_charges_for_nothing(server: BursarServer, upstream: Gated, tmp_path: Path) -> None:
    token = register(server)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "once"}
    ask_and_leave(server, token, upstream)
    server.kill()
    upstream.released.set()
    server.start()
    with httpx.Client(base_url=server.url, headers=headers, timeout=20) as client:
        assert client.get("/api/ai/credits").json()["credits"] == 99
        (tmp_path / "clock").write_text("2025-01-10T00:10:00Z")
        assert client.get("/api/ai/credits").json()["credits"] == 100
        answer = client.post("/api/ai/generate-text", json=TEXT)
        assert (answer.status_code, answer.json()["credits_remaining"]) == (201, 99)
