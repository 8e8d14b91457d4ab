"""What a run has left: its calls take slices from it, and what they do not spend returns to it.

A run's slices stay pinned whoever has them, so taking and giving change neither what is held of a lot nor of the
account. They stand in burn-down order: what comes back is spent first again.
"""

from __future__ import annotations

from bursar.core import limits
from bursar.core.book import Book, burn_down_key
from bursar.core.errors import Invalid, RunNotOpen
from bursar.core.model import Hold, Slices, encode_json
from bursar.core.money import Nanos

MAX_DEPTH = 8
"""Runs in runs in runs."""


def drawn_from(book: Book, run_id: str, member: str | None) -> Hold:
    """The run that a call in a member's name may draw from. Raises `RunNotFound`, `RunNotOpen`, `Invalid`."""
    run = book.run(run_id)
    if not run.unsettled:
        raise RunNotOpen(run_id, run.state)
    if member not in (None, run.member):
        raise Invalid("member", "must be the run's own")
    return run


def open_run_of(book: Book, hold: Hold) -> Hold | None:
    """The run that a hold draws from, as long as it has not ended; None where there is none."""
    if hold.run is None:
        return None
    run = book.run(hold.run)
    return run if run.unsettled else None


def depth_of(book: Book, run: Hold) -> int:
    """How many runs deep a run is; 1 is in no other."""
    depth = 1
    while run.run is not None:
        run, depth = book.run(run.run), depth + 1
    return depth


def take(book: Book, run: Hold, amount: Nanos) -> Slices:
    """Take the first `amount` of what a run has left; it has that much."""
    limits.count(book, limits.of_hold(book, run), held=-amount)
    taken, kept = split(run.slice_list(), amount)
    _keep(book, run, kept, run.amount - amount)
    return taken


def give(book: Book, run: Hold, slices: Slices) -> None:
    """Give slices to a run, and pin them there."""
    amount = sum(part for _, part in slices)
    if amount == 0:
        return
    limits.count(book, limits.of_hold(book, run), held=amount)
    parts = dict(run.slice_list())
    for lot_id, part in slices:
        lot = book.lot(lot_id)
        lot.held += part
        book.touch_lot(lot)
        parts[lot_id] = parts.get(lot_id, 0) + part
    book.account.held += amount
    ordered = sorted(parts.items(), key=lambda entry: burn_down_key(book.lot(entry[0])))
    _keep(book, run, ordered, run.amount + amount)


def split(slices: Slices, amount: Nanos) -> tuple[Slices, Slices]:
    """The first `amount` of slices, and the rest."""
    first: Slices = []
    rest: Slices = []
    for lot_id, part in slices:
        used = min(part, amount)
        amount -= used
        if used:
            first.append((lot_id, used))
        if part > used:
            rest.append((lot_id, part - used))
    return first, rest


def merge(slices: Slices) -> Slices:
    """One slice for each lot, in the order in which the lots first come."""
    parts: dict[str, Nanos] = {}
    for lot_id, part in slices:
        parts[lot_id] = parts.get(lot_id, 0) + part
    return list(parts.items())


def _keep(book: Book, run: Hold, slices: Slices, amount: Nanos) -> None:
    run.slices = encode_json(slices)
    run.amount = amount
    book.touch_hold(run)
