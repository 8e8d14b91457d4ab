"""Query plans: what runs often finds its rows by an index, and nothing scans the ledger."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import asyncpg
import psycopg
import pytest

from bursar.store import postgres
from bursar.store.postgres import connect
from bursar.store.queries import load_queries
from bursar.store.url import PostgresAddress, parse_url

LEDGER = {
    "accounts",
    "lots",
    "holds",
    "transactions",
    "idempotency_keys",
    "members",
    "totals",
    "paid_totals",
    "lot_totals",
}
HOT = {
    "lock_accounts",
    "lock_free_accounts",
    "get_accounts",
    "live_lots",
    "due_holds",
    "find_keys",
    "find_holds",
    "find_lots",
    "find_transactions",
    "find_refunds",
    "find_calls",
    "find_members",
    "update_members",
    "update_spent",
    "update_balances",
    "update_accounts",
    "update_lots",
    "update_ended_lots",
    "update_settled_holds",
    "update_holds",
    "add_totals",
    "add_paid_totals",
    "add_lot_totals",
}
PAGES: dict[str, tuple[Any, ...]] = {
    "list_accounts": (None, None, None, "u5", 10),
    "find_account_by_email": ("u77@example.com",),
    "list_transactions": ("u77", None, None, None, None, None, 20),
    "list_holds": ("u77", None, None, 10),
    "list_lots": ("u77", None, 10),
    "list_runs": ("u77", None, 10),
    "list_inner_runs": ("u77", "h1"),
    "list_run_transactions": ("u77", "h1", None, 10),
    "sum_run": ("u77", "h1"),
    "due_accounts": (1, 100),
    "scan_accounts": ("u77", 100),
    "scan_transactions": ("u77", 0, 100),
    "scan_lots": ("u77", "", 100),
    "scan_holds": ("u77", "", 100),
    "scan_keys": ("u77", "", 100),
    "scan_counted": ("u77", 0, 100),
    "walk_transactions": ("u77", 3, 100),
    "sum_usage": (20_100, 20_130, True, True, False, False, None, None, None, -1, "", "", "", 100),
    "sum_paid_usage": (
        *(20_100, 20_130, True, True, False, False, None, None, None, -1, "", "", ""),
        *(20_129, "TEXT", "", ""),
    ),
    "scan_members": ("u77", "", 100),
    "erase_transactions": ("u77",),
    "erase_holds": ("u77",),
    "erase_keys": ("u77",),
    "find_login": ("zoe@example.com",),
    "find_identity": ("https://issuer.example.com", "1"),
    "find_unclaimed_account": ("u77@example.com", "U77@example.com"),
    "ways_into_account": ("u77",),
    "find_api_key": (b"digest",),
    "get_api_key": ("k1",),
    "revoke_api_key": ("k1", 1),
    "find_media": ("m1",),
    "get_setting": ("preset",),
}
WHOLE = {
    # What reads a table whole because it wants all of it, and the small tables.
    "count_accounts",
    "scan_totals",
    "scan_paid_totals",
    "scan_lot_totals",
    "sum_lots",
    "sum_owed",
    "orphan_transactions",
    "orphan_lots",
    "orphan_holds",
    "orphan_keys",
    "orphan_members",
}
REPORTS: dict[str, tuple[Any, ...]] = {
    "sum_usage": PAGES["sum_usage"],
    "sum_paid_usage": PAGES["sum_paid_usage"],
    "sum_lots": (-1, "", "", 100),
    "sum_owed": (20_100,),
}
SMALL = {
    "clock",
    "catalogue_version",
    "bump_catalogue",
    "list_skills",
    "list_prices",
    "list_plans",
    "insert_skill",
    "update_skill",
    "insert_price",
    "list_models",
    "list_model_prices",
    "insert_model",
    "update_model",
    "insert_model_price",
    "upsert_plan",
    "insert_login",
    "disown_login",
    "insert_identity",
    "erase_identities",
    "revoke_account_keys",
    "erase_logins",
    "insert_api_key",
    "list_api_keys",
    "erase_api_keys",
    "insert_media",
    "erase_media",
    "list_media",
    "put_media",
    "put_setting",
    "replace_setting",
    "schema_version",
}


def test_every_statement_is_spoken_for() -> None:
    assert load_queries("postgres").keys() == HOT | PAGES.keys() | WHOLE | SMALL


FILL = """
INSERT INTO accounts SELECT 'u' || i, 'u' || i || '@example.com', NULL, 'free', 'active', 'debt', 'UTC', NULL, 0, 0,
    0, 0, 0, 0, 3, '', NULL, NULL, CASE WHEN i % 10 = 0 THEN now() END, now(), now(), ''
    FROM generate_series(1, 3000) AS i;
INSERT INTO lots SELECT 'u' || i, 'g' || j, 'plan', NULL, 1, 1, 1, 0, now(), NULL, NULL, NULL, NULL, 1, true, j = 1
    FROM generate_series(1, 3000) AS i, generate_series(1, 3) AS j;
INSERT INTO holds SELECT 'u' || i, 'h' || j, CASE j WHEN 1 THEN 'open' ELSE 'captured' END, 1, 0, NULL, '[]', NULL,
    NULL, NULL, NULL, NULL, 'debt', 'release', 'me', NULL, NULL, NULL, now(), now(), CASE WHEN j > 1 THEN now() END, 0,
    NULL, '' FROM generate_series(1, 3000) AS i, generate_series(1, 3) AS j;
INSERT INTO transactions SELECT 'u' || i, j, 'tx_' || j, 'CONSUMPTION', -1, 0, 0, '[]', NULL, NULL, NULL, NULL, NULL,
    NULL, 'me', 'world', NULL, CASE j WHEN 3 THEN 'tx_1' END, NULL, NULL, now(), now(), NULL, NULL, NULL, NULL, NULL, ''
    FROM generate_series(1, 3000) AS i, generate_series(1, 3) AS j;
