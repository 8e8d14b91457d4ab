"""The life of a hold: placed, dispatched, extended, captured, released, expired.

A hold pins slices of lots. Capture spends the first of them and returns the rest to the very lots; what exceeds the
hold comes out of what is available, then the overage policy decides. A capture is never refused by a limit, a
disabled skill or a frozen account: the cost is real. A hold in a run takes its slices from the run, and what exceeds
it; its rest returns to the run (`core.runs`).
"""

from __future__ import annotations

from bursar.core import budgets, limits, pricing
from bursar.core.book import Book, Outcome, Touched
from bursar.core.burndown import burn, expire_returned, pay_debt, pin, unpin
from bursar.core.charges import give_back, price_spend, require_active, usage_json
from bursar.core.commands import Capture, Dispatch, Extend, PlaceHold, Release, fingerprint
from bursar.core.errors import HoldNotOpen, InsufficientCredits, Invalid, RunExhausted
from bursar.core.members import require_member
from bursar.core.model import (
    Catalogue,
    Entries,
    Hold,
    HoldState,
    Instant,
    OnExpiry,
    Overage,
    Transaction,
    TransactionType,
    encode_json,
)
from bursar.core.money import MAX_NANOS, Nanos
from bursar.core.offers import find_price, sold, with_provider_cost

SECOND = 1_000_000

HOLD_TRANSITIONS: dict[tuple[str, str], HoldState] = {  # the whole life of a hold; anything absent is `HoldNotOpen`
    (HoldState.OPEN, "dispatch"): HoldState.DISPATCHED,
    (HoldState.DISPATCHED, "dispatch"): HoldState.DISPATCHED,
    (HoldState.OPEN, "extend"): HoldState.OPEN,
    (HoldState.DISPATCHED, "extend"): HoldState.DISPATCHED,
    (HoldState.OPEN, "capture"): HoldState.CAPTURED,
    (HoldState.DISPATCHED, "capture"): HoldState.CAPTURED,
    (HoldState.EXPIRED, "capture"): HoldState.CAPTURED,  # once more: the real cost replaces what expiry did
    (HoldState.OPEN, "release"): HoldState.RELEASED,
    (HoldState.DISPATCHED, "release"): HoldState.RELEASED,
    (HoldState.OPEN, "expire"): HoldState.EXPIRED,
    (HoldState.DISPATCHED, "expire"): HoldState.EXPIRED,
}


def next_state(hold: Hold, event: str) -> HoldState:
    """The state after the event; `HoldNotOpen` where the table has none."""
    state = HOLD_TRANSITIONS.get((hold.state, event))
    if state is None:
        raise HoldNotOpen(hold.hold_id, hold.state)
    return state


def place(book: Book, command: PlaceHold, now: Instant, catalogue: Catalogue) -> Outcome:
    """Pin as much of the cost as there is and limits have room for, never less than `at_least`."""
    require_active(book)
    if command.member is not None:
        require_member(book, command.member)
    account = book.account
    cost, price_version = price_spend(command, find_price(command, catalogue, now))
    run = None if command.run is None else _run_for(book, command)
    least = cost if command.at_least is None else min(command.at_least, cost)
    counters = limits.counters_of(book, (command, now, now if run is None else None))
    if least > 0:
        limits.require_room(counters, least, now)
        _require_funds(book, run, least)
    amount = min(cost, max(account.available if run is None else run.amount, 0))
    room = limits.room(counters, now)
    if room is not None:
        amount = min(amount, max(room, 0))
    slices = pin(book, amount) if run is None else budgets.take(book, run, amount)
    expires_at = now + command.ttl_seconds * SECOND
    account.open_holds += 1
    account.holds_opened += 1
    hold = Hold(
        account.account_id,
        f"h_{command.token}",
        HoldState.DISPATCHED if command.dispatched else HoldState.OPEN,
        amount,
        0,
        None,
        encode_json(slices),
        command.skill,
        command.model,
        price_version,
        usage_json(command.usage, command.quantity),
        command.member if run is None else run.member,
        command.overage or account.overage,
        command.on_expiry,
        command.actor,
        command.description,
        command.metadata,
        command.key,
        expires_at if run is None else min(expires_at, run.expires_at),
        now,
        None,
        0,
        None,
        b"",
        run=command.run,
        counted_at=None if run is None else limits.outer_moment(run),
    )
    limits.count(book, counters if run is None else limits.of_hold(book, hold), held=amount)
    book.touch_hold(hold, Touched.NEW)
    return Outcome("hold", hold=hold.copy())


