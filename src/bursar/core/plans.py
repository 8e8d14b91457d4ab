"""What a plan owes an account, and when: the allowance of each period.

`reset` ends with its period and starts afresh; missed periods grant the current one only. `accumulate` keeps what is
left; `rollover` keeps it up to a cap; both grant each missed period in turn. Only the plan's own lots are ever
touched.
"""

from __future__ import annotations

from bursar.core import periods
from bursar.core.book import Book, Touched, derived_token
from bursar.core.burndown import end_lot, new_lot
from bursar.core.grants import start_lot
from bursar.core.model import Account, Entries, Instant, Plan, Transaction, TransactionType

NO_PERIOD = "none"


def first_allowance(book: Book, plan: Plan, now: Instant) -> None:
    """Give a new account its plan's allowance for the period that is under way."""
    start_period(book, plan, now, now)


def renewal_due_at(account: Account, plan: Plan, now: Instant) -> Instant | None:
    """When the next renewal takes effect, if it is due by `now`: for `reset`, the start of the period that `now` lies
    in.
    """
    if account.next_reset is None or account.next_reset > now:
        return None
    if plan.renewal != "reset" or plan.period == NO_PERIOD:
        return account.next_reset
    start = periods.period_start(plan.period, now, account.timezone, anchor_of(account, plan))
    return max(start, account.next_reset)


def renew(book: Book, plan: Plan, at: Instant, now: Instant) -> Transaction:
    """Start the period that begins at `at`."""
    if plan.renewal == "rollover" and plan.rollover_cap is not None:
        _cap_rollover(book, plan, plan.rollover_cap, at, now)
    return start_period(book, plan, at, now)


def start_period(book: Book, plan: Plan, at: Instant, now: Instant, next_reset: Instant | None = None) -> Transaction:
    """Grant the allowance with effect from `at`; the next renewal is at the end of that period, or at `next_reset`."""
    account = book.account
    if next_reset is None and plan.period != NO_PERIOD:
        next_reset = periods.next_boundary(plan.period, at, account.timezone, anchor_of(account, plan))
    account.last_reset = at
    account.next_reset = next_reset
    account.spent = 0
    lot = new_lot(
        book,
        f"g_{derived_token(account.account_id, account.seq + 1)}",
        "plan",
        max(min(plan.allowance, book.room()), 0),
        effective_at=at,
        expires_at=next_reset if plan.renewal == "reset" else None,
        priority=plan.priority,
        plan=plan.name,
        remaining=0,
    )
    transaction = start_lot(book, lot, now, at)
    book.touch(Touched.ALL)
    book.plan_due()
    return transaction


def restart_period(book: Book, plan: Plan, now: Instant) -> Transaction:
    """Start the allowance afresh in the middle of a period: the plan's lots end now, the next renewal stays where it
    was.
    """
    for lot in [lot for lot in book.live_lots() if lot.plan is not None]:
        end_lot(book, lot, now, now)
    return start_period(book, plan, now, now, book.account.next_reset)


def anchor_of(account: Account, plan: Plan) -> Instant | None:
    """What anniversaries are counted from; None for calendar periods."""
    return account.created_at if plan.anchor == "anniversary" else None


def _cap_rollover(book: Book, plan: Plan, cap: int, at: Instant, now: Instant) -> None:
    """What is left of the plan's lots beyond the cap expires, the oldest first."""
    lots = [lot for lot in book.live_lots() if lot.plan is not None]
    excess = sum(lot.free for lot in lots) - cap
    entries: Entries = []
    for lot in lots:
        part = min(lot.free, max(excess, 0))
        if part:
            lot.remaining -= part
            excess -= part
            entries.append((lot.lot_id, -part))
            book.touch_lot(lot)
    if entries:
        total = sum(part for _, part in entries)
        detail: dict[str, object] = {"rollover_cap": cap}
        book.post(TransactionType.EXPIRY, total, entries, now, "bursar:expiry", effective_at=at, detail=detail)
