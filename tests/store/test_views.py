"""What people and BI see: whole units, exact, read-only."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from bursar.store.base import Lane, Store, Tx
from tests.store.rows import T0, account, lot, transaction, write
from tests.store.test_migrate import execute

CREDIT = 10**9


@pytest.fixture
def query(url: str) -> Callable[[str], list[tuple[Any, ...]]]:
    """Runs SQL as a reader would; `users` becomes `bursar.users` on PostgreSQL."""
    schema = "" if url.startswith("sqlite") else "bursar."
    return lambda statement: execute(url, statement.replace("{}", schema))


async def with_plan(store: Store) -> None:
    async def work(tx: Tx) -> None:
        terms = ("pro", "Pro", 500 * CREDIT, "month", "calendar", "reset", None, 10, T0)
        await tx.execute("upsert_plan", *terms, None, None, "free", False, False)

    await store.write(work)


async def test_users_in_whole_credits(store: Store, lane: Lane, query: Any) -> None:
    await with_plan(store)
    await write(
        lane,
        new_accounts=[
            account("alice", email="a@x", name="Alice", plan="pro", posted=95 * CREDIT, spent=5 * CREDIT),
            account("bob", posted=10 * CREDIT - 265 * 1000, held=CREDIT, last_reset=T0, next_reset=T0 + 1),
            account("carol", posted=-CREDIT, debt=CREDIT, plan="free"),
            account("whale", posted=2**63 - 1, held=1),
        ],
        transactions=[
            transaction("alice", 1, type="PURCHASE", amount=100 * CREDIT),
            transaction("alice", 2, amount=-7 * CREDIT),
            transaction("alice", 3, type="REFUND", amount=2 * CREDIT),
        ],
    )
    rows = query("SELECT id, credits, ai_credits, posted, held FROM {}users ORDER BY id")
    plain = [(name, *map(shown, amounts)) for name, *amounts in rows]
    assert plain[0] == ("alice", "95", "95", "95", "0")
    assert plain[1] == ("bob", "8.999735", "8.999735", "9.999735", "1")
    assert plain[2] == ("carol", "-1", "-1", "-1", "0")
    if store.dialect == "postgres":
        assert plain[3] == (
            "whale",
            "9223372036.854775806",
            "9223372036.854775806",
            "9223372036.854775807",
            "0.000000001",
        )
    else:
        assert all(isinstance(amount, int) for amount in rows[0][1:])


async def test_users_has_the_columns_that_were_published(store: Store, lane: Lane, query: Any, url: str) -> None:
    await with_plan(store)
    await write(
        lane,
        new_accounts=[
            account("a", email="a@x", name="A", plan="pro", posted=CREDIT, spent=5 * CREDIT, last_reset=T0, ends_at=T0)
        ],
        transactions=[
            transaction("a", 1, type="PURCHASE", amount=100 * CREDIT),
            transaction("a", 2, amount=-7 * CREDIT),
            transaction("a", 3, type="REFUND", amount=2 * CREDIT),
        ],
    )
    published = (
        "id email name plan credits posted held credits_limit ai_credits ai_credits_limit ai_credits_last_reset"
        " total_tokens_used monthly_tokens_used monthly_reset_date is_subscribed subscription_tier"
        " subscription_ends_at created_at"
    )
    names = published.split()
    [found] = query(f"SELECT {', '.join(names)} FROM {{}}users")
    row = dict(zip(names, found, strict=True))
    assert (row["credits_limit"], row["ai_credits_limit"]) == (500, 500)
    assert (row["total_tokens_used"], row["monthly_tokens_used"]) == (10_000, 10_000)
    assert (bool(row["is_subscribed"]), row["subscription_tier"]) == (True, "pro")
    assert row["monthly_reset_date"] is None
    assert str(row["subscription_ends_at"]).startswith("2026-01-01")
    assert str(row["ai_credits_last_reset"]).startswith("2026-01-01")
    assert str(row["created_at"]).startswith("2026-01-01")


@pytest.mark.parametrize(("plan", "expected"), [(None, False), ("free", False), ("pro", True)])
async def test_who_is_subscribed(lane: Lane, query: Any, plan: str | None, expected: bool) -> None:
    await write(lane, new_accounts=[account(plan=plan)])
    assert [bool(row[0]) for row in query("SELECT is_subscribed FROM {}users")] == [expected]


async def test_who_has_the_default_plan_is_not_subscribed(store: Store, lane: Lane, query: Any) -> None:
    await store.write(lambda tx: tx.execute("put_setting", "default_plan", "starter"))
    await write(lane, new_accounts=[account("a", plan="starter"), account("b", plan="free"), account("c")])
    rows = query("SELECT id, is_subscribed FROM {}users ORDER BY id")
    assert [(name, bool(subscribed)) for name, subscribed in rows] == [("a", False), ("b", True), ("c", False)]


async def test_a_subscription_ends_as_was_settled(lane: Lane, query: Any) -> None:
    await write(lane, new_accounts=[account("a", plan="pro", next_plan_at=T0), account("b", plan="pro")])
    rows = query("SELECT subscription_ends_at FROM {}users ORDER BY id")
    assert str(rows[0][0]).startswith("2026-01-01")
    assert rows[1][0] is None


async def test_transactions_have_a_source_and_a_destination(lane: Lane, query: Any) -> None:
    await write(
        lane,
        transactions=[
            transaction("a", 1, amount=10 * CREDIT, posted_after=10 * CREDIT, counterparty="world:stripe"),
            transaction("a", 2, amount=-CREDIT // 2, posted_after=19 * CREDIT // 2, held_after=CREDIT),
            transaction("a", 3, amount=0, posted_after=0, counterparty="skill:FREE"),
        ],
    )
    rows = query(
        "SELECT seq, amount, balance_after, available_after, source, destination, user_id"
        " FROM {}credit_transactions ORDER BY seq"
    )
    assert [
        (seq, *map(shown, amounts), *ends) for seq, *amounts, in_, out, user in rows for ends in [(in_, out, user)]
    ] == [
        (1, "10", "10", "10", "world:stripe", "account:a", "a"),
        (2, "-0.5", "9.5", "8.5", "account:a", "skill:TEXT", "a"),
        (3, "0", "0", "0", "account:a", "skill:FREE", "a"),  # a free charge, as its receipt says
    ]


async def test_entries_one_row_each(lane: Lane, query: Any) -> None:
    await write(
        lane,
        new_lots=[lot()],
        transactions=[
            transaction("a", 1, entries='[["g1",-2000000000],["g\\u00f62",-1],[null,-500000000]]'),
            transaction("b", 1, entries="[]"),
        ],
    )
    rows = query("SELECT account_id, seq, lot_id, amount FROM {}entries ORDER BY amount")
    assert [(*row[:3], shown(row[3])) for row in rows] == [
        ("a", 1, "g1", "-2"),
        ("a", 1, None, "-0.5"),
        ("a", 1, "gö2", "-0.000000001"),
    ]


@pytest.mark.parametrize("view", ["users", "credit_transactions", "entries"])
def test_views_cannot_be_written(query: Any, view: str) -> None:
    for statement in (f"DELETE FROM {{}}{view}", f"INSERT INTO {{}}{view} DEFAULT VALUES"):
        with pytest.raises(Exception, match=r"(?i)view|cannot"):
            query(statement)


def shown(amount: Any) -> str:
    """As a person would read it."""
    return f"{Decimal(repr(amount)) if isinstance(amount, float) else Decimal(amount):f}"
