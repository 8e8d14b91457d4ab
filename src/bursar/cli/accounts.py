"""`bursar accounts ...` and `bursar set`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli.options import Account, Cursor, Limit, MetadataText, Overage, Reason, Yes, object_of
from bursar.cli.session import ACTOR, Session, command

if TYPE_CHECKING:
    from bursar.credits import Credits

app = typer.Typer(help="Who holds credits.", no_args_is_help=True)

COLUMNS = ("id", "email", "plan", "status", "posted", "held", "available", "debt", "next_reset")


@command(app, "list")
def list_accounts(
    session: Session,
    *,
    query: Annotated[str | None, typer.Option(help="Part of an id, email or name.")] = None,
    plan: Annotated[str | None, typer.Option(help="Of this plan.")] = None,
    status: Annotated[str | None, typer.Option(help="active, frozen or closed.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """Accounts in order of id, a page at a time."""
    with session.ledger() as ledger:
        page = ledger.accounts(query=query, plan=plan, status=status, limit=limit, cursor=cursor)
    session.show_all(page.data, COLUMNS, page)
    if page.next_cursor is not None:
        session.say(f"more: --cursor {page.next_cursor}")


@command(app, "show")
def show(session: Session, account: Account) -> None:
    """One account, and what it has, lot by lot in the order in which they pay."""
    from msgspec.structs import asdict

    with session.ledger() as ledger:
        answer, balance = ledger.account(account), ledger.balance(account)
    session.show(asdict(answer) | {"unit": balance.unit, "lots": balance.lots})


@command(app, "open")
def open_account(
    session: Session,
    account: Account,
    *,
    plan: Annotated[str | None, typer.Option(help="Its plan; without it the default one.")] = None,
    no_plan: Annotated[bool, typer.Option("--no-plan", help="No plan at all.")] = False,
    email: Annotated[str | None, typer.Option(help="Its e-mail address.")] = None,
    name: Annotated[str | None, typer.Option(help="Its name.")] = None,
    timezone: Annotated[str, typer.Option(help="In which its days and months begin.")] = "UTC",
    overage: Overage = None,
    metadata: MetadataText = None,
) -> None:
    """Open an account with its plan's first allowance; one that exists is shown as it is."""
    from bursar.credits.arguments import PRESET_DEFAULT

    if plan is not None and no_plan:
        raise typer.BadParameter("give --plan or --no-plan, not both")
    with session.ledger(create=True) as ledger:
        answer = ledger.open_account(
            account,
            plan=None if no_plan else PRESET_DEFAULT if plan is None else plan,
            email=email,
            name=name,
            timezone=timezone,
            overage=overage or "debt",
            metadata=object_of("--metadata", metadata),
            actor=ACTOR,
        )
    session.show(answer)


@command(app, "freeze")
def freeze(session: Session, account: Account, *, reason: Reason = None) -> None:
    """Refuse charges, holds and transfers out; what is in flight may settle."""
    with session.ledger() as ledger:
        session.show(ledger.freeze(account, reason=reason, actor=ACTOR))


@command(app, "unfreeze")
def unfreeze(session: Session, account: Account, *, reason: Reason = None) -> None:
    """Allow spending again."""
    with session.ledger() as ledger:
        session.show(ledger.unfreeze(account, reason=reason, actor=ACTOR))


@command(app, "erase")
def erase(session: Session, account: Account, *, yes: Yes = False) -> None:
    """Forget a person: every text of the account goes, with its logins and keys; amounts and the hash chain stay.

    A request that is repeated under an erased idempotency key is a new intent. Backups that were made before still hold
    the words; the database's own files give the bytes up with their next vacuum.
    """
    from bursar.erase import erase_account, remove_pictures

    if not yes:
        typer.confirm(f"Erase every text of {account!r} for good?", abort=True, err=True)
    erased = session.on_store(lambda store: erase_account(store, account))
    remove_pictures(session.settings().data_dir, erased)
    session.show(erased)


def set_credits(
    session: Session,
    who: Annotated[str, typer.Argument(metavar="ID-or-EMAIL", help="The account.", show_default=False)],
    amount: Annotated[str, typer.Argument(metavar="N", help="What it has available from now on.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why, kept with the correction.")] = "set by an administrator",
) -> None:
    """Correct an account: what is available becomes N."""
    with session.ledger() as ledger:
        session.show(ledger.adjust(find_id(ledger, who), to=amount, reason=reason, actor=ACTOR))


def find_id(ledger: Credits, who: str) -> str:
    """The id of the account of that id, else of the only one with that email. Raises `AccountNotFound`."""
    from bursar.core.errors import AccountNotFound, Invalid

    try:
        return ledger.account(who).id
    except (AccountNotFound, Invalid):
        if "@" not in who:
            raise
    page = ledger.accounts(query=who, limit=1000)
    found = [account.id for account in page.data if (account.email or "").lower() == who.lower()]
    if not found:
        raise AccountNotFound(who)
    if len(found) > 1:
        raise Invalid("account", f"{who} is the e-mail address of several: {', '.join(found[:10])}")
    return found[0]
