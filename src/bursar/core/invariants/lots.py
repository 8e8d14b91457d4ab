"""What holds of a lot, given the fold of all transactions and holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bursar.core.book import terms
from bursar.core.invariants.findings import Findings, compare_lot, of_lot
from bursar.core.invariants.fold import Fold, LotFold
from bursar.core.model import Account, Lot


def lot_is_what_was_granted(lot: Lot, folded: LotFold, fold: Fold, account: Account) -> Findings:
    """A lot's terms are those that its transaction recorded."""
    if folded.terms is None:
        yield of_lot(lot, "lot_id", "no transaction has made this lot")
        return
    yield from compare_lot(lot, "seq", folded.seq)
    recorded = {**folded.terms, "lot_id": folded.terms["grant"]}
    for name, value in terms(lot).items():
        column = "lot_id" if name == "grant" else name
        if recorded.get(column) != value:
            yield of_lot(lot, column, f"is {value}, its transaction says {recorded.get(column)}")


def lot_is_what_its_entries_say(lot: Lot, folded: LotFold, fold: Fold, account: Account) -> Findings:
    """What remains of a lot is the sum of its entries, what is held of it the slices of unsettled holds."""
    yield from compare_lot(lot, "remaining", folded.remaining)
    yield from compare_lot(lot, "held", folded.held)
    yield from compare_lot(lot, "started", folded.started)


def lot_ended_when_it_was_due(lot: Lot, folded: LotFold, fold: Fold, account: Account) -> Findings:
    """A lot ends at its expiry, by a void, or with its plan's period; where time or somebody has ended it, it says
    so.
    """
    if lot.ended_at is None:
        late = lot.expires_at is not None and lot.expires_at <= account.recorded_at and lot.live and lot.started
        if folded.ended_at is not None or late:
            yield of_lot(lot, "ended_at", f"is not set; it ended at {folded.ended_at or lot.expires_at}")
        return
    moments = {lot.expires_at, folded.ended_at, *(fold.resets if lot.plan is not None else ())}
    if lot.ended_at not in moments or (folded.ended_at is not None and lot.ended_at > folded.ended_at):
        yield of_lot(lot, "ended_at", f"is {lot.ended_at}; nothing ended it then")


LOT_CHECKS: Final[tuple[Callable[[Lot, LotFold, Fold, Account], Findings], ...]] = (
    lot_is_what_was_granted,
    lot_is_what_its_entries_say,
    lot_ended_when_it_was_due,
)
