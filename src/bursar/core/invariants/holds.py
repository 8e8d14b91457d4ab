"""What holds of a hold, given its key and the transactions that name it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bursar.core import chain
from bursar.core.invariants.findings import Findings, of_hold, of_key
from bursar.core.invariants.fold import slices_of
from bursar.core.invariants.related import Related, corrected_by
from bursar.core.limits import outer_moment
from bursar.core.model import Hold, HoldState


def hold_is_as_written(hold: Hold, related: Related) -> Findings:
    """The digest of the row fits."""
    if hold.digest != chain.digest_hold(hold):
        yield of_hold(hold, "digest", "the hold was changed by hand")


def slices_sum_to_the_amount(hold: Hold, related: Related) -> Findings:
    """What a hold sets aside is the sum of its slices."""
    total = sum(part for _, part in slices_of(hold))
    if total != hold.amount:
        yield of_hold(hold, "slices", f"sum to {total}, the amount is {hold.amount}")


def ended_means_settled(hold: Hold, related: Related) -> Findings:
    """A hold has a time of settlement when it has ended, and what it was captured for when it was captured."""
    if hold.unsettled is not (hold.settled_at is None):
        yield of_hold(hold, "settled_at", f"is {hold.settled_at} of a hold that is {hold.state}")
    if hold.unsettled and (hold.settled_seq or hold.captured):
        yield of_hold(hold, "settled_seq", f"is {hold.settled_seq} of a hold that is {hold.state}")
    if (hold.state == HoldState.CAPTURED) is not (hold.settlement is not None):
        yield of_hold(hold, "settlement", f"does not fit a hold that is {hold.state}")


def captured_is_what_was_charged(hold: Hold, related: Related) -> Findings:
    """What was captured is minus the sum of the transactions that name the hold: what settled it, and what that
    corrects.
    """
    settled = related.transactions.get(hold.settled_seq)
    if hold.settled_seq and (settled is None or settled.hold != hold.hold_id):
        yield of_hold(hold, "settled_seq", f"is {hold.settled_seq}, a transaction that does not name the hold")
        return
    corrected = None if settled is None else related.transaction(corrected_by(settled))
    charged = -sum(row.amount for row in (settled, corrected) if row is not None and row.hold == hold.hold_id)
    if charged != hold.captured:
        yield of_hold(hold, "captured", f"is {hold.captured}, its transactions say {charged}")


def hold_has_its_key(hold: Hold, related: Related) -> Findings:
    """A hold that was placed under an idempotency key is what the key remembers."""
    if hold.idempotency_key is None:
        return
    key = related.keys.get(hold.idempotency_key)
    if key is None or key.reference != hold.hold_id:
        yield of_key(hold.account_id, hold.idempotency_key, "reference", f"does not lead to hold {hold.hold_id}")


def hold_fits_its_run(hold: Hold, related: Related) -> Findings:
    """A hold in a run is in one that is there, ends no later, and counts with it; a run has no more than its budget."""
    if hold.budget is not None and hold.amount > hold.budget:
        yield of_hold(hold, "budget", f"is {hold.budget}, with {hold.amount} left of it")
    if hold.run is None:
        return
    run = related.holds.get(hold.run)
    if run is None or run.budget is None:
        yield of_hold(hold, "run", f"is {hold.run}, which is no run")
    elif (hold.counted_at, hold.member) != (outer_moment(run), run.member):
        yield of_hold(hold, "counted_at", f"is {hold.counted_at}, its run says {outer_moment(run)} and {run.member}")
    elif hold.unsettled and (not run.unsettled or hold.expires_at > run.expires_at):
        yield of_hold(hold, "expires_at", "lies behind the end of its run")


HOLD_CHECKS: Final[tuple[Callable[[Hold, Related], Findings], ...]] = (
    hold_is_as_written,
    slices_sum_to_the_amount,
    ended_means_settled,
    captured_is_what_was_charged,
    hold_has_its_key,
    hold_fits_its_run,
)
