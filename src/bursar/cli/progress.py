"""Long work: a line that moves on a terminal, plain lines elsewhere, nothing in the way of a program. All on standard
error.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import typer

EVERY_SECONDS: Final = 0.2


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
