"""An account's life from the command line, on both databases."""

from __future__ import annotations

from tests.cli.conftest import Bursar


def test_an_account_from_its_first_grant_to_its_last_charge(bursar: Bursar) -> None:
    opened = bursar.get("accounts", "open", "alice", "--email", "alice@example.com", "--metadata", '{"team":"a"}')
    assert opened["available"] == 100
    assert opened["metadata"] == {"team": "a"}

    granted = bursar.get(
        "grant", "alice", "10.5", "--source", "purchase", "--paid", "9.99", "--currency", "USD", "--priority", "1"
    )
    assert granted["grant"]["paid"] == {"amount": "9.99", "currency": "USD"}
    assert granted["transaction"]["posted_after"] == 110.5

    charged = bursar.get("charge", "alice", "--skill", "IMAGE_GENERATION", "--idempotency-key", "one")
    assert charged["amount"] == -5
    assert charged["lots"] == [{"grant_id": granted["grant"]["id"], "amount": -5}]
    assert charged["actor"] == "cli"
    assert bursar.get("charge", "alice", "--skill", "IMAGE_GENERATION", "--idempotency-key", "one") == charged

    held = bursar.get("hold", "alice", "20", "--ttl-seconds", "600", "--dispatched")
    assert held["state"] == "dispatched"
    captured = bursar.get("capture", "alice", held["id"], "12.25")
    assert captured["posted_after"] == 93.25
    other = bursar.get("hold", "alice", "--skill", "TEXT_GENERATION")
    assert bursar.get("release", "alice", other["id"])["state"] == "released"

    refunded = bursar.get("refund", "alice", captured["id"], "2.25", "--reason", "late")
    assert refunded["amount"] == 2.25
    assert bursar.get("set", "ALICE@example.com", "7")["available"] == 7

    page = bursar.get("history", "alice", "--limit", "2")
    assert [receipt["type"] for receipt in page["data"]] == ["ADJUSTMENT", "REFUND"]
    older = bursar.get("history", "alice", "--limit", "9", "--cursor", page["next_cursor"])
    assert [receipt["seq"] for receipt in older["data"]] == [4, 3, 2, 1]
    shown = bursar.get("accounts", "show", "alice")
    assert (shown["available"], shown["email"]) == (7, "alice@example.com")
    assert sum(lot["remaining"] for lot in shown["lots"]) == 7
    assert bursar.get("verify")["sound"] is True


