"""Which plan an account has, until when, and what follows it.

A plan begins in one of two ways. A *period begins*: on opening, at the end of a period, or when a period was newly
paid for; the whole allowance is given. Or the plan *changes* within a period: then the plan's lots come to the new
allowance less what was used in this period, so that no number of changes makes credits, and the period goes on as it
was. What was bought or given beside the plan is never touched; what is held stays held.

A plan is over when the time it was paid for is, or when somebody settled for another one at the end of the period;
then the plan after it takes its place, as everything that is due: whoever comes by does it, with effect from when it
was due.
"""

from __future__ import annotations

from bursar.core import plans
from bursar.core.book import Book, Outcome, plan_ends_at
from bursar.core.burndown import take_free
from bursar.core.commands import CancelPlan, ChangePlan, Command
from bursar.core.errors import AccountClosed, Invalid, PlanNotFound, TrialUsed
from bursar.core.model import Account, AccountStatus, Catalogue, Instant, Plan, Transaction, When
from bursar.core.money import Nanos, share
from bursar.core.periods import DAY, MAX_INSTANT, period_start


def open_plan(book: Book, plan: Plan, now: Instant) -> None:
    """Give a new account its plan, with the allowance of the period that is under way."""
    _begin(book, plan, None, now, now, None)


def change(book: Book, command: ChangePlan, now: Instant, catalogue: Catalogue) -> Outcome:
    """Another plan, now or at the end of the period; with `days`, a newly paid period. The plan that there is, without
    days: what was settled for later is dropped.
    """
    account = book.account
    _require_open(account)
    plan = find_plan(command.plan, catalogue)
    if plan.name == account.plan and command.days is None:
        return _drop_schedule(book, command, now)
    _require_trial(account, plan)
    _check_days(account, plan, command.days, now)
    if command.at == When.PERIOD_END:
        return _schedule(book, plan.name, command.days, command, now)
    old = catalogue.plans.get(account.plan or "")
    if command.days is not None or (old is None and _period_is_over(account, plan, now)):
        transaction = _begin(book, plan, command.days, now, now, command)
    else:
        transaction = _swap(book, old, plan, now, now, command)
    return _done(book, command, transaction)


def cancel(book: Book, command: CancelPlan, now: Instant, catalogue: Catalogue) -> Outcome:
    """The plan after it, now or at the end of the period. An account without a plan has nothing to cancel."""
    account = book.account
    _require_open(account)
    old = catalogue.plans.get(account.plan or "")
    if old is None:
        return Outcome(command.verb, replayed=True, account=account.copy())
    if command.at == When.PERIOD_END:
        return _schedule(book, old.after, None, command, now)
    after = None if old.after is None else find_plan(old.after, catalogue)
    return _done(book, command, _swap(book, old, after, now, now, command))


def end_due_at(account: Account, now: Instant) -> Instant | None:
    """When the plan is over, if that is by `now`."""
    moment = plan_ends_at(account)
    return moment if moment is not None and moment <= now else None


def end(book: Book, plan: Plan, at: Instant, now: Instant, catalogue: Catalogue) -> Transaction:
    """The plan is over: the next one takes its place, with a period of its own where one ends at that moment."""
    account = book.account
    scheduled = account.next_plan_at is not None
    name, days = (account.next_plan, account.next_plan_days) if scheduled else (plan.after, None)
    new = catalogue.plans.get(name or "")
    boundary = account.next_reset is not None and account.next_reset <= at
    if new is not None and (boundary or days is not None):
        return _begin(book, new, days, at, now, None, boundary=boundary)
    return _swap(book, plan, new, at, now, None)


def find_plan(name: str, catalogue: Catalogue) -> Plan:
    """The plan of that name. Raises `PlanNotFound`."""
    plan = catalogue.plans.get(name)
    if plan is None:
        raise PlanNotFound(name)
    return plan


# How a plan takes the place of another


def _begin(
    book: Book,
    plan: Plan,
    days: int | None,
    at: Instant,
    now: Instant,
    command: Command | None,
    *,
    boundary: bool = False,
) -> Transaction:
    """A period begins, with the whole allowance. Where the period before it has run its course (`boundary`), what
    ended with it has ended.
    """
    account = book.account
    again = account.plan == plan.name
    if again and plan.renewal != "reset":
        plans.cap_rollover(book, plan, at, now)
    else:
        lots = plans.plan_lots(book)
        plans.end_lots(book, [lot for lot in lots if lot.expires_at is None] if boundary else lots, at, now)
    ends_at = _ends_at(account, plan, days, at)
    _become(account, plan, at, ends_at, anchored_at=at)
    return plans.start_period(book, plan, at, now, command=command)