def _run_for(book: Book, command: PlaceHold) -> Hold:
    assert command.run is not None
    run = budgets.drawn_from(book, command.run, command.member)
    if run.member is not None and run.member != command.member:
        require_member(book, run.member)
    return run


def _require_funds(book: Book, run: Hold | None, amount: Nanos) -> None:
    """Refuse what the account, or the run, does not have."""
    account = book.account
    if run is not None:
        if amount > run.amount:
            raise RunExhausted(run.hold_id, amount, run.amount)
    elif amount > account.available:
        raise InsufficientCredits(amount, account.available, account.next_reset)


def _call(book: Book, hold_id: str) -> Hold:
    """A hold that can be settled: a run is closed instead."""
    hold = book.hold(hold_id)
    if hold.budget is not None:
        raise Invalid("hold", "is a run: close it")
    return hold


def dispatch(book: Book, command: Dispatch, now: Instant, catalogue: Catalogue) -> Outcome:
    """The call left. Again with the same content: a replay; with another measure: the measure is kept."""
    hold = _call(book, command.hold)
    state = next_state(hold, "dispatch")
    replayed = hold.state == state and command.measured in (None, hold.measured)
    if not replayed:
        hold.state = state
        hold.measured = hold.measured if command.measured is None else command.measured
        book.touch_hold(hold)
    return Outcome("dispatch", replayed=replayed, hold=hold.copy())


def extend(book: Book, command: Extend, now: Instant, catalogue: Catalogue) -> Outcome:
    """Pin more, give it more time from now, or report what was measured so far."""
    hold = _call(book, command.hold)
    next_state(hold, "extend")
    run = budgets.open_run_of(book, hold)
    if command.amount is not None:
        _grow(book, hold, run, command.amount, now)
    if command.ttl_seconds is not None:
        expires_at = max(hold.expires_at, now + command.ttl_seconds * SECOND)
        hold.expires_at = expires_at if run is None else min(expires_at, run.expires_at)
    if command.measured is not None:
        hold.measured = command.measured
    book.touch_hold(hold)
    return Outcome("extend", hold=hold.copy())


def _grow(book: Book, hold: Hold, run: Hold | None, amount: Nanos, now: Instant) -> None:
    counters = limits.of_hold(book, hold)
    inner = counters if run is None else [entry for entry in counters if entry[0].scope not in limits.OUTER]
    limits.require_room_to_grow(inner, amount, now)
    _require_funds(book, run, amount)
    more = pin(book, amount) if run is None else budgets.take(book, run, amount)
    limits.count(book, counters, held=amount)
    hold.slices = encode_json(hold.slice_list() + more)
    hold.amount += amount


def release(book: Book, command: Release, now: Instant, catalogue: Catalogue) -> Outcome:
    """All back to the lots. Again: a replay."""
    hold = _call(book, command.hold)
    if hold.state == HoldState.RELEASED:
        return Outcome("release", replayed=True, hold=hold.copy())
    let_go(book, hold, next_state(hold, "release"), now, now)
    return Outcome("release", hold=hold.copy())