def test_usage_prices_and_skills(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice", "--no-plan")
    on_sqlite.ok("grant", "alice", "100")
    added = on_sqlite.get(
        "skills", "add", "CHAT", "--component", "input_token=0.5/1000", "--component", "output_token=1/1000",
        "--markup", "1.5", "--rounding", "0.01",
    )  # fmt: skip
    assert added["price"]["version"] == 1
    usage = ("--usage", "input_tokens=2000", "--usage", "output_tokens=1000")
    assert on_sqlite.get("charge", "alice", "--skill", "CHAT", *usage)["amount"] == -3
    assert on_sqlite.get("skills", "price", "CHAT", "2")["version"] == 2
    assert on_sqlite.get("charge", "alice", "--skill", "CHAT")["amount"] == -2
    assert [price["version"] for price in on_sqlite.get("skills", "price", "CHAT")] == [2, 1]
    assert on_sqlite.get("skills", "disable", "CHAT")["active"] is False
    assert on_sqlite.refused("charge", "alice", "--skill", "CHAT")["code"] == "skill_disabled"
    assert on_sqlite.get("skills", "enable", "CHAT")["active"] is True
    assert {skill["name"] for skill in on_sqlite.get("skills", "list")} >= {"CHAT"}


def test_a_refusal_names_its_code_and_changes_nothing(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice", "--no-plan")
    on_sqlite.ok("grant", "alice", "3")
    problem = on_sqlite.refused("charge", "alice", "5")
    assert problem == {
        "code": "insufficient_credits",
        "message": "This needs 5 credits; 3 are available.",
        "required": 5,
        "available": 3,
        "resets_at": None,
    }
    plain = on_sqlite("charge", "alice", "5")
    assert (plain.code, plain.out) == (1, "")
    assert plain.err == "bursar: This needs 5 credits; 3 are available. (insufficient_credits)\n"
    assert on_sqlite.refused("charge", "bob", "1")["code"] == "account_not_found"
    assert on_sqlite.refused("charge", "alice", "1e400")["field"] == "amount"
    assert on_sqlite.refused("charge", "alice", "0.0000000001")["code"] == "invalid"
    assert on_sqlite.refused("capture", "alice", "h_none")["code"] == "hold_not_found"
    assert on_sqlite.refused("refund", "alice", "tx_1_none")["code"] == "transaction_not_found"
    on_sqlite.ok("accounts", "freeze", "alice", "--reason", "why not")
    assert on_sqlite.refused("charge", "alice", "1")["code"] == "account_frozen"
    on_sqlite.ok("accounts", "unfreeze", "alice")
    assert on_sqlite.get("accounts", "show", "alice")["posted"] == 3


def test_amounts_are_exact_to_the_last_digit(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice", "--no-plan")
    on_sqlite.ok("grant", "alice", "9000000000")
    shown = on_sqlite.ok("charge", "alice", "0.000000001", "--json")
    assert '"posted_after":8999999999.999999999,' in shown.out
    assert on_sqlite.ok("accounts", "show", "alice").fields["available"] == "8999999999.999999999"


def test_set_by_an_email_that_nobody_or_two_have_is_refused(on_sqlite: Bursar) -> None:
    for account in ("a", "b"):
        on_sqlite.ok("accounts", "open", account, "--email", "two@example.com")
    assert on_sqlite.refused("set", "two@example.com", "1")["reason"].endswith("of several: a, b")
    assert on_sqlite.refused("set", "none@example.com", "1")["code"] == "account_not_found"
    on_sqlite.ok("accounts", "open", "two@example.com")
    assert on_sqlite.get("set", "two@example.com", "1")["account"] == "two@example.com"


def test_lists_come_in_pages(on_sqlite: Bursar) -> None:
    for account in ("alice", "bob", "carol"):
        on_sqlite.ok("accounts", "open", account, "--name", account.upper())
    first = on_sqlite.get("accounts", "list", "--limit", "2")
    assert [account["id"] for account in first["data"]] == ["alice", "bob"]
    plain = on_sqlite.ok("accounts", "list", "--limit", "2")
    assert [row["id"] for row in plain.rows] == ["alice", "bob"]
    assert plain.err == f"more: --cursor {first['next_cursor']}\n"
    rest = on_sqlite.get("accounts", "list", "--cursor", first["next_cursor"])
    assert [account["id"] for account in rest["data"]] == ["carol"]
    assert rest["next_cursor"] is None
    assert [row["id"] for row in on_sqlite.ok("accounts", "list", "--query", "BO").rows] == ["bob"]
    assert on_sqlite.refused("accounts", "list", "--limit", "1001")["field"] == "limit"


def test_reports(bursar: Bursar) -> None:
    bursar.ok("accounts", "open", "alice", "--no-plan")
    bursar.ok("grant", "alice", "10", "--source", "purchase", "--paid", "5", "--currency", "USD")
    bursar.ok("charge", "alice", "4", "--member", "ann", "--model", "m", "--provider-cost-usd", "0.5")
    [row] = bursar.ok("report", "usage", "--by", "model").rows
    assert (row["model"], row["charges"], row["used"], row["paid"]) == ("m", "1", "4", "4")
    [row] = bursar.ok("report", "usage", "--account", "alice", "--by", "member,actor").rows
    assert (row["member"], row["actor"], row["used"]) == ("ann", "cli", "4")
    assert bursar.get("report", "margin", "--by", "")["data"][0]["margin_usd"] == "1.5"
    assert bursar.get("report", "liabilities")["basis"] == [{"amount": "3", "currency": "USD"}]
    assert bursar.ok("report", "liabilities").fields["owed"] == "6"
    assert bursar.ok("report", "rate", "--account", "alice").fields["available"] == "6"
    shown = bursar.ok("report", "statement", "alice", "--since", "2026-01-01").fields
    assert (shown["opening"], shown["closing"]) == ("0", "6")
    lines = bursar.ok("report", "statement", "alice", "--since", "2026-01-01T00:00:00Z", "--csv").out.splitlines()
    assert [line.split(",")[2] for line in lines[1:]] == ["CLOSING", "CONSUMPTION", "PURCHASE", "OPENING"]
    assert bursar.ok("report", "usage", "--by", "", "--csv").out.splitlines()[1].startswith("1,4,0,0,4,4,0,0,2 USD")
    assert bursar.ok("recount").fields == {"rows": "0"}


def test_a_report_that_means_nothing_is_refused(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice")
    assert on_sqlite("report", "usage", "--since", "yesterday").code == 2
    assert on_sqlite("report", "statement", "alice", "--since", "now").code == 2
    assert on_sqlite.refused("report", "usage", "--by", "colour")["code"] == "invalid"
    assert on_sqlite.refused("report", "statement", "nobody", "--since", "2026-01-01")["code"] == "account_not_found"


def test_a_page_of_a_report_says_where_the_next_begins(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice")
    for model in ("a", "b"):
        on_sqlite.ok("charge", "alice", "1", "--model", model)
    shown = on_sqlite.ok("report", "usage", "--by", "model", "--limit", "1")
    assert [row["model"] for row in shown.rows] == ["a"]
    cursor = shown.err.split()[-1]
    assert [row["model"] for row in on_sqlite.ok("report", "usage", "--by", "model", "--cursor", cursor).rows] == ["b"]


def test_limits_and_members(bursar: Bursar) -> None:
    bursar.ok("accounts", "open", "team")
    assert bursar.get("members", "add", "team", "mia")["status"] == "added"
    limit = bursar.get("limits", "set", "team", "cap", "20", "--window", "day", "--scope", "member", "--value", "mia")
    assert (limit["amount"], limit["left"]) == (20, 20)
    bursar.ok("charge", "team", "15", "--member", "mia")
    refused = bursar.refused("charge", "team", "6", "--member", "mia")
    assert (refused["code"], refused["limit"], refused["available"]) == ("limit_exceeded", "cap", 5)
    assert bursar.refused("charge", "team", "6", "--member", "eve")["code"] == "member_denied"
    assert [(found["id"], found["spent"]) for found in bursar.get("limits", "list", "team")] == [("cap", 15)]
    bursar.ok("limits", "remove", "team", "cap")
    bursar.ok("charge", "team", "6", "--member", "mia")
    assert bursar.get("members", "remove", "team", "mia")["status"] == "removed"
    page = bursar.get("members", "list", "team")
    assert [(member["member"], member["status"]) for member in page["data"]] == [("mia", "removed")]
    assert bursar.refused("limits", "set", "team", "cap", "1", "--timezone", "Mars/Base")["field"] == "timezone"


def test_runs(bursar: Bursar) -> None:
    bursar.ok("accounts", "open", "alice")
    run = bursar.get("runs", "open", "alice", "10", "--ttl-seconds", "600", "--description", "a task")
    assert (run["state"], run["left"]) == ("open", 10)
    assert bursar.get("charge", "alice", "4", "--run", run["id"])["run"] == run["id"]
    assert bursar.refused("hold", "alice", "7", "--run", run["id"])["code"] == "run_exhausted"
    part = bursar.get("runs", "open", "alice", "5", "--run", run["id"])
    assert part["run"] == run["id"]
    assert bursar.get("runs", "close", "alice", run["id"])["spent"] == 4
    shown = bursar.get("runs", "show", "alice", run["id"])
    assert (shown["state"], [call["amount"] for call in shown["transactions"]]) == ("closed", [-4])
    states = {found["id"]: found["state"] for found in bursar.get("runs", "list", "alice")["data"]}
    assert states == {run["id"]: "closed", part["id"]: "expired"}
    assert bursar.get("accounts", "show", "alice")["available"] == 96
