"""Giving, taking back and moving credits: grant, void, adjust, transfer."""

from __future__ import annotations

from msgspec.json import decode

from bursar.core.basis import paid_for
from bursar.core.book import Book, Outcome, Touched
from bursar.core.burndown import burn, end_lot, new_lot
from bursar.core.charges import require_active
from bursar.core.commands import DEFAULT_PRIORITY, Adjust, Command, Grant, Transfer, Void
from bursar.core.errors import AccountClosed, InsufficientCredits, Invalid
from bursar.core.model import AccountStatus, Catalogue, Entries, Instant, Lot, Transaction, TransactionType
from bursar.core.money import Nanos

TYPE_OF_SOURCE = {
    "plan": TransactionType.PLAN,
    "purchase": TransactionType.PURCHASE,
    "bonus": TransactionType.BONUS,
    "activity": TransactionType.BONUS,
    "review": TransactionType.BONUS,
    "promo": TransactionType.PROMO,
    "referral": TransactionType.REFERRAL,
    "admin": TransactionType.ADMIN,
}
"""What a grant is recorded as; any other source (`stripe`, `import`) is a purchase when it was paid for, else ADMIN."""


def grant(book: Book, command: Grant, now: Instant, catalogue: Catalogue) -> Outcome:
    """A new lot; what the account owes is paid first. One that starts later is recorded now with 0, and in full when
    it starts.
    """
    if book.account.status == AccountStatus.CLOSED:
        raise AccountClosed(book.account.account_id)
    book.require_room("amount", command.amount)
    effective_at = now if command.effective_at is None else command.effective_at
    if command.expires_at is not None and command.expires_at <= now:
        raise Invalid("expires_at", "must lie ahead")
    started = effective_at <= now
    lot = new_lot(
        book,
        f"g_{command.token}",
        command.source,
        command.amount,
        effective_at=effective_at,
        expires_at=command.expires_at,
        priority=command.priority,
        paid=command.paid,
        currency=command.currency,
        remaining=0,
        started=started,
    )
    if started:
        transaction = start_lot(book, lot, now, effective_at, command)
    else:
        transaction = _record(book, lot, 0, [], now, now, command)
    return Outcome("grant", transaction=transaction, lot=lot.copy())


def start_lot(
    book: Book,
    lot: Lot,
    now: Instant,
    effective_at: Instant,
    command: Command | None = None,
    detail: dict[str, object] | None = None,
) -> Transaction:
    """The lot counts from now on: its credits are recorded, debt is paid out of them first."""
    paid = min(book.account.debt, lot.amount)
    book.account.debt -= paid
    lot.remaining = lot.amount - paid
    lot.started = True
    book.touch_lot(lot, Touched.ALL)
    entries: Entries = [(lot.lot_id, lot.remaining)]
    if paid:
        entries.append((None, paid))
    return _record(book, lot, lot.amount, entries, now, effective_at, command, detail)


def _record(
    book: Book,
    lot: Lot,
    amount: Nanos,
    entries: Entries,
    now: Instant,
    effective_at: Instant,
    command: Command | None,
    detail: dict[str, object] | None = None,
) -> Transaction:
    given = command if isinstance(command, Grant) else None
    return book.post(
        type_of(lot),
        amount,
        entries,
        now,
        f"plan:{lot.plan}" if lot.plan is not None else f"world:{lot.source}",
        effective_at=effective_at,
        command=command,
        detail=detail,
        description=None if given is None else given.description,
        metadata=None if given is None else given.metadata,
    )


def type_of(lot: Lot) -> TransactionType:
    """The type of transaction that gives this lot."""
    return TYPE_OF_SOURCE.get(lot.source) or (TransactionType.PURCHASE if lot.paid else TransactionType.ADMIN)


def void(book: Book, command: Void, now: Instant, catalogue: Catalogue) -> Outcome:
    """End a grant early: what is free of it goes, what is held goes when it returns. Again: no-op."""
    lot = book.lot(command.grant)
    if lot.ended_at is not None:
        return Outcome("void", replayed=True, lot=lot.copy())
    if not lot.started:
        lot.started, lot.remaining = True, 0
    transaction = end_lot(book, lot, now, now, command, command.reason)
    return Outcome("void", transaction=transaction, lot=lot.copy())


