"""What is due on an account by now, done before every command and computed before every read.

In order of due time; ties: holds, lots, renewals, ends of plans. Each leaves the rows that it would have left had it
been done on time, with `effective_at` = when it was due: nobody waits for a sweeper, and sweeping early, late or never
makes no difference.
"""

from __future__ import annotations

from bursar.core import plans, subscriptions
from bursar.core.book import Book
from bursar.core.burndown import end_lot
from bursar.core.grants import start_lot
from bursar.core.holds import expire
from bursar.core.model import Account, AccountStatus, Catalogue, Hold, Instant, Lot, Plan
from bursar.core.runs import expire_run

Event = tuple[Instant, int, str, "Hold | Lot | Plan"]

PLAN_ENDS = 3
"""A plan ends after it renewed; where it would do both at one moment, it only ends: the next one begins."""


def settle_due(book: Book, now: Instant, catalogue: Catalogue) -> None:
    """Do everything that is due by `now`."""
    account = book.account
    if not book.due_holds and (account.due_at is None or account.due_at > now):
        return
    while (event := _first_event(book, now, catalogue)) is not None:
        _happen(book, event, now, catalogue)


def _first_event(book: Book, now: Instant, catalogue: Catalogue) -> Event | None:
    events: list[Event] = [
        (hold.expires_at, 0, hold.hold_id, hold) for hold in book.due_holds if hold.expires_at <= now
    ]
    for lot in book.lots.values():
        if lot is None or not lot.live or lot.ended_at is not None:
            continue
        moment = lot.expires_at if lot.started else lot.effective_at
        if moment is not None and moment <= now:
            events.append((moment, 1, lot.lot_id, lot))
    plan = catalogue.plans.get(book.account.plan or "")
    if plan is not None and book.account.status != AccountStatus.CLOSED:
        events += _plan_event(book.account, plan, now)
    return min(events, key=lambda event: event[:3], default=None)


def _plan_event(account: Account, plan: Plan, now: Instant) -> list[Event]:
    """What the plan does first: it renews, or it ends."""
    ends_at = subscriptions.end_due_at(account, now)
    renewal = plans.renewal_due_at(account, plan, now if ends_at is None else ends_at)
    if renewal is not None and renewal != ends_at:
        return [(renewal, 2, plan.name, plan)]
    return [] if ends_at is None else [(ends_at, PLAN_ENDS, plan.name, plan)]


def _happen(book: Book, event: Event, now: Instant, catalogue: Catalogue) -> None:
    moment, order, _, subject = event
    match subject:
        case Hold():
            if subject.unsettled:
                (expire if subject.budget is None else expire_run)(book, subject, now, moment)
            book.due_holds.remove(subject)  # last: what lacks a row is tried again
        case Lot(started=False):
            start_lot(book, subject, now, moment)
        case Lot():
            end_lot(book, subject, now, moment)
        case Plan() if order == PLAN_ENDS:
            subscriptions.end(book, subject, moment, now, catalogue)
        case Plan():
            plans.renew(book, subject, moment, now)
