"""Prices by dates, and models, from the command line."""

from __future__ import annotations

from tests.cli.conftest import Bursar

USAGE = ("--usage", "input_tokens=1000", "--usage", "output_tokens=100")


def open_alice(bursar: Bursar) -> None:
    bursar.ok("accounts", "open", "alice", "--no-plan")
    bursar.ok("grant", "alice", "100")


def test_a_models_life(bursar: Bursar) -> None:
    open_alice(bursar)
    assert bursar.get("models", "terms") == {"usd_per_credit": "0.01", "model_markup": "1"}
    charged = bursar.get("charge", "alice", "--model", "gpt-4o", *USAGE)
    assert (charged["amount"], charged["provider_cost_usd"]) == (-0.35, "0.0035")
    assert bursar.get("models", "terms", "--markup", "2")["model_markup"] == "2"
    assert bursar.get("charge", "alice", "--model", "gpt-4o", *USAGE)["amount"] == -0.7
    assert bursar.refused("charge", "alice", "--model", "gpt-99", *USAGE)["code"] == "model_not_found"
    assert bursar.get("models", "disable", "gpt-4o")["active"] is False
    assert bursar.refused("charge", "alice", "--model", "gpt-4o", *USAGE)["code"] == "model_disabled"
    assert bursar.get("models", "enable", "gpt-4o")["active"] is True
    assert [model["name"] for model in bursar.get("models", "list")] == ["gpt-4o"]


def test_prices_of_ones_own(on_sqlite: Bursar) -> None:
    open_alice(on_sqlite)
    made = on_sqlite.get(
        "models", "price", "house", "--usd", "input_token=0.5/1000000", "--usd", "output_token=2/1000000",
        "--usd", "input_token=1/1000000@200000", "--minimum", "0.01",
    )  # fmt: skip
    assert made["components"][2] == {"unit": "input_token", "usd": 1, "per": 1_000_000, "above": 200_000}
    assert on_sqlite.get("charge", "alice", "--model", "house", *USAGE)["amount"] == -0.07
    assert on_sqlite.get("models", "price", "*", "--component", "output_token=1/100", "--markup", "1.5")["model"] == "*"
    unknown = on_sqlite.get("charge", "alice", "--model", "gpt-99", "--usage", "output_tokens=100")
    assert unknown["amount"] == -1.5
    later = on_sqlite.get("models", "price", "house", "--usd", "call=1", "--valid-from", "2100-01-01T00:00:00Z")
    rows = on_sqlite.ok("models", "price", "house").rows
    assert [row["version"] for row in rows] == [str(later["version"]), "1"]
    assert rows[0]["valid_from"] == "2100-01-01T00:00:00Z"
    assert on_sqlite.refused("models", "price", "house", "--usd", "call=-1")["field"] == "components[0].usd"
    both = on_sqlite.refused("models", "price", "house", "--usd", "call=1", "--component", "second=1")
    assert both["field"] == "components"


def test_what_is_published_again(on_sqlite: Bursar) -> None:
    on_sqlite.ok("accounts", "open", "alice")
    added = on_sqlite.get("models", "add", "gpt-4o")
    assert on_sqlite.refused("models", "add", "gpt-4o")["code"] == "already_exists"
    assert on_sqlite.get("models", "refresh") == [added]
    on_sqlite.ok("models", "price", "gpt-4o", "--usd", "call=1")
    assert on_sqlite.get("models", "refresh") == []
    [again] = on_sqlite.get("models", "refresh", "gpt-4o")
    assert again["price"]["components"] == added["price"]["components"]
    assert on_sqlite.refused("models", "refresh", "gpt-5")["code"] == "model_not_found"


def test_a_skills_price_by_dates(on_sqlite: Bursar) -> None:
    open_alice(on_sqlite)
    on_sqlite.ok("skills", "add", "TOOL", "2")
    made = on_sqlite.get(
        "skills", "price", "TOOL", "9", "--valid-from", "2100-01-01T00:00:00Z", "--valid-to", "2100-02-01T00:00:00Z"
    )
    assert (made["valid_from"], made["valid_to"]) == ("2100-01-01T00:00:00Z", "2100-02-01T00:00:00Z")
    assert on_sqlite.get("charge", "alice", "--skill", "TOOL")["amount"] == -2
    rows = on_sqlite.ok("skills", "price", "TOOL").rows
    assert [(row["version"], row["rule"]) for row in rows] == [("2", "9 per call"), ("1", "2 per call")]
    assert {row["name"]: row["version"] for row in on_sqlite.ok("skills", "list").rows}["TOOL"] == "1"
    past = on_sqlite.refused("skills", "price", "TOOL", "9", "--valid-from", "2020-01-01T00:00:00Z")
    assert (past["code"], past["field"]) == ("invalid", "valid_from")
    shown = on_sqlite("skills", "price", "TOOL", "9", "--valid-from", "tomorrow")
    assert (shown.code, "--valid-from" in shown.err) == (2, True)


def test_images_by_size_and_quality(on_sqlite: Bursar) -> None:
    open_alice(on_sqlite)
    added = on_sqlite.get(
        "skills", "add", "DRAW", "--component", "image=4", "--component", "image,,hd=8/1",
        "--component", "image,1024x1792,hd=12", "--component", "image,512x512=1/2",
    )  # fmt: skip
    assert added["price"]["components"] == [
        {"unit": "image", "credits": 4},
        {"unit": "image", "credits": 8, "quality": "hd"},
        {"unit": "image", "credits": 12, "size": "1024x1792", "quality": "hd"},
        {"unit": "image", "credits": 1, "per": 2, "size": "512x512"},
    ]
    usage = ("--usage", "images=2", "--usage", "calls=0", "--usage", "image_size=512x512")
    assert on_sqlite.get("charge", "alice", "--skill", "DRAW", *usage)["amount"] == -1
    for wrong in ("image", "image=", "=4", "image,=4=5", "image=4/x", "image=4@x"):
        shown = on_sqlite("skills", "add", "OTHER", "--component", wrong)
        assert (shown.code, "--component" in shown.err) == (2, True), wrong
