"""`bursar backfill`: credits for accounts that were there before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli.progress import Moved, counting
from bursar.cli.session import ACTOR, Session

if TYPE_CHECKING:
    from bursar.contracts.backfill import Backfilled


def backfill(
    session: Session,
    *,
    credits: Annotated[str, typer.Option("--credits", metavar="N", help="How many, exact.", show_default=False)],
    everyone: Annotated[
        bool, typer.Option("--all", help="Set every account to N, whatever it has, in place of granting to the empty.")
    ] = False,
    run: Annotated[
        str, typer.Option(metavar="NAME", help="The name of this run: each account is done once in it.")
    ] = "first",
) -> None:
    """Give N credits to every account that has none; with --all set every account to N.

    As grants and adjustments that stay in each account's history. The same again, after a kill or by mistake, changes
    nothing that was done already; another --run begins anew.
    """
    import asyncio

    with counting("accounts", silent=session.json) as moved:
        done = asyncio.run(_backfill(session, credits, run, moved, everyone=everyone))
    session.show({"run": run, "accounts": done.accounts, "given": done.given, "left": done.left})


async def _backfill(session: Session, amount: str, run: str, moved: Moved, *, everyone: bool) -> Backfilled:
    from bursar.contracts.backfill import backfill
    from bursar.credits import AsyncCredits

    def say(done: Backfilled) -> None:
        moved(done.accounts, done.total)

    settings = session.settings()
    opening = AsyncCredits.open(settings.url, preset=settings.preset, migrate=False, clock=settings.test_clock)
    async with opening as ledger:
        return await backfill(ledger, amount, everyone=everyone, run=run, actor=ACTOR, say=say)
