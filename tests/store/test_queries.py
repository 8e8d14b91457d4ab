"""Named statements: the same names in both dialects, each with its reason, none that names no column."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest

from bursar.store import queries
from bursar.store.queries import Dialect, load_queries

FOLDER = Path(queries.__file__).parent / "sql"
DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgres")


def parameters(statement: str) -> set[int]:
    return {int(number) for number in re.findall(r"[$?](\d+)", statement)}


def test_both_dialects_define_the_same_names_in_the_same_files() -> None:
    for path in (FOLDER / "postgres").glob("*.sql"):
        pattern = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
        assert pattern.findall(path.read_text()) == pattern.findall((FOLDER / "sqlite" / path.name).read_text())
    assert load_queries("sqlite").keys() == load_queries("postgres").keys()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_statement_says_why(dialect: Dialect) -> None:
    for path in (FOLDER / dialect).glob("*.sql"):
        assert not re.search(r"(?<!\n)\n-- name", re.sub(r"\n--[^\n]*(?=\n-- name)", "\n", path.read_text()))
        for before in re.findall(r"([^\n]*)\n-- name: ", path.read_text()):
            assert before.startswith("-- ")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_statements_are_whole(dialect: Dialect) -> None:
    for name, statement in load_queries(dialect).items():
        assert "{" not in statement, name
        assert ";" not in statement, name
        assert not re.search(r"SELECT\s+\*|\.\*|\*\s+FROM", statement), name
        used = parameters(statement)
        assert used == set(range(1, len(used) + 1)), name


def test_both_dialects_take_the_same_parameters() -> None:
    """But for updates and totals, whose batches come in differently."""
    sqlite, postgres = load_queries("sqlite"), load_queries("postgres")
    in_bulk = {name for name in postgres if "unnest(" in postgres[name]}
    for name in postgres.keys() - in_bulk:
        assert parameters(sqlite[name]) == parameters(postgres[name]), name


def test_a_name_that_stands_twice_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sql" / "sqlite").mkdir(parents=True)
    (tmp_path / "sql" / "sqlite" / "a.sql").write_text("-- why\n-- name: a\nSELECT 1;\n-- why\n-- name: a\nSELECT 2;\n")
    monkeypatch.setattr(queries, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match="twice"):
        cast(Any, load_queries).__wrapped__("sqlite")
