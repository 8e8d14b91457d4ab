"""The account itself: what opening, updating and closing say of it."""

from __future__ import annotations

from itertools import product

import pytest

from bursar.core.accounts import STATUS_AFTER
from bursar.core.commands import Close, Command, Freeze, OpenAccount, Touch, Unfreeze, UpdateAccount
from bursar.core.errors import AccountClosed
from bursar.core.model import Account, AccountStatus, Plan
from bursar.core.money import NANOS
from tests.support.ledger import DAY, START, PureLedger

VERBS: dict[str, type[Command]] = {"freeze": Freeze, "unfreeze": Unfreeze, "close": Close}


def opened(command: OpenAccount) -> tuple[PureLedger, Account]:
    ledger = PureLedger()
    ledger.put_plan(Plan("free", "Free", 10 * NANOS))
    account = ledger.execute(command).account
    assert account is not None
    return ledger, account


def profile(account: Account | None) -> tuple[str | None, ...]:
    assert account is not None
    return (account.email, account.name, account.metadata, account.overage)


def test_an_account_is_what_was_asked_for() -> None:
    _, account = opened(
        OpenAccount(
            account="alice",
            email="a@b.c",
            name="Alice",
            plan="free",
            timezone="Europe/Kyiv",
            overage="cap",
            metadata='{"a":"1"}',
        )
    )
    assert profile(account) == ("a@b.c", "Alice", '{"a":"1"}', "cap")
    assert (account.plan, account.timezone, account.status) == ("free", "Europe/Kyiv", "active")
    assert (account.created_at, account.recorded_at, account.last_reset) == (START, START, START)
    assert (account.posted, account.seq) == (10 * NANOS, 1)


def test_an_empty_text_is_none() -> None:
    _, account = opened(OpenAccount(account="alice", email="", name="", metadata=""))
    assert profile(account) == (None, None, None, "debt")
    assert (account.plan, account.seq, account.next_reset, account.due_at) == (None, 0, None, None)


def test_an_update_changes_what_it_names_and_leaves_the_rest() -> None:
    ledger, account = opened(OpenAccount(account="alice", email="a@b.c", name="Alice", metadata='{"a":"1"}'))
    before = profile(account)
    changes = {"email": "b@c.d", "name": "Bob", "metadata": '{"b":"2"}', "overage": "reject"}
    expected = list(before)
    assert profile(ledger.execute(UpdateAccount(account="alice")).account) == before
    for number, (field, value) in enumerate(changes.items()):
        expected[number] = value
        assert profile(ledger.execute(_update(field, value)).account) == tuple(expected)
    for number, field in enumerate(("email", "name", "metadata")):
        expected[number] = None
        assert profile(ledger.execute(_update(field, "")).account) == tuple(expected)


def _update(field: str, value: str) -> UpdateAccount:
    match field:
        case "email":
            return UpdateAccount(account="alice", email=value)
        case "name":
            return UpdateAccount(account="alice", name=value)
        case "metadata":
            return UpdateAccount(account="alice", metadata=value)
    return UpdateAccount(account="alice", overage=value)


@pytest.mark.parametrize(("status", "verb"), list(product(AccountStatus, VERBS)), ids=str)
def test_a_status_moves_as_the_table_says(status: AccountStatus, verb: str) -> None:
    ledger, _ = opened(OpenAccount(account="alice"))
    ledger.books["alice"].account.status = status
    ledger.books["alice"].touch()
    expected = STATUS_AFTER.get((status, verb))
    if expected is None:
        with pytest.raises(AccountClosed):
            ledger.execute(VERBS[verb](account="alice"))
        assert status == AccountStatus.CLOSED
        return
    outcome = ledger.execute(VERBS[verb](account="alice"))
    assert outcome.account is not None
    assert outcome.account.status == expected
    assert outcome.replayed is (status == expected)


def test_a_closed_account_is_due_for_nothing_but_what_it_has() -> None:
    ledger, account = opened(OpenAccount(account="alice", plan="free"))
    ends = account.due_at
    closed = ledger.execute(Close(account="alice")).account
    assert closed is not None
    assert (closed.next_reset, closed.due_at) == (None, ends)
    ledger.now += 100 * DAY
    touched = ledger.execute(Touch(account="alice")).account
    assert touched is not None
    assert (touched.posted, touched.due_at) == (0, None)
