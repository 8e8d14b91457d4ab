"""The command line's root: the tree of commands, and exit codes: 0 done, 1 refused, 2 usage.

Each command imports what it needs when it runs, so that `bursar --help` is instant.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from bursar.cli import (
    accounts,
    backfill,
    bench,
    keys,
    limits,
    models,
    plans,
    report,
    runs,
    secrets,
    skills,
    spending,
    upkeep,
)
from bursar.cli.session import command

app = typer.Typer(
    name="bursar",
    help="A credit ledger for AI products: may this call start, what did it cost, what is left.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

command(app, "serve")(upkeep.serve)
command(app, "migrate")(upkeep.migrate)
app.add_typer(accounts.app, name="accounts")
app.command("erase")(accounts.erase)
command(app, "grant")(spending.grant)
command(app, "charge")(spending.charge)
command(app, "hold")(spending.hold)
command(app, "capture")(spending.capture)
command(app, "release")(spending.release)
command(app, "refund")(spending.refund)
command(app, "history")(spending.history)
command(app, "set")(accounts.set_credits)
command(app, "backfill")(backfill.backfill)
app.add_typer(skills.app, name="skills")
app.add_typer(models.app, name="models")
app.add_typer(plans.app, name="plans")
app.add_typer(runs.app, name="runs")
app.add_typer(limits.app, name="limits")
app.add_typer(limits.members, name="members")
app.add_typer(keys.app, name="keys")
app.add_typer(secrets.app, name="secrets")
app.add_typer(report.app, name="report")
command(app, "verify")(upkeep.verify)
command(app, "recount")(upkeep.recount)
command(app, "backup")(upkeep.backup)
command(app, "restore")(upkeep.restore)
command(app, "bench")(bench.bench)


def show_version(wanted: bool) -> None:  # noqa: FBT001 - typer passes it
    """Print the version and leave."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"bursar {version('bursar')}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=show_version, help="Print the version and leave.")
    ] = False,
) -> None:
    """A credit ledger for AI products: may this call start, what did it cost, what is left."""


def main() -> None:
    """Run the command line."""
    try:
        app(prog_name="bursar")
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not complain about it while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
