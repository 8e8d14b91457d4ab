"""What an account's transactions and holds come to, folded one by one: the other way to its balances.

Nothing here looks at what the rows of `accounts` and `lots` say: `core.invariants` compares the two. Memory is a few
numbers for each lot and limit of one account, however many transactions there are.
"""

from __future__ import annotations

from typing import Any

from msgspec import DecodeError, Struct, field
from msgspec.json import decode

from bursar.core.limits import Counted, Made, Owner
from bursar.core.model import Entries, Hold, Instant, Limits, LimitScope, Slices, Transaction, TransactionType
from bursar.core.money import MAX_NANOS, Nanos
from bursar.core.plans import RENEWAL

_ENDS = (TransactionType.EXPIRY, TransactionType.VOID)
_STAYS = frozenset({"rollover_cap", "changed_to", "overused"})
"""Facts of an expiry that takes credits out of lots which do not end."""

_SPENDS = (TransactionType.CONSUMPTION, TransactionType.REFUND)


class LotFold(Struct, gc=False):
    """What the transactions say of one lot; `terms` and `seq` are None and 0 where none has made it."""

    seq: int = 0
    terms: dict[str, Any] | None = None
    remaining: Nanos = 0
    held: Nanos = 0
    started: bool = False
    ended_at: Instant | None = None
    """When the first transaction that ended it took effect; none is recorded where nothing of it was free."""


class Fold(Struct):
    """See the module."""

    transactions: int = 0
    seq: int = 0
    posted: Nanos = 0
    debt: Nanos = 0
    spent: Nanos = 0
    recorded_at: Instant | None = None
    resets: list[Instant] = field(default_factory=list)
    subscription: dict[str, Any] | None = field(default_factory=dict)
    """What the last transaction of a plan left of it; None where it was written before there was such a record."""
    lots: dict[str, LotFold] = field(default_factory=dict)
    holds: int = 0
    open_holds: int = 0
    held: Nanos = 0
    members: int = 0
    counted: dict[Owner, Counted] = field(default_factory=dict)
    """What the limits of the account, and of each of its members, must have counted."""
    _runs: dict[str, str | None] = field(default_factory=dict)
    """The run that each run is in, where a limit of one asks for it."""
    _follows_runs: bool = False
    _open: list[Hold] = field(default_factory=list)
    heads: tuple[bytes, ...] | None = (b"",)
    """The hash of the last transaction, as stored and as it should be; None where a row is missing."""
    balances: tuple[Nanos, ...] | None = (0,)
    """What was posted after it, likewise."""

    def lot(self, lot_id: str) -> LotFold:
        return self.lots.setdefault(lot_id, LotFold())

    def add_hold(self, hold: Hold) -> None:
        """Count a hold; what it pins while it is unsettled."""
        self.holds += 1
        if self._follows_runs and hold.budget is not None:
            self._runs[hold.hold_id] = hold.run
        if not hold.unsettled:
            return
        self.open_holds += 1
        if self.counted:
            self._open.append(hold)
        for lot_id, part in slices_of(hold):
            self.lot(lot_id).held += part
            self.held += part

    def add_limits(self, owner: Owner, limits: Limits | None) -> None:
        """Say what limits there are, of the account or of a member, before anything is counted."""
        if limits is not None and limits.limits:
            self.counted[owner] = Counted(limits.limits, self._runs.get)
            self._follows_runs |= any(limit.scope == LimitScope.RUN for limit in limits.limits)

    def add_spending(self, row: Transaction, made: Made) -> None:
        """Count a transaction in the limits, given what it counts as and when."""
        for counted in self._counted_of(made[0].member):
            counted.add(row, made)

    def close_holds(self) -> None:
        """All holds have been seen: those that have not ended count in the limits."""
        for hold in self._open:
            for counted in self._counted_of(hold.member):
                counted.add_hold(hold)
        self._open.clear()

    def _counted_of(self, member: str | None) -> list[Counted]:
        owners = [None] if member is None else [None, member]
        return [self.counted[owner] for owner in owners if owner in self.counted]

    def add(self, row: Transaction) -> None:
        """Count a transaction; rows come in the order of their seq."""
        self.transactions += 1
        self.seq = row.seq
        self.posted += row.amount
        self.recorded_at = row.recorded_at
        detail = detail_of(row)
        self._spend(row, detail)
        ends = row.type in _ENDS and _STAYS.isdisjoint(detail)
        for lot_id, part in entries_of(row):
            if lot_id is None:
                self.debt -= part
                continue
            lot = self.lot(lot_id)
            lot.remaining += part
            lot.started = True
            if ends and lot.ended_at is None:
                lot.ended_at = row.effective_at
        for terms in terms_of(detail):
            lot = self.lot(terms["grant"])
            lot.seq, lot.terms = row.seq, terms

    def _spend(self, row: Transaction, detail: dict[str, Any]) -> None:
        if row.type == TransactionType.PLAN:
            known = detail.get("subscription")
            self.subscription = known if isinstance(known, dict) else None
            if self.subscription is None or self.subscription.get("event") == RENEWAL:
                self.spent = 0
                self.resets.append(row.effective_at)
        elif "overused" in detail and self.subscription is not None:
            self.subscription["overused"] = detail["overused"]
        elif row.type in _SPENDS:
            self.spent = max(min(self.spent - row.amount, MAX_NANOS), -MAX_NANOS)


def entries_of(row: Transaction) -> Entries:
    """The entries; none where the text is broken."""
    try:
        return row.entry_list()
    except DecodeError:
        return []


def slices_of(hold: Hold) -> Slices:
    """The slices; none where the text is broken."""
    try:
        return hold.slice_list()
    except DecodeError:
        return []


def detail_of(row: Transaction) -> dict[str, Any]:
    """The facts of the type; none where the text is broken."""
    if row.detail is None:
        return {}
    try:
        return decode(row.detail, type=dict[str, Any])
    except DecodeError:
        return {}


def terms_of(detail: dict[str, Any]) -> list[dict[str, Any]]:
    """The terms of the lots that a transaction made."""
    lots = detail.get("lots")
    if not isinstance(lots, list):
        return []
    return [terms for terms in lots if isinstance(terms, dict) and isinstance(terms.get("grant"), str)]
