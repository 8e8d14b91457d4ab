"""Rows become values and values rows by position: fields stand in the order of the columns.

The getters below name the columns of the narrow updates, in the order of the statement's parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Final, TypeAlias

import msgspec

from bursar.core.model import Account, Hold, Lot, Member, Remembered, Transaction
from bursar.core.money import NANOS, PICOS
from bursar.core.tally import Backed, Tally

Row: TypeAlias = tuple[Any, ...]
RowType: TypeAlias = type[Account] | type[Lot] | type[Hold] | type[Transaction] | type[Remembered] | type[Member]

TABLES: Final[dict[RowType, str]] = {
    Account: "accounts",
    Lot: "lots",
    Hold: "holds",
    Transaction: "transactions",
    Remembered: "idempotency_keys",
    Member: "members",
}
"""The table of each row type."""

spent_of: Final[Callable[[Account], Row]] = attrgetter(
    "account_id", "posted", "spent", "seq", "head", "recorded_at", "limits"
)
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
    "limits",
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


def columns(row_type: type[msgspec.Struct]) -> tuple[str, ...]:
    """The columns of a row type's table, in order."""
    return row_type.__struct_fields__


def as_rows(values: Iterable[msgspec.Struct]) -> list[Row]:
    """Whole rows, for inserting or for updating every column."""
    return list(map(msgspec.structs.astuple, values))


def total_rows(tally: Tally) -> list[Row]:
    """Parameters of `add_totals` after the slot; whole credits and the rest apart: no sum overflows."""
    return [
        (
            *key,
            total.transactions,
            *divmod(total.amount, NANOS),
            *divmod(total.owed, NANOS),
            total.costed,
            *divmod(total.costed_amount, NANOS),
            *divmod(total.cost, PICOS),
        )
        for key, total in tally.totals.items()
    ]


def paid_rows(tally: Tally) -> list[Row]:
    """Parameters of `add_paid_totals` after the slot."""
    return _backed_rows(tally.paid)


def lot_rows(tally: Tally) -> list[Row]:
    """Parameters of `add_lot_totals` after the slot."""
    return _backed_rows(tally.lots)


def _backed_rows(sums: Mapping[Any, Backed]) -> list[Row]:
    return [(*key, *divmod(sum_.amount, NANOS), *divmod(sum_.money, PICOS)) for key, sum_ in sums.items()]
