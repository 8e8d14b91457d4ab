"""Reports as CSV: a head, then line after line, a page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, Protocol, TypeVar

from bursar.accounting.shapes import LiabilitiesReport, Liability, MarginRow, Report, StatementReport, UsageRow
from bursar.spreadsheet import lines


class Paged(Protocol):
    """A page of a report."""

    @property
    def next_cursor(self) -> str | None: ...


R = TypeVar("R")
P = TypeVar("P", bound=Paged)
P_contra = TypeVar("P_contra", bound=Paged, contravariant=True)


class Show(Protocol[P_contra]):
    """The lines of a page, behind a head or not."""

    def __call__(self, page: P_contra, *, head: bool) -> str: ...


USAGE_COLUMNS: Final = (
    "charges",
    "charged",
    "refunds",
    "refunded",
    "used",
    "paid",
    "free",
    "debt",
    "revenue",
)
MARGIN_COLUMNS: Final = ("charges", "costed", "used", "revenue", "provider_cost_usd", "margin_usd")
LIABILITY_COLUMNS: Final = ("expires_on", "source", "credits", "basis", "currency")

STATEMENT_COLUMNS: Final = (
    "seq",
    "id",
    "type",
    "amount",
    "balance",
    "skill",
    "model",
    "member",
    "description",
    "effective_at",
    "recorded_at",
)

_MONEY: Final = frozenset({"provider_cost_usd", "margin_usd"})


def usage_lines(page: Report[UsageRow], *, head: bool) -> str:
    """A usage report, behind the columns that it is grouped by."""
    return _lines(page, [*page.by, *USAGE_COLUMNS], head=head)


def margin_lines(page: Report[MarginRow], *, head: bool) -> str:
    """A margin report, likewise."""
    return _lines(page, [*page.by, *MARGIN_COLUMNS], head=head)


def liability_lines(page: LiabilitiesReport, *, head: bool) -> str:
    """What is owed."""
    return lines([*([LIABILITY_COLUMNS] if head else []), *map(_liability, page.data)])


def statement_lines(page: StatementReport, *, head: bool) -> str:
    """A statement: the closing balance, the movements from the newest back, the opening balance."""
    rows: list[Sequence[object]] = [[getattr(line, column) for column in STATEMENT_COLUMNS] for line in page.lines]
    if head:
        rows[:0] = [STATEMENT_COLUMNS, _balance("CLOSING", page.closing, page.until)]
    if page.next_cursor is None:
        first = page.lines[-1] if page.lines else None
        rows.append(_balance("OPENING", page.opening if first is None else first.balance - first.amount, page.since))
    return lines(rows)


async def csv_of(ask: Callable[[str | None], Awaitable[P]], show: Show[P]) -> AsyncIterator[str]:
    """Every page of a report as CSV; `ask` for the page behind a cursor."""
    page = await ask(None)
    yield show(page, head=True)
    while page.next_cursor is not None:
        page = await ask(page.next_cursor)
        yield show(page, head=False)


def _lines(page: Report[R], names: Sequence[str], *, head: bool) -> str:
    return lines([*([names] if head else []), *([_value(row, name) for name in names] for row in page.data)])


def _value(row: object, name: str) -> object:
    value = getattr(row, name)
    if name == "revenue":
        return " ".join(f"{part.amount} {part.currency}" for part in value)
    return Decimal(value) if name in _MONEY and value is not None else value


def _liability(row: Liability) -> list[object]:
    basis = row.basis
    money = (None, None) if basis is None else (Decimal(basis.amount), basis.currency)
    return [row.expires_on, row.source, row.credits, *money]


def _balance(type_: str, balance: object, at: datetime) -> list[object]:
    named: dict[str, object] = {"type": type_, "balance": balance, "effective_at": at}
    return [named.get(column) for column in STATEMENT_COLUMNS]
