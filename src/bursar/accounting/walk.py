"""One account's transactions from the newest back, and what they did to its lots: by primary key, a page at a time.

Time of recording never goes back along an account, and nothing takes effect after it was recorded: so the walk ends at
the first transaction that was recorded before what is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from bursar.core.model import Instant, Lot
from bursar.core.money import Nanos
from bursar.core.tally import Movement, Walked
from bursar.store.base import Tx

PAGE: Final = 1_000
NEWEST: Final = 2**63 - 1


async def walk(tx: Tx, account: str, since: Instant, before: int = NEWEST) -> AsyncGenerator[Walked]:
    """The transactions before a seq that can have taken effect since then, newest first."""
    while rows := [Walked(*row) for row in await tx.fetch("walk_transactions", account, before, PAGE)]:
        for row in rows:
            if row.recorded_at < since:
                return
            yield row
        before = rows[-1].seq


class Lots:
    """The lots of an account on a walk from the newest transaction back: what remained of each after the next one."""

    def __init__(self, tx: Tx, account: str) -> None:
        self._tx = tx
        self._account = account
        self._lots: dict[str, Lot] = {}
        self._remaining: dict[str, Nanos] = {}

    async def movements(self, row: Walked) -> list[Movement]:
        """What the next transaction of the walk did, newest first."""
        entries = row.entry_list()
        await self._load({lot_id for lot_id, _ in entries if lot_id is not None})
        moved: list[Movement] = []
        for lot_id, part in reversed(entries):
            if lot_id is None:
                moved.append((None, part, 0))
                continue
            after = self._remaining[lot_id]
            self._remaining[lot_id] = after - part
            moved.append((self._lots[lot_id], part, after))
        return moved

    async def _load(self, wanted: set[str]) -> None:
        missing = sorted(wanted - self._lots.keys())
        for lot in await self._tx.lots([(self._account, lot_id) for lot_id in missing]):
            self._lots[lot.lot_id] = lot
            self._remaining[lot.lot_id] = lot.remaining
