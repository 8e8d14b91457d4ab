"""`bursar backfill` and `bursar set`, as the `api-calls` document's scripts and SQL are used."""

from __future__ import annotations

from tests.cli.conftest import Bursar


def test_existing_users_are_given_credits(bursar: Bursar) -> None:
    for name in ("anna", "bert"):
        bursar.ok("accounts", "open", name, "--no-plan", "--email", f"{name}@example.com")
    bursar.ok("grant", "bert", "7")
    shown = bursar.ok("backfill", "--credits", "5000")
    assert shown.fields == {"run": "first", "accounts": "2", "given": "1", "left": "1"}
    assert "accounts: 2 of 2" in shown.err
    assert bursar.get("accounts", "show", "anna")["available"] == 5_000
    assert bursar.get("accounts", "show", "bert")["available"] == 7
    assert bursar.get("backfill", "--credits", "5000", "--all") == {
        "run": "first",
        "accounts": 2,
        "given": 2,
        "left": 0,
    }
    assert bursar.get("accounts", "show", "bert")["available"] == 5_000
    bursar.ok("charge", "bert", "1")
    bursar.ok("backfill", "--credits", "5000", "--all")
    assert bursar.get("accounts", "show", "bert")["available"] == 4_999
    bursar.ok("set", "bert@example.com", "5000")
    assert bursar.get("accounts", "show", "bert")["available"] == 5_000
    assert bursar.refused("backfill", "--credits", "0")["field"] == "credits"
    bursar.ok("verify")
