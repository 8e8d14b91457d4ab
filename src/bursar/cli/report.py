"""`bursar report ...`: what the ledger adds up to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bursar.cli.options import Account, Cursor, Limit
from bursar.cli.session import Session, command

if TYPE_CHECKING:
    from bursar.accounting.tables import Show

app = typer.Typer(help="What was used, earned and is owed.", no_args_is_help=True)

OfAccount = Annotated[str | None, typer.Option(help="Of this account; else of everybody.")]
Since = Annotated[str | None, typer.Option(metavar="DAY", help="From this day on, in UTC; else 30 days.")]
Until = Annotated[str | None, typer.Option(metavar="DAY", help="Before this day, in UTC; else up to today.")]
By = Annotated[str, typer.Option(help="Any of day, skill, model, plan, with commas between them; '' for one row.")]
AccountBy = Annotated[str, typer.Option(help="Any of day, skill, model, plan, and of an account member, actor.")]
Skill = Annotated[str | None, typer.Option(help="Of this skill.")]
Model = Annotated[str | None, typer.Option(help="Of this model.")]
Plan = Annotated[str | None, typer.Option(help="Of accounts on this plan.")]
Csv = Annotated[bool, typer.Option("--csv", help="The whole report as CSV.")]

USAGE_COLUMNS = ("charges", "charged", "refunded", "used", "paid", "free", "debt", "revenue")
MARGIN_COLUMNS = ("charges", "costed", "used", "revenue", "provider_cost_usd", "margin_usd")


@command(app, "usage")
def usage(
    session: Session,
    *,
    account: OfAccount = None,
    since: Since = None,
    until: Until = None,
    by: AccountBy = "day",
    skill: Skill = None,
    model: Model = None,
    plan: Plan = None,
    csv: Csv = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """How much was used, and from which credits it was paid."""
    from bursar.accounting.tables import usage_lines

    wanted = _wanted(since, until, by) | {"skill": skill, "model": model, "plan": plan}
    with session.ledger() as ledger:

        def ask(cursor: str | None, limit: int) -> Any:
            return ledger.reports.usage(account, **wanted, cursor=cursor, limit=limit)

        _show(session, ask, usage_lines, lambda page: [*page.by, *USAGE_COLUMNS], csv=csv, limit=limit, cursor=cursor)


@command(app, "margin")
def margin(
    session: Session,
    *,
    since: Since = None,
    until: Until = None,
    by: By = "day",
    skill: Skill = None,
    model: Model = None,
    plan: Plan = None,
    csv: Csv = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """What was earned on the charges whose provider's cost is known."""
    from bursar.accounting.tables import margin_lines

    wanted = _wanted(since, until, by) | {"skill": skill, "model": model, "plan": plan}
    with session.ledger() as ledger:

        def ask(cursor: str | None, limit: int) -> Any:
            return ledger.reports.margin(**wanted, cursor=cursor, limit=limit)

        _show(session, ask, margin_lines, lambda page: [*page.by, *MARGIN_COLUMNS], csv=csv, limit=limit, cursor=cursor)


@command(app, "rate")
def rate(session: Session, *, account: OfAccount = None) -> None:
    """How fast credits are used: over the last day, week and thirty days, of whole days before today."""
    with session.ledger() as ledger:
        session.show(ledger.reports.rate(account))


@command(app, "liabilities")
def liabilities(session: Session, *, csv: Csv = False, limit: Limit = 100, cursor: Cursor = None) -> None:
    """What is owed, by source and expiry, and what was paid for it."""
    from bursar.accounting.tables import LIABILITY_COLUMNS, liability_lines

    with session.ledger() as ledger:

        def ask(cursor: str | None, limit: int) -> Any:
            return ledger.reports.liabilities(cursor=cursor, limit=limit)

        if csv or session.json:
            _show(session, ask, liability_lines, lambda _: LIABILITY_COLUMNS, csv=csv, limit=limit, cursor=cursor)
        else:
            session.show(ask(cursor, limit))


@command(app, "statement")
def statement(
    session: Session,
    account: Account,
    *,
    since: Annotated[
        str, typer.Option(metavar="DAY-or-TIME", help="From this day or time on, in UTC.", show_default=False)
    ],
    until: Annotated[
        str | None, typer.Option(metavar="DAY-or-TIME", help="Before this day or time; else until now.")
    ] = None,
    csv: Csv = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """One account's opening balance, movements and closing balance."""
    from bursar.accounting.tables import STATEMENT_COLUMNS, statement_lines

    start, end = _moment("--since", since), None if until is None else _moment("--until", until)
    with session.ledger() as ledger:

        def ask(cursor: str | None, limit: int) -> Any:
            return ledger.reports.statement(account, start, end, cursor=cursor, limit=limit)

        if csv or session.json:
            _show(session, ask, statement_lines, lambda _: STATEMENT_COLUMNS, csv=csv, limit=limit, cursor=cursor)
        else:
            session.show(ask(cursor, limit))


def _show(
    session: Session,
    ask: Callable[[str | None, int], Any],
    show: Show[Any],
    columns: Callable[[Any], Sequence[str]],
    *,
    csv: bool,
    limit: int,
    cursor: str | None,
) -> None:
    """A page, or the whole as CSV."""
    if csv:
        for number, page in enumerate(_pages(ask)):
            typer.echo(show(page, head=number == 0), nl=False)
        return
    page = ask(cursor, limit)
    if session.json:
        session.show(page)
        return
    session.show_all(page.data, columns(page), page)
    if page.next_cursor is not None:
        session.say(f"more: --cursor {page.next_cursor}")


def _pages(ask: Callable[[str | None, int], Any]) -> Iterator[Any]:
    from bursar.accounting.asked import MAX_LIMIT

    page = ask(None, MAX_LIMIT)
    while True:
        yield page
        if page.next_cursor is None:
            return
        page = ask(page.next_cursor, MAX_LIMIT)


def _wanted(since: str | None, until: str | None, by: str) -> dict[str, Any]:
    return {
        "since": None if since is None else _day("--since", since),
        "until": None if until is None else _day("--until", until),
        "by": [name for name in by.split(",") if name],
    }


def _day(name: str, value: str) -> date:
    from bursar.accounting.asked import parse_day
    from bursar.core.errors import Invalid

    try:
        return parse_day(name, value)
    except Invalid as refusal:
        raise typer.BadParameter(refusal.reason, param_hint=name) from None


def _moment(name: str, value: str) -> date | datetime:
    from bursar.cli.options import time_of

    if len(value) == len("2026-01-31"):
        return _day(name, value)
    moment = time_of(name, value)
    assert moment is not None
    return moment
