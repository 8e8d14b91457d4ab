"""Whether a commit whose answer was lost has landed.

The accounts it had locked are locked again, by waiting: what a commit that is still under way writes cannot be seen
before its locks are gone. Accounts that were new could not be locked; there, writing them again waits for its end and
is a `Duplicate`, and the next look finds them.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from bursar.core.book import Outcome, derived_token
from bursar.core.model import Account, Transaction
from bursar.store.base import Changes, Tx


class Doubt(Struct):
    """The accounts that were locked, what would have been written, what would have been answered."""

    locked: list[Account]
    changes: Changes
    decided: Sequence[Outcome | BaseException | None]

    async def landed(self, tx: Tx) -> bool:
        """Whether it did, by a row that nobody else could have written; where there is none, by everything it
        changed.
        """
        await tx.lock([row.account_id for row in self.locked])
        for row in self.changes.transactions:
            if not is_derived(row):
                return await _stand(tx, [row])
        if self.changes.new_holds:
            hold = self.changes.new_holds[0]
            return bool(await tx.holds([(hold.account_id, hold.hold_id)]))
        return await _stand(tx, self.changes.transactions) and await self._rest_stands(tx)

    async def _rest_stands(self, tx: Tx) -> bool:
        """Whether keys are there, holds and members as they would have become, and accounts of which no transaction
        tells.
        """
        changes = self.changes
        keys = {(row.account_id, row.key): row for row in changes.keys}
        if {(row.account_id, row.key): row for row in await tx.keys(list(keys))} != keys:
            return False
        holds = {hold.hold_id: hold for hold in (*changes.holds, *changes.settled_holds)}
        for hold in await tx.holds([(hold.account_id, hold.hold_id) for hold in holds.values()]):
            if hold.digest != holds[hold.hold_id].digest:
                return False
        members = {(row.account_id, row.member): row.digest for row in (*changes.new_members, *changes.members)}
        if {(row.account_id, row.member): row.digest for row in await tx.members(list(members))} != members:
            return False
        told = {row.account_id for row in changes.transactions}
        opened = {row.account_id for row in changes.new_accounts}
        accounts = {row.account_id: row for row in (*changes.new_accounts, *changes.accounts)}
        found = {row.account_id: row for row in await tx.accounts(sorted(accounts.keys() - told))}
        for account_id in accounts.keys() - told:
            row, wanted = found.get(account_id), accounts[account_id]
            if row is None or row.profile_digest != wanted.profile_digest:
                return False
            if account_id not in opened and row.head != wanted.head:
                return False
        return bool(keys or holds or members or accounts or told)


def is_derived(row: Transaction) -> bool:
    """Whether nobody asked for it: what was due makes the same row whoever does it, but for when."""
    return row.id == f"tx_{row.seq}_{derived_token(row.account_id, row.seq)}"


async def _stand(tx: Tx, rows: Sequence[Transaction]) -> bool:
    """Whether these very rows are there."""
    found = await tx.transactions([(row.account_id, row.seq) for row in rows])
    return {row.hash for row in found} == {row.hash for row in rows}