def _swap(
    book: Book, old: Plan | None, new: Plan | None, at: Instant, now: Instant, command: Command | None
) -> Transaction:
    """Within the period: the plan's lots come to the new allowance less what was used of the old one."""
    account = book.account
    lots = plans.plan_lots(book)
    used = plans.used(book, old)
    same_rhythm = old is not None and new is not None and _rhythm(account, old) == _rhythm(account, new)
    allowance = _allowance(account, old, new, at, same_rhythm=same_rhythm)
    name = None if new is None else new.name
    take_free(book, lots, plans.free_of(lots), now, at, {"changed_to": name})
    former = account.plan
    if new is None:
        _leave(account)
    else:
        ends_at = account.ends_at if _is_paid_on(account, old, new, at) else _ends_at(account, new, None, at)
        _become(account, new, at, ends_at, anchored_at=account.anchored_at if same_rhythm else at)
        if not same_rhythm:
            account.next_reset = plans.next_boundary(account, new, at)
    account.allowance = allowance
    account.overused = max(used - allowance, 0)
    amount = min(max(allowance - used, 0), max(book.room(), 0))
    if new is None or amount == 0:
        return plans.note(book, name or former, at, now, plans.CHANGE, command)
    return plans.give(book, new, amount, at, now, plans.CHANGE, command)


def _allowance(account: Account, old: Plan | None, new: Plan | None, at: Instant, *, same_rhythm: bool) -> Nanos:
    """What this period's allowance comes to with the new plan. A prorated plan counts for what is left of the period
    that both plans share, the old one for what has gone by.
    """
    if new is None:
        return 0
    if old is None or not new.prorated or not same_rhythm or account.last_reset is None or account.next_reset is None:
        return new.allowance
    before = old.allowance if account.allowance is None else account.allowance
    left, whole = account.next_reset - at, account.next_reset - account.last_reset
    return max(before + share(new.allowance - old.allowance, left, whole), 0)


def _rhythm(account: Account, plan: Plan) -> tuple[str, str, str]:
    """Plans with the same one share their periods."""
    return plan.period, plan.anchor, plans.zone_of(account, plan)


def _become(account: Account, plan: Plan, at: Instant, ends_at: Instant | None, *, anchored_at: Instant | None) -> None:
    account.plan = plan.name
    account.ends_at = ends_at
    account.next_plan = account.next_plan_at = account.next_plan_days = None
    own_anchor = plan.anchor == "anniversary" and anchored_at != account.created_at
    account.anchored_at = anchored_at if own_anchor else None
    if plan.trial:
        account.trialed_at = at


def _leave(account: Account) -> None:
    account.plan = account.ends_at = account.anchored_at = account.next_reset = None
    account.next_plan = account.next_plan_at = account.next_plan_days = None


def _ends_at(account: Account, plan: Plan, days: int | None, at: Instant) -> Instant | None:
    """When the plan is over: `days` after the time that is paid for already, else after the plan's own duration."""
    if days is not None:
        again = account.plan == plan.name and account.ends_at is not None
        return max(at, account.ends_at or 0 if again else 0) + days * DAY
    return None if plan.duration_days is None else min(at + plan.duration_days * DAY, MAX_INSTANT)


def _is_paid_on(account: Account, old: Plan | None, new: Plan, at: Instant) -> bool:
    """Whether the new plan goes on for the time that was paid for: a plan that ends by itself has none to pass on, and
    one that others fall back to needs none.
    """
    if old is None or old.duration_days is not None or new.after is None:
        return False
    return account.ends_at is not None and account.ends_at > at


def _period_is_over(account: Account, plan: Plan, now: Instant) -> bool:
    """Whether an account without a plan begins a new period with this one; else what it used of its last still
    counts.
    """
    last = account.last_reset
    if last is None:
        return True
    if plan.period == plans.NO_PERIOD:
        return False
    anchor = None if plan.anchor == "calendar" else last
    return period_start(plan.period, now, plans.zone_of(account, plan), anchor) > last


# What is settled for later


def _schedule(book: Book, name: str | None, days: int | None, command: Command, now: Instant) -> Outcome:
    account = book.account
    if account.plan is None:
        raise Invalid("at", "the account has no plan whose period could end: change it now")
    at = account.next_reset if account.ends_at is None else account.ends_at
    if at is None:
        raise Invalid("at", "the plan has no period that ends: change it now")
    if (account.next_plan, account.next_plan_at, account.next_plan_days) == (name, at, days):
        return Outcome(command.verb, replayed=True, account=account.copy())
    account.next_plan, account.next_plan_at, account.next_plan_days = name, at, days
    return _done(book, command, plans.note(book, account.plan, now, now, plans.SCHEDULE, command))


def _drop_schedule(book: Book, command: Command, now: Instant) -> Outcome:
    account = book.account
    if account.next_plan_at is None:
        return Outcome(command.verb, replayed=True, account=account.copy())
    account.next_plan = account.next_plan_at = account.next_plan_days = None
    return _done(book, command, plans.note(book, account.plan, now, now, plans.SCHEDULE, command))


# What is refused


def _require_open(account: Account) -> None:
    if account.status == AccountStatus.CLOSED:
        raise AccountClosed(account.account_id)


def _require_trial(account: Account, plan: Plan) -> None:
    if plan.trial and account.trialed_at is not None:
        raise TrialUsed(account.account_id)


def _check_days(account: Account, plan: Plan, days: int | None, now: Instant) -> None:
    ends_at = None if days is None else _ends_at(account, plan, days, max(now, plan_ends_at(account) or 0))
    if ends_at is not None and ends_at > MAX_INSTANT:
        raise Invalid("days", "reach beyond the year 9999")


def _done(book: Book, command: Command, transaction: Transaction) -> Outcome:
    return Outcome(command.verb, account=book.account.copy(), transaction=transaction)
