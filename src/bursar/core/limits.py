"""Spending limits: what counts in which, whether there is room, and how one is set.

A charge or hold counts in the window in which it was made: at the held amount first, then at the real one, which may
exceed; a refund gives room back in that same window and in no other. A run counts for the account and its member, its
calls for everything else (see `core.runs`). Windows are half-open, in the limit's own time
zone; a zone that is changed holds from the next window on. Of several limits that have no room the tightest is named.
A capture is never refused.

Counters stand beside the definitions, in the row of whom they belong to: a member's limits in the member's, all others
in the account's. Only one window is counted, so what belongs to an earlier one no longer touches them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from msgspec.structs import replace

from bursar.core import periods
from bursar.core.book import Book, NotLoaded, Outcome, Wanted
from bursar.core.commands import Charge, PlaceHold, RemoveLimit, SetLimit
from bursar.core.errors import AccountClosed, Invalid, LimitExceeded, LimitNotFound, RunNotOpen
from bursar.core.members import named_member
from bursar.core.model import (
    AccountStatus,
    Catalogue,
    Hold,
    Instant,
    Limit,
    Limits,
    LimitScope,
    LimitWindow,
    Transaction,
    TransactionType,
)
from bursar.core.money import Nanos

MAX_LIMITS = 32
"""Of one account, and of one member: they are read whole for each charge."""

KEY_ACTOR = "key:"
"""How the actor begins that is an API key; the rest is the key's id."""

ACCOUNT = LimitScope.ACCOUNT
OUTER = frozenset({LimitScope.ACCOUNT, LimitScope.MEMBER})
"""The scopes in which a run counts, and not its calls."""

Spender: TypeAlias = Charge | PlaceHold | Hold | Transaction
"""What carries a member, skill, model, run and actor."""

Made: TypeAlias = tuple[Spender, Instant | None, Instant | None]
"""What is counted; when it was made, None for a run; when it counts for the account and member, None where a run does.
"""

Lineage: TypeAlias = Callable[[str], str | None]
"""The run that a run is in."""

Owner: TypeAlias = str | None
"""Whose row a limit stands in: a member's, or the account's."""

Counters: TypeAlias = list[tuple[Limit, Owner, Instant]]
"""Limits, in whose rows they stand, and the moment in whose window each counts."""

NO_COUNTERS: Counters = []


# What counts


def counters_of(book: Book, made: Made) -> Counters:
    """The limits that count it."""
    if book.account.limits is None:
        return NO_COUNTERS
    limits = book.limits()
    assert limits is not None, "the account has limits"
    spender, made_at, outer_at = made
    found: Counters = []
    for limit in limits.limits:
        if limit.scope == ACCOUNT:
            if outer_at is not None:
                found.append((limit, None, outer_at))
        elif made_at is not None and counts(limit, spender, book.run_around):
            found.append((limit, None, made_at))
    if limits.members and spender.member is not None and outer_at is not None:
        own = book.limits(spender.member)
        if own is not None:
            found += [(limit, spender.member, outer_at) for limit in own.limits]
    return found


def counts(limit: Limit, spender: Spender, lineage: Lineage) -> bool:
    """Whether a limit counts what this spends, its windows apart."""
    scope = limit.scope
    if scope == ACCOUNT:
        return True
    if scope == LimitScope.SKILL:
        return spender.skill == limit.value
    if scope == LimitScope.MODEL:
        return spender.model == limit.value
    if scope == LimitScope.KEY:
        return spender.actor == f"{KEY_ACTOR}{limit.value}"
    if scope == LimitScope.MEMBER:
        return spender.member == limit.value
    run = spender.run
    while run is not None and run != limit.value:
        run = lineage(run)
    return run is not None


def of_hold(book: Book, hold: Hold) -> Counters:
    """The limits that count a hold, or a run."""
    return NO_COUNTERS if book.account.limits is None else counters_of(book, made_by_hold(hold))


def of_charge(book: Book, charged: Transaction) -> Counters:
    """The limits that count a charge: as its hold was placed, where there was one."""
    if book.account.limits is None:
        return NO_COUNTERS
    if charged.hold is not None:
        return of_hold(book, book.hold(charged.hold))
    run = None if charged.run is None else book.run(charged.run)
    return counters_of(book, made_by_charge(charged, run))


def made_by_hold(hold: Hold) -> Made:
    """What a hold or a run counts as, and when."""
    return hold, None if hold.budget is not None else hold.created_at, outer_moment(hold)


