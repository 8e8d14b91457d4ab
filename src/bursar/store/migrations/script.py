"""Runs a revision's hand-written SQL in the dialect at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import op

from bursar.store.migrate import statements

_SQL: Final = Path(__file__).parent / "sql"
_FOLDERS: Final = {"sqlite": "sqlite", "postgresql": "postgres"}


def run_sql(name: str) -> None:
    """Run every statement of `sql/{dialect}/{name}.sql`, in the migration's tx."""
    connection = op.get_bind()
    path = _SQL / _FOLDERS[connection.dialect.name] / f"{name}.sql"
    for statement in statements(path.read_text(encoding="utf-8")):
        connection.exec_driver_sql(statement)
