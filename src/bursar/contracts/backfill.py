"""Credits for accounts that were there before: the `api-calls` system's script for existing users.

    accounts that have none          ->  a grant of so many; those that have some are left alone
    with everyone=True, all of them  ->  set to so many, by an adjustment

Each account is done at most once in a run of one name, under an idempotency key: after a kill it is run again and ends
as without it, and what an account spent since it was done is not given twice. Another name is another run. Accounts
that are closed are left alone. What is held counts as had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec import Struct

from bursar.answers import AccountAnswer
from bursar.core import text
from bursar.core.errors import AccountClosed, Invalid
from bursar.core.model import AccountStatus
from bursar.credits import AsyncCredits
from bursar.credits.arguments import AmountIn, amount_of
from bursar.store.base import Tx

PAGE: Final = 500
SOURCE: Final = "admin"
DEFAULT_RUN: Final = "first"


class Backfilled(Struct):
    """How far it is: accounts looked at, given so many in this run (be it before a kill), left as they were."""

    total: int = 0
    accounts: int = 0
    given: int = 0
    left: int = 0


Say: TypeAlias = Callable[[Backfilled], None]


async def backfill(
    credits: AsyncCredits,
    amount: AmountIn,
    *,
    everyone: bool = False,
    run: str = DEFAULT_RUN,
    actor: str = "library",
    say: Say = lambda _: None,
) -> Backfilled:
    """Go over every account, a page at a time. Raises `Invalid`, `DatabaseUnavailable`."""
    nanos = amount_of("credits", amount)
    if nanos == 0 and not everyone:
        raise Invalid("credits", "must be more than zero")
    text.check_name("run", run)
    key = f"backfill:{'all' if everyone else 'none'}:{amount}:{run}"
    text.check_key("run", key)
    done = Backfilled(await credits.store.read(_count))

    async def give(account: AccountAnswer) -> bool:
        if account.status == AccountStatus.CLOSED:
            return False
        try:
            if everyone:
                await credits.adjust(account.id, to=amount, reason=_reason(run), idempotency_key=key, actor=actor)
            elif account.posted <= 0:
                await credits.grant(
                    account.id, amount, source=SOURCE, description=_reason(run), idempotency_key=key, actor=actor
                )
            else:
                return False
        except AccountClosed:
            return False
        return True

    cursor: str | None = None
    while True:
        page = await credits.accounts(cursor=cursor, limit=PAGE)
        given = await asyncio.gather(*(give(account) for account in page.data))
        done.accounts += len(given)
        done.given += sum(given)
        done.left = done.accounts - done.given
        done.total = max(done.total, done.accounts)
        say(done)
        cursor = page.next_cursor
        if cursor is None:
            return done


def _reason(run: str) -> str:
    return f"backfill {run}"


async def _count(tx: Tx) -> int:
    count: int = (await tx.fetch("count_accounts"))[0][0]
    return count
