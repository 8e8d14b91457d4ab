"""What the reports say, in credits and money: the same shapes for the library, the API and `--json`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Generic, TypeVar

from msgspec import Struct

from bursar.answers import Number, Paid

R = TypeVar("R")


class UsageRow(Struct, frozen=True):
    """What was used in one group; what the report does not group by is None, and so is what has none.

    `used = charged - refunded = paid + free + debt`: it came from lots that were paid for, from lots that were not, and
    `debt` is what it added to debts (negative where its remainders paid some off). `revenue` is what was paid for the
    `paid` part, by currency.
    """

    day: date | None
    skill: str | None
    model: str | None
    plan: str | None
    member: str | None
    actor: str | None
    charges: int
    charged: Number
    refunds: int
    refunded: Number
    used: Number
    paid: Number
    free: Number
    debt: Number
    revenue: list[Paid]


class MarginRow(Struct, frozen=True):
    """What was earned on the charges whose provider's cost is known: `costed` of all `charges`, net of refunds.

    `margin_usd` is the revenue less the cost, in USD; None where no cost is known, or credits were paid for in another
    currency as well. Credits that were given away or went on debt bring no revenue.
    """

    day: date | None
    skill: str | None
    model: str | None
    plan: str | None
    charges: int
    costed: int
    used: Number
    revenue: list[Paid]
    provider_cost_usd: str
    margin_usd: str | None


class Report(Struct, Generic[R], frozen=True):
    """A page of a report on the days from `since` to before `until`, in the order of what it is grouped `by`."""

    since: date
    until: date
    by: list[str]
    data: list[R]
    next_cursor: str | None


class Window(Struct, frozen=True):
    """How much was used in so many whole days before today; `per_day` rounded down to a nano-credit.

    `days_left` is for how many whole days what is available would last at this rate; None for everybody together, and
    where nothing was used.
    """

    days: int
    since: date
    until: date
    used: Number
    per_day: Number
    days_left: int | None


class RateReport(Struct, frozen=True):
    """How fast credits are used; `available` on one account, None for everybody together."""

    account: str | None
    available: Number | None
    windows: list[Window]


class Liability(Struct, frozen=True):
    """What is owed from grants of one source that expire on one day (None: never), and what was paid for it."""

    source: str
    expires_on: date | None
    credits: Number
    basis: Paid | None


class LiabilitiesReport(Struct, frozen=True):
    """What is owed to all accounts. `owed - debt` is what is posted on all of them.

    `lapsed` of it expired on a day before today, and is held by a call in flight or about to be written off; `debt` is
    what accounts owe. `basis` is what was paid for all that is owed, by currency.
    """

    as_of: datetime
    unit: str
    owed: Number
    lapsed: Number
    debt: Number
    basis: list[Paid]
    data: list[Liability]
    next_cursor: str | None


class StatementSum(Struct, frozen=True):
    """All movements of one type."""

    type: str
    transactions: int
    amount: Number


class StatementLine(Struct, frozen=True):
    """One movement, and the balance after it."""

    seq: int
    id: str
    type: str
    amount: Number
    balance: Number
    skill: str | None
    model: str | None
    member: str | None
    description: str | None
    effective_at: datetime
    recorded_at: datetime


class StatementReport(Struct, frozen=True):
    """One account from `since` to before `until`: `opening` plus all movements is `closing`, of what is posted.

    `lines` are the movements, newest first; the sums stand on the first page alone.
    """

    account: str
    unit: str
    since: datetime
    until: datetime
    opening: Number | None
    closing: Number | None
    movements: list[StatementSum]
    lines: list[StatementLine]
    next_cursor: str | None
