"""How commands start, fail, and speak to pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Bursar
from tests.support.ports import free_port

HEAVY = {"alembic", "asyncio", "asyncpg", "fastapi", "pydantic", "sqlalchemy", "sqlite3", "uvicorn", "uvloop"}

Nowhere = Callable[[str | None], Bursar]


def test_starting_imports_nothing_that_help_does_not_need() -> None:
    program = "import bursar.cli.main, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY & set(shown.stdout.split()) == set()


def test_help_lists_every_command(nowhere: Nowhere) -> None:
    shown = nowhere(None).ok("--help").out
    wanted = "serve migrate accounts grant charge hold capture release refund history set keys skills verify bench"
    for command in f"{wanted} backup restore secrets".split():
        assert f" {command} " in shown
    assert "erase" in nowhere(None).ok("accounts", "-h").out


def test_version(nowhere: Nowhere) -> None:
    assert nowhere(None).ok("--version").out.startswith("bursar 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["charge"],
        ["nonsense"],
        ["charge", "alice", "--nonsense"],
        ["charge", "alice", "1", "--metadata", "[1]"],
        ["charge", "alice", "1", "--usage", "tokens"],
        ["grant", "alice", "1", "--expires-at", "tomorrow"],
        ["grant", "alice", "1", "--paid", "5"],
        ["skills", "add", "CHAT", "--component", "tokens"],
        ["accounts", "open", "alice", "--plan", "free", "--no-plan"],
        ["bench", "--seconds", "0"],
        ["hold", "alice", "1", "--overage", "never"],
    ],
    ids=" ".join,
)
def test_a_usage_error_is_exit_code_2(on_sqlite: Bursar, arguments: list[str]) -> None:
    shown = on_sqlite(*arguments)
    assert shown.code == 2
    assert shown.out == ""
    assert "Usage: bursar" in shown.err


def test_an_unreachable_database_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    bursar = Bursar(f"postgresql://somebody:hidden@127.0.0.1:{free_port()}/x", tmp_path)
    for arguments in (["accounts", "list"], ["migrate"], ["backup", "file"], ["serve"]):
        shown = bursar(*arguments)
        assert (shown.code, shown.out) == (1, "")
        assert shown.err.startswith("bursar: The database cannot be reached: ")
        assert shown.err.count("\n") == 1
        assert "hidden" not in shown.err
    assert bursar.refused("accounts", "list")["code"] == "database_unavailable"


def test_a_bad_setting_is_one_line_and_exit_code_1(nowhere: Nowhere) -> None:
    assert nowhere("mysql://x").refused("accounts", "list")["field"] == "database_url"
    shown = nowhere(None)("accounts", "list", BURSAR_PORT="many")
    assert (shown.code, shown.err.count("\n")) == (1, 1)
    assert "BURSAR_PORT" in shown.err


def test_only_what_begins_something_makes_a_database(nowhere: Nowhere, tmp_path: Path) -> None:
    bursar = nowhere(None)
    file = tmp_path / "data" / "bursar.db"
    for arguments in (["accounts", "list"], ["charge", "alice", "1"], ["verify"], ["backup", "file"], ["keys", "list"]):
        assert bursar.refused(*arguments)["code"] == "not_migrated"
    assert not file.exists()
    assert bursar.get("accounts", "open", "alice")["available"] == 100
    assert file.exists()


def test_migrate_says_what_it_did(nowhere: Nowhere) -> None:
    bursar = nowhere("sqlite:///new.db")
    first = bursar.get("migrate")
    assert first["applied"] == [first["revision"]] or len(first["applied"]) > 1
    assert bursar.get("migrate")["applied"] == []


def test_the_option_wins_over_the_environment(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice")
    assert on_sqlite.refused("accounts", "list", "--database-url", "sqlite:///other.db")["code"] == "not_migrated"


def test_a_reader_that_leaves_is_no_error(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice")
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "BURSAR_DATABASE_URL": str(on_sqlite.url)}
    shown = subprocess.run(
        [sys.executable, "-m", "bursar", "accounts", "list"],
        env=environment, cwd=on_sqlite.folder, stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    assert shown.stderr == ""


def test_lines_for_pipes_hold_no_control_characters(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice")
    on_sqlite.ok("charge", "alice", "1", "--description", "two\nlines\tand a tab")
    [row] = on_sqlite.ok("history", "alice", "--limit", "1").rows
    assert row["what"] == "two lines and a tab"