def adjust(book: Book, command: Adjust, now: Instant, catalogue: Catalogue) -> Outcome:
    """Set what is available, or change it: more is a new lot, less burns lots."""
    available = book.account.available
    change = command.by if command.by is not None else (command.to or 0) - available
    if change < 0 and -change > available:
        raise InsufficientCredits(-change, available, book.account.next_reset)
    book.require_room("by" if command.by is not None else "to", change)
    entries = burn(book, -change) if change < 0 else _credit(book, command, change, now)
    transaction = book.post(
        TransactionType.ADJUSTMENT,
        change,
        entries,
        now,
        "bursar:adjustment",
        command=command,
        description=command.reason,
    )
    return Outcome("adjust", transaction=transaction)


def _credit(book: Book, command: Command, amount: Nanos, now: Instant) -> Entries:
    """A lot of its own for `amount`, out of which debt is paid first."""
    if amount == 0:
        return []
    paid = min(book.account.debt, amount)
    book.account.debt -= paid
    lot_id = f"g_{command.token}"
    new_lot(
        book,
        lot_id,
        "adjustment",
        amount,
        effective_at=now,
        expires_at=None,
        priority=DEFAULT_PRIORITY,
        remaining=amount - paid,
    )
    return [(lot_id, amount - paid)] + ([(None, paid)] if paid else [])


def transfer(book: Book, to: Book, command: Transfer, now: Instant, catalogue: Catalogue) -> Outcome:
    """Move credits, each part as a lot with the priority, expiry and cost basis it had. A plan's own credits stay."""
    require_active(book)
    if to.account.status == AccountStatus.CLOSED:
        raise AccountClosed(to.account.account_id)
    to.require_room("amount", command.amount)
    movable = sum(lot.free for lot in book.live_lots() if lot.plan is None)
    if command.amount > movable:
        raise InsufficientCredits(command.amount, min(movable, book.account.available), None)
    out_entries = burn(book, command.amount, spare_plan=True)
    in_entries = _arrive(book, to, out_entries, command, now)
    sent = book.post(
        TransactionType.TRANSFER_OUT,
        -command.amount,
        out_entries,
        now,
        f"account:{command.to}",
        command=command,
        detail={"received": to.next_id(command.token)},
        description=command.description,
    )
    received = to.post(
        TransactionType.TRANSFER_IN,
        command.amount,
        in_entries,
        now,
        f"account:{command.account}",
        command=_without_key(command),
        detail={"sent": sent.id},
        description=command.description,
    )
    return Outcome("transfer", transaction=sent, other=received)


def _arrive(book: Book, to: Book, out_entries: Entries, command: Transfer, now: Instant) -> Entries:
    entries: Entries = []
    owed = paid = min(to.account.debt, command.amount)
    to.account.debt -= paid
    for number, (lot_id, part) in enumerate(out_entries):
        assert lot_id is not None
        source = book.lot(lot_id)
        kept = -part - min(-part, owed)
        owed -= -part - kept
        new_lot(
            to,
            f"g_{command.token}_{number}",
            source.source,
            -part,
            effective_at=now,
            expires_at=source.expires_at,
            priority=source.priority,
            paid=paid_for(source, -part, source.remaining),
            currency=source.currency,
            remaining=kept,
        )
        entries.append((f"g_{command.token}_{number}", kept))
    return entries + ([(None, paid)] if paid else [])


def received(to: Book, sent: Transaction) -> Transaction:
    """The other side of a transfer."""
    return to.transaction(decode(sent.detail or "{}")["received"])


def _without_key(command: Transfer) -> Transfer:
    """The receiving side's view: the idempotency key is the sender's."""
    return Transfer(
        account=command.to,
        token=command.token,
        salt=command.salt,
        actor=command.actor,
        to=command.account,
        amount=command.amount,
        description=command.description,
    )
