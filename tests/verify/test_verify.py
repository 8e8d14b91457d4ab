"""`verify` says nothing of a sound ledger, and names every row that was touched by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import bursar.verify
from bursar.core import commands
from bursar.core.errors import AccountNotFound
from bursar.core.invariants import Finding
from bursar.core.money import NANOS
from bursar.erase import erase_account
from bursar.store.base import Store
from bursar.verify import verify
from tests.verify.history import running, write_random_history
from tests.verify.tamper import KEYS, Database, Row, altered, invented, opened

UNSEEN = {("totals", "slot"), ("paid_totals", "slot"), ("lot_totals", "slot")}
"""A total is the sum over its slots: which slot has which part of it says nothing but who wrote it."""

REFUSED = {("lots", "held"), ("lots", "remaining")}
"""What the tables themselves forbid for some rows: more held than remains."""

tables = pytest.mark.parametrize("table", list(KEYS))


async def findings(store: Store) -> list[Finding]:
    return (await verify(store)).findings


def named(found: list[Finding], table: str, *rows: Row) -> bool:
    """Whether a finding names the table, the account and the seq or id of one of these rows."""
    return any(finding.table == table and _is_of(finding, row) for finding in found for row in rows)


def _is_of(finding: Finding, row: Row) -> bool:
    if finding.table in ("totals", "paid_totals"):
        return f"{row['type']}/{row['skill']}/{row['model']}/{row['plan']}" in str(finding.row)
    if finding.table == "lot_totals":
        return str(finding.row).startswith(f"{row['source']}/") and str(finding.row).endswith(f"/{row['currency']}")
    key = {
        "lots": "lot_id",
        "holds": "hold_id",
        "transactions": "seq",
        "idempotency_keys": "key",
        "members": "member",
    }.get(finding.table)
    return finding.account == row["account_id"] and (key is None or finding.row == row[key])


async def test_a_sound_ledger_has_nothing_wrong(store: Store, history_url: str) -> None:
    verdict = await verify(store)
    assert verdict.findings == []
    assert verdict.complete
    with opened(history_url) as database:
        counted = {table: len(database.rows(table)) for table in KEYS}
        for table in ("totals", "paid_totals", "lot_totals"):
            counted[table] = len({tuple(row[key] for key in KEYS[table][1:]) for row in database.rows(table)})
    assert counted == {table: getattr(verdict, table) for table in KEYS}
    assert min(counted.values()) > 1


@pytest.mark.parametrize("seed", range(3))
async def test_a_random_history_has_nothing_wrong(url: str, seed: int) -> None:
    async with running(url) as (engine, clock):
        await write_random_history(engine, clock, seed, steps=300)
        verdict = await verify(engine.store)
        assert verdict.findings == []
        assert verdict.transactions > 100
        for account in ("alice", "bob"):
            await erase_account(engine.store, account)
        assert await findings(engine.store) == []


async def test_pages_make_no_difference(store: Store, history_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await verify(store)
    monkeypatch.setattr(bursar.verify, "PAGE", 2)
    monkeypatch.setattr(bursar.verify, "ACCOUNTS", 1)
    assert await verify(store) == whole
    with opened(history_url) as database:
        row = database.rows("transactions")[4]
        with database.changed("transactions", row, "amount", row["amount"] + 1):
            assert named(await findings(store), "transactions", row)


async def test_one_account_can_be_proven_alone(store: Store, history_url: str) -> None:
    verdict = await verify(store, accounts=["bob"])
    assert verdict.findings == []
    assert verdict.accounts == 1
    with opened(history_url) as database:
        alices = database.rows("lots")[0]
        with database.changed("lots", alices, "amount", 1):
            assert (await verify(store, accounts=["bob"])).findings == []
            assert named((await verify(store, accounts=["alice"])).findings, "lots", alices)
    with pytest.raises(AccountNotFound):
        await verify(store, accounts=["nobody"])


@tables
async def test_every_column_of_every_row_that_is_changed_is_seen(store: Store, history_url: str, table: str) -> None:
    with opened(history_url) as database:
        kinds = database.kinds(table)
        for row in _samples(database, table):
            for column, kind in kinds.items():
                if (table, column) in UNSEEN:
                    continue
                value = invented(kind) if row[column] is None else altered(column, row[column])
                if database.refuses(table, row, column, value):
                    assert (table, column) in REFUSED
                    continue
                with database.changed(table, row, column, value) as new:
                    found = await findings(store)
                    assert named(found, table, row, new), f"{column}: {row[column]!r} -> {value!r} is not seen: {found}"
    assert await findings(store) == []


@tables
async def test_a_column_that_is_emptied_is_seen(store: Store, history_url: str, table: str) -> None:
    with opened(history_url) as database:
        for row in _samples(database, table):
            for column in row:
                if row[column] is None or database.refuses(table, row, column, None):
                    continue
                with database.changed(table, row, column, None):
                    assert named(await findings(store), table, row), f"{column} of {row}"
    assert await findings(store) == []


@tables
async def test_a_row_that_is_deleted_is_seen(store: Store, history_url: str, table: str) -> None:
    with opened(history_url) as database:
        for row in database.rows(table):
            if table == "idempotency_keys" and not _leaves_a_trace(database, row):
                continue
            if _adds_nothing(table, row):
                continue
            with database.without(table, row):
                found = await findings(store)
                if table == "members" or (table == "holds" and not _is_named(database, row)):
                    assert (table, row["account_id"]) in {(finding.table, finding.account) for finding in found}
                else:
                    assert named(found, table, row), f"{row} was deleted"
    assert await findings(store) == []


async def test_a_flipped_bit_of_any_transaction_is_seen(store: Store, history_url: str) -> None:
    with opened(history_url) as database:
        for row in database.rows("transactions"):
            for column in ("entries", "amount", "hash", "counterparty"):
                with database.changed("transactions", row, column, altered(column, row[column])):
                    found = [finding for finding in await findings(store) if finding.table == "transactions"]
                    assert named(found, "transactions", row)
                    mine = {finding.row for finding in found if finding.account == row["account_id"]}
                    assert mine == {row["seq"]}, "of its account, only the row itself is named"


async def test_a_tail_that_is_cut_off_is_seen(store: Store, history_url: str) -> None:
    with opened(history_url) as database:
        tail = [row for row in database.rows("transactions") if row["account_id"] == "alice"][-3:]
        for row in tail:
            database.delete("transactions", row)
        gone = [
            finding
            for finding in await findings(store)
            if (finding.table, finding.account) == ("transactions", "alice")
        ]
        assert [(finding.account, finding.row, finding.message) for finding in gone] == [
            ("alice", tail[0]["seq"], f"is missing, and all up to {tail[-1]['seq']}")
        ]


async def test_a_lot_made_by_hand_is_seen(store: Store, history_url: str) -> None:
    with opened(history_url) as database:
        forged = {**database.rows("lots")[0], "lot_id": "g_forged"}
        database.insert("lots", forged)
        assert named(await findings(store), "lots", forged)


async def test_rows_of_no_account_are_seen(store: Store, history_url: str) -> None:
    with opened(history_url) as database:
        for table in ("lots", "holds", "transactions", "idempotency_keys", "members"):
            stray = {**database.rows(table)[0], "account_id": "nobody"}
            database.insert(table, stray)
            found = await findings(store)
            assert named(found, table, stray)
            assert named(found, "accounts", stray)
            database.delete(table, stray)
    assert await findings(store) == []


async def test_columns_are_named_where_the_rules_know_them(store: Store, history_url: str) -> None:
    with opened(history_url) as database:
        account = database.rows("accounts")[0]
        for column in (
            "posted",
            "held",
            "debt",
            "spent",
            "open_holds",
            "holds_opened",
            "recorded_at",
            "head",
            "due_at",
        ):
            with database.changed("accounts", account, column, altered(column, account[column])):
                assert column in {finding.column for finding in await findings(store)}
        lot = next(row for row in database.rows("lots") if row["live"] and row["started"])
        for column in ("source", "priority", "amount", "remaining", "effective_at", "seq"):
            with database.changed("lots", lot, column, altered(column, lot[column])):
                assert column in {finding.column for finding in await findings(store)}


async def test_no_more_is_listed_than_anybody_reads(
    store: Store, history_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bursar.verify, "MAX_FINDINGS", 3)
    with opened(history_url) as database:
        for row in database.rows("lots"):
            database.update("lots", row, "priority", 999)
    verdict = await verify(store)
    assert len(verdict.findings) == 3
    assert not verdict.complete


async def test_accounts_are_proven_while_the_engine_writes(url: str) -> None:
    async with running(url) as (engine, _):
        accounts = [f"user-{number}" for number in range(20)]
        await engine.execute_many(commands.OpenAccount(account=account, plan="free") for account in accounts)
        done = asyncio.Event()

        async def write() -> None:
            while not done.is_set():
                await engine.execute_many(commands.Charge(account=account, amount=NANOS) for account in accounts)
                await engine.execute_many(commands.Grant(account=account, amount=NANOS) for account in accounts)

        writing = asyncio.create_task(write())
        for _ in range(5):
            assert (await verify(engine.store)).findings == []
        done.set()
        await writing
        assert (await verify(engine.store)).transactions > len(accounts)


def _samples(database: Database, table: str) -> list[Row]:
    """Rows that differ: a few of each kind."""
    kinds: dict[Any, Row] = {}
    for row in database.rows(table):
        if not _adds_nothing(table, row):
            kinds.setdefault(_kind(table, row), row)
    return list(kinds.values())


def _adds_nothing(table: str, row: Row) -> bool:
    """Whether it is a slot's part of a sum, and came to nothing: another slot may have the row too."""
    return table in ("paid_totals", "lot_totals") and not any(
        row[name] for name in ("credits", "nanos", "money", "picos")
    )


