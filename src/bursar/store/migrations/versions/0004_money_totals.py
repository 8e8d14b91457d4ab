"""Totals in money, and what is owed by source and expiry."""

from bursar.store.migrations.script import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql("0004_money_totals")
