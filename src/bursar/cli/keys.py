"""`bursar keys ...`: who may call the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli.options import time_of
from bursar.cli.session import Session, command

if TYPE_CHECKING:
    from bursar.core.model import Instant
    from bursar.service.keys import ApiKey

app = typer.Typer(help="Who may call the API.", no_args_is_help=True)

COLUMNS = ("id", "prefix", "role", "account", "name", "created_at", "expires_at", "revoked_at")


@command(app, "create")
def create(
    session: Session,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="admin, service or account.", show_default=False)],
    *,
    account: Annotated[str | None, typer.Option(help="Whose key, for the role account.")] = None,
    name: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    may_grant: Annotated[bool, typer.Option("--may-grant", help="Let a service grant and refund.")] = False,
    expires_at: Annotated[str | None, typer.Option(metavar="TIME", help="Until when it is good, RFC 3339.")] = None,
) -> None:
    """A new key. It is shown once, and only its hash is kept."""
    from bursar.core.periods import from_datetime
    from bursar.service.keys import Keys

    ends = time_of("--expires-at", expires_at)
    with session.ledger(create=True):
        pass  # the ledger is there and has its schema
    key, secret = session.on_store(
        lambda store: Keys(store).create(
            role,
            account=account,
            name=name,
            may_grant=may_grant,
            expires_at=None if ends is None else from_datetime(ends),
        )
    )
    session.show({"key": secret} | shown(key))


@command(app, "list")
def list_keys(
    session: Session,
    account: Annotated[str | None, typer.Option(help="Only those of this account.")] = None,
    after: Annotated[str | None, typer.Option(metavar="ID", help="After this key.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, up to 1000.")] = 100,
) -> None:
    """Every key, revoked ones too, in order of id; no secret is shown."""
    from bursar.service.keys import Keys

    keys = session.on_store(lambda store: Keys(store).list_keys(account, after, limit))
    session.show_all([shown(key) for key in keys], COLUMNS)


@command(app, "revoke")
def revoke(
    session: Session, key: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, k_...", show_default=False)]
) -> None:
    """End a key. Running servers notice within seconds."""
    from bursar.service.keys import Keys

    session.on_store(lambda store: Keys(store).revoke(key, None))
    session.show({"id": key, "revoked": True})


def shown(key: ApiKey) -> dict[str, object]:
    """A key without its hash."""
    return {
        "id": key.id,
        "prefix": key.prefix,
        "role": key.role,
        "account": key.account_id,
        "name": key.name,
        "may_grant": bool(key.may_grant),
        "created_at": _moment(key.created_at),
        "expires_at": _moment(key.expires_at),
        "revoked_at": _moment(key.revoked_at),
    }


def _moment(instant: Instant | None) -> object:
    from bursar.core.periods import to_datetime

    return None if instant is None else to_datetime(instant)
