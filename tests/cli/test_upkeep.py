"""Verify, backup, restore and erase from the command line."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.cli.conftest import Bursar


def test_backup_and_restore_into_the_other_database(bursar: Bursar, tmp_path: Path) -> None:
    bursar.ok("accounts", "open", "alice")
    bursar.ok("charge", "alice", "1", "--idempotency-key", "one")
    made = bursar.get("backup", "file.bursar")
    assert made["rows"]["transactions"] == 2
    copy = type(bursar)("sqlite:///copy.db", tmp_path)
    restored = copy.get("restore", "file.bursar")
    assert (restored["sound"], restored["transactions"]) == (True, 2)
    assert copy.get("accounts", "show", "alice") == bursar.get("accounts", "show", "alice")
    assert copy.refused("restore", "file.bursar")["code"] == "not_empty"
    assert copy.get("restore", "file.bursar", "--force")["sound"] is True
    plain = copy.ok("restore", "file.bursar", "--force")
    assert plain.fields["sound"] == "yes"
    assert "transactions 2" in plain.err


def test_a_damaged_backup_is_refused_by_name_and_makes_nothing(on_sqlite: Bursar, tmp_path: Path) -> None:
    on_sqlite.ok("accounts", "open", "alice")
    on_sqlite.ok("backup", "file.bursar")
    whole = (tmp_path / "file.bursar").read_bytes()
    (tmp_path / "cut.bursar").write_bytes(whole[: len(whole) // 2])
    other = type(on_sqlite)("sqlite:///other.db", tmp_path)
    problem = other.refused("restore", "cut.bursar")
    assert problem["field"] == "file"
    assert problem["reason"].startswith("cut.bursar ")
    assert other.refused("restore", "absent.bursar")["code"] == "file_error"
    assert not (tmp_path / "other.db").exists()


def test_verify_names_table_account_and_row(on_sqlite: Bursar, tmp_path: Path) -> None:
    on_sqlite.ok("accounts", "open", "alice")
    on_sqlite.ok("charge", "alice", "1")
    with closing(sqlite3.connect(tmp_path / "bursar.db")) as connection:
        connection.execute("UPDATE transactions SET amount = amount - 1 WHERE seq = 2")
        connection.commit()
    shown = on_sqlite("verify")
    assert shown.code == 1
    assert shown.fields["sound"] == "no"
    assert "transactions / alice / 2" in shown.out
    found = on_sqlite.refused("verify")["findings"]
    assert {"table": "transactions", "account": "alice", "row": 2} in [
        {name: finding[name] for name in ("table", "account", "row")} for finding in found
    ]
    assert on_sqlite("verify", "--account", "bob").code == 1


def test_erase_asks_first_and_leaves_a_sound_ledger(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice", "--email", "alice@example.com", "--name", "Alice")
    on_sqlite.ok("charge", "alice", "1", "--description", "about Alice", "--idempotency-key", "alice-1")
    assert on_sqlite("accounts", "erase", "alice", given="n\n").code == 1
    assert on_sqlite.get("accounts", "show", "alice")["name"] == "Alice"
    assert on_sqlite("accounts", "erase", "alice", given="y\n").code == 0
    shown = on_sqlite.get("accounts", "show", "alice")
    assert (shown["email"], shown["name"], shown["available"]) == (None, None, 99)
    assert "Alice" not in on_sqlite.ok("history", "alice", "--json").out
    assert on_sqlite.get("verify")["sound"] is True
    assert on_sqlite.get("accounts", "erase", "alice", "--yes")["idempotency_keys"] == 0
    assert on_sqlite.refused("accounts", "erase", "bob", "--yes")["code"] == "account_not_found"
