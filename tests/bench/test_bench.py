"""A whole bench, very short: every figure is taken, nothing is lost, nothing is left behind. No speed is asserted."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from bursar.bench.figures import run_bench
from bursar.bench.place import MARK
from bursar.bench.results import Figure
from bursar.core.errors import DatabaseUnavailable, Invalid
from tests.backup.conftest import NewUrl
from tests.bench.conftest import MakeOptions
from tests.support.ports import free_port
from tests.support.postgres_install import available_flavours

POSTGRES = available_flavours()[:1]


def say_nothing(line: str) -> None:
    """For tests."""


def schemas(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information|public)'")
        return {row[0] for row in rows}


def is_empty(folder: Path) -> bool:
    return not list(folder.iterdir())


def check_figures(figures: list[Figure]) -> None:
    for figure in figures:
        assert figure.mismatches == 0, figure
        assert figure.value > 0, figure
        for side in figure.sides:
            assert side.per_second > 0
            assert 0 < side.p50_ms <= side.p99_ms


@pytest.mark.parametrize("kind", POSTGRES)
async def test_the_engine_and_the_naive_pattern_lose_nothing(
    kind: str, new_url: NewUrl, make_options: MakeOptions
) -> None:
    url = new_url(kind)
    results = await run_bench(make_options(url, "uniform", "hot", "holds"), say_nothing)
    assert [figure.name for figure in results.figures] == ["uniform", "hot", "holds"]
    check_figures(results.figures)
    uniform = results.figures[0]
    assert [side.name for side in uniform.sides] == ["engine", "naive", "engine, no idempotency keys"]
    assert uniform.sides[1].connections in {2, 4}
    assert len(uniform.sides[0].rounds) == 2
    assert results.mismatches == 0
    assert schemas(url) == set()


@pytest.mark.parametrize("kind", POSTGRES)
async def test_a_long_history(kind: str, new_url: NewUrl, make_options: MakeOptions) -> None:
    url = new_url(kind)
    said: list[str] = []
    options = make_options(url, "depth", deep_transactions=500, rounds=1)
    [figure] = (await run_bench(options, said.append)).figures
    check_figures([figure])
    assert [side.name for side in figure.sides] == ["engine, 480", "engine, 60"]
    assert any("storing 500 transactions" in line for line in said)
    assert schemas(url) == set()


async def test_sqlite_and_a_server_on_it(new_url: NewUrl, make_options: MakeOptions, tmp_path: Path) -> None:
    results = await run_bench(make_options(new_url("sqlite"), rounds=1), say_nothing)
    assert [figure.name for figure in results.figures] == ["sqlite", "http", "memory", "start"]
    check_figures(results.figures)
    assert is_empty(tmp_path)


@pytest.mark.parametrize("kind", POSTGRES)
async def test_a_schema_with_somebodys_data_is_never_touched(
    kind: str, new_url: NewUrl, make_options: MakeOptions
) -> None:
    url = new_url(kind)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA bursar_bench_naive")
        connection.execute("CREATE TABLE bursar_bench_naive.accounts (mine text)")
    with pytest.raises(Invalid, match="bursar_bench_naive was not made by bursar bench"):
        await run_bench(make_options(url, "uniform"), say_nothing)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM bursar_bench_naive.accounts").fetchone() == (0,)
    assert schemas(url) == {"bursar_bench_naive"}


@pytest.mark.parametrize("kind", POSTGRES)
async def test_what_a_killed_bench_left_is_replaced(kind: str, new_url: NewUrl, make_options: MakeOptions) -> None:
    url = new_url(kind)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA bursar_bench_engine")
        connection.execute(f"COMMENT ON SCHEMA bursar_bench_engine IS '{MARK}'")
        connection.execute("CREATE TABLE bursar_bench_engine.accounts (left_behind text)")
    check_figures((await run_bench(make_options(url, "hot", rounds=1), say_nothing)).figures)
    assert schemas(url) == set()


@pytest.mark.parametrize("kind", POSTGRES)
async def test_two_at_once_do_not_get_in_each_others_way(kind: str, new_url: NewUrl, make_options: MakeOptions) -> None:
    url = new_url(kind)
    started = asyncio.Event()
    first = asyncio.create_task(run_bench(make_options(url, "hot", rounds=1), lambda _: started.set()))
    await started.wait()
    with pytest.raises(Invalid, match="another bench"):
        await run_bench(make_options(url, "hot"), say_nothing)
    check_figures((await first).figures)


@pytest.mark.parametrize("kind", POSTGRES)
async def test_one_that_is_interrupted_leaves_nothing(
    kind: str, new_url: NewUrl, make_options: MakeOptions, tmp_path: Path
) -> None:
    url = new_url(kind)
    started = asyncio.Event()

    def say(line: str) -> None:
        if "in turns" in line:
            started.set()

    running = asyncio.create_task(run_bench(make_options(url, "uniform", seconds=60.0), say))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert schemas(url) == set()
    assert is_empty(tmp_path)


async def test_an_unknown_figure_and_an_unreachable_database(make_options: MakeOptions) -> None:
    with pytest.raises(Invalid, match="there is no figure speed"):
        await run_bench(make_options("sqlite:///x.db", "speed"), say_nothing)
    with pytest.raises(DatabaseUnavailable):
        await run_bench(make_options(f"postgresql://nobody@127.0.0.1:{free_port()}/x", "uniform"), say_nothing)


def test_the_command_for_people_and_for_programs(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "bursar", "bench", "--only", "sqlite", "--seconds", "0.2", "--rounds", "1"]
    environment = {**os.environ, "BURSAR_DATABASE_URL": "sqlite:///none.db", "COLUMNS": "80"}
    few = ["--accounts", "20", "--callers", "10"]
    shown = [
        subprocess.run(
            [*arguments, *few, *more], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        for more in ([], ["--json"])
    ]
    assert "SQLite, durable" in shown[0].stdout
    assert "mismatches: 0" in shown[0].stdout
    assert json.loads(shown[1].stdout)["figures"][0]["mismatches"] == 0
    assert shown[1].stderr == ""
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("kind", POSTGRES)
async def test_everybody_renews_once_while_charges_come_in(
    kind: str, new_url: NewUrl, make_options: MakeOptions
) -> None:
    results = await run_bench(make_options(new_url(kind), "renewals", due=250), say_nothing)
    assert [figure.name for figure in results.figures] == ["renewals", "renewals_wait"]
    check_figures(results.figures)
    assert results.figures[0].title.startswith("250 ")
