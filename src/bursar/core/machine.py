"""decide(books, command, now, catalogue): the one place where the ledger changes.

Deterministic, and all or nothing: a command that is rejected changes nothing but what was due anyway. Rejections come
in this order, the first that applies wins:

    1. invalid                     malformed (refused by `commands.check` before it is queued)
    2. account_not_found
    3. idempotency_conflict        the key was used for something else; the same content is a replay, which is no
    rejection
    4. account_frozen, account_closed, member_denied
    5. skill_not_found, skill_disabled, model_not_found, model_disabled
    6. hold_not_found, transaction_not_found, grant_not_found, plan_not_found, limit_not_found, member_not_found,
    run_not_found
    7. hold_not_open, run_not_open, not_refundable, trial_used
    8. limit_exceeded
    9. insufficient_credits, run_exhausted, refund_exceeds_charge
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bursar.core import accounts, charges, grants, holds, limits, members, runs, subscriptions
from bursar.core.book import Book, Outcome
from bursar.core.commands import (
    AddMember,
    Adjust,
    CancelPlan,
    Capture,
    ChangePlan,
    Charge,
    Close,
    CloseRun,
    Command,
    Dispatch,
    Extend,
    Freeze,
    Grant,
    OpenAccount,
    OpenRun,
    PlaceHold,
    Refund,
    Release,
    RemoveLimit,
    RemoveMember,
    Renew,
    SetLimit,
    Touch,
    Transfer,
    Unfreeze,
    UpdateAccount,
    Void,
    fingerprint,
)
from bursar.core.due import settle_due
from bursar.core.errors import AccountNotFound, IdempotencyConflict
from bursar.core.model import Catalogue, Instant

Handler = Callable[[Book, Any, Instant, Catalogue], Outcome]

HANDLERS: dict[type[Command], Handler] = {
    Charge: charges.charge,
    PlaceHold: holds.place,
    Dispatch: holds.dispatch,
    Extend: holds.extend,
    Capture: holds.capture,
    Release: holds.release,
    Refund: charges.refund,
    Grant: grants.grant,
    Void: grants.void,
    Adjust: grants.adjust,
    OpenRun: runs.open_run,
    CloseRun: runs.close_run,
    SetLimit: limits.set_limit,
    RemoveLimit: limits.remove_limit,
    AddMember: members.add_member,
    RemoveMember: members.remove_member,
    UpdateAccount: accounts.update,
    Freeze: accounts.set_status,
    Unfreeze: accounts.set_status,
    Close: accounts.set_status,
    ChangePlan: subscriptions.change,
    CancelPlan: subscriptions.cancel,
    Renew: accounts.renew,
    Touch: accounts.touch,
}
"""Every verb but the two that are about more than one existing account: open and transfer."""


def decide(books: dict[str, Book], command: Command, now: Instant, catalogue: Catalogue) -> Outcome:
    """Apply one command to the books of its accounts; raises the rejection, or `NotLoaded` for what the books lack."""
    book = books.get(command.account)
    if book is None:
        if type(command) is not OpenAccount:
            raise AccountNotFound(command.account)
        book = books[command.account] = accounts.open_account(command, now, catalogue)
        if command.key is not None:
            book.remember(command, fingerprint(command), command.account)
        return Outcome("open", account=book.account.copy())
    now = max(now, book.account.recorded_at)
    settle_due(book, now, catalogue)
    if command.key is None:
        return _apply(books, book, command, now, catalogue)
    content = fingerprint(command)
    first = book.remembered(command.key)
    if first is not None:
        if first.verb != command.verb or first.fingerprint[:16] != content:
            raise IdempotencyConflict(command.key)
        return _replay(books, book, command, first.reference)
    outcome = _apply(books, book, command, now, catalogue)
    book.remember(command, content, _reference(outcome, command))
    return outcome


def _apply(books: dict[str, Book], book: Book, command: Command, now: Instant, catalogue: Catalogue) -> Outcome:
    if type(command) is Transfer:
        to = books.get(command.to)
        if to is None:
            raise AccountNotFound(command.to)
        now = max(now, to.account.recorded_at)
        settle_due(book, now, catalogue)
        settle_due(to, now, catalogue)
        return grants.transfer(book, to, command, now, catalogue)
    if type(command) is OpenAccount:
        return Outcome("open", created=False, account=book.account.copy())
    return HANDLERS[type(command)](book, command, now, catalogue)


def _reference(outcome: Outcome, command: Command) -> str:
    """The id of what the command made, or changed: hold, grant, transaction; the account's own where it made none."""
    if outcome.hold is not None and outcome.transaction is None:
        return outcome.hold.hold_id
    if outcome.lot is not None and type(command) is Grant:
        return outcome.lot.lot_id
    return command.account if outcome.transaction is None else outcome.transaction.id


def _replay(books: dict[str, Book], book: Book, command: Command, reference: str) -> Outcome:
    """The first outcome again. A hold, a grant or an account shows its state now."""
    outcome = Outcome(command.verb, replayed=True)
    match command:
        case PlaceHold() | Dispatch() | Extend() | Release() | OpenRun() | CloseRun():
            outcome.hold = book.hold(reference).copy()
            return outcome
        case Grant():
            lot = book.lot(reference)
            outcome.lot, outcome.transaction = lot.copy(), book.transaction_at(lot.seq)
            return outcome
    if reference != command.account:
        outcome.transaction = book.transaction(reference)
    match command:
        case Capture():
            outcome.hold = book.hold(command.hold).copy()
        case Void():
            outcome.lot = book.lot(command.grant).copy()
        case Transfer() if outcome.transaction is not None:
            outcome.other = grants.received(books[command.to], outcome.transaction)
        case SetLimit():
            outcome.limit = limits.find_limit(book, command.limit)
        case AddMember() | RemoveMember():
            outcome.member = members.find_member(book, command.member).copy()
        case OpenAccount() | UpdateAccount() | Freeze() | Unfreeze() | Close():
            outcome.account = book.account.copy()
        case ChangePlan() | CancelPlan() | Renew() | Touch():
            outcome.account = book.account.copy()
    return outcome
