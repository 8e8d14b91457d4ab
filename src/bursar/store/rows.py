"""Rows become values and values rows by position: fields stand in the order of the columns.

The getters below name the columns of the narrow updates, in the order of the statement's parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final, TypeAlias

import msgspec

from bursar.core.model import Account, Hold, Lot, Remembered, Transaction
from bursar.store.base import TotalDelta

Row: TypeAlias = tuple[Any, ...]
RowType: TypeAlias = type[Account] | type[Lot] | type[Hold] | type[Transaction] | type[Remembered]

TABLES: Final[dict[RowType, str]] = {
    Account: "accounts",
    Lot: "lots",
    Hold: "holds",
    Transaction: "transactions",
    Remembered: "idempotency_keys",
}
"""The table of each row type."""

NANOS_PER_CREDIT: Final = 10**9

spent_of: Final[Callable[[Account], Row]] = attrgetter("account_id", "posted", "spent", "seq", "head", "recorded_at")
"""Parameters of `update_spent`."""

balance_of: Final[Callable[[Account], Row]] = attrgetter(
    "account_id",
    "posted",
    "held",
    "debt",
    "spent",
    "open_holds",
    "holds_opened",
    "seq",
    "head",
    "recorded_at",
)
"""Parameters of `update_balances`."""

lot_of: Final[Callable[[Lot], Row]] = attrgetter("account_id", "lot_id", "remaining", "held", "live")
"""Parameters of `update_lots`."""

ended_lot_of: Final[Callable[[Lot], Row]] = attrgetter(
    "account_id", "lot_id", "remaining", "held", "ended_at", "seq", "started", "live"
)
"""Parameters of `update_ended_lots`."""


settled_hold_of: Final[Callable[[Hold], Row]] = attrgetter(
    "account_id", "hold_id", "state", "captured", "settled_at", "settled_seq", "settlement", "digest"
)
"""Parameters of `update_settled_holds`."""


def columns(row_type: RowType) -> tuple[str, ...]:
    """The columns of a row type's table, in order."""
    return row_type.__struct_fields__


def as_rows(values: Iterable[msgspec.Struct]) -> list[Row]:
    """Whole rows, for inserting or for updating every column."""
    return list(map(msgspec.structs.astuple, values))


def total_of(delta: TotalDelta) -> Row:
    """Parameters of `add_totals` after the slot; whole credits and the rest apart: no sum overflows."""
    whole, nanos = divmod(delta.amount, NANOS_PER_CREDIT)
    return (
        delta.day,
        delta.type,
        delta.skill,
        delta.model,
        delta.plan,
        delta.transactions,
        whole,
        nanos,
    )
