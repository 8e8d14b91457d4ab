"""`bursar plans ...`: what is sold by the period, and who has which."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from bursar.cli.options import Account, Key
from bursar.cli.session import ACTOR, Session, command

app = typer.Typer(help="Allowances per period, and who has which.", no_args_is_help=True)

COLUMNS = ("name", "allowance", "period", "renewal", "duration_days", "after")

Name = Annotated[str, typer.Argument(metavar="PLAN", help="The plan's name, such as pro.", show_default=False)]
When = Annotated[
    Literal["now", "period_end"],
    typer.Option("--at", metavar="now|period_end", help="At once, or when what is paid for or under way has ended."),
]


@command(app, "list")
def list_plans(session: Session) -> None:
    """Every plan."""
    with session.ledger() as ledger:
        session.show_all(ledger.plans.list(), COLUMNS)


@command(app, "show")
def show(session: Session, name: Name) -> None:
    """One plan."""
    with session.ledger() as ledger:
        session.show(ledger.plans.get(name))


@command(app, "put")
def put(
    session: Session,
    name: Name,
    allowance: Annotated[str, typer.Argument(metavar="CREDITS", help="What a period gives.", show_default=False)],
    *,
    display_name: Annotated[str | None, typer.Option(help="As people see it.")] = None,
    period: Annotated[
        Literal["month", "week", "day", "year", "none"],
        typer.Option(metavar="month|week|day|year|none", help="How often it renews."),
    ] = "month",
    anchor: Annotated[
        Literal["calendar", "anniversary"],
        typer.Option(metavar="calendar|anniversary", help="Whether on the 1st, or on the day on which it began."),
    ] = "calendar",
    renewal: Annotated[
        Literal["reset", "rollover", "accumulate"],
        typer.Option(metavar="reset|rollover|accumulate", help="What becomes of what is left."),
    ] = "reset",
    rollover_cap: Annotated[str | None, typer.Option(help="The most that rolls over.")] = None,
    priority: Annotated[int, typer.Option(help="Lower numbers pay first.")] = 10,
    timezone: Annotated[str | None, typer.Option(help="In which its periods begin; else each account's own.")] = None,
    days: Annotated[int | None, typer.Option(help="After so many the plan is over.")] = None,
    after: Annotated[str | None, typer.Option(help="The plan that follows; without it the default one.")] = None,
    no_after: Annotated[bool, typer.Option("--no-after", help="No plan follows.")] = False,
    trial: Annotated[bool, typer.Option("--trial", help="An account may have one trial.")] = False,
    prorated: Annotated[
        bool, typer.Option("--prorated", help="A change counts each plan for its part of the period.")
    ] = False,
) -> None:
    """Make a plan, or change one: it holds from the next renewal on. What is left out is as in a new one."""
    from bursar.credits.arguments import PRESET_DEFAULT

    if after is not None and no_after:
        raise typer.BadParameter("give --after or --no-after, not both")
    with session.ledger(create=True) as ledger:
        answer = ledger.plans.put(
            name,
            allowance=allowance,
            display_name=display_name,
            period=period,
            anchor=anchor,
            renewal=renewal,
            rollover_cap=rollover_cap,
            priority=priority,
            timezone=timezone,
            duration_days=days,
            after=None if no_after else PRESET_DEFAULT if after is None else after,
            trial=trial,
            prorated=prorated,
        )
    session.show(answer)


@command(app, "subscribe")
def subscribe(
    session: Session,
    account: Account,
    name: Name,
    *,
    days: Annotated[int | None, typer.Option(help="A newly paid period of so many days.")] = None,
    at: When = "now",
    idempotency_key: Key = None,
) -> None:
    """Give an account another plan, or with --days a newly paid period of it."""
    with session.ledger() as ledger:
        answer = ledger.subscribe(account, name, days=days, at=at, idempotency_key=idempotency_key, actor=ACTOR)
    session.show(answer)


@command(app, "cancel")
def cancel(session: Session, account: Account, *, at: When = "period_end", idempotency_key: Key = None) -> None:
    """End an account's plan: the plan after it follows."""
    with session.ledger() as ledger:
        session.show(ledger.cancel(account, at=at, idempotency_key=idempotency_key, actor=ACTOR))
