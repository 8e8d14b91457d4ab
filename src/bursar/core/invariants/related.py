"""What a page of rows refers to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from bursar.core.book import seq_of
from bursar.core.invariants.fold import detail_of
from bursar.core.limits import Made, made_by_charge, made_by_hold
from bursar.core.model import Hold, Remembered, Transaction, TransactionType

_OTHER_SIDE: dict[str, str] = {TransactionType.TRANSFER_OUT: "received", TransactionType.TRANSFER_IN: "sent"}


class Related(Struct):
    """Rows by seq, id, key, or the id of the charge they give back. What is not in here does not exist."""

    transactions: Mapping[int, Transaction] = field(default_factory=dict)
    holds: Mapping[str, Hold] = field(default_factory=dict)
    keys: Mapping[str, Remembered] = field(default_factory=dict)
    refunds: Mapping[str, list[Transaction]] = field(default_factory=dict)
    others: Mapping[tuple[str, int], Transaction] = field(default_factory=dict)
    """The other sides of transfers, by account and seq."""

    def transaction(self, transaction_id: str) -> Transaction | None:
        row = self.transactions.get(seq_of(transaction_id))
        return row if row is not None and row.id == transaction_id else None

    def made(self, charged: Transaction) -> Made:
        """What a charge counts as in limits, and when: as its hold was placed, where there was one."""
        hold = self.holds.get(charged.hold or "")
        return made_by_charge(charged, self.holds.get(charged.run or "")) if hold is None else made_by_hold(hold)


def other_side(row: Transaction) -> tuple[str, str] | None:
    """The account and id of the other side of a transfer; None for what is none."""
    side = _OTHER_SIDE.get(row.type)
    other: Any = None if side is None else detail_of(row).get(side)
    return (row.counterparty.removeprefix("account:"), other) if isinstance(other, str) else None


def corrected_by(row: Transaction) -> str:
    """The id of the transaction that this one corrects; nothing where there is none."""
    corrected: Any = detail_of(row).get("corrects")
    return corrected if isinstance(corrected, str) else ""
