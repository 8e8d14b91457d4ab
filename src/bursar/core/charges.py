"""Spending without a hold, and giving back: charge and refund."""

from __future__ import annotations

from msgspec.structs import replace

from bursar.core import budgets, limits, pricing
from bursar.core.basis import basis
from bursar.core.book import Book, Outcome
from bursar.core.burndown import burn, end_lot, new_lot, unpin
from bursar.core.commands import Charge, Command, Refund, Spend
from bursar.core.errors import (
    AccountClosed,
    AccountFrozen,
    InsufficientCredits,
    NotRefundable,
    RefundExceedsCharge,
    RunExhausted,
)
from bursar.core.members import require_member
from bursar.core.model import (
    AccountStatus,
    Catalogue,
    Entries,
    Hold,
    Instant,
    Lot,
    Price,
    Transaction,
    TransactionType,
    Usage,
    encode_json,
)
from bursar.core.money import MAX_NANOS, Nanos, format_money
from bursar.core.offers import find_price, provider_cost, sold

REFUND_PRIORITY = 100


def charge(book: Book, command: Charge, now: Instant, catalogue: Catalogue) -> Outcome:
    """Price it, take it from the lots in burn-down order, or from a run, and record it."""
    require_active(book)
    if command.member is not None:
        require_member(book, command.member)
    price = find_price(command, catalogue, now)
    cost, price_version = price_spend(command, price)
    provider_cost_usd = command.provider_cost_usd
    if provider_cost_usd is None and command.model is not None:
        provider_cost_usd = provider_cost(command, command.model, price, catalogue, now)
    account = book.account
    run = None if command.run is None else budgets.drawn_from(book, command.run, command.member)
    counters = limits.NO_COUNTERS
    if account.limits is not None:
        counters = limits.counters_of(book, (command, now, now if run is None else None))
        if counters and cost:
            limits.require_room(counters, cost, now)
    if run is not None:
        entries = _draw(book, run, cost, command)
        counters = counters + limits.of_hold(book, run)
    elif cost > 0 and cost > account.available:
        raise InsufficientCredits(cost, account.available, account.next_reset)
    else:
        entries = burn(book, cost)
    transaction = book.post(
        TransactionType.CONSUMPTION,
        -cost,
        entries,
        now,
        sold(command.skill, command.model, price_version),
        command=command,
        skill=command.skill,
        model=command.model,
        price_version=price_version,
        usage=usage_json(command.usage, command.quantity),
        provider_cost_usd=provider_cost_usd,
        member=command.member if run is None else run.member,
        description=command.description,
        metadata=command.metadata,
        run=command.run,
    )
    account.spent = min(account.spent + cost, MAX_NANOS)
    if counters:
        limits.count(book, counters, spent=cost)
    return Outcome("charge", transaction=transaction)


def _draw(book: Book, run: Hold, cost: Nanos, command: Charge) -> Entries:
    """Spend out of what a run has left."""
    if run.member is not None and run.member != command.member:
        require_member(book, run.member)
    if cost > run.amount:
        raise RunExhausted(run.hold_id, cost, run.amount)
    entries, _ = unpin(book, budgets.take(book, run, cost), cost)
    return entries


def refund(book: Book, command: Refund, now: Instant, catalogue: Catalogue) -> Outcome:
    """Give back what is left of a charge, or part of it, to the lots that paid."""
    charged = book.transaction(command.transaction)
    if charged.type != TransactionType.CONSUMPTION:
        raise NotRefundable(charged.id)
    refunded = sum(earlier.amount for earlier in book.refunds_of(charged.id))
    refundable = -charged.amount - refunded
    amount = refundable if command.amount is None else command.amount
    if not 0 < amount <= refundable:
        raise RefundExceedsCharge(charged.id, max(refundable, 0))
    book.require_room("amount", amount)
    transaction = give_back(book, charged, refunded, amount, now, command, description=command.reason)
    return Outcome("refund", transaction=transaction)


