"""`bursar secrets ...`: what signs the tokens of people who log in. No secret is ever shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli.session import Session, command

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(
    help="What signs the tokens of people who log in: add a new one, later retire the old one.",
    no_args_is_help=True,
)


@command(app, "list")
def list_secrets(session: Session) -> None:
    """The ids of the secrets; the first one signs, all of them verify."""
    from bursar.service.tokens import FILE, Secrets

    settings = session.settings()
    Secrets.of(settings)  # made where there is none yet, refused where it makes no sense
    if settings.secrets:
        ids = [part.strip().partition(":")[0] for part in settings.secrets.split(",") if part.strip()]
    else:
        ids = list(json.loads((settings.data_dir / FILE).read_text()))
    session.show_all([{"id": key_id, "signs": number == 0} for number, key_id in enumerate(ids)], ("id", "signs"))


@command(app, "add")
def add(session: Session) -> None:
    """Add a new secret, which signs from now on."""
    from bursar.service.tokens import Secrets, add_secret

    path = _file(session)
    Secrets.of(session.settings())  # the first secret, where there is none yet
    session.show({"id": add_secret(path), "signs": True})


@command(app, "retire")
def retire(
    session: Session,
    secret: Annotated[str, typer.Argument(metavar="ID", help="The secret's id, s_...", show_default=False)],
) -> None:
    """Forget a secret that no longer signs; the tokens that it signed are dead."""
    from bursar.service.tokens import drop_secret

    drop_secret(_file(session), secret)
    session.show({"id": secret, "retired": True})


def _file(session: Session) -> Path:
    """Where they are kept; those of the environment are changed there."""
    from bursar.service.tokens import FILE
    from bursar.settings import BadSettings

    settings = session.settings()
    if settings.secrets:
        raise BadSettings("the secrets stand in BURSAR_SECRETS: change them there")
    return settings.data_dir / FILE
