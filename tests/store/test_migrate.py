"""The schema is what the migrations make, is made once, and touches nobody else's tables."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bursar.core.errors import DatabaseUnavailable, Invalid, NotMigrated
from bursar.store.base import Tx
from bursar.store.migrate import check_version, expected_revision, migrate, revisions
from bursar.store.rows import TABLES, columns
from bursar.store.url import open_store

SCHEMAS = Path(__file__).parent / "schema"
MIGRATE = "import sys; from bursar.store.migrate import migrate; print(migrate(sys.argv[1]))"

TABLE_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        CASE WHEN a.attcollation <> t.typcollation THEN (
            SELECT collname FROM pg_collation WHERE oid = a.attcollation
        ) END
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE c.relnamespace = 'bursar'::regnamespace AND c.relkind IN ('r', 'v') AND a.attnum > 0
    ORDER BY c.relname, a.attnum
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'bursar' ORDER BY indexname"
CONSTRAINTS = """
    SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'bursar'::regnamespace AND contype <> 'n' ORDER BY 1::text, 2
"""
OPTIONS = """
    SELECT relname, array_to_string(reloptions, ', ') FROM pg_class
    WHERE relnamespace = 'bursar'::regnamespace AND reloptions IS NOT NULL ORDER BY relname
"""


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        rows = connection.execute(statement).fetchall()
        connection.close()
        return rows
    with psycopg.connect(url, autocommit=True) as session:
        cursor = session.execute(statement)
        return cursor.fetchall() if cursor.description else []


def described(url: str) -> str:
    """The whole schema in lines that can be compared."""
    if url.startswith("sqlite"):
        rows = execute(url, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name")
        return "\n\n".join(row[0] for row in rows) + "\n"
    parts = []
    for query in (TABLE_COLUMNS, INDEXES, CONSTRAINTS, OPTIONS):
        parts += [" ".join(str(field) for field in row if field is not None) for row in execute(url, query)]
        parts.append("")
    return "\n".join(parts)


def file_of(url: str) -> bytes | None:
    """What the SQLite file holds, if there is one."""
    path = Path(url.removeprefix("sqlite:///"))
    return path.read_bytes() if path.exists() else None


async def open_and_close(url: str) -> None:
    store = open_store(url)
    try:
        await store.open()
    finally:
        await store.close()


def test_the_schema_is_the_one_that_is_checked_in(empty_url: str) -> None:
    migrate(empty_url)
    dialect = "sqlite" if empty_url.startswith("sqlite") else "postgres"
    path = SCHEMAS / f"{dialect}.txt"
    found = described(empty_url)
    if os.environ.get("BURSAR_WRITE_SCHEMA"):
        path.write_text(found)
    assert found == path.read_text(), "a migration changed the schema: BURSAR_WRITE_SCHEMA=1 rewrites this"


def test_columns_stand_in_the_order_of_their_structs(url: str) -> None:
    for row_type, table in TABLES.items():
        if url.startswith("sqlite"):
            found = [row[1] for row in execute(url, f"PRAGMA table_info({table})")]
        else:
            query = (
                "SELECT attname FROM pg_attribute WHERE attnum > 0 AND attrelid ="
                f" 'bursar.{table}'::regclass ORDER BY attnum"
            )
            found = [row[0] for row in execute(url, query)]
        assert tuple(found) == columns(row_type)


def test_twice_is_once(empty_url: str) -> None:
    assert migrate(empty_url) == list(revisions())
    before = described(empty_url)
    assert migrate(empty_url) == []
    assert described(empty_url) == before


def test_four_processes_at_once(empty_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, empty_url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, answers
    applied = sorted(answer.strip() for answer, _ in answers)
    assert applied == sorted([str(list(revisions())), "[]", "[]", "[]"])


async def test_inside_a_running_event_loop(empty_url: str) -> None:
    assert migrate(empty_url) == list(revisions())
    await open_and_close(empty_url)


def test_a_server_never_imports_alembic(url: str) -> None:
    program = (
        "import asyncio, sys\n"
        "from bursar.store.url import open_store\n"
        "async def main():\n"
        "    store = open_store(sys.argv[1]); await store.open(); await store.close()\n"
        "asyncio.run(main())\n"
        "print({'alembic', 'sqlalchemy'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, url], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


async def test_an_empty_database_is_not_migrated(empty_url: str) -> None:
    with pytest.raises(NotMigrated, match="bursar migrate"):
        await open_and_close(empty_url)
    assert file_of(empty_url) is None


class TestSideBySide:
    @pytest.mark.parametrize(
        ("found", "compatible_from", "runs"),
        [
            ("0000", "0000", False),
            (expected_revision(), expected_revision(), True),
            ("9999", expected_revision(), True),
            ("9999", "0000", True),
            ("9999", "9998", False),
            ("9999", None, False),
        ],
    )
    def test_which_schema_will_do(self, found: str, compatible_from: str | None, runs: bool) -> None:
        if runs:
            check_version((found, compatible_from))
        else:
            with pytest.raises(NotMigrated):
                check_version((found, compatible_from))

    async def test_a_newer_process_has_expanded(self, empty_url: str) -> None:
        migrate(empty_url)
        schema = "" if empty_url.startswith("sqlite") else "bursar."
        execute(empty_url, f"UPDATE {schema}bursar_version SET version_num = '9999'")
        await open_and_close(empty_url)
        assert migrate(empty_url) == []
        execute(empty_url, f"UPDATE {schema}settings SET value = '9999' WHERE name = 'compatible_from'")
        with pytest.raises(NotMigrated, match="9999"):
            await open_and_close(empty_url)


class TestOthersTables:
    async def test_postgres_leaves_the_host_apps_alone(self, empty_pg_url: str) -> None:
        execute(empty_pg_url, "CREATE TABLE public.users (id int, secret text)")
        execute(empty_pg_url, "INSERT INTO public.users VALUES (1, 'theirs')")
        execute(empty_pg_url, "CREATE TABLE public.accounts (id int)")
        migrate(empty_pg_url)
        await open_and_close(empty_pg_url)
        assert execute(empty_pg_url, "SELECT * FROM public.users") == [(1, "theirs")]
        assert execute(empty_pg_url, "SELECT * FROM public.accounts") == []
        found = execute(empty_pg_url, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        assert found == [(2,)]

    async def test_a_schema_of_another_name(self, empty_pg_url: str) -> None:
        other = f"{empty_pg_url}?schema=credits_2"
        migrate(other)
        await open_and_close(other)
        assert execute(empty_pg_url, "SELECT to_regnamespace('bursar')") == [(None,)]
        assert execute(empty_pg_url, "SELECT count(*) FROM credits_2.users") == [(0,)]
        with pytest.raises(NotMigrated):
            await open_and_close(empty_pg_url)

    @pytest.mark.parametrize("table", ["users", "accounts"])
    async def test_what_is_somebody_elses_is_refused_and_untouched(self, empty_url: str, table: str) -> None:
        where = ""
        if not empty_url.startswith("sqlite"):
            execute(empty_url, "CREATE SCHEMA bursar")
            where = "bursar."
        execute(empty_url, f"CREATE TABLE {where}{table} (id int)")
        before = file_of(empty_url) or described(empty_url)
        with pytest.raises(Invalid, match=rf"not Bursar's \({table}\)") as caught:
            migrate(empty_url)
        assert caught.value.field == "database_url"
        assert before == (file_of(empty_url) or described(empty_url))
        with pytest.raises(NotMigrated):
            await open_and_close(empty_url)


class TestAFailure:
    def test_is_all_or_nothing(self, empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        real = execute_statements()
        monkeypatch.setattr(
            "bursar.store.migrate.statements", lambda script: [*real(script), "CREATE TABLE lots (again int)"]
        )
        monkeypatch.delitem(sys.modules, "bursar.store.migrations.script", raising=False)
        with pytest.raises(Exception, match=r"lots.*already exists"):
            migrate(empty_url)
        monkeypatch.undo()
        sys.modules.pop("bursar.store.migrations.script", None)
        assert migrate(empty_url) == list(revisions())

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("dear diary\n" * 500)
        with pytest.raises(DatabaseUnavailable, match="not a database"):
            migrate(f"sqlite:///{path}")
        assert path.read_text() == "dear diary\n" * 500

    def test_a_folder_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(DatabaseUnavailable):
            migrate(f"sqlite:///{tmp_path / 'file' / 'bursar.db'}")

    def test_a_server_that_is_not_there(self) -> None:
        with pytest.raises(DatabaseUnavailable) as caught:
            migrate("postgresql://me:hunter2@127.0.0.1:9/nowhere")
        assert "hunter2" not in str(caught.value)


def execute_statements() -> Any:
    from bursar.store.migrate import statements

    return statements


def test_the_file_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "bursar.db"
    migrate(f"sqlite:///{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_first_version_of_the_catalogue(url: str) -> None:
    async def work(tx: Tx) -> Any:
        return await tx.fetch("catalogue_version")

    store = open_store(url)
    [(version,)] = await store.read(work)
    assert version >= 1
    await store.close()


def test_a_revision_has_sql_for_both(tmp_path: Path) -> None:
    folder = Path(sys.modules["bursar.store.migrate"].__file__ or "").parent / "migrations"
    names = {path.stem for path in (folder / "versions").glob("*.py")}
    for dialect in ("sqlite", "postgres"):
        assert {path.stem for path in (folder / "sql" / dialect).glob("*.sql")} == names
    assert all(re.fullmatch(r"\d{4}_\w+", name) for name in names)
