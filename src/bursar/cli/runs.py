"""`bursar runs ...`: budgets for whole tasks."""

from __future__ import annotations

from typing import Annotated

import typer

from bursar.cli.options import Account, Cursor, Description, Key, Limit, Member, MetadataText, Run, object_of
from bursar.cli.session import ACTOR, Session, command

app = typer.Typer(help="Budgets for whole tasks, which their calls draw from.", no_args_is_help=True)

COLUMNS = ("id", "state", "budget", "left", "held", "spent", "calls", "run", "expires_at")

Budget = Annotated[str, typer.Argument(metavar="BUDGET", help="What its calls may spend in all.", show_default=False)]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.", show_default=False)]


@command(app, "list")
def list_runs(session: Session, account: Account, *, limit: Limit = 100, cursor: Cursor = None) -> None:
    """An account's runs, ended ones too."""
    with session.ledger() as ledger:
        page = ledger.runs(account, limit=limit, cursor=cursor)
    session.show_all(page.data, COLUMNS, page)
    if page.next_cursor is not None:
        session.say(f"more: --cursor {page.next_cursor}")


@command(app, "open")
def open_run(
    session: Session,
    account: Account,
    budget: Budget,
    *,
    ttl_seconds: Annotated[int, typer.Option(help="Until it ends by itself, up to 86400.")] = 900,
    run: Run = None,
    member: Member = None,
    description: Description = None,
    metadata: MetadataText = None,
    idempotency_key: Key = None,
) -> None:
    """Set a budget aside; with --run, out of that run's."""
    with session.ledger() as ledger:
        answer = ledger.open_run(
            account,
            budget,
            ttl_seconds=ttl_seconds,
            run=run,
            member=member,
            description=description,
            metadata=object_of("--metadata", metadata),
            idempotency_key=idempotency_key,
            actor=ACTOR,
        )
    session.show(answer)


@command(app, "show")
def show_run(session: Session, account: Account, run: RunId) -> None:
    """A run, and what its calls came to."""
    from msgspec.structs import asdict

    with session.ledger() as ledger:
        answer, calls = ledger.get_run(account, run), ledger.run_calls(account, run)
    session.show(asdict(answer) | {"transactions": calls.data})


@command(app, "close")
def close_run(session: Session, account: Account, run: RunId) -> None:
    """End a run: calls in flight end by their own rule, what is left returns."""
    with session.ledger() as ledger:
        session.show(ledger.close_run(account, run, actor=ACTOR))
