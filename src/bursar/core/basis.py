"""The cost basis of credits: what was paid for those of a lot that are still there.

It depends on nothing but the lot's terms and what remains: the price paid, times what remains, over the grant's amount,
rounded down to 10^-12 of the currency. So what each transaction moves of it adds up: what left a lot and what is left
of it come to what was paid, to the last digit, however often it was divided.

Whoever moves credits into a new lot carries their basis along: a transfer the very difference that left the old lot; a
refund into a fresh lot its share of the price. Plain grants have none.
"""

from __future__ import annotations

from typing import Protocol

from bursar.core.money import Nanos, Picos, format_money, parse_money, portion


class Terms(Protocol):
    """As much of a lot as its basis depends on."""

    @property
    def amount(self) -> Nanos: ...

    @property
    def paid(self) -> str | None: ...


def basis(lot: Terms, remaining: Nanos) -> Picos:
    """What was paid for so much of the lot, in its currency; 0 where nothing was."""
    return 0 if lot.paid is None else portion(parse_money(lot.paid), remaining, lot.amount)


def basis_moved(lot: Terms, part: Nanos, after: Nanos) -> Picos:
    """How its basis changed, where `part` (signed) came to it and `after` remains."""
    return basis(lot, after) - basis(lot, after - part)


def paid_for(lot: Terms, part: Nanos, after: Nanos) -> str | None:
    """The price of `part` that has left the lot, of which `after` remains; None where none was paid."""
    return None if lot.paid is None else format_money(-basis_moved(lot, -part, after))
