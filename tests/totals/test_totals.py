"""Totals of a ledger that grew under an older schema, and beside processes that did not know the newer columns."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from bursar.core import commands
from bursar.core.money import NANOS
from bursar.credits import AsyncCredits
from bursar.store.base import Store
from bursar.store.migrate import expected_revision, revisions
from bursar.store.url import open_store
from bursar.totals import COUNTED_SINCE, Repaired, read_tally, recount, repair
from bursar.verify import verify
from tests.verify.history import running, write_history
from tests.verify.tamper import opened

NEWER = ("owed_credits", "owed_nanos", "costed", "costed_credits", "costed_nanos", "cost_usd", "cost_picos")
BEFORE = revisions()[revisions().index(COUNTED_SINCE) - 1]


def forget_money(url: str) -> None:
    """What an older process leaves: its rows have nothing in the newer columns, and newer tables have no rows."""
    with opened(url) as database:
        for row in database.rows("totals"):
            for column in NEWER:
                database.update("totals", row, column, 0)
        for table in ("paid_totals", "lot_totals"):
            for row in database.rows(table):
                database.delete(table, row)


async def findings(store: Store) -> list[str]:
    return [str(finding) for finding in (await verify(store)).findings]


async def test_what_is_missing_is_made_good(either_url: str) -> None:
    await write_history(either_url)
    forget_money(either_url)
    store = open_store(either_url)
    await store.open()
    assert {finding.partition(" ")[0] for finding in await findings(store)} == {"totals", "paid_totals", "lot_totals"}
    repaired = await repair(store)
    assert repaired.rows > 3
    assert await findings(store) == []
    assert await store.read(read_tally) == await store.read(recount)
    assert await repair(store) == Repaired(0)
    await store.close()


async def test_what_should_not_be_there_is_made_nothing(either_url: str) -> None:
    await write_history(either_url)
    with opened(either_url) as database:
        for table in ("totals", "paid_totals", "lot_totals"):
            row = next(row for row in database.rows(table) if row["credits"])
            name = "source" if table == "lot_totals" else "type"
            database.insert(table, {**row, name: "FORGED"})
    store = open_store(either_url)
    await store.open()
    assert len(await findings(store)) == 3
    assert await repair(store) == Repaired(3)
    assert await findings(store) == []
    await store.close()


async def test_it_is_made_good_while_others_write(either_url: str) -> None:
    async with running(either_url) as (engine, _):
        await engine.execute(commands.OpenAccount(account="alice"))
        price = {"paid": "9.99", "currency": "USD"}
        await engine.execute(commands.Grant(account="alice", amount=900 * NANOS, **price))  # type: ignore[arg-type]
        await engine.execute(commands.Charge(account="alice", amount=NANOS, provider_cost_usd="0.001"))
        await asyncio.to_thread(forget_money, either_url)
        done = asyncio.Event()

        async def write() -> None:
            while not done.is_set():
                await engine.execute(commands.Charge(account="alice", amount=NANOS // 7, provider_cost_usd="0.1"))

        writing = asyncio.create_task(write())
        assert (await repair(engine.store)).rows > 0
        for _ in range(3):
            assert await repair(engine.store) == Repaired(0)
        done.set()
        await writing
        assert await findings(engine.store) == []


@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_ledger_of_an_older_schema_is_counted_when_it_is_migrated(sqlite_url: str, by_hand: bool) -> None:
    """Opened by the library, or by `bursar migrate`."""
    await write_history(sqlite_url)
    older = f"UPDATE bursar_version SET version_num = '{BEFORE}'"
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as file:
        for table in ("paid_totals", "lot_totals"):
            file.execute(f"DROP TABLE {table}")
        file.execute("DROP INDEX totals_day")
        for column in NEWER:
            file.execute(f"ALTER TABLE totals DROP COLUMN {column}")
        file.execute(older)
    if by_hand:
        from typer.testing import CliRunner

        from bursar.cli.main import app

        result = await asyncio.to_thread(
            CliRunner(env={"BURSAR_DATABASE_URL": sqlite_url}).invoke, app, ["migrate", "--json"]
        )
        assert result.exit_code == 0, result.output
        assert expected_revision() in result.output
    else:
        async with AsyncCredits.open(sqlite_url, preset=None, migrate=True):
            pass
    store = open_store(sqlite_url)
    await store.open()
    assert await findings(store) == []
    await store.close()
