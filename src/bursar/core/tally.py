"""What transactions add up to: the daily totals, the paid part of them, and what is owed by source and expiry.

One account's transactions in any number of batches come to the same as all of them at once: every sum here is of
numbers that a transaction has by itself. The engine adds a tally's sums to the stored ones in the tx of the
transactions themselves; `verify` makes the whole tally anew and compares.

A day is the UTC day on which a transaction takes effect. A refund counts on its own day, not on that of its charge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final, NamedTuple, Protocol, TypeVar

from msgspec import Meta, MsgspecError, Struct, field
from msgspec.json import Decoder

from bursar.core.basis import Terms, basis_moved
from bursar.core.model import Entries, Instant, Transaction
from bursar.core.money import Nanos, Picos, parse_money
from bursar.core.periods import DAY

K = TypeVar("K")

_COST_KNOWN: Final = '"cost_known":true'
"""In the detail of a refund: its charge's cost to the provider is known. No text looks like it: quotes are escaped."""

MONEY: Final = r"^[0-9]{1,12}(\.[0-9]{1,12})?$"
"""Money as a command takes it."""

NEVER: Final = 2**31 - 1
"""The day on which credits expire that do not."""

DEBT: Final = ""
"""The source of what accounts owe: less than nothing."""


class LotTerms(Terms, Protocol):
    """What a tally wants to know of a lot."""

    @property
    def source(self) -> str: ...

    @property
    def expires_at(self) -> Instant | None: ...

    @property
    def currency(self) -> str | None: ...


class TotalKey(NamedTuple):
    """A row of the daily totals; '' stands for none."""

    day: int
    type: str
    skill: str
    model: str
    plan: str


class PaidKey(NamedTuple):
    """A row of their paid part: in one currency, of transactions whose provider's cost is known, or is not."""

    day: int
    type: str
    skill: str
    model: str
    plan: str
    currency: str
    costed: int


class LotKey(NamedTuple):
    """A row of what is owed: by the source of the grants, the day on which they expire, and the currency paid."""

    source: str
    expires: int
    currency: str


class Total(Struct, gc=False):
    """`owed` is the part of the amount that is debt (negative: it became debt). `costed` charges cost the provider
    `cost` in USD; `costed_amount` is theirs, and that of what was given back of such charges.
    """

    transactions: int = 0
    amount: Nanos = 0
    owed: Nanos = 0
    costed: int = 0
    costed_amount: Nanos = 0
    cost: Picos = 0


class Backed(Struct, gc=False):
    """Credits, signed, and the cost basis that moved with them."""

    amount: Nanos = 0
    money: Picos = 0


Movement = tuple[LotTerms | None, Nanos, Nanos]
"""The lot (None: the debt), what came to it, and what remained of it after the transaction."""


