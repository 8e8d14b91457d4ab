"""The index of holds by due time serves the job that walks them, and no batch by mistake."""

from bursar.store.migrations.script import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql("0002_holds_due")
