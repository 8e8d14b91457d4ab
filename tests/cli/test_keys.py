"""API keys and signing secrets."""

from __future__ import annotations

from tests.cli.conftest import Bursar


def test_a_key_is_shown_once_listed_and_revoked(on_sqlite: Bursar) -> None:
    made = on_sqlite.get("keys", "create", "service", "--name", "worker", "--may-grant")
    assert made["key"].startswith("bk_")
    listed = on_sqlite.get("keys", "list")
    assert [key["id"] for key in listed] == [made["id"]]
    assert "key" not in listed[0]
    assert "digest" not in listed[0]
    on_sqlite.ok("keys", "revoke", made["id"])
    assert on_sqlite.get("keys", "list")[0]["revoked_at"] is not None
    assert on_sqlite.refused("keys", "revoke", made["id"])["code"] == "key_not_found"
    assert on_sqlite.refused("keys", "create", "account")["field"] == "account"
    assert on_sqlite.refused("keys", "create", "king")["field"] == "role"


def test_a_key_of_an_account(on_sqlite: Bursar) -> None:
    made = on_sqlite.get("keys", "create", "account", "--account", "alice", "--expires-at", "2999-01-01T00:00:00Z")
    on_sqlite.ok("keys", "create", "admin")
    assert [key["id"] for key in on_sqlite.get("keys", "list", "--account", "alice")] == [made["id"]]
    assert made["expires_at"] == "2999-01-01T00:00:00Z"


def test_a_new_secret_signs_before_the_old_one_goes(on_sqlite: Bursar) -> None:
    [old] = on_sqlite.get("secrets", "list")
    new = on_sqlite.get("secrets", "add")
    assert on_sqlite.get("secrets", "list") == [new, {"id": old["id"], "signs": False}]
    assert on_sqlite.refused("secrets", "retire", new["id"])["code"] == "bad_settings"
    on_sqlite.ok("secrets", "retire", old["id"])
    assert on_sqlite.get("secrets", "list") == [new]


def test_secrets_of_the_environment_are_changed_there(on_sqlite: Bursar) -> None:
    given = {"BURSAR_SECRETS": f"one:{'x' * 40},two:{'y' * 40}"}
    listed = on_sqlite("secrets", "list", **given)
    assert [row["id"] for row in listed.rows] == ["one", "two"]
    assert "xxx" not in listed.out
    assert on_sqlite("secrets", "add", **given).code == 1
