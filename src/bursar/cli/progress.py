"""Long work: a line that moves on a terminal, plain lines elsewhere, nothing in the way of a program. All on standard
error.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import typer

EVERY_SECONDS: Final = 0.2
STEPS: Final = 10
"""So many lines elsewhere than on a terminal, at most."""

Moved = Callable[[int, int], None]
"""So many of so many are done."""


@asynccontextmanager
async def watching(look: Callable[[], str], *, silent: bool) -> AsyncIterator[None]:
    """While the work runs, show what `look` says of it: over and over on a terminal, once at the end elsewhere."""
    if silent:
        yield
        return
    if not sys.stderr.isatty():
        yield
        typer.echo(look(), err=True)
        return
    import asyncio

    from rich.console import Console

    with Console(stderr=True).status("") as status:

        async def show() -> None:
            while True:
                status.update(look())
                await asyncio.sleep(EVERY_SECONDS)

        shown = asyncio.create_task(show())
        try:
            yield
        finally:
            shown.cancel()


@contextmanager
def counting(what: str, *, silent: bool) -> Iterator[Moved]:
    """A bar on a terminal, a line at every tenth elsewhere."""
    if silent:
        yield lambda _done, _total: None
        return
    if not sys.stderr.isatty():
        shown = 0

        def say(done: int, total: int) -> None:
            nonlocal shown
            step = done * STEPS // max(total, 1)
            if step > shown:
                shown = step
                typer.echo(f"{what}: {done} of {total}", err=True)

        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
