"""What holds of an account, given the fold of everything that is recorded of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bursar.core.invariants.findings import Finding, Findings, compare, of_account
from bursar.core.invariants.fold import Fold
from bursar.core.invariants.transactions import missing
from bursar.core.model import Account, AccountStatus
from bursar.core.plans import FACTS


def no_tail_is_cut_off(account: Account, fold: Fold) -> Findings:
    """The account knows how many transactions it has, and the hash of the last."""
    is_head = fold.heads is None or account.head in fold.heads
    if fold.seq < account.seq and not is_head:
        yield from missing(account.account_id, fold.seq + 1, account.seq)
        return
    yield from compare(account, "seq", fold.seq)
    if not is_head:
        yield of_account(account, "head", "is not the hash of the last transaction")


def balances_are_what_transactions_say(account: Account, fold: Fold) -> Findings:
    """Posted, debt and spending follow from the transactions, what is held from the holds."""
    yield from compare(account, "posted", fold.posted)
    yield from compare(account, "debt", fold.debt)
    yield from compare(account, "spent", fold.spent)
    yield from compare(account, "held", fold.held)


def holds_are_counted(account: Account, fold: Fold) -> Findings:
    """The account knows how many holds it ever had, and how many of them have not ended."""
    if fold.holds < account.holds_opened:
        message = f"{account.holds_opened - fold.holds} of {account.holds_opened} are missing"
        yield Finding("holds", account.account_id, None, None, message)
    yield from compare(account, "holds_opened", fold.holds)
    yield from compare(account, "open_holds", fold.open_holds)


def times_are_what_transactions_say(account: Account, fold: Fold) -> Findings:
    """The account was last recorded with its last transaction, and last reset with its last allowance."""
    yield from compare(account, "recorded_at", account.created_at if fold.recorded_at is None else fold.recorded_at)
    yield from compare(account, "last_reset", fold.resets[-1] if fold.resets else None)


def plan_is_what_transactions_say(account: Account, fold: Fold) -> Findings:
    """The account's plan, its period and what follows are as its last transaction of a plan left them."""
    if fold.subscription is None:
        return
    for name in FACTS:
        expected = fold.subscription.get(name, 0 if name == "overused" else None)
        if name == "next_reset" and account.status == AccountStatus.CLOSED:
            expected = None
        yield from compare(account, name, expected)


ACCOUNT_CHECKS: Final[tuple[Callable[[Account, Fold], Findings], ...]] = (
    no_tail_is_cut_off,
    balances_are_what_transactions_say,
    holds_are_counted,
    times_are_what_transactions_say,
    plan_is_what_transactions_say,
)
