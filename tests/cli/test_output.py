"""Answers for people, on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from tests.cli.conftest import Bursar


def on_a_terminal(bursar: Bursar, *arguments: str) -> str:
    """What somebody sees on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "BURSAR_DATABASE_URL": str(bursar.url), "TERM": "dumb", "COLUMNS": "80"}
    process = subprocess.Popen(
        [sys.executable, "-m", "bursar", *arguments], cwd=bursar.folder, env=environment, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:
        pass  # Linux says so when the last writer has gone
    finally:
        os.close(ours)
    assert process.wait() == 0, seen
    return seen.decode()


def test_a_table_never_cuts_an_id_or_an_amount(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice", "--name", "[red]Alice[/red]")
    receipt = on_sqlite.get("charge", "alice", "0.123456789", "--description", "a long story " * 9)
    seen = on_a_terminal(on_sqlite, "history", "alice")
    assert receipt["id"] in seen
    assert "-0.123456789" in seen
    assert all(len(line) <= 80 for line in seen.splitlines())


def test_text_is_shown_as_it_is(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice", "--name", "[red]Alice[/red]")
    assert "[red]Alice[/red]" in on_a_terminal(on_sqlite, "accounts", "show", "alice")


def test_long_work_moves_on_a_terminal(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice")
    assert "sound" in on_a_terminal(on_sqlite, "verify")
