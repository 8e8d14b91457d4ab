"""Loads the named statements of `sql/{sqlite,postgres}/*.sql`.

A block is a comment that says why, a line `-- name: lock_accounts`, and the statement. `{account}` (or
`{a.account}` with a table's alias) stands for the columns of that row type in the order of its Struct, so
that none is ever forgotten or swapped; `{counted}` and `{walked}` for some of a transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from bursar.core.tally import Counted, Walked
from bursar.store.rows import TABLES, columns

Dialect: TypeAlias = Literal["sqlite", "postgres"]

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^--.*\n?", re.MULTILINE)
_COLUMNS: Final = re.compile(r"\{(?:(\w+)\.)?(\w+)\}")
_ROW_TYPES: Final[dict[str, type[Struct]]] = {
    row_type.__name__.lower(): row_type for row_type in (*TABLES, Counted, Walked)
}


@cache
def load_queries(dialect: Dialect) -> dict[str, str]:
    """Every named statement of a dialect; a name that stands twice is a ValueError."""
    queries: dict[str, str] = {}
    for source in sorted(files(__package__).joinpath("sql", dialect).iterdir(), key=lambda entry: entry.name):
        for name, statement in _blocks(source.read_text(encoding="utf-8")):
            if name in queries:
                raise ValueError(f"the statement {name} stands twice in sql/{dialect}")
            queries[name] = statement
    return queries


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    _, *parts = _NAME.split(text)
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        statement = _COMMENT.sub("", body).strip().removesuffix(";")
        yield name, _COLUMNS.sub(_column_list, statement)


def _column_list(match: re.Match[str]) -> str:
    alias, row_type = match.groups()
    prefix = f"{alias}." if alias else ""
    return ", ".join(prefix + column for column in columns(_ROW_TYPES[row_type]))
