"""What a plan owes an account, and when: the allowance of each period.

`reset` ends with its period and starts afresh; missed periods grant the current one only. `accumulate` keeps what is
left; `rollover` keeps it up to a cap; both grant each missed period in turn. Only the plan's own lots are ever
touched.

What was used of a period's allowance needs no counter: it is what the allowance came to, less what is free of the
plan's lots. What is held counts as used, until it comes back. Every transaction here records what it left of the
account's plan, so that the account's row can be proven.
"""

from __future__ import annotations

from bursar.core import periods
from bursar.core.book import Book, Touched, derived_token
from bursar.core.burndown import end_lot, new_lot, take_free
from bursar.core.commands import Command
from bursar.core.grants import start_lot
from bursar.core.model import Account, Instant, Lot, Plan, Transaction, TransactionType
from bursar.core.money import Nanos

NO_PERIOD = "none"

FACTS = (
    "plan",
    "next_reset",
    "allowance",
    "overused",
    "ends_at",
    "anchored_at",
    "next_plan",
    "next_plan_at",
    "next_plan_days",
    "trialed_at",
)
"""What a transaction of a plan records of the account, where it is anything."""

RENEWAL, CHANGE, SCHEDULE = "renewal", "change", "schedule"
"""What happened: a period began, another plan took its place within the period, or something was settled for later."""


def renewal_due_at(account: Account, plan: Plan, now: Instant) -> Instant | None:
    """When the next renewal takes effect, if it is due by `now`: for `reset`, the start of the period that `now` lies
    in.
    """
    if account.next_reset is None or account.next_reset > now:
        return None
    if plan.renewal != "reset" or plan.period == NO_PERIOD:
        return account.next_reset
    start = periods.period_start(plan.period, now, zone_of(account, plan), anchor_of(account, plan))
    return max(start, account.next_reset)


def renew(book: Book, plan: Plan, at: Instant, now: Instant) -> Transaction:
    """Start the period that begins at `at`."""
    cap_rollover(book, plan, at, now)
    return start_period(book, plan, at, now)


def restart_period(book: Book, plan: Plan, now: Instant) -> Transaction:
    """Start the allowance afresh in the middle of a period: the plan's lots end now, the next renewal stays where it
    was.
    """
    end_lots(book, plan_lots(book), now, now)
    return start_period(book, plan, now, now, next_reset=book.account.next_reset)


def start_period(
    book: Book,
    plan: Plan,
    at: Instant,
    now: Instant,
    *,
    next_reset: Instant | None = None,
    command: Command | None = None,
) -> Transaction:
    """Grant the allowance with effect from `at`; the next renewal is at the end of that period, or at `next_reset`."""
    account = book.account
    kept = 0 if plan.renewal == "reset" else free_of(plan_lots(book))
    account.last_reset = at
    account.next_reset = next_boundary(account, plan, at) if next_reset is None else next_reset
    account.spent = 0
    granted = max(min(plan.allowance, book.room()), 0)
    account.allowance = kept + granted
    account.overused = 0
    return give(book, plan, granted, at, now, RENEWAL, command)


def give(
    book: Book, plan: Plan, amount: Nanos, at: Instant, now: Instant, event: str, command: Command | None
) -> Transaction:
    """A lot of the plan, for the rest of the period at hand."""
    account = book.account
    token = derived_token(account.account_id, account.seq + 1) if command is None else command.token
    lot = new_lot(
        book,
        f"g_{token}",
        "plan",
        amount,
        effective_at=at,
        expires_at=account.next_reset if plan.renewal == "reset" else None,
        priority=plan.priority,
        plan=plan.name,
        remaining=0,
    )
    transaction = start_lot(book, lot, now, at, command, detail=facts(account, event))
    _written(book)
    return transaction


def note(book: Book, plan: str | None, at: Instant, now: Instant, event: str, command: Command | None) -> Transaction:
    """Record what became of the account's plan where it gives no credits."""
    detail = facts(book.account, event)
    other = f"plan:{plan}"
    transaction = book.post(TransactionType.PLAN, 0, [], now, other, effective_at=at, command=command, detail=detail)
    _written(book)
    return transaction


def facts(account: Account, event: str) -> dict[str, object]:
    """What there is to know of the account's plan, for the transaction that makes it so."""
    known: dict[str, object] = {"event": event}
    for name in FACTS:
        value = getattr(account, name)
        if value is not None and not (name == "overused" and value == 0):
            known[name] = value
    return {"subscription": known}


def used(book: Book, plan: Plan | None) -> Nanos:
    """What was spent or is held of this period's allowance; negative where refunds gave back more."""
    account = book.account
    free = free_of(plan_lots(book))
    if account.allowance is None:
        # Written before there was such a column: the period's allowance is the plan's.
        return max(plan.allowance if plan is not None else 0, free) - free
    return account.allowance + account.overused - free


def plan_lots(book: Book) -> list[Lot]:
    """The plan's own lots of which anything is left, of plans before it too, in burn-down order."""
    return [lot for lot in book.live_lots() if lot.plan is not None]


def free_of(lots: list[Lot]) -> Nanos:
    """What is free of these lots."""
    return sum(lot.free for lot in lots)


def end_lots(book: Book, lots: list[Lot], at: Instant, now: Instant) -> None:
    """What is free of these lots goes, and what is held of them goes when it comes back."""
    for lot in lots:
        end_lot(book, lot, now, at)


def cap_rollover(book: Book, plan: Plan, at: Instant, now: Instant) -> None:
    """What is left of the plan's lots beyond its cap expires, the oldest first."""
    if plan.renewal != "rollover" or plan.rollover_cap is None:
        return
    lots = plan_lots(book)
    take_free(book, lots, free_of(lots) - plan.rollover_cap, now, at, {"rollover_cap": plan.rollover_cap})


def next_boundary(account: Account, plan: Plan, at: Instant) -> Instant | None:
    """The end of the plan's period that contains `at`; None for a plan without periods."""
    if plan.period == NO_PERIOD:
        return None
    return periods.next_boundary(plan.period, at, zone_of(account, plan), anchor_of(account, plan))


def zone_of(account: Account, plan: Plan) -> str:
    """Whose midnight it is."""
    return account.timezone if plan.timezone is None else plan.timezone


def anchor_of(account: Account, plan: Plan) -> Instant | None:
    """What anniversaries are counted from; None for calendar periods."""
    if plan.anchor != "anniversary":
        return None
    return account.created_at if account.anchored_at is None else account.anchored_at


def _written(book: Book) -> None:
    book.touch(Touched.ALL)
    book.plan_due()
