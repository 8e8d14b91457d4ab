"""Subscriptions: how plans begin, change and end."""

from bursar.store.migrations.script import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql("0006_subscriptions")
