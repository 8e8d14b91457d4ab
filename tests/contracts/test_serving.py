"""`bursar serve --preset NAME`: a new ledger of each published system, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from bursar.presets import preset_names
from tests.support.process import BursarServer, ServerError

PERSON = {"email": "user@example.com", "password": "correct horse"}

OPENING = {"ai-credits": 100, "api-calls": 5_000, "skills": 0, "tokens": 5, "usd": 10}
UNAUTHORIZED = {
    "ai-credits": {"statusCode": 401, "message": "Unauthorized"},
    "api-calls": {"error": "Unauthorized"},
    "skills": {"error": "Unauthorized"},
    "tokens": {"error": "Unauthorized", "detail": "Unauthorized", "status": 401},
    "usd": {"error": "Unauthenticated", "message": "Unauthorized"},
}


def serving(folder: Path, preset: str) -> BursarServer:
    return BursarServer(
        database_url=f"sqlite:///{folder / 'bursar.db'}", data_dir=folder / "data", arguments=["--preset", preset]
    )


@pytest.mark.parametrize("preset", preset_names())
def test_a_new_account_has_what_the_document_says(tmp_path: Path, preset: str) -> None:
    with serving(tmp_path, preset) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        refused = client.get("/api/auth/session")
        assert (refused.status_code, refused.json()) == (401, UNAUTHORIZED[preset])
        token = client.post("/api/auth/register", json=PERSON).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        assert client.get("/api/auth/session").json()["credits"] == OPENING[preset]
        assert client.get("/api/ai/credits").json()["credits"] == OPENING[preset]
        assert client.get("/api/user/usage").json()["data"]["credits"] == OPENING[preset]
        assert "began with" not in server.output


def test_another_preset_later_changes_nothing_and_is_mentioned(tmp_path: Path) -> None:
    with serving(tmp_path, "tokens"):
        pass
    with serving(tmp_path, "usd") as server, httpx.Client(base_url=server.url, timeout=30) as client:
        assert "this ledger began with the preset tokens; usd changes nothing in it" in server.output
        assert "status" in client.get("/api/auth/session").json()


def test_what_is_misspelt_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="there is no preset 'token'; did you mean tokens"):
        serving(tmp_path, "token").start()
    (tmp_path / "mine.toml").write_text("[plans.free]\nallowence = 5\n")
    with pytest.raises(ServerError, match=r"plans.free.allowence: unknown key; did you mean allowance\?"):
        serving(tmp_path, str(tmp_path / "mine.toml")).start()
