"""The read side: pages, filters, cursors, and what is due shown as done."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from bursar.core.errors import AccountNotFound, HoldNotFound, Invalid, TransactionNotFound
from bursar.credits import AsyncCredits
from bursar.reports import STATEMENT_COLUMNS, Filter, encode_cursor, statement_csv
from tests.credits.conftest import Clock, on_one_database


@pytest.fixture
async def alice(credits: AsyncCredits) -> AsyncCredits:
    """A ledger in which alice has 100."""
    await credits.open_account("alice")
    return credits


# Statements


async def test_a_statement_is_newest_first_page_by_page(alice: AsyncCredits) -> None:
    for _ in range(7):
        await alice.charge("alice", 1)
    seqs, cursor = [], None
    while True:
        page = await alice.history("alice", cursor=cursor, limit=3)
        assert len(page.data) <= 3
        seqs += [receipt.seq for receipt in page.data]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seqs == [8, 7, 6, 5, 4, 3, 2, 1]


async def test_a_page_that_is_just_full_is_the_last(alice: AsyncCredits) -> None:
    page = await alice.history("alice", limit=1)
    assert (len(page.data), page.next_cursor) == (1, None)


async def test_a_statement_is_filtered(alice: AsyncCredits, clock: Clock) -> None:
    await alice.charge("alice", skill="TEXT_GENERATION")
    clock.set("2026-01-11T00:00:00Z")
    await alice.charge("alice", skill="IMAGE_GENERATION")
    await alice.grant("alice", 5, source="bonus")
    clock.set("2026-01-12T00:00:00Z")
    await alice.charge("alice", 1)

    async def seqs(**wanted: Any) -> list[int]:
        return [receipt.seq for receipt in (await alice.history("alice", **wanted)).data]

    assert await seqs(type="CONSUMPTION") == [5, 3, 2]
    assert await seqs(skill="TEXT_GENERATION") == [2]
    assert await seqs(type="CONSUMPTION", since=datetime(2026, 1, 11, tzinfo=UTC)) == [5, 3]
    assert await seqs(until=datetime(2026, 1, 11, tzinfo=UTC)) == [2, 1]
    assert await seqs(since=datetime(2026, 1, 11, tzinfo=UTC), until=datetime(2026, 1, 12, tzinfo=UTC)) == [4, 3]
    assert await seqs(type="REFUND") == []


@on_one_database
@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"type": "consumption"}, "type"),
        ({"skill": "text"}, "skill"),
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"limit": True}, "limit"),
        ({"since": datetime(2026, 1, 1)}, "since"),  # noqa: DTZ001 - that is the point
        ({"until": "2026-01-01"}, "until"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "ü"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "A" * 2_000}, "cursor"),
        ({"cursor": encode_cursor("accounts", "alice")}, "cursor"),
        ({"cursor": encode_cursor("transactions", "alice")}, "cursor"),
        ({"cursor": encode_cursor("transactions", 2**63)}, "cursor"),
        ({"cursor": encode_cursor("transactions", -1)}, "cursor"),
    ],
)
async def test_a_filter_that_names_nothing_is_refused(alice: AsyncCredits, wanted: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await alice.history("alice", **wanted)
    assert refusal.value.field == field


async def test_a_cursor_with_nul_is_refused_by_every_list(alice: AsyncCredits) -> None:
    for cursor, listing in (
        (encode_cursor("accounts", "a\0"), alice.accounts),
        (encode_cursor("accounts", 5), alice.accounts),
    ):
        with pytest.raises(Invalid, match="cursor"):
            await listing(cursor=cursor)


async def test_a_statement_shows_what_was_due(alice: AsyncCredits, clock: Clock) -> None:
    await alice.charge("alice", 30)
    clock.set("2026-02-03T10:00:00Z")
    page = await alice.history("alice")
    assert [(t.type, t.amount) for t in page.data] == [
        ("PLAN", 100),
        ("EXPIRY", -70),
        ("CONSUMPTION", -30),
        ("PLAN", 100),
    ]
    renewal = page.data[0]
    assert renewal.effective_at == datetime(2026, 2, 1, tzinfo=UTC)
    assert renewal.recorded_at == datetime(2026, 2, 3, 10, tzinfo=UTC)
    assert (await alice.balance("alice")).posted == renewal.posted_after


async def test_an_unknown_account_has_no_statement(credits: AsyncCredits) -> None:
    for listing in (credits.history, credits.holds, credits.grants):
        with pytest.raises(AccountNotFound):
            await listing("nobody")
    with pytest.raises(Invalid):
        await credits.history("a/b")


# Receipts


async def test_a_receipt_is_found_by_id_on_its_own_account_only(alice: AsyncCredits) -> None:
    await alice.open_account("bob")
    receipt = await alice.charge("alice", 1)
    assert await alice.receipt("alice", receipt.id) == receipt
    for account, name in (
        ("bob", receipt.id),
        ("alice", receipt.id + "0"),
        ("alice", "tx_2_"),
        ("alice", "tx_99_0123"),
        ("alice", "nonsense"),
        ("alice", "tx_-1_0"),
        ("alice", "tx_" + "9" * 30 + "_0"),
        ("alice", "\0"),
    ):
        with pytest.raises(TransactionNotFound):
            await alice.receipt(account, name)
    with pytest.raises(AccountNotFound):
        await alice.receipt("nobody", receipt.id)


async def test_a_price_made_by_another_process_is_explained(alice: AsyncCredits, url: str) -> None:
    async with AsyncCredits.open(url) as other:
        await other.skills.set_price("TEXT_GENERATION", 2)
        made = await other.charge("alice", skill="TEXT_GENERATION")
    receipt = await alice.receipt("alice", made.id)
    assert receipt.price is not None
    assert receipt.price.rule == "2 per call"


# Accounts


async def test_accounts_are_searched(credits: AsyncCredits) -> None:
    await credits.open_account("carol", email="Carol@Example.com", plan="pro")
    await credits.open_account("alice", name="Alice Example")
    await credits.open_account("bob", plan=None)
    await credits.freeze("bob")

    async def ids(**wanted: Any) -> list[str]:
        return [account.id for account in (await credits.accounts(**wanted)).data]

    assert await ids() == ["alice", "bob", "carol"]
    assert await ids(query="EXAMPLE") == ["alice", "carol"]
    assert await ids(query="o") == ["bob", "carol"]
    assert await ids(query="%") == []
    assert await ids(plan="pro") == ["carol"]
    assert await ids(status="frozen") == ["bob"]
    first = await credits.accounts(limit=2)
    assert [account.id for account in first.data] == ["alice", "bob"]
    assert await ids(cursor=first.next_cursor, limit=2) == ["carol"]
    for wanted in ({"status": "odd"}, {"query": ""}, {"query": "\0"}, {"plan": "\0"}):
        with pytest.raises(Invalid):
            await ids(**wanted)


async def test_a_search_shows_each_account_as_it_stands_now(credits: AsyncCredits, clock: Clock) -> None:
    await credits.open_account("alice")
    await credits.charge("alice", 100)
    await credits.open_account("bob", plan=None)
    await credits.grant("bob", 10)
    await credits.place_hold("bob", 10, ttl_seconds=60)
    clock.set("2026-02-03T00:00:00Z")
    assert [(a.id, a.available) for a in (await credits.accounts()).data] == [("alice", 100), ("bob", 10)]


# Balances


async def test_a_balance_lists_lots_in_the_order_in_which_they_pay(alice: AsyncCredits) -> None:
    await alice.grant("alice", 7, priority=200)
    await alice.grant("alice", "0.5", priority=1)
    async with alice.hold("alice", 2):
        balance = await alice.balance("alice")
    assert (balance.unit, balance.posted, balance.held, balance.available) == (
        "credits",
        Decimal("107.5"),
        2,
        Decimal("105.5"),
    )
    assert [(lot.source, lot.amount, lot.remaining, lot.held) for lot in balance.lots] == [
        ("admin", Decimal("0.5"), Decimal("0.5"), Decimal("0.5")),
        ("plan", 100, 100, Decimal("1.5")),
        ("admin", 7, 7, 0),
    ]


# Holds and grants


async def test_holds_are_listed_page_by_page_and_by_state(alice: AsyncCredits) -> None:
    placed = [(await alice.place_hold("alice", 1)).id for _ in range(5)]
    await alice.release("alice", placed[0])
    found, cursor = [], None
    while True:
        page = await alice.holds("alice", cursor=cursor, limit=2)
        found += [hold.id for hold in page.data]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == sorted(placed)
    assert [hold.id for hold in (await alice.holds("alice", state="released")).data] == [placed[0]]
    with pytest.raises(Invalid):
        await alice.holds("alice", state="gone")


async def test_a_hold_shows_that_it_expired(alice: AsyncCredits, clock: Clock) -> None:
    hold = await alice.place_hold("alice", 10, ttl_seconds=60, dispatched=True)
    clock.set("2026-01-10T13:00:00Z")
    found = await alice.get_hold("alice", hold.id)
    assert (found.state, found.captured, found.settled_at) == ("expired", 10, datetime(2026, 1, 10, 12, 1, tzinfo=UTC))
    with pytest.raises(HoldNotFound):
        await alice.get_hold("alice", "h_none")
    with pytest.raises(AccountNotFound):
        await alice.get_hold("nobody", hold.id)


async def test_grants_are_listed_spent_ones_too(alice: AsyncCredits, clock: Clock) -> None:
    await alice.charge("alice", 100)
    await alice.grant("alice", 5, expires_at=datetime(2026, 1, 20, tzinfo=UTC))
    clock.set("2026-01-21T00:00:00Z")
    grants = {grant.source: grant for grant in (await alice.grants("alice")).data}
    assert grants["plan"].remaining == 0
    assert (grants["admin"].remaining, grants["admin"].ended_at) == (0, datetime(2026, 1, 20, tzinfo=UTC))
    assert grants["admin"].voided_at is None


# CSV


async def test_a_statement_as_csv(alice: AsyncCredits) -> None:
    for n in range(3):
        await alice.charge("alice", "0.5", description=f'=cmd("{n}"), or so')
    text = "".join([part async for part in statement_csv(alice.engine, alice._port.runtime.receipts, "alice")])
    head, *rows = csv.reader(io.StringIO(text))
    assert tuple(head) == STATEMENT_COLUMNS
    first = dict(zip(head, rows[0], strict=True))
    assert (first["seq"], first["amount"], first["posted_after"]) == ("4", "-0.5", "98.5")
    assert first["description"] == '\'=cmd("2"), or so'
    assert first["recorded_at"] == "2026-01-10T12:00:00Z"
    assert first["member"] == ""
    assert len(rows) == 4


async def test_a_long_statement_as_csv_comes_in_pages(alice: AsyncCredits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bursar.reports.MAX_LIMIT", 2)
    for _ in range(4):
        await alice.charge("alice", 1)
    wanted = Filter(type="CONSUMPTION")
    parts = [p async for p in statement_csv(alice.engine, alice._port.runtime.receipts, "alice", wanted)]
    rows = list(csv.reader(io.StringIO("".join(parts))))
    assert len(parts) == 2
    assert [row[2] for row in rows] == ["seq", "5", "4", "3", "2"]
