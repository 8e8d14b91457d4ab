"""Which lots pay, and how credits move in and out of lots.

The order: lowest priority number, then soonest expiry, then oldest, then id. Every function here changes lots and
nothing else; the caller has made sure that there is enough, and posts the transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from bursar.core.book import Book, Touched
from bursar.core.commands import Command
from bursar.core.model import Entries, Instant, Lot, Slices, Transaction, TransactionType
from bursar.core.money import Nanos


def burn(book: Book, amount: Nanos, *, spare_plan: bool = False) -> Entries:
    """Take `amount` from what is free, in burn-down order. `spare_plan` leaves a plan's own lots alone."""
    entries: Entries = []
    for lot in book.live_lots():
        if amount == 0:
            break
        part = min(lot.remaining - lot.held, amount)
        if part <= 0 or (spare_plan and lot.plan is not None):
            continue
        lot.remaining -= part
        amount -= part
        entries.append((lot.lot_id, -part))
        book.touch_lot(lot)
    assert amount == 0, "burned more than there was"
    return entries


def pin(book: Book, amount: Nanos) -> Slices:
    """Pin `amount` of what is free, in burn-down order: it stays in its lots and outlives their expiry."""
    slices: Slices = []
    for lot in book.live_lots():
        if amount == 0:
            break
        part = min(lot.remaining - lot.held, amount)
        if part <= 0:
            continue
        lot.held += part
        amount -= part
        slices.append((lot.lot_id, part))
        book.touch_lot(lot)
    assert amount == 0, "pinned more than there was"
    book.account.held += sum(part for _, part in slices)
    return slices


def unpin(book: Book, slices: Slices, cost: Nanos) -> tuple[Entries, Slices]:
    """Let go of pinned slices: the first `cost` of them is spent, the rest returns to its lots.

    Returns the entries of what was spent, and what returned.
    """
    spent: Entries = []
    returned: Slices = []
    for lot_id, part in slices:
        lot = book.lot(lot_id)
        used = min(part, cost)
        cost -= used
        lot.held -= part
        lot.remaining -= used
        if used:
            spent.append((lot_id, -used))
        if part > used:
            returned.append((lot_id, part - used))
        book.account.held -= part
        book.touch_lot(lot)
    return spent, returned


def pay_debt(book: Book, freed: Slices) -> Entries:
    """Pay what the account owes out of credits that were just freed. Returns the entries, sum 0; none without debt."""
    entries: Entries = []
    account = book.account
    for lot_id, part in freed:
        if account.debt == 0:
            break
        lot = book.lot(lot_id)
        paid = min(part, account.debt)
        lot.remaining -= paid
        account.debt -= paid
        entries += [(lot_id, -paid), (None, paid)]
        book.touch_lot(lot)
    return entries


def expire_returned(book: Book, returned: Slices, now: Instant, effective_at: Instant) -> None:
    """What has returned to a lot that ended meanwhile ends too, in a transaction of its own; as does what was held
    beyond the plan's allowance when the plan changed.
    """
    for lot_id, part in returned:
        lot = book.lot(lot_id)
        back = min(part, lot.free)
        if back and lot.ended(effective_at):
            end_lot(book, lot, now, effective_at)
        elif back and lot.plan is not None and book.account.overused:
            _give_up_overused(book, lot, back, now, effective_at)


def _give_up_overused(book: Book, lot: Lot, back: Nanos, now: Instant, effective_at: Instant) -> None:
    part = min(back, book.account.overused)
    book.account.overused -= part
    take_free(book, [lot], part, now, effective_at, {"overused": book.account.overused})
    book.touch()


def take_free(
    book: Book, lots: Sequence[Lot], amount: Nanos, now: Instant, effective_at: Instant, detail: dict[str, object]
) -> Transaction | None:
    """Take `amount` of what is free out of lots that do not end, in their order; `detail` says why. None for nothing.

    What is held of them stays, and what comes back to them is theirs again.
    """
    entries: Entries = []
    for lot in lots:
        part = min(lot.free, amount)
        if part > 0:
            lot.remaining -= part
            amount -= part
            entries.append((lot.lot_id, -part))
            book.touch_lot(lot)
    if not entries:
        return None
    total = sum(part for _, part in entries)
    type_ = TransactionType.EXPIRY
    return book.post(type_, total, entries, now, "bursar:expiry", effective_at=effective_at, detail=detail)


def end_lot(
    book: Book,
    lot: Lot,
    now: Instant,
    effective_at: Instant,
    command: Command | None = None,
    description: str | None = None,
) -> Transaction | None:
    """Take what is free out of a lot that ends; what is held stays until it is settled.

    Recorded where anything was free, or where somebody asked for it; else None.
    """
    free = lot.free
    if lot.ended_at is None:
        lot.ended_at = effective_at
    type_ = TransactionType.VOID if lot.voided or command is not None else TransactionType.EXPIRY
    lot.remaining -= free
    book.touch_lot(lot, Touched.ALL)
    if not free and command is None:
        return None
    entries: Entries = [(lot.lot_id, -free)]
    return book.post(
        type_,
        -free,
        entries,
        now,
        f"bursar:{type_.lower()}",
        effective_at=effective_at,
        command=command,
        description=description,
    )


def new_lot(
    book: Book,
    lot_id: str,
    source: str,
    amount: Nanos,
    *,
    effective_at: Instant,
    expires_at: Instant | None,
    priority: int,
    plan: str | None = None,
    paid: str | None = None,
    currency: str | None = None,
    remaining: Nanos | None = None,
    started: bool = True,
) -> Lot:
    """Put a new lot into the book; the transaction that is posted next records its terms."""
    left = amount if remaining is None else remaining
    account_id = book.account.account_id
    lot = Lot(
        account_id,
        lot_id,
        source,
        plan,
        priority,
        amount,
        left,
        0,
        effective_at,
        expires_at,
        None,
        paid,
        currency,
        0,
        started,
        True,
    )
    book.touch_lot(lot, Touched.NEW)
    book.born(lot)
    return lot