def _kind(table: str, row: Row) -> Any:
    match table:
        case "transactions":
            return (row["type"], row["salt"] is None)
        case "lots":
            return (row["live"], row["started"], row["ended_at"] is None, row["plan"] is None)
        case "holds":
            return row["state"]
        case "idempotency_keys":
            return row["verb"] in ("charge", "hold", "grant")
        case "totals":
            return row["type"] in ("PLAN", "CONSUMPTION")
        case "paid_totals":
            return (row["type"], row["costed"])
        case "members" | "lot_totals":
            return row["status" if table == "members" else "source"]
    return row["account_id"]


def _leaves_a_trace(database: Database, key: Row) -> bool:
    """Whether a transaction or hold says that it was placed under the key."""
    same = "account_id = ? AND idempotency_key = ?"
    return any(
        database.query(f"SELECT 1 FROM {table} WHERE {same}", [key["account_id"], key["key"]])
        for table in ("transactions", "holds")
    )


def _is_named(database: Database, hold: Row) -> bool:
    """Whether a key, a transaction or a pinned lot knows of the hold: of one that came to nothing there is only a
    count.
    """
    where = [hold["account_id"], hold["hold_id"]]
    return bool(database.query("SELECT 1 FROM transactions WHERE account_id = ? AND hold = ?", where))
