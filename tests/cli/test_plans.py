"""`bursar plans ...`"""

from __future__ import annotations

from tests.cli.conftest import Bursar


def test_plans_are_put_listed_and_had(bursar: Bursar) -> None:
    bursar.ok("accounts", "open", "alice")
    put = bursar.get("plans", "put", "gold", "1000", "--renewal", "rollover", "--rollover-cap", "300", "--days", "30")
    assert (put["allowance"], put["rollover_cap"], put["duration_days"], put["after"]) == (1000, 300, 30, "free")
    assert bursar.get("plans", "show", "gold") == put
    assert [plan["name"] for plan in bursar.get("plans", "list")] == ["enterprise", "free", "gold", "pro", "team"]
    assert "rollover" in bursar.ok("plans", "list").out
    had = bursar.get("plans", "subscribe", "alice", "gold", "--days", "10", "--idempotency-key", "paid")
    assert (had["plan"], had["available"]) == ("gold", 1000)
    assert bursar.get("plans", "subscribe", "alice", "gold", "--days", "10", "--idempotency-key", "paid") == had
    cancelled = bursar.get("plans", "cancel", "alice")
    assert (cancelled["plan"], cancelled["next_plan"]) == ("gold", "free")
    assert bursar.get("plans", "cancel", "alice", "--at", "now")["plan"] == "free"
    assert bursar.get("verify")["findings"] == []


def test_what_is_refused(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice")
    assert on_sqlite.refused("plans", "subscribe", "alice", "nothing")["code"] == "plan_not_found"
    assert on_sqlite.refused("plans", "put", "free", "1", "--after", "pro")["field"] == "after"
    assert on_sqlite.refused("plans", "put", "odd", "1", "--timezone", "Mars/Base")["field"] == "timezone"
    assert on_sqlite("plans", "put", "odd", "1", "--after", "free", "--no-after").code == 2
    assert on_sqlite.ok("plans", "put", "last", "1", "--no-after").code == 0