def give_back(
    book: Book,
    charged: Transaction,
    refunded: Nanos,
    amount: Nanos,
    now: Instant,
    command: Command,
    *,
    detail: dict[str, object] | None = None,
    description: str | None = None,
) -> Transaction:
    """Return `amount` of a charge, of which `refunded` was given back before; the account's debt is paid out of it
    first.

    In reverse order of the entries, the debt part first. A lot that has expired gets a fresh one with the life it had
    left when it paid; a debt part that is settled meanwhile becomes a fresh lot; what a voided grant paid is voided
    with it, and pays no debt.
    """
    counters = limits.of_charge(book, charged)
    returned = _to_return(charged, refunded, amount)
    parts = [(None if lot_id is None else book.lot(lot_id), part) for lot_id, part in returned]
    paid_at = _paid_at(book, charged) if any(lot is not None and lot.ended(now) for lot, _ in parts) else now
    gone = sum(part for lot, part in parts if lot is not None and lot.voided)
    debt_paid = owed = min(book.account.debt, amount - gone)
    book.account.debt -= debt_paid
    entries: Entries = []
    voided: list[Lot] = []
    for number, (lot, part) in enumerate(parts):
        paid = 0 if lot is not None and lot.voided else min(part, owed)
        kept = part - paid
        owed -= paid
        if kept == 0:
            continue
        home = lot
        if home is None or (home.ended(now) and not home.voided):
            home = _fresh_lot(book, lot, f"g_{command.token}_{number}", kept, paid_at, now)
        else:
            home.remaining += kept
            book.touch_lot(home)
            voided += [home] if home.voided else []
        entries.append((home.lot_id, kept))
    if debt_paid:
        entries.append((None, debt_paid))
    book.spend(-amount)
    limits.count(book, counters, spent=-amount)
    facts: dict[str, object] = {} if charged.provider_cost_usd is None else {"cost_known": True}
    transaction = book.post(
        TransactionType.REFUND,
        amount,
        entries,
        now,
        charged.counterparty,
        command=command,
        skill=charged.skill,
        model=charged.model,
        price_version=charged.price_version,
        hold=charged.hold if detail is not None else None,
        refund_of=charged.id,
        member=charged.member,
        detail=facts | (detail or {}) or None,
        description=description,
        run=charged.run,
    )
    for home in voided:
        end_lot(book, home, now, now)
    return transaction


def consumed(charged: Transaction) -> Entries:
    """The entries of a charge that paid for it; what follows them in a capture paid a debt out of the remainder."""
    paid: Entries = []
    left = charged.amount
    for lot_id, part in charged.entry_list():
        if left == 0:
            break
        paid.append((lot_id, part))
        left -= part
    return paid


def _to_return(charged: Transaction, refunded: Nanos, amount: Nanos) -> list[tuple[str | None, Nanos]]:
    backwards = consumed(charged)[::-1]
    backwards.sort(key=lambda entry: entry[0] is not None)
    parts: list[tuple[str | None, Nanos]] = []
    skip, left = refunded, amount
    for lot_id, part in backwards:
        available = -part
        passed = min(available, skip)
        skip -= passed
        back = min(available - passed, left)
        left -= back
        if back:
            parts.append((lot_id, back))
    return parts


def _paid_at(book: Book, charged: Transaction) -> Instant:
    """When the lots began to pay: for a capture, when its hold pinned them."""
    return charged.effective_at if charged.hold is None else book.hold(charged.hold).created_at


def _fresh_lot(book: Book, old: Lot | None, lot_id: str, amount: Nanos, paid_at: Instant, now: Instant) -> Lot:
    expires_at = None if old is None or old.expires_at is None else now + max(old.expires_at - paid_at, 1)
    return new_lot(
        book,
        lot_id,
        "refund" if old is None else old.source,
        amount,
        effective_at=now,
        expires_at=expires_at,
        priority=REFUND_PRIORITY if old is None else old.priority,
        plan=None if old is None else old.plan,
        paid=None if old is None or old.paid is None else format_money(basis(old, amount)),
        currency=None if old is None else old.currency,
    )


def price_spend(command: Spend, price: Price | None) -> tuple[Nanos, int | None]:
    """What a charge or hold costs, and the version of the price that says so (None for a bare amount)."""
    if price is None:
        assert command.amount is not None
        return command.amount, None
    return pricing.cost(price, command.usage, command.quantity), price.version


def require_active(book: Book) -> None:
    """Refuse new spending from an account that is frozen or closed."""
    status = book.account.status
    if status != AccountStatus.ACTIVE:
        refusal = AccountFrozen if status == AccountStatus.FROZEN else AccountClosed
        raise refusal(book.account.account_id)


def usage_json(usage: Usage | None, quantity: int) -> str | None:
    """The usage that is kept with a charge: as measured, or as many calls; None for a single call."""
    if usage is None:
        return None if quantity == 1 else encode_json({"calls": quantity})
    return encode_json(usage if quantity == 1 else replace(usage, calls=usage.calls * quantity))
