"""Backup and restore, on each database and across."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import zipfile
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest

from bursar.backup import NotEmpty, archive, check_backup, restore_backup, write_backup
from bursar.backup.archive import MANIFEST, SINCE, TABLES
from bursar.core.commands import Charge, Grant, OpenAccount
from bursar.core.errors import DatabaseUnavailable, Invalid, NotMigrated
from bursar.core.money import NANOS
from bursar.credits import AsyncCredits
from bursar.store.base import Refused
from bursar.store.migrate import VERSION_TABLE, migrate, revisions
from bursar.store.url import open_store
from bursar.totals import COUNTED_SINCE
from bursar.verify import verify
from tests.backup.conftest import KINDS, NewUrl, WrittenUrl
from tests.support.ports import free_port


def members(path: Path) -> dict[str, bytes]:
    """What is in a backup but for when it was made: the rows of each table, whatever their order."""
    with zipfile.ZipFile(path) as archive:
        return {
            name: b"".join(sorted(archive.read(name).splitlines(keepends=True)))
            for name in archive.namelist()
            if name not in (MANIFEST, "catalogue.ndjson")
        }


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refusal_of(path: Path) -> Invalid | None:
    try:
        check_backup(path)
    except Invalid as refusal:
        return refusal
    return None


async def is_sound(url: str) -> bool:
    store = open_store(url)
    await store.open()
    try:
        verdict = await verify(store)
    finally:
        await store.close()
    assert verdict.transactions > 0
    return not verdict.findings


async def count_accounts(url: str) -> int:
    store = open_store(url)
    await store.open()
    try:
        rows = await store.read(lambda tx: tx.fetch("count_accounts"))
    finally:
        await store.close()
    count: int = rows[0][0]
    return count


@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize("source", KINDS)
async def test_every_row_comes_back_the_same(
    source: str, to: str, written_url: WrittenUrl, new_url: NewUrl, tmp_path: Path
) -> None:
    url, other = await written_url(source), new_url(to)
    manifest = await write_backup(url, tmp_path / "one.bursar")
    assert manifest.tables.keys() == set(TABLES)
    assert all(manifest.tables[table].rows for table in TABLES)
    await restore_backup(other, tmp_path / "one.bursar")
    assert await is_sound(other)
    await write_backup(other, tmp_path / "two.bursar")
    assert members(tmp_path / "one.bursar") == members(tmp_path / "two.bursar")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_restored_ledger_goes_on(kind: str, written_url: WrittenUrl, new_url: NewUrl, tmp_path: Path) -> None:
    await write_backup(await written_url(kind), tmp_path / "b")
    url = new_url(kind)
    await restore_backup(url, tmp_path / "b")
    async with AsyncCredits.open(url) as ledger:
        await ledger.grant("alice", 10)
        receipt = await ledger.charge("alice", skill="TEXT")
        assert receipt.price is not None
        assert (await ledger.grants("alice")).data
    assert await is_sound(url)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_backup_is_one_moment_of_a_ledger_that_is_written_to(
    kind: str, new_url: NewUrl, tmp_path: Path
) -> None:
    url, copy = new_url(kind), new_url(kind)
    async with AsyncCredits.open(url) as ledger:
        for number in range(20):
            await ledger.engine.execute(OpenAccount(account=f"a{number}"))
            await ledger.engine.execute(Grant(account=f"a{number}", amount=10**6 * NANOS))
        stop = asyncio.Event()

        async def spend(number: int) -> int:
            done = 0
            while not stop.is_set():
                await ledger.engine.execute(Charge(account=f"a{number % 20}", amount=NANOS, key=f"{number}-{done}"))
                done += 1
            return done

        spenders = [asyncio.create_task(spend(number)) for number in range(40)]
        counts = []
        for _ in range(3):
            made = await asyncio.to_thread(asyncio.run, write_backup(url, tmp_path / "b"))
            counts.append(made.tables["transactions"].rows)
        stop.set()
        assert sum(await asyncio.gather(*spenders)) > 0
    assert counts == sorted(counts)
    await restore_backup(copy, tmp_path / "b")
    assert await is_sound(copy)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_ledger_that_is_there_is_not_replaced_unasked(
    kind: str, written_url: WrittenUrl, tmp_path: Path
) -> None:
    url = await written_url(kind)
    await write_backup(url, tmp_path / "b")
    async with AsyncCredits.open(url) as ledger:
        await ledger.open_account("carol", plan=None)
    with pytest.raises(NotEmpty) as refusal:
        await restore_backup(url, tmp_path / "b")
    assert refusal.value.code == "not_empty"
    assert await count_accounts(url) == 3
    await restore_backup(url, tmp_path / "b", force=True)
    assert await count_accounts(url) == 2
    assert await is_sound(url)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_first_start_made_is_replaced(
    kind: str, written_url: WrittenUrl, new_url: NewUrl, tmp_path: Path
) -> None:
    """Its skills and plans; and another process sees that they are others now."""
    await write_backup(await written_url("sqlite"), tmp_path / "b")
    url = new_url(kind)
    async with AsyncCredits.open(url) as running:
        assert "TEXT_GENERATION" in {skill.name for skill in await running.skills.list()}
        await restore_backup(url, tmp_path / "b")
        names = {skill.name for skill in await running.skills.list()}
        assert "TEXT_GENERATION" not in names
        assert "TEXT" in names


async def test_a_file_that_was_cut_short_is_refused_by_name(
    written_url: WrittenUrl, new_url: NewUrl, tmp_path: Path
) -> None:
    await write_backup(await written_url("sqlite"), tmp_path / "b")
    whole = (tmp_path / "b").read_bytes()
    cut, url = tmp_path / "cut.bursar", new_url("sqlite")
    for length in {0, 1, 100, len(whole) // 2, len(whole) - 100, len(whole) - 1}:
        cut.write_bytes(whole[:length])
        with pytest.raises(Invalid, match=r"cut\.bursar"):
            await restore_backup(url, cut)
    assert url.rpartition("/")[2] not in names_in(tmp_path)


async def test_a_byte_that_was_changed_is_found_or_means_nothing(written_url: WrittenUrl, tmp_path: Path) -> None:
    await write_backup(await written_url("sqlite"), tmp_path / "b")
    whole, altered = (tmp_path / "b").read_bytes(), tmp_path / "altered.bursar"
    expected = members(tmp_path / "b")
    found = 0
    for at in range(0, len(whole), 37):
        altered.write_bytes(whole[:at] + bytes([whole[at] ^ 0x15]) + whole[at + 1 :])
        refusal = refusal_of(altered)
        if refusal is None:
            assert members(altered) == expected  # a date or a flag of the archive
        else:
            assert (refusal.field, "altered.bursar" in refusal.reason) == ("file", True)
            found += 1
    assert found > 100


def rewritten(path: Path, change: dict[str, bytes]) -> Path:
    """A backup with other members, packed by somebody who knows zip."""
    to = path.with_suffix(".rewritten")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            if change.get(name) != b"":
                new.writestr(name, change.get(name) or old.read(name))
    return to


@pytest.mark.parametrize("kind", KINDS)
async def test_a_backup_of_an_older_schema_is_counted_when_it_is_restored(
    early_url: WrittenUrl, new_url: NewUrl, tmp_path: Path, kind: str
) -> None:
    """It lacks the tables and columns that came later; what they are made of is in it."""
    await write_backup(await early_url(kind), tmp_path / "b")
    with zipfile.ZipFile(tmp_path / "b") as archive:
        manifest = json.loads(archive.read(MANIFEST))
        totals = [json.loads(line)[:9] for line in archive.read("totals.ndjson").splitlines()]
    older = b"".join(json.dumps(row).encode() + b"\n" for row in totals)
    manifest["revision"] = revisions()[revisions().index(COUNTED_SINCE) - 1]
    manifest["tables"]["totals"] |= {
        "columns": manifest["tables"]["totals"]["columns"][:9],
        "sha256": sha256(older).hexdigest(),
    }
    newer = [table for table, since in SINCE.items() if since > manifest["revision"]]
    assert {"paid_totals", "lot_totals"} <= set(newer)
    for table in newer:
        del manifest["tables"][table]
    change = {MANIFEST: json.dumps(manifest).encode(), "totals.ndjson": older}
    change |= {f"{table}.ndjson": b"" for table in newer}
    to = new_url(kind)
    await restore_backup(to, rewritten(tmp_path / "b", change))
    assert await is_sound(to)


async def test_an_archive_that_was_packed_anew_is_refused_by_table(written_url: WrittenUrl, tmp_path: Path) -> None:
    await write_backup(await written_url("sqlite"), tmp_path / "b")
    with zipfile.ZipFile(tmp_path / "b") as archive:
        accounts = archive.read("accounts.ndjson")
        manifest = json.loads(archive.read(MANIFEST))
    with pytest.raises(Invalid, match="accounts is not what it was"):
        check_backup(rewritten(tmp_path / "b", {"accounts.ndjson": accounts.replace(b"alice", b"alicf")}))
    with pytest.raises(Invalid, match="altered"):
        check_backup(rewritten(tmp_path / "b", {"lots.ndjson": b""}))
    newer = json.dumps(manifest | {"revision": "9999"}).encode()
    with pytest.raises(Invalid, match="newer Bursar, of schema 9999"):
        check_backup(rewritten(tmp_path / "b", {MANIFEST: newer}))
    del manifest["tables"]["lots"]
    with pytest.raises(Invalid, match="its tables are not those of a ledger"):
        check_backup(rewritten(tmp_path / "b", {MANIFEST: json.dumps(manifest).encode()}))


async def test_a_backup_of_an_older_schema_does_without_newer_tables(
    early_url: WrittenUrl, new_url: NewUrl, tmp_path: Path
) -> None:
    await write_backup(await early_url("sqlite"), tmp_path / "b")
    with zipfile.ZipFile(tmp_path / "b") as archive:
        manifest = json.loads(archive.read(MANIFEST))
    older = {table: entry for table, entry in manifest["tables"].items() if SINCE.get(table, "") <= "0001"}
    assert older.keys() < manifest["tables"].keys()
    change = {f"{table}.ndjson": b"" for table in manifest["tables"].keys() - older.keys()}
    change[MANIFEST] = json.dumps(manifest | {"revision": "0001", "tables": older}).encode()
    url = new_url("sqlite")
    await restore_backup(url, rewritten(tmp_path / "b", change))
    assert await is_sound(url)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_restore_that_fails_in_the_middle_leaves_nothing(
    kind: str, new_url: NewUrl, written_url: WrittenUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that no ledger has: the database itself refuses it, after others went in."""
    source = await written_url("sqlite")
    with closing(sqlite3.connect(source.removeprefix("sqlite:///"))) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE holds SET amount = -1 WHERE rowid = (SELECT max(rowid) FROM holds)")
        connection.commit()
    await write_backup(source, tmp_path / "b")
    url = new_url(kind)
    async with AsyncCredits.open(url) as before:
        skills = await before.skills.list()
    monkeypatch.setattr(archive, "CHUNK_ROWS", 2)
    with pytest.raises(Refused):
        await restore_backup(url, tmp_path / "b")
    assert await count_accounts(url) == 0
    async with AsyncCredits.open(url) as after:
        assert await after.skills.list() == skills