def capture(book: Book, command: Capture, now: Instant, catalogue: Catalogue) -> Outcome:
    """Charge the real cost. The same content again: a replay."""
    hold = _call(book, command.hold)
    settlement = fingerprint(command)
    if hold.state == HoldState.CAPTURED and hold.settlement == settlement:
        return Outcome("capture", replayed=True, hold=hold.copy(), transaction=book.transaction_at(hold.settled_seq))
    late = hold.state == HoldState.EXPIRED
    state = next_state(hold, "capture")
    cost = real_cost(hold, command, catalogue)
    command = with_provider_cost(command, hold, catalogue, now)
    if late:
        transaction = _correct(book, hold, command, cost, now)
        hold.captured -= transaction.amount
    else:
        transaction = settle(book, hold, cost, now, now, command)
    hold.state = state
    hold.settlement = settlement
    hold.settled_seq = transaction.seq
    hold.settled_at = now
    book.touch_hold(hold, Touched.AMOUNTS)
    return Outcome("capture", hold=hold.copy(), transaction=transaction)


def real_cost(hold: Hold, command: Capture, catalogue: Catalogue) -> Nanos:
    """The amount given, the usage at the price that the hold pinned, or as held."""
    if command.amount is not None:
        return command.amount
    if command.usage is None:
        return hold.amount
    if hold.price_version is None:
        raise Invalid("usage", "this hold was placed for an amount: capture an amount")
    return pricing.cost(catalogue.prices[hold.skill, hold.price_version], command.usage, 1)


def expire(book: Book, hold: Hold, now: Instant, due_at: Instant) -> None:
    """What a hold comes to when nobody settled it in time: released, or charged by policy once the call has left."""
    state = next_state(hold, "expire")
    if hold.state == HoldState.OPEN or hold.on_expiry == OnExpiry.RELEASE:
        let_go(book, hold, state, now, due_at)
        return
    measured = hold.measured if hold.on_expiry == OnExpiry.CAPTURE_MEASURED else None
    transaction = settle(book, hold, hold.amount if measured is None else measured, now, due_at, None)
    hold.state = state
    hold.settled_seq = transaction.seq
    hold.settled_at = due_at
    book.touch_hold(hold, Touched.AMOUNTS)


def let_go(book: Book, hold: Hold, state: HoldState, now: Instant, effective_at: Instant) -> None:
    """Return every slice: to the run that is open, else to the lots. Debt is paid out of it, and what belongs to an
    ended lot ends.
    """
    run = budgets.open_run_of(book, hold)
    limits.count(book, limits.of_hold(book, hold), held=-hold.amount)
    _, returned = unpin(book, hold.slice_list(), 0)
    if run is not None:
        budgets.give(book, run, returned)
        returned = []
    book.account.open_holds -= 1
    hold.state = state
    hold.settled_at = effective_at
    entries = pay_debt(book, _living(book, returned, effective_at))
    if entries:
        transaction = book.post(
            TransactionType.DEBT_PAYMENT, 0, entries, now, "bursar:debt", effective_at=effective_at, hold=hold.hold_id
        )
        hold.settled_seq = transaction.seq
    expire_returned(book, returned, now, effective_at)
    book.touch_hold(hold, Touched.AMOUNTS)


def settle(
    book: Book, hold: Hold, cost: Nanos, now: Instant, effective_at: Instant, command: Capture | None
) -> Transaction:
    """Spend the first `cost` of the hold; more comes out of its run, then of what is available, then the overage policy
    decides.
    """
    slices = hold.slice_list()
    run = budgets.open_run_of(book, hold)
    drawn = 0 if run is None else min(max(cost - hold.amount, 0), run.amount)
    extra = max(cost - hold.amount - drawn, 0)
    free = max(book.account.available, 0)
    if extra > free and hold.overage == Overage.REJECT and command is not None:
        raise InsufficientCredits(extra, book.account.available, book.account.next_reset)
    counters = limits.of_hold(book, hold)
    if run is not None and drawn:
        slices = budgets.merge(slices + budgets.take(book, run, drawn))
    entries, returned = unpin(book, slices, cost)
    book.account.open_holds -= 1
    paid_extra, shortfall = _take_extra(book, hold, extra, free, entries)
    charged = cost - extra + paid_extra
    hold.captured = charged
    limits.count(book, counters, spent=charged, held=-hold.amount)
    if run is not None:
        budgets.give(book, run, returned)
        returned = []
    entries += pay_debt(book, _living(book, returned, effective_at))
    transaction = _post_capture(book, hold, charged, entries, now, effective_at, command, _shortfall(shortfall))
    expire_returned(book, returned, now, effective_at)
    return transaction