INSERT INTO totals SELECT k, date '2020-01-01' + i, 'CONSUMPTION', 'S' || j, '', 'free', 1, 1, 1
    FROM generate_series(1, 3000) AS i, generate_series(1, 3) AS j, generate_series(0, 1) AS k;
INSERT INTO paid_totals SELECT 0, date '2020-01-01' + i, 'CONSUMPTION', 'S' || j, '', 'free', 'USD', 0, 1, 1, 1, 1
    FROM generate_series(1, 3000) AS i, generate_series(1, 3) AS j;
INSERT INTO lot_totals SELECT 0, 's' || j, i, 'USD', 1, 1, 1, 1
    FROM generate_series(1, 1000) AS i, generate_series(1, 3) AS j;
INSERT INTO idempotency_keys SELECT 'u' || i, 'k' || j, 'charge', '', 'tx' FROM generate_series(1, 3000) AS i,
    generate_series(1, 3) AS j;
INSERT INTO members SELECT 'u' || i, 'm' || j, 'added', now(), NULL, '' FROM generate_series(1, 3000) AS i,
    generate_series(1, 3) AS j;
"""


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


async def explained(connection: asyncpg.Connection[Any], name: str) -> list[dict[str, Any]]:
    statement = load_queries("postgres")[name]
    count = len(set(re.findall(r"\$\d+", statement)))
    arguments = f"({', '.join(['NULL'] * count)})" if count else ""
    await connection.execute(f"PREPARE plan_{name} AS {statement}")
    text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE plan_{name}{arguments}")
    return nodes(json.loads(text)[0]["Plan"])


SETTLE = "UPDATE holds SET state = 'captured', settled_at = now();"


@pytest.fixture(params=["empty", "full", "settled"])
def filled(request: pytest.FixtureRequest, fresh_pg_url: str) -> str:
    """A ledger that grew, one that had no call in flight when it was counted, and one that was still empty."""
    if request.param != "empty":
        fill(fresh_pg_url, SETTLE if request.param == "settled" else "")
    return fresh_pg_url


def fill(url: str, then: str = "") -> None:
    with psycopg.connect(f"{url}?options=-csearch_path%3Dbursar", autocommit=True) as session:
        session.execute(FILL)
        session.execute(then)
        session.execute("ANALYZE")


@asynccontextmanager
async def connected(url: str, settings: dict[str, str]) -> AsyncIterator[asyncpg.Connection[Any]]:
    address = parse_url(url)
    assert isinstance(address, PostgresAddress)
    connection = await connect(address, settings)
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_lane_finds_everything_by_index(filled: str) -> None:
    async with connected(filled, postgres._LANE) as connection:
        for name in sorted(HOT):
            plan = await explained(connection, name)
            scanned = [node for node in plan if node.get("Relation Name") in LEDGER and "Scan" in node["Node Type"]]
            assert name.startswith("add_") or scanned, (name, plan)
            for node in scanned:
                assert node["Node Type"] in ("Index Scan", "Index Only Scan", "Bitmap Heap Scan"), (name, node)
                condition = node.get("Index Cond") or node.get("Recheck Cond") or ""
                assert "account_id = " in condition, (name, node)


async def test_accounts_are_locked_after_they_are_sorted(filled: str) -> None:
    async with connected(filled, postgres._LANE) as connection:
        for name in ("lock_accounts", "lock_free_accounts"):
            kinds = [node["Node Type"] for node in await explained(connection, name)]
            assert kinds[0] == "LockRows"
            assert kinds[1] in ("Sort", "Index Scan")


async def test_pages_do_not_scan_the_ledger(fresh_pg_url: str) -> None:
    fill(fresh_pg_url)
    async with connected(fresh_pg_url, postgres._READ) as connection:
        for name, arguments in PAGES.items():
            text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {load_queries('postgres')[name]}", *arguments)
            for node in nodes(json.loads(text)[0]["Plan"]):
                assert node["Node Type"] != "Seq Scan" or node["Relation Name"] not in LEDGER, (name, node)


async def test_reports_for_everybody_read_nothing_but_totals(fresh_pg_url: str, sqlite_url: str) -> None:
    fill(fresh_pg_url)
    totals = {"totals", "paid_totals", "lot_totals"}
    async with connected(fresh_pg_url, postgres._READ) as connection:
        for name, arguments in REPORTS.items():
            text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {load_queries('postgres')[name]}", *arguments)
            plan = nodes(json.loads(text)[0]["Plan"])
            read = {node["Relation Name"] for node in plan if "Relation Name" in node}
            assert read, (name, plan)
            assert read <= totals, (name, read)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as file:
        for name, arguments in REPORTS.items():
            steps = [step for *_, step in file.execute(f"EXPLAIN QUERY PLAN {load_queries('sqlite')[name]}", arguments)]
            read = set(re.findall(r"(?:SCAN|SEARCH) (\w+)", " ".join(steps)))
            assert read & totals, (name, steps)
            assert read <= totals, (name, steps)


def test_sqlite_scans_nothing(sqlite_url: str) -> None:
    connection = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    queries = load_queries("sqlite")
    for name in sorted(HOT | PAGES.keys()):
        given = PAGES.get(name) or [None] * len(set(re.findall(r"\?\d+", queries[name])))
        for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {queries[name]}", tuple(given)):
            assert not step.startswith("SCAN") or "VIRTUAL TABLE" in step or "SCAN (" in step, (name, step)
            assert "AUTOMATIC" not in step, (name, step)
    connection.close()
