"""`bursar limits ...` and `bursar members ...`: who may spend how much."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from bursar.cli.options import Account, Cursor, Limit
from bursar.cli.session import ACTOR, Session, command

app = typer.Typer(help="Spending caps, and what they have counted.", no_args_is_help=True)
members = typer.Typer(help="Who may spend from an account that is somebody else's.", no_args_is_help=True)

COLUMNS = ("id", "scope", "value", "window", "amount", "spent", "held", "left", "resets_at")

LimitId = Annotated[
    str, typer.Argument(metavar="LIMIT", help="The limit's id, of your own making.", show_default=False)
]
MemberId = Annotated[str, typer.Argument(metavar="MEMBER", help="The member's id.", show_default=False)]
Amount = Annotated[
    str, typer.Argument(metavar="AMOUNT", help="The most that is spent in a window.", show_default=False)
]
Window = Annotated[
    Literal["day", "week", "month", "lifetime"], typer.Option(help="How long it counts before it starts afresh.")
]
Scope = Annotated[
    Literal["account", "member", "key", "skill", "model", "run"], typer.Option(help="Whose spending it counts.")
]


@command(app, "list")
def list_limits(session: Session, account: Account) -> None:
    """An account's limits and those of its members."""
    with session.ledger() as ledger:
        session.show_all(ledger.limits(account), COLUMNS)


@command(app, "set")
def set_limit(
    session: Session,
    account: Account,
    limit: LimitId,
    amount: Amount,
    *,
    window: Window = "month",
    scope: Scope = "account",
    value: Annotated[str | None, typer.Option(help="Which member, key, skill, model or run.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Of its days; without it the account's.")] = None,
) -> None:
    """Set a limit, or change it; what its window has seen already counts."""
    with session.ledger() as ledger:
        answer = ledger.set_limit(
            account, limit, amount, window=window, scope=scope, value=value, timezone=timezone, actor=ACTOR
        )
    session.show(answer)


@command(app, "remove")
def remove_limit(session: Session, account: Account, limit: LimitId) -> None:
    """Lift a limit."""
    with session.ledger() as ledger:
        ledger.remove_limit(account, limit, actor=ACTOR)
    session.say(f"{limit} is lifted")


@command(members, "list")
def list_members(session: Session, account: Account, *, limit: Limit = 100, cursor: Cursor = None) -> None:
    """An account's members, removed ones too."""
    with session.ledger() as ledger:
        page = ledger.members(account, limit=limit, cursor=cursor)
    session.show_all(page.data, ("member", "status", "created_at"), page)
    if page.next_cursor is not None:
        session.say(f"more: --cursor {page.next_cursor}")


@command(members, "add")
def add_member(session: Session, account: Account, member: MemberId) -> None:
    """Let a member spend. Once one was added, only members may spend in a member's name."""
    with session.ledger() as ledger:
        session.show(ledger.add_member(account, member, actor=ACTOR))


@command(members, "remove")
def remove_member(session: Session, account: Account, member: MemberId) -> None:
    """Let a member spend no more; what is in flight may settle."""
    with session.ledger() as ledger:
        session.show(ledger.remove_member(account, member, actor=ACTOR))
