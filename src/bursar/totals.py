"""The totals as they are stored, as they should be, and the difference made good.

`repair` adds what is missing, as a row of its own slot: writers go on meanwhile, since all is read in one moment and
only a difference is written. A ledger that grew under an older schema is counted in that way when it is migrated; so
are the days on which a process of an older release, which does not know the newer columns, still wrote beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from bursar.core.invariants import Finding
from bursar.core.money import NANOS, PICOS
from bursar.core.periods import DAY, BadInstant, format_instant
from bursar.core.tally import NEVER, Backed, Counted, LotKey, PaidKey, Recount, Tally, Total, TotalKey
from bursar.store.base import Changes, Store, Tx

K = TypeVar("K", bound=tuple[Any, ...])
V = TypeVar("V", Total, Backed)

PAGE: Final = 2_000

COUNTED_SINCE: Final = "0004"
"""The revision that made the totals in money."""

COLUMNS: Final = {
    "transactions": "transactions",
    "amount": "credits",
    "owed": "owed_credits",
    "costed": "costed",
    "costed_amount": "costed_credits",
    "cost": "cost_usd",
    "money": "money",
}
"""The column that holds the whole part of a sum, by its name in a tally."""


class Repaired(Struct, frozen=True):
    """How many rows of the totals were not what the transactions say, and are now."""

    rows: int


async def read_tally(tx: Tx) -> Tally:
    """The totals of all slots, as they are stored."""
    return Tally(
        {TotalKey(*row[:5]): _total(*row[5:]) for row in await tx.fetch("scan_totals")},
        {PaidKey(*row[:7]): _backed(*row[7:]) for row in await tx.fetch("scan_paid_totals")},
        {LotKey(*row[:3]): _backed(*row[3:]) for row in await tx.fetch("scan_lot_totals")},
    )


async def recount(tx: Tx) -> Tally:
    """What every transaction together comes to."""
    counting = Recount()
    account, seq = "", 0
    while rows := await tx.fetch("scan_counted", account, seq, PAGE):
        for row in rows:
            counting.add(Counted(*row))
        account, seq = rows[-1][0], rows[-1][1]
    return counting.tally


async def count_in(store: Store, applied: Iterable[str]) -> None:
    """Count what a ledger had before these revisions were applied, if one of them made new totals."""
    if COUNTED_SINCE in applied:
        await repair(store)


async def repair(store: Store) -> Repaired:
    """Make the totals what the transactions say."""

    async def look(tx: Tx) -> Tally:
        return _difference(await recount(tx), await read_tally(tx))

    missing = await store.read(look)

    async def write(tx: Tx) -> None:
        await tx.write(Changes(tally=missing))

    rows = len(missing.totals) + len(missing.paid) + len(missing.lots)
    if rows:
        await store.write(write)
    return Repaired(rows)


def compare_tallies(stored: Tally, expected: Tally) -> list[Finding]:
    """What is wrong with the stored totals."""
    return [
        *_compare("totals", stored.totals, expected.totals),
        *_compare("paid_totals", stored.paid, expected.paid),
        *_compare("lot_totals", stored.lots, expected.lots),
    ]


def _compare(table: str, stored: Mapping[K, V], expected: Mapping[K, V]) -> Iterator[Finding]:
    for key in sorted(stored.keys() | expected.keys()):
        found, wanted = stored.get(key), expected.get(key)
        row = "/".join(_words(key))
        if found == wanted:
            continue
        if found is None:
            yield Finding(table, "", row, None, "is missing")
            continue
        if wanted is None:
            if any(astuple(found)):  # else it was made good
                yield Finding(table, "", row, None, "no transaction counts in it")
            continue
        name = next(name for name in found.__struct_fields__ if getattr(found, name) != getattr(wanted, name))
        message = f"is {getattr(found, name)}, the transactions come to {getattr(wanted, name)}"
        yield Finding(table, "", row, COLUMNS[name], message)


def _difference(wanted: Tally, stored: Tally) -> Tally:
    return Tally(
        dict(_missing(wanted.totals, stored.totals, Total)),
        dict(_missing(wanted.paid, stored.paid, Backed)),
        dict(_missing(wanted.lots, stored.lots, Backed)),
    )


def _missing(wanted: Mapping[K, V], stored: Mapping[K, V], kind: type[V]) -> Iterator[tuple[K, V]]:
    nothing = kind()
    for key in wanted.keys() | stored.keys():
        there = stored.get(key)
        should = wanted.get(key, nothing)
        if there != should:
            yield key, kind(*map(int.__sub__, astuple(should), astuple(there or nothing)))


def _total(  # the columns of scan_totals behind the key
    transactions: int,
    credits_: int,
    nanos: int,
    owed_credits: int,
    owed_nanos: int,
    costed: int,
    costed_credits: int,
    costed_nanos: int,
    cost_usd: int,
    cost_picos: int,
) -> Total:
    return Total(
        transactions,
        credits_ * NANOS + nanos,
        owed_credits * NANOS + owed_nanos,
        costed,
        costed_credits * NANOS + costed_nanos,
        cost_usd * PICOS + cost_picos,
    )


def _backed(credits_: int, nanos: int, money: int, picos: int) -> Backed:
    return Backed(credits_ * NANOS + nanos, money * PICOS + picos)


def _words(key: Iterable[Any]) -> Iterator[str]:
    """A key as a person reads it: the numbers in it but for the flag are days."""
    for number, part in enumerate(key):
        yield part if isinstance(part, str) else str(part) if number == len(PaidKey._fields) - 1 else show_day(part)


def show_day(day: int) -> str:
    """`2026-01-31`; `never` for the day of what does not expire."""
    if day == NEVER:
        return "never"
    try:
        return format_instant(day * DAY)[:10]
    except BadInstant:
        return str(day)