class Tally(Struct):
    """See the module. A row that was touched is there even where it sums to nothing."""

    totals: dict[TotalKey, Total] = field(default_factory=dict)
    paid: dict[PaidKey, Backed] = field(default_factory=dict)
    lots: dict[LotKey, Backed] = field(default_factory=dict)

    def add(self, row: Any, movements: Iterable[Movement]) -> None:
        """Count one transaction, or as much of it as `Counted` has."""
        key, costed = self._count(row)
        for lot, part, after in movements:
            if part:
                self._move(key, costed, lot, part, after)

    def add_new(self, rows: Sequence[Transaction], entries: Sequence[Entries], lots: Mapping[str, Any]) -> None:
        """Count an account's newest transactions with their entries, given its lots as they are after the last.

        From the newest back: what remains now is what is known. Every charge comes through here.
        """
        left: dict[str, Nanos] = {}
        for row, parts in zip(reversed(rows), reversed(entries), strict=True):
            key, costed = self._count(row)
            for lot_id, part in reversed(parts):
                if lot_id is None:
                    if part:
                        self._move(key, costed, None, part, 0)
                    continue
                lot = lots[lot_id]
                after = left.get(lot_id)
                if after is None:
                    after = lot.remaining
                left[lot_id] = after - part
                if part:
                    self._move(key, costed, lot, part, after)

    def _count(self, row: Any) -> tuple[Any, bool]:
        """Count it in its day. Returns the row of the totals, as a plain tuple, and whether its cost is known."""
        key: Any = (row.effective_at // DAY, row.type, row.skill or "", row.model or "", row.plan or "")
        total = self.totals.get(key)
        if total is None:
            key = TotalKey(*key)
            total = self.totals[key] = Total()
        total.transactions += 1
        total.amount += row.amount
        cost, costed = row.provider_cost_usd, False
        if cost is not None:
            costed = True
            total.costed += 1
            total.cost += parse_money(cost)
        elif row.detail is not None and _COST_KNOWN in row.detail:
            costed = True
        if costed:
            total.costed_amount += row.amount
        return key, costed

    def _move(self, key: Any, costed: bool, lot: LotTerms | None, part: Nanos, after: Nanos) -> None:  # noqa: FBT001
        """Count what came to a lot, or to the debt."""
        if lot is None:
            self.totals[key].owed += part
            _add(self.lots, LotKey(DEBT, NEVER, ""), part, 0)
            return
        money = 0
        if lot.paid is not None:
            money = basis_moved(lot, part, after)
            _add(self.paid, PaidKey._make((*key, lot.currency or "", int(costed))), part, money)
        expires_at = lot.expires_at
        place: Any = (lot.source, NEVER if expires_at is None else expires_at // DAY, lot.currency or "")
        found = self.lots.get(place)
        if found is None:
            self.lots[LotKey(*place)] = Backed(part, money)
        else:
            found.amount += part
            found.money += money


class Counted(Struct, gc=False):
    """As much of a transaction as a tally needs, in the order of the columns of `scan_counted`."""

    account_id: str
    seq: int
    type: str
    amount: Nanos
    skill: str | None
    model: str | None
    plan: str | None
    provider_cost_usd: str | None
    effective_at: Instant
    entries: str
    detail: str | None


class Walked(Struct, gc=False):
    """As much of a transaction as its account's own reports need, in the order of the columns of
    `walk_transactions`.
    """

    account_id: str
    seq: int
    id: str
    type: str
    amount: Nanos
    skill: str | None
    model: str | None
    plan: str | None
    member: str | None
    actor: str
    description: str | None
    effective_at: Instant
    recorded_at: Instant
    entries: str

    def entry_list(self) -> Entries:
        return _decode_entries(self.entries)


class Granted(Struct, gc=False):
    """A lot as the transaction that made it tells of it; what remains is counted along."""

    source: str
    amount: Nanos
    expires_at: Instant | None
    paid: str | None
    currency: str | None
    remaining: Nanos = 0


class Recount:
    """The tally of whole accounts, from nothing but their transactions, which come in the order of account and seq.

    A row that was altered by hand counts as far as it can be read: whoever proves the rows names it.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self._account: str | None = None
        self._lots: dict[str, Granted] = {}

    def add(self, row: Counted) -> None:
        if row.account_id != self._account:
            self._account = row.account_id
            self._lots = {}
        if row.detail is not None and '"lots"' in row.detail:
            self._grant(row.detail)
        if row.provider_cost_usd is not None and not _MONEY.fullmatch(row.provider_cost_usd):
            row.provider_cost_usd = None
        self.tally.add(row, self._movements(row))

    def _grant(self, detail: str) -> None:
        with suppress(MsgspecError):
            for terms in _decode_lots(detail).lots:
                self._lots[terms.grant] = Granted(
                    terms.source, terms.amount, terms.expires_at, terms.paid, terms.currency
                )

    def _movements(self, row: Counted) -> Iterator[Movement]:
        try:
            entries = _decode_entries(row.entries)
        except MsgspecError:
            return
        for lot_id, part in entries:
            if lot_id is None:
                yield None, part, 0
            elif (lot := self._lots.get(lot_id)) is not None:
                lot.remaining += part
                yield lot, part, lot.remaining


class _Terms(Struct, gc=False):
    grant: str
    source: str
    amount: Nanos
    expires_at: Instant | None
    paid: Annotated[str, Meta(pattern=MONEY)] | None
    currency: str | None


class _Lots(Struct, gc=False):
    lots: list[_Terms]


_MONEY = re.compile(MONEY)
_decode_lots = Decoder(_Lots).decode
_decode_entries = Decoder(Entries).decode


def _add(sums: dict[K, Backed], key: K, amount: Nanos, money: Picos) -> None:
    found = sums.get(key)
    if found is None:
        sums[key] = Backed(amount, money)
    else:
        found.amount += amount
        found.money += money
