"""The ledger, the catalogue, who may sign in, and the views."""

from bursar.store.migrations.script import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql("0001_ledger")
