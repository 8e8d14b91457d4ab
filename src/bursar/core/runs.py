"""Runs: a budget for an agent's whole task, set aside at once; its calls draw from it.

A run is a hold that is never captured. Its calls take slices from it, so what the account holds does not change; what
they do not spend returns to it as long as it is open, else to the lots. In limits the run counts for the account and
for its member, from the moment at which the outermost began; its calls count for key, skill, model and run. A run in
another one draws from that one's budget. Closing ends the calls that are still in flight by their own rule, as their
expiry would, and returns what is left to the very lots; so does the run's own expiry.
"""

from __future__ import annotations

from bursar.core import budgets, limits
from bursar.core.book import Book, Outcome, Touched
from bursar.core.burndown import pin
from bursar.core.charges import require_active
from bursar.core.commands import CloseRun, OpenRun
from bursar.core.errors import InsufficientCredits, Invalid, RunExhausted
from bursar.core.holds import SECOND, expire, let_go, next_state
from bursar.core.members import require_member
from bursar.core.model import Catalogue, Hold, HoldState, Instant, OnExpiry, encode_json


def open_run(book: Book, command: OpenRun, now: Instant, catalogue: Catalogue) -> Outcome:
    """Set the budget aside: out of what the account has, or out of another run's."""
    require_active(book)
    if command.member is not None:
        require_member(book, command.member)
    outer = None if command.run is None else budgets.drawn_from(book, command.run, command.member)
    run = _new_run(book, command, outer, now)
    if outer is None:
        _require_funds(book, run, now)
        run.slices = encode_json(pin(book, run.amount))
    else:
        _require_budget(book, run, outer)
        run.slices = encode_json(budgets.take(book, outer, run.amount))
    limits.count(book, limits.of_hold(book, run), held=run.amount)
    book.account.open_holds += 1
    book.account.holds_opened += 1
    book.all_calls.add(run.hold_id)
    book.touch_hold(run, Touched.NEW)
    return Outcome("open_run", hold=run.copy())


def _new_run(book: Book, command: OpenRun, outer: Hold | None, now: Instant) -> Hold:
    expires_at = now + command.ttl_seconds * SECOND
    return Hold(
        book.account.account_id,
        f"r_{command.token}",
        HoldState.OPEN,
        command.budget,
        0,
        None,
        "[]",
        None,
        None,
        None,
        None,
        command.member if outer is None else outer.member,
        book.account.overage,
        OnExpiry.RELEASE,
        command.actor,
        command.description,
        command.metadata,
        command.key,
        expires_at if outer is None else min(expires_at, outer.expires_at),
        now,
        None,
        0,
        None,
        b"",
        run=None if outer is None else outer.hold_id,
        budget=command.budget,
        counted_at=None if outer is None else limits.outer_moment(outer),
    )


def _require_funds(book: Book, run: Hold, now: Instant) -> None:
    limits.require_room(limits.of_hold(book, run), run.amount, now)
    account = book.account
    if run.amount > account.available:
        raise InsufficientCredits(run.amount, account.available, account.next_reset)


def _require_budget(book: Book, run: Hold, outer: Hold) -> None:
    if outer.member is not None:
        require_member(book, outer.member)
    if budgets.depth_of(book, outer) >= budgets.MAX_DEPTH:
        raise Invalid("run", f"runs are nested at most {budgets.MAX_DEPTH} deep")
    if run.amount > outer.amount:
        raise RunExhausted(outer.hold_id, run.amount, outer.amount)


def close_run(book: Book, command: CloseRun, now: Instant, catalogue: Catalogue) -> Outcome:
    """End a run now. One that has ended already: a replay."""
    run = book.run(command.run)
    if not run.unsettled:
        return Outcome("close_run", replayed=True, hold=run.copy())
    end_run(book, run, next_state(run, "release"), now, now)
    return Outcome("close_run", hold=run.copy())


def expire_run(book: Book, run: Hold, now: Instant, effective_at: Instant) -> None:
    """End a run whose time is over. Its calls end no later than it does, so they are all due, and here."""
    for hold in book.due_holds:
        if hold.budget is not None:
            book.all_calls.add(hold.hold_id)
    end_run(book, run, next_state(run, "expire"), now, effective_at)


def end_run(book: Book, run: Hold, state: HoldState, now: Instant, effective_at: Instant) -> None:
    """End what is in flight, the innermost first, and let go of what is left."""
    for call in _in_flight(book, run):
        if call.budget is None:
            expire(book, call, now, effective_at)
        else:
            let_go(book, call, next_state(call, "expire"), now, effective_at)
            limits.forget_run(book, call.hold_id)
    let_go(book, run, state, now, effective_at)
    limits.forget_run(book, run.hold_id)


def _in_flight(book: Book, run: Hold) -> list[Hold]:
    """Everything in a run that has not ended: what is in a run comes before it. What is lacking is asked for now."""
    found: list[Hold] = []
    limits.of_hold(book, run)
    budgets.open_run_of(book, run)
    for call in book.calls(run.hold_id):
        limits.of_hold(book, call)
        if call.budget is not None:
            found += _in_flight(book, call)
        found.append(call)
    return found
