"""What one command runs in: the ledger it opens, how it answers, how a refusal looks.

    @command(app, "show")
    def show(session: Session, account: Account) -> None: ...

makes a command with the options `--database-url` and `--json` beside its own. Whatever Bursar refuses is one line on
standard error (with `--json` one object with its `code` on standard output) and exit code 1; a usage error is exit
code 2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, TypeVar, get_type_hints

import typer

from bursar.cli import output

if TYPE_CHECKING:
    from bursar.credits import Credits
    from bursar.settings import Settings
    from bursar.store.base import Store

P = ParamSpec("P")
T = TypeVar("T")

ACTOR = "cli"

SHARED = {
    "database_url": Annotated[
        str | None,
        typer.Option(
            help="sqlite:///FILE or postgresql://...; else BURSAR_DATABASE_URL, else bursar.db in the data folder.",
            show_default=False,
        ),
    ],
    "json": Annotated[bool, typer.Option("--json", help="Answer with JSON.")],
}


class Session:
    """One run of one command."""

    def __init__(self, database_url: str | None, *, json: bool) -> None:
        self.json = json
        self._database_url = database_url

    def settings(self, **overrides: Any) -> Settings:
        """The settings, with what the command line says over them."""
        from bursar.settings import load_settings

        return load_settings(database_url=self._database_url, **overrides)

    @contextmanager
    def ledger(self, *, create: bool = False) -> Iterator[Credits]:
        """The ledger, open. Only a command that begins something makes a new one: a slip in a name makes none."""
        from bursar.credits import Credits

        settings = self.settings()
        migrate = None if create else False
        with Credits.open(settings.url, preset=settings.preset, migrate=migrate, clock=settings.test_clock) as ledger:
            yield ledger

    def on_store(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """The result of work on the rows of a ledger that exists."""
        import asyncio

        return asyncio.run(_on_store(self.settings().url, work))

    def show(self, answer: object) -> None:
        """One answer."""
        (output.print_json if self.json else output.print_record)(answer)

    def show_all(self, answers: Sequence[object], columns: Sequence[str], document: object = None) -> None:
        """Many answers, as lines of these columns; as JSON the `document` that holds them, or their list."""
        if self.json:
            output.print_json(answers if document is None else document)
        else:
            output.print_rows(answers, columns)

    def say(self, line: str) -> None:
        """What goes on, for people; never in the way of a program."""
        if not self.json:
            typer.echo(line, err=True)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Turn what is refused into one line and exit code 1."""
        try:
            yield
        except (typer.Exit, typer.BadParameter, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001 - a bug is raised again by `_code_of`
            code, evidence = _code_of(error)
            if self.json:
                output.print_json({"code": code, "message": str(error), **evidence})
            else:
                typer.echo(f"bursar: {output.cell(str(error))} ({code})", err=True)
            raise typer.Exit(1) from None


def command(app: typer.Typer, name: str) -> Callable[[Callable[Concatenate[Session, P], None]], Callable[..., None]]:
    """Make a function a command: see the module."""

    def register(function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
        hints = get_type_hints(function, include_extras=True)
        own = list(signature(function).parameters.values())[1:]
        parameters = [parameter.replace(annotation=hints[parameter.name]) for parameter in own]
        for shared, annotation in SHARED.items():
            default = False if shared == "json" else None
            parameters.append(Parameter(shared, Parameter.KEYWORD_ONLY, default=default, annotation=annotation))

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            given: dict[str, Any] = dict(kwargs)
            session = Session(given.pop("database_url"), json=given.pop("json"))
            with session.refusing():
                function(session, *args, **given)

        run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__
        app.command(name)(run)
        return run

    return register


async def _on_store(url: str, work: Callable[[Store], Awaitable[T]]) -> T:
    from bursar.store.url import open_store

    store = open_store(url)
    try:
        await store.open()
        return await work(store)
    finally:
        await store.close()


def _code_of(error: Exception) -> tuple[str, dict[str, object]]:
    """The public code of a refusal and its evidence; what is no refusal but a bug is raised again."""
    from bursar.core.errors import BursarError
    from bursar.settings import BadSettings
    from bursar.store.base import StoreError

    if isinstance(error, BursarError):
        from bursar.service.problems import evidence_of

        return error.code, evidence_of(error)
    for kind, code in ((BadSettings, "bad_settings"), (StoreError, "database_error"), (OSError, "file_error")):
        if isinstance(error, kind):
            return code, {}
    raise error