def made_by_charge(charged: Transaction, run: Hold | None) -> Made:
    """What a charge without a hold counts as, and when; `run` is the one that it was part of."""
    return charged, charged.effective_at, charged.effective_at if run is None else outer_moment(run)


def outer_moment(hold: Hold) -> Instant:
    """When a hold, or the outermost run that it is in, began."""
    return hold.created_at if hold.counted_at is None else hold.counted_at


# Whether there is room


def room(counters: Counters, now: Instant) -> Nanos | None:
    """How much more the tightest of them allows; None where nothing limits."""
    return min((_left(limit, now) for limit, _, _ in counters), default=None)


def require_room(counters: Counters, amount: Nanos, now: Instant) -> None:
    """Refuse an amount that one of them has no room for: of those that refuse it, the tightest."""
    tight = []
    for limit, _, _ in counters:
        # Whatever its window has become, there is at least as much room as it shows.
        if amount > limit.amount - limit.spent - limit.held and amount > _left(limit, now):
            tight.append(limit)
    if tight:
        limit = min(tight, key=lambda limit: (_left(limit, now), -_last(limit, now)))
        resets_at = window_of(limit, now)[1]
        raise LimitExceeded(limit.limit_id, limit.scope, amount, max(_left(limit, now), 0), resets_at)


def _left(limit: Limit, now: Instant) -> Nanos:
    if _is_over(limit, now):
        return limit.amount
    return limit.amount - limit.spent - limit.held


def _last(limit: Limit, now: Instant) -> Instant:
    resets_at = window_of(limit, now)[1]
    return periods.MAX_INSTANT if resets_at is None else resets_at


def require_room_to_grow(counters: Counters, amount: Nanos, now: Instant) -> None:
    """Refuse to extend a hold beyond what the window in which it was made has room for, as long as that one lasts."""
    growing = [entry for entry in counters if is_within(entry[0], entry[2]) and not _is_over(entry[0], now)]
    require_room(growing, amount, now)


def _is_over(limit: Limit, now: Instant) -> bool:
    return limit.resets_at is not None and limit.resets_at <= now


# Counting


def count(book: Book, counters: Counters, *, spent: Nanos = 0, held: Nanos = 0) -> None:
    """Add to each in the window of its moment; a window that is over is counted no more."""
    for limit, owner, made_at in counters:
        if limit.resets_at is not None and limit.resets_at <= made_at:
            _turn(limit, made_at)
            book.break_seal(owner)
        elif limit.starts_at is not None and made_at < limit.starts_at:
            continue
        limit.spent += spent
        limit.held += held
        if owner not in book.counted:
            book.count_limits(owner)


def _turn(limit: Limit, moment: Instant) -> None:
    """Start the window of that moment, with nothing in it."""
    limit.starts_at, limit.resets_at = window_of(limit, moment)
    limit.spent = limit.held = 0


def window_of(limit: Limit, moment: Instant) -> tuple[Instant | None, Instant | None]:
    """The limit's window at a moment that does not lie before the one it counts now.

    A window never begins before the end of the one before it, though a zone was changed in between.
    """
    if limit.window == LimitWindow.LIFETIME:
        return None, None
    if limit.starts_at is None or limit.resets_at is None:
        start = periods.period_start(limit.window, moment, limit.timezone)
    elif moment < limit.resets_at:
        return limit.starts_at, limit.resets_at
    else:
        start = max(periods.period_start(limit.window, moment, limit.timezone), limit.resets_at)
    return start, periods.next_boundary(limit.window, moment, limit.timezone)


def shown(limit: Limit, now: Instant) -> Limit:
    """A copy as it stands now: of a window that is over nothing counts any more."""
    found = replace(limit)
    if _is_over(found, now):
        _turn(found, now)
    return found


class Counted:
    """What holds and transactions say that limits have counted: the other way to their counters."""

    def __init__(self, limits: Iterable[Limit], lineage: Lineage) -> None:
        self.limits = list(limits)
        self.spent = [0] * len(self.limits)
        self.held = [0] * len(self.limits)
        self._lineage = lineage

    def add_hold(self, hold: Hold) -> None:
        """Count what a hold or a run that has not ended sets aside."""
        if hold.unsettled:
            self._add(self.held, made_by_hold(hold), hold.amount)

    def add(self, row: Transaction, made: Made) -> None:
        """Count a transaction, given what it counts as and when; what is no spending counts nowhere."""
        if row.type in (TransactionType.CONSUMPTION, TransactionType.REFUND):
            self._add(self.spent, made, -row.amount)

    def _add(self, sums: list[Nanos], made: Made, amount: Nanos) -> None:
        spender, made_at, outer_at = made
        for number, limit in enumerate(self.limits):
            moment = outer_at if limit.scope in OUTER else made_at
            if moment is not None and is_within(limit, moment) and counts(limit, spender, self._lineage):
                sums[number] += amount


