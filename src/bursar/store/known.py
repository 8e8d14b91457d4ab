"""What a lane knows of accounts between its txs: their rows, live lots and unsettled holds, as it left
them.

Locking an account tells which tx wrote its row last. Where that is the tx that left it so, nobody has touched the
account since, for whoever changes a lot or a hold of an account writes its row in the same tx: none of them is
read again. The values
are those that the rules work on, so they are handed out once and come back only with a commit; after anything else
they are forgotten, and read anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from bursar.core.model import Account, Hold, Instant, Lot
from bursar.store.base import Changes, Pair

MOST = 20_000
"""Accounts that a lane remembers, the ones used last: some 2 KB each."""
MOST_HOLDS = 100
"""Holds of one account that are remembered; where more are in flight, they are read."""


class _Entry:
    """`lots` and `holds` are all there are; None where they were not read."""

    __slots__ = ("account", "given", "holds", "lots", "stamp")

    def __init__(self, account: Account, stamp: int) -> None:
        self.account = account
        self.stamp = stamp
        self.lots: list[Lot] | None = None
        self.holds: dict[str, Hold] | None = None if account.open_holds else {}
        self.given = False


class Known:
    """See the module. A stamp is the tx that wrote an account's row last; `most` 0 remembers nothing."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[str, _Entry] = {}
        self._out: dict[str, _Entry] = {}

    def begin(self) -> None:
        """A tx begins. What was out and did not come back is forgotten."""
        self._out.clear()

    def account(self, account_id: str, stamp: int) -> Account | None:
        """The account's row, locked now with this stamp; None where it must be read."""
        entry = self._kept.pop(account_id, None)
        if entry is None or entry.stamp != stamp:
            return None
        self._out[account_id] = entry
        return entry.account

    def read(self, account: Account, stamp: int) -> None:
        """The row that was read instead."""
        self._out[account.account_id] = _Entry(account, stamp)

    def lots(self, account_id: str) -> list[Lot] | None:
        """The account's live lots; None where they must be read. They are given once: who asks again in the same tx
        starts over, and has spoilt them.
        """
        entry = self._out.get(account_id)
        if entry is None:
            return None
        if entry.given:
            del self._out[account_id]
            return None
        entry.given = True
        return entry.lots

    def read_lots(self, account_ids: Iterable[str], lots: Iterable[Lot]) -> None:
        """All live lots of these accounts, which were read instead."""
        for account_id in account_ids:
            if account_id in self._out:
                self._out[account_id].lots = []
        for lot in lots:
            entry = self._out.get(lot.account_id)
            if entry is not None and entry.lots is not None:
                entry.lots.append(lot)

    def hold(self, pair: Pair) -> Hold | None:
        """An unsettled hold; None where it must be read."""
        entry = self._out.get(pair[0])
        return None if entry is None or entry.holds is None else entry.holds.get(pair[1])

    def due_holds(self, account_id: str, now: Instant) -> list[Hold] | None:
        """The unsettled holds that end by `now`; None where they must be read."""
        entry = self._out.get(account_id)
        if entry is None or entry.holds is None:
            return None
        return [hold for hold in entry.holds.values() if hold.expires_at <= now]

    def lose(self) -> None:
        """The connection is gone. What is reached next may be another server, where a stamp says nothing."""
        self._kept.clear()
        self._out.clear()

    def forget(self, account_id: str) -> None:
        """Rows of the account were touched by other ways than these."""
        self._out.pop(account_id, None)

    def commit(self, changes: Changes, stamp: int) -> None:
        """The tx of this stamp has written these changes and committed; an account it did not write is as it was."""
        out = self._out
        for accounts in (changes.spent, changes.balances, changes.accounts):
            for account in accounts:
                if account.account_id in out:
                    out[account.account_id].stamp = stamp
        self._commit_lots(changes)
        self._commit_holds(changes)
        kept = self._kept
        for account_id, entry in out.items():
            if entry.lots is not None:
                entry.given = False
                kept[account_id] = entry
        out.clear()
        while len(kept) > self._most:
            del kept[next(iter(kept))]

    def _commit_lots(self, changes: Changes) -> None:
        for lot in changes.new_lots:
            entry = self._out.get(lot.account_id)
            if entry is not None and entry.lots is not None:
                entry.lots.append(lot)
        for lots in (changes.lots, changes.new_lots, changes.ended_lots):
            for lot in lots:
                entry = None if lot.live else self._out.get(lot.account_id)
                if entry is not None and entry.lots is not None:
                    entry.lots = [other for other in entry.lots if other.live]

    def _commit_holds(self, changes: Changes) -> None:
        for holds in (changes.new_holds, changes.settled_holds, changes.holds):
            for hold in holds:
                entry = self._out.get(hold.account_id)
                if entry is None:
                    continue
                if entry.account.open_holds == 0:
                    entry.holds = {}
                elif entry.holds is not None and not hold.unsettled:
                    entry.holds.pop(hold.hold_id, None)
                elif entry.holds is not None:
                    entry.holds[hold.hold_id] = hold
                    if len(entry.holds) > MOST_HOLDS:
                        entry.holds = None
