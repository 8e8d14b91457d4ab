"""The account itself: opened, updated, frozen, closed; its allowance started afresh."""

from __future__ import annotations

from bursar.core import plans, subscriptions
from bursar.core.book import Book, Outcome
from bursar.core.commands import Close, Freeze, OpenAccount, Renew, Touch, Unfreeze, UpdateAccount
from bursar.core.errors import AccountClosed
from bursar.core.model import Account, AccountStatus, Catalogue, Instant, Plan

STATUS_AFTER = {  # anything absent is `AccountClosed`
    (AccountStatus.ACTIVE, "freeze"): AccountStatus.FROZEN,
    (AccountStatus.FROZEN, "freeze"): AccountStatus.FROZEN,
    (AccountStatus.ACTIVE, "unfreeze"): AccountStatus.ACTIVE,
    (AccountStatus.FROZEN, "unfreeze"): AccountStatus.ACTIVE,
    (AccountStatus.ACTIVE, "close"): AccountStatus.CLOSED,
    (AccountStatus.FROZEN, "close"): AccountStatus.CLOSED,
    (AccountStatus.CLOSED, "close"): AccountStatus.CLOSED,
}


def open_account(command: OpenAccount, now: Instant, catalogue: Catalogue) -> Book:
    """A new account with its plan's first allowance."""
    plan = find_plan(command.plan, catalogue)
    account = Account(
        command.account,
        command.email or None,
        command.name or None,
        command.plan,
        AccountStatus.ACTIVE,
        command.overage,
        command.timezone,
        command.metadata or None,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        b"",
        None,
        None,
        None,
        now,
        now,
        b"",
    )
    book = Book(account, new=True)
    if plan is not None:
        subscriptions.open_plan(book, plan, now)
    book.touch()
    return book


def update(book: Book, command: UpdateAccount, now: Instant, catalogue: Catalogue) -> Outcome:
    """Change the fields that were given; an empty text removes one."""
    account = book.account
    if command.email is not None:
        account.email = command.email or None
    if command.name is not None:
        account.name = command.name or None
    if command.metadata is not None:
        account.metadata = command.metadata or None
    if command.overage is not None:
        account.overage = command.overage
    book.touch()
    return Outcome("update", account=account.copy())


def set_status(book: Book, command: Freeze | Unfreeze | Close, now: Instant, catalogue: Catalogue) -> Outcome:
    """Freeze, unfreeze or close; again is a no-op. A closed account's plan does not renew."""
    account = book.account
    status = STATUS_AFTER.get((AccountStatus(account.status), command.verb))
    if status is None:
        raise AccountClosed(account.account_id)
    replayed = account.status == status
    if not replayed:
        account.status = status
        if status == AccountStatus.CLOSED:
            account.next_reset = None
            book.plan_due()
        book.touch()
    return Outcome(command.verb, replayed=replayed, account=account.copy())


def renew(book: Book, command: Renew, now: Instant, catalogue: Catalogue) -> Outcome:
    """Start the allowance afresh; an account without a plan stays as it is."""
    if book.account.status == AccountStatus.CLOSED:
        raise AccountClosed(book.account.account_id)
    plan = find_plan(book.account.plan, catalogue)
    transaction = None if plan is None else plans.restart_period(book, plan, now)
    return Outcome("renew", account=book.account.copy(), transaction=transaction)


def touch(book: Book, command: Touch, now: Instant, catalogue: Catalogue) -> Outcome:
    """What was due has been done before any command; this one asks for nothing else."""
    return Outcome("touch", account=book.account.copy())


def find_plan(name: str | None, catalogue: Catalogue) -> Plan | None:
    """The plan of that name; None for no plan. `PlanNotFound` where there is none."""
    return None if name is None else subscriptions.find_plan(name, catalogue)
