"""Totals of a ledger that grew under an older schema, and beside processes that did not know the newer columns."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import bursar.store.migrate
from bursar.core import commands
from bursar.core.money import NANOS
from bursar.credits import AsyncCredits
from bursar.store.base import Store
from bursar.store.migrate import expected_revision, revisions, statements
from bursar.store.url import open_store
from bursar.totals import COUNTED_SINCE, Repaired, read_tally, recount, repair
from bursar.verify import verify
from tests.verify.history import running, write_history
from tests.verify.tamper import opened

NEWER = ("owed_credits", "owed_nanos", "costed", "costed_credits", "costed_nanos", "cost_usd", "cost_picos")
ROWS = ("accounts", "lots", "holds", "transactions", "idempotency_keys", "skills", "prices", "plans")
MIGRATIONS = Path(bursar.store.migrate.__file__).parent / "migrations" / "sql" / "sqlite"
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


def age(path: Path) -> Path:
    """Make the file one of the schema BEFORE, with the same rows; where they are whole from now on."""
    whole = path.rename(path.with_name("whole.db"))
    scripts = sorted(MIGRATIONS.glob("[0-9]*.sql"))
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for script in scripts:
            for statement in statements(script.read_text()) if script.name[:4] <= BEFORE else ():
                file.execute(statement)
        file.execute("CREATE TABLE bursar_version (version_num VARCHAR(32) NOT NULL)")
        file.execute("INSERT INTO bursar_version VALUES (?)", [BEFORE])
        file.execute("ATTACH ? AS whole", [str(whole)])
        for table in (*ROWS, "totals"):
            columns = ", ".join(row[1] for row in file.execute(f"PRAGMA main.table_info({table})"))
            file.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM whole.{table}")
    return whole


def make_whole(path: Path, whole: Path) -> None:
    """Put back what later migrations know of rows; the totals stay as they were counted."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("ATTACH ? AS whole", [str(whole)])
        for table in reversed(ROWS):
            file.execute(f"DELETE FROM main.{table}")
        for table in ROWS:
            columns = ", ".join(row[1] for row in file.execute(f"PRAGMA main.table_info({table})"))
            file.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM whole.{table}")


@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_ledger_of_an_older_schema_is_counted_when_it_is_migrated(sqlite_url: str, by_hand: bool) -> None:
    """Opened by the library, or by `bursar migrate`."""
    await write_history(sqlite_url, limits=False)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    whole = age(path)
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
    make_whole(path, whole)
    store = open_store(sqlite_url)
    await store.open()
    assert await findings(store) == []
    await store.close()