async def test_only_its_owner_may_read_a_backup(written_url: WrittenUrl, tmp_path: Path) -> None:
    await write_backup(await written_url("sqlite"), tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600


async def test_a_backup_that_fails_leaves_the_one_before_and_nothing_else(tmp_path: Path, new_url: NewUrl) -> None:
    (tmp_path / "b").write_text("the one before")
    with pytest.raises(DatabaseUnavailable):
        await write_backup(f"postgresql://nobody@127.0.0.1:{free_port()}/x", tmp_path / "b")
    url = new_url("sqlite")
    with pytest.raises(NotMigrated):
        await write_backup(url, tmp_path / "b")
    migrate(url)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.execute("ALTER TABLE holds RENAME TO lost")
    with pytest.raises(Exception, match="syntax error"):
        await write_backup(url, tmp_path / "b")
    assert (tmp_path / "b").read_text() == "the one before"
    assert [name for name in names_in(tmp_path) if name.startswith(".")] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_every_table_of_the_schema_is_in_a_backup(kind: str, new_url: NewUrl) -> None:
    url = new_url(kind)
    migrate(url)
    if kind == "sqlite":
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            rows = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
    else:
        with psycopg.connect(url) as connection_:
            rows = connection_.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'bursar'").fetchall()
    assert {row[0] for row in rows} == {*TABLES, VERSION_TABLE}
