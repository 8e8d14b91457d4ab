"""The reports once more, the simple way: over every transaction there is, in fractions, knowing no totals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from fractions import Fraction
from math import floor
from typing import Any

from msgspec import Struct, field

from bursar.core.model import Lot, Transaction
from bursar.store.base import Store
from tests.support.scan import rows_in

EPOCH = date(1970, 1, 1)
CREDIT = 10**9
PICO = Fraction(1, 10**12)


class Event(Struct):
    """A transaction, and what it did to what was paid for: by currency, credits and money that left."""

    row: Transaction
    day: date
    costed: bool
    cost: Fraction
    debt: int = 0
    paid: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    money: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))


def day_of(instant: int) -> date:
    return EPOCH + timedelta(microseconds=instant)


def moment(day: date) -> int:
    return (day - EPOCH) // timedelta(microseconds=1)


def worth(lot: Lot, remaining: int) -> Fraction:
    """What was paid for so much of it: whole millionths of millionths."""
    return Fraction(0) if lot.paid is None else floor(Fraction(lot.paid) * remaining / lot.amount / PICO) * PICO


class Everything(Struct):
    """All accounts, read in full."""

    events: list[Event] = field(default_factory=list)
    lots: list[Lot] = field(default_factory=list)
    debt: int = 0
    posted: int = 0


async def read_everything(store: Store, accounts: Iterable[str]) -> Everything:
    everything = Everything()
    for account in accounts:
        rows = await rows_in(store, account)
        lots = {lot.lot_id: lot for lot in rows.lots}
        costed = {row.id for row in rows.transactions if row.provider_cost_usd is not None}
        remaining: dict[str, int] = defaultdict(int)
        for row in rows.transactions:
            event = Event(
                row,
                day_of(row.effective_at),
                row.id in costed or row.refund_of in costed,
                Fraction(row.provider_cost_usd or 0),
            )
            for lot_id, part in row.entry_list():
                if lot_id is None:
                    event.debt -= part
                    continue
                lot = lots[lot_id]
                before = remaining[lot_id]
                remaining[lot_id] += part
                if lot.paid is not None:
                    event.paid[lot.currency or ""] -= part
                    event.money[lot.currency or ""] += worth(lot, before) - worth(lot, remaining[lot_id])
            everything.events.append(event)
        assert {name: left for name, left in remaining.items() if left} == {
            lot.lot_id: lot.remaining for lot in rows.lots if lot.remaining
        }
        everything.lots += rows.lots
        everything.debt += rows.account.debt
        everything.posted += rows.account.posted
    return everything


def grouped(
    events: Iterable[Event], since: date, until: date, by: list[str], wanted: Callable[[Event], bool] = lambda _: True
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Usage and margin of each group, by what the group is called, in nano-credits and fractions."""
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for event in events:
        row = event.row
        if row.type not in ("CONSUMPTION", "REFUND") or not since <= event.day < until or not wanted(event):
            continue
        name = tuple(event.day if part == "day" else getattr(row, part) for part in by)
        sums = groups.setdefault(name, defaultdict(int, revenue=defaultdict(Fraction), earned=defaultdict(Fraction)))
        kind = "charge" if row.type == "CONSUMPTION" else "refund"
        sums[f"{kind}s"] += 1
        sums[f"{kind}d" if kind == "charge" else "refunded"] += -row.amount if kind == "charge" else row.amount
        sums["debt"] += event.debt
        sums["paid"] += sum(event.paid.values())
        sums["costed"] += row.provider_cost_usd is not None
        sums["cost"] += event.cost
        if event.costed:
            sums["costed_used"] -= row.amount
        for currency, money in event.money.items():
            sums["revenue"][currency] += money
            if event.costed:
                sums["earned"][currency] += money
    return groups