def _correct(book: Book, hold: Hold, command: Capture, cost: Nanos, now: Instant) -> Transaction:
    """A capture after expiry: the real cost replaces what expiry charged, by a transaction that names it."""
    expiry = book.transaction_at(hold.settled_seq) if hold.settled_seq else None
    detail: dict[str, object] = {"corrects": "expiry" if expiry is None else expiry.id}
    if expiry is not None and cost < hold.captured:
        refunded = sum(earlier.amount for earlier in book.refunds_of(expiry.id))
        back = min(hold.captured - cost, -expiry.amount - refunded)
        if back > 0:
            return give_back(book, expiry, refunded, back, now, command, detail=detail, description=command.description)
    extra = max(cost - hold.captured, 0)
    free = max(book.account.available, 0)
    if extra > free and hold.overage == Overage.REJECT:
        raise InsufficientCredits(extra, book.account.available, book.account.next_reset)
    counters = limits.of_hold(book, hold)
    run = budgets.open_run_of(book, hold)
    drawn = 0 if run is None else min(extra, run.amount)
    entries: Entries = [] if run is None or not drawn else unpin(book, budgets.take(book, run, drawn), drawn)[0]
    charged, shortfall = _take_extra(book, hold, extra - drawn, free, entries)
    charged += drawn
    limits.count(book, counters, spent=charged)
    return _post_capture(book, hold, charged, entries, now, now, command, detail | (_shortfall(shortfall) or {}))


def _take_extra(book: Book, hold: Hold, extra: Nanos, free: Nanos, entries: Entries) -> tuple[Nanos, Nanos]:
    """Take `extra` beyond the hold: what is free, then debt, unless the policy caps it. Returns what was charged and
    what not.
    """
    from_lots = min(extra, free)
    if from_lots:
        _add(entries, burn(book, from_lots))
    rest = extra - from_lots
    if rest == 0:
        return extra, 0
    owed = min(rest, MAX_NANOS - book.account.debt) if hold.overage == Overage.DEBT else 0
    if owed:
        book.account.debt += owed
        entries.append((None, -owed))
    return from_lots + owed, rest - owed


def _add(entries: Entries, more: Entries) -> None:
    """One entry for each lot: what a lot pays beyond its held slice joins what the slice paid."""
    place = {lot_id: number for number, (lot_id, _) in enumerate(entries)}
    for lot_id, part in more:
        number = place.get(lot_id)
        if number is None:
            entries.append((lot_id, part))
        else:
            entries[number] = (lot_id, entries[number][1] + part)


def _shortfall(shortfall: Nanos) -> dict[str, object] | None:
    return {"shortfall": shortfall} if shortfall else None


def _post_capture(
    book: Book,
    hold: Hold,
    charged: Nanos,
    entries: Entries,
    now: Instant,
    effective_at: Instant,
    command: Capture | None,
    detail: dict[str, object] | None,
) -> Transaction:
    book.spend(charged)
    usage = hold.usage if command is None or command.usage is None else encode_json(command.usage)
    return book.post(
        TransactionType.CONSUMPTION,
        -charged,
        entries,
        now,
        sold(hold.skill, hold.model, hold.price_version),
        effective_at=effective_at,
        command=command,
        skill=hold.skill,
        model=hold.model,
        price_version=hold.price_version,
        usage=usage,
        provider_cost_usd=None if command is None else command.provider_cost_usd,
        hold=hold.hold_id,
        member=hold.member,
        detail=detail,
        description=None if command is None else command.description or hold.description,
        metadata=None if command is None else command.metadata or hold.metadata,
        run=hold.run,
    )


def _living(book: Book, returned: list[tuple[str, Nanos]], effective_at: Instant) -> list[tuple[str, Nanos]]:
    """What returned to lots that have not ended: only that can pay a debt."""
    return [(lot_id, part) for lot_id, part in returned if not book.lot(lot_id).ended(effective_at)]
