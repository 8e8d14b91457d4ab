"""Answers as JSON, as tables for people, as plain lines for pipes.

JSON is exact and complete. A table leaves out what is empty. A plain line has its cells separated by tabs, the names
of the columns in the first line; line breaks and tabs inside a cell become spaces.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec
import typer

if TYPE_CHECKING:
    from rich.table import Table


_NOTHING: Final[tuple[object, ...]] = (None, 0, "0", "", [], {})
"""What a nested value leaves out."""


_WHOLE: Final = frozenset(("posted", "held", "available", "debt", "amount", "id", "type"))
"""Columns that are never cut or wrapped: an id is there to be copied, an amount to be read."""
_TIME: Final = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d{6})?Z$")


def print_json(value: object) -> None:
    """One document, one line."""
    from bursar.answers import ENCODER

    typer.echo(ENCODER.encode(value).decode())


def print_record(value: object) -> None:
    """One answer: its fields one below the other, a list one part below the other; what says nothing is left out."""
    fields = list(_lines(value))
    if not sys.stdout.isatty():
        for name, text in fields:
            typer.echo(f"{name}\t{text}")
        return
    from rich.text import Text

    table = _table(())
    for name, text in fields:
        table.add_row(Text(name, style="dim"), Text(text))
    _show(table)


def print_rows(values: Sequence[object], columns: Sequence[str]) -> None:
    """Many answers: one line each, of these columns."""
    rows = [[cell(_fields(value)[column]) for column in columns] for value in values]
    if not sys.stdout.isatty():
        for row in ([*columns], *rows):
            typer.echo("\t".join(row))
        return
    from rich.text import Text

    table = _table(columns)
    for row in rows:
        table.add_row(*(Text(_seconds(text)) for text in row))
    _show(table)


def cell(value: object) -> str:
    """A value in one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, msgspec.Struct | Mapping):
        return " ".join(f"{name}={cell(part)}" for name, part in _fields(value).items() if part not in _NOTHING)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "; ".join(cell(part) for part in value)
    return "".join(character if character.isprintable() else " " for character in str(value))


def _lines(value: object) -> Iterator[tuple[str, str]]:
    for name, part in _fields(value).items():
        if isinstance(part, list):
            yield from ((name, cell(one)) for one in part)
        elif part is not None and part != {}:
            yield name, cell(part)


def _fields(value: object) -> dict[str, object]:
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    assert isinstance(value, Mapping)
    return dict(value)


def _table(columns: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, show_header=bool(columns), pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=column in _WHOLE, overflow="fold")
    return table


def _seconds(text: str) -> str:
    """A time without the fraction of its second, and with a space at which it may be wrapped."""
    return _TIME.sub(r"\1 \2Z", text)


def _show(table: Table) -> None:
    from rich.console import Console

    Console().print(table)