def is_within(limit: Limit, made_at: Instant) -> bool:
    """Whether a moment lies in the window that the limit counts now."""
    if limit.starts_at is None or limit.resets_at is None:
        return True
    return limit.starts_at <= made_at < limit.resets_at


# Setting


def set_limit(book: Book, command: SetLimit, now: Instant, catalogue: Catalogue) -> Outcome:
    """Set a limit, or change it. What its window has seen already counts."""
    if book.account.status == AccountStatus.CLOSED:
        raise AccountClosed(book.account.account_id)
    if command.scope == LimitScope.RUN and command.value is not None:
        run = book.run(command.value)
        if not run.unsettled:
            raise RunNotOpen(run.hold_id, run.state)
    old, before = _find(book, command.limit)
    owner = command.value if command.scope == LimitScope.MEMBER else None
    limit = Limit(
        command.limit,
        command.scope,
        command.value,
        command.window,
        command.amount,
        command.timezone or book.account.timezone,
    )
    others = _others(book, owner, command.limit)
    if len(others) >= MAX_LIMITS:
        raise Invalid("limit", f"there are {MAX_LIMITS} already")
    if old is not None and _counts_the_same(old, limit):
        limit = replace(old, amount=limit.amount, timezone=limit.timezone)
    else:
        limit.starts_at, limit.resets_at = window_of(limit, now)
        limit.spent, limit.held = _counted_already(book, limit)
    if old is not None and before != owner:
        _define(book, before, _others(book, before, command.limit))
    if owner is not None:
        named_member(book, owner, now)
    _define(book, owner, [*others, limit])
    return Outcome("set_limit", limit=replace(limit))


def remove_limit(book: Book, command: RemoveLimit, now: Instant, catalogue: Catalogue) -> Outcome:
    """Lift a limit."""
    limit, owner = _find(book, command.limit)
    if limit is None:
        raise LimitNotFound(command.limit)
    _define(book, owner, _others(book, owner, command.limit))
    return Outcome("remove_limit", limit=limit)


def forget_run(book: Book, run_id: str) -> None:
    """A run has ended: so do the limits of its calls."""
    kept = book.limits()
    ended = [] if kept is None else [limit for limit in kept.limits if _is_of_run(limit, run_id)]
    if kept is not None and ended:
        book.define_limits(None, replace(kept, limits=[limit for limit in kept.limits if limit not in ended]))


def _is_of_run(limit: Limit, run_id: str) -> bool:
    return limit.scope == LimitScope.RUN and limit.value == run_id


def all_limits(book: Book) -> list[Limit]:
    """Every limit of the account and of its members, by id."""
    return sorted((limit for limit, _ in _all(book)), key=lambda limit: limit.limit_id)


def find_limit(book: Book, limit_id: str) -> Limit:
    """The limit of that id. Raises `LimitNotFound`."""
    limit, _ = _find(book, limit_id)
    if limit is None:
        raise LimitNotFound(limit_id)
    return limit


def _all(book: Book) -> list[tuple[Limit, Owner]]:
    owners: list[Owner] = [None, *(member.member for member in book.every_member())]
    documents = [(owner, book.limits(owner)) for owner in owners]
    return [(limit, owner) for owner, limits in documents if limits is not None for limit in limits.limits]


def _find(book: Book, limit_id: str) -> tuple[Limit | None, Owner]:
    return next(((limit, owner) for limit, owner in _all(book) if limit.limit_id == limit_id), (None, None))


def _others(book: Book, owner: Owner, limit_id: str) -> list[Limit]:
    limits = book.limits(owner)
    return [] if limits is None else [limit for limit in limits.limits if limit.limit_id != limit_id]


def _define(book: Book, owner: Owner, limits: list[Limit]) -> None:
    kept = book.limits(owner) or Limits()
    book.define_limits(owner, replace(kept, limits=limits))


def _counts_the_same(old: Limit, new: Limit) -> bool:
    return (old.scope, old.value, old.window) == (new.scope, new.value, new.window)


def _counted_already(book: Book, limit: Limit) -> tuple[Nanos, Nanos]:
    if book.counted_before is None:
        raise NotLoaded(Wanted.COUNTED, book.account.account_id, limit)
    counted, book.counted_before = book.counted_before, None
    return counted
