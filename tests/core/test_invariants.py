"""Every invariant can be broken, is noticed when it is, and names the row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from bursar.core import chain
from bursar.core.book import Book
from bursar.core.commands import (
    Adjust,
    Capture,
    Charge,
    Grant,
    OpenAccount,
    OpenRun,
    PlaceHold,
    Refund,
    SetLimit,
    Touch,
    Transfer,
)
from bursar.core.invariants import CHECKS, Finding, check_account, check_book
from bursar.core.model import Plan, decode_limits, encode_limits
from bursar.core.money import NANOS
from tests.support.ledger import DAY, HOUR, PureLedger, Rows

Tamper = Callable[[Rows], object]


def a_ledger() -> Rows:
    """Bob: a plan's lot, one bought, one to come, one spent; an open hold and a captured one; a charge, a refund, a
    gift.
    """
    ledger = PureLedger()
    ledger.put_plan(Plan("free", "Free", 10 * NANOS))
    ledger.execute(OpenAccount(account="alice"))
    ledger.execute(OpenAccount(account="bob", plan="free"))
    ledger.execute(SetLimit(account="bob", limit="all", window="lifetime", amount=99 * NANOS))
    ledger.execute(SetLimit(account="bob", limit="mia", window="day", amount=9 * NANOS, scope="member", value="mia"))
    ledger.execute(Grant(account="bob", amount=5 * NANOS, key="buy", source="purchase", expires_at=ledger.now + DAY))
    ledger.execute(Grant(account="bob", amount=NANOS, effective_at=ledger.now + 9 * DAY))
    charge = ledger.execute(Charge(account="bob", amount=12 * NANOS, key="call", description="words")).transaction
    assert charge is not None
    ledger.execute(Refund(account="bob", transaction=charge.id, amount=NANOS))
    hold = ledger.execute(PlaceHold(account="bob", amount=NANOS, key="hold")).hold
    assert hold is not None
    ledger.execute(Capture(account="bob", hold=hold.hold_id, amount=9 * NANOS))
    ledger.execute(Adjust(account="bob", to=4 * NANOS, reason="a gift"))
    ledger.now += 2 * DAY
    ledger.execute(Touch(account="bob"))
    ledger.execute(Transfer(account="bob", to="alice", amount=NANOS))
    ledger.execute(PlaceHold(account="bob", amount=NANOS))
    late = ledger.execute(PlaceHold(account="bob", amount=NANOS, dispatched=True)).hold
    assert late is not None
    ledger.now += HOUR
    ledger.execute(Touch(account="bob"))
    ledger.execute(PlaceHold(account="bob", amount=NANOS, member="mia"))
    run = ledger.execute(OpenRun(account="bob", budget=NANOS // 2)).hold
    assert run is not None
    ledger.execute(Charge(account="bob", amount=NANOS // 4, run=run.hold_id))
    ledger.execute(PlaceHold(account="bob", amount=NANOS // 4, run=run.hold_id))
    return ledger.snapshot_of("bob")


def found_in(rows: Rows) -> list[Finding]:
    """What is wrong with the history, and with a book of it."""
    book = Book(rows.account, rows.lots)
    book.holds = {hold.hold_id: hold for hold in rows.holds}
    book.members = {member.member: member for member in rows.members}
    return [
        *check_account(rows.account, rows.lots, rows.transactions, rows.holds, rows.keys, rows.others, rows.members),
        *check_book(book),
    ]


def change(rows: list[Any], number: int, **changes: object) -> None:
    rows[number] = replace(rows[number], **changes)


def rechain(rows: Rows) -> None:
    """What somebody does who knows how the chain is made."""
    head = b""
    for number, row in enumerate(rows.transactions):
        head = chain.rehash(head, row)
        rows.transactions[number] = replace(row, hash=head)
    rows.account.head = head


def forge(number: int, **changes: object) -> Tamper:
    """Change a transaction, and every hash after it."""

    def tamper(rows: Rows) -> None:
        rows.transactions[number] = replace(rows.transactions[number], **changes)
        rechain(rows)

    return tamper


def forge_hold(number: int, **changes: object) -> Tamper:
    """Change a hold, and its digest."""

    def tamper(rows: Rows) -> None:
        hold = replace(rows.holds[number], **changes)
        rows.holds[number] = replace(hold, digest=chain.digest_hold(hold))

    return tamper


def account(**changes: object) -> Tamper:
    def tamper(rows: Rows) -> None:
        rows.account = replace(rows.account, **changes)

    return tamper


def lot(number: int, **changes: object) -> Tamper:
    def tamper(rows: Rows) -> None:
        rows.lots[number] = replace(rows.lots[number], **changes)

    return tamper


def count_more(rows: Rows) -> None:
    """Change what the account's limit has counted: no digest covers it."""
    limits = decode_limits(rows.account.limits or "")
    limits.limits[0].spent += 1
    rows.account = replace(rows.account, limits=encode_limits(limits))


def move_window(text: str | None) -> str:
    """A limit that resets later than it was to."""
    limits = decode_limits(text or "")
    limits.limits[0].resets_at = 10**16
    return encode_limits(limits)


def of_type(type_: str) -> int:
    """Which transaction is the first of that type."""
    return [row.type for row in a_ledger().transactions].index(type_)


def free_lot() -> int:
    return next(number for number, lot in enumerate(a_ledger().lots) if lot.free)


BROKEN: dict[str, tuple[str, Tamper]] = {
    # a book
    "posted_is_lots_minus_debt": ("accounts", account(posted=1)),
    "held_is_what_lots_pin": ("accounts", account(held=1)),
    "due_at_is_the_first_moment": ("accounts", account(due_at=1)),
    "profile_is_as_written": ("accounts", account(plan="team")),
    "nothing_is_negative": ("accounts", account(debt=-1)),
    "debt_leaves_nothing_free": ("accounts", account(debt=1)),
    "lots_are_sound": ("lots", lot(free_lot(), held=10**12)),
    "holds_are_sound": (
        "lots",
        lambda rows: forge_hold(1, slices=f'[["{rows.lots[0].lot_id}",7]]', state="open")(rows),
    ),
    "limits_are_sound": ("accounts", lambda rows: account(limits=move_window(rows.account.limits))(rows)),
    # members and limits
    "member_is_as_written": ("members", lambda rows: change(rows.members, 0, status="added")),
    "members_limits_are_as_written": (
        "members",
        lambda rows: change(rows.members, 0, limits=move_window(rows.members[0].limits)),
    ),
    "limits_counted_what_was_spent": ("accounts", count_more),
    "members_are_counted": ("members", lambda rows: rows.members.pop()),
    # holds
    "hold_is_as_written": ("holds", lambda rows: rows.holds.__setitem__(0, replace(rows.holds[0], amount=7))),
    "slices_sum_to_the_amount": ("holds", forge_hold(1, amount=7)),
    "ended_means_settled": ("holds", forge_hold(0, settled_at=None)),
    "captured_is_what_was_charged": ("holds", forge_hold(0, captured=7)),
    "hold_has_its_key": ("idempotency_keys", lambda rows: rows.keys.pop()),
    "hold_fits_its_run": ("holds", forge_hold(-1, counted_at=7)),
    # transactions
    "seq_has_no_gaps": ("transactions", lambda rows: rows.transactions.pop(3)),
    "chain_is_unbroken": (
        "transactions",
        lambda rows: rows.transactions.__setitem__(3, replace(rows.transactions[3], actor="me")),
    ),
    "text_is_as_written": (
        "transactions",
        lambda rows: rows.transactions.__setitem__(3, replace(rows.transactions[3], description="other words")),
    ),
    "entries_sum_to_the_amount": ("transactions", forge(3, entries='[["g",1]]')),
    "posted_after_adds_up": ("transactions", forge(3, posted_after=7)),
    "type_and_times_are_sound": ("transactions", forge(3, effective_at=10**16)),
    "transaction_has_its_key": ("idempotency_keys", lambda rows: rows.keys.pop(0)),
    "hold_knows_its_transaction": ("holds", lambda rows: rows.holds.pop(0)),
    "transaction_fits_its_run": ("transactions", forge(-1, run="r_none")),
    "refunds_fit_their_charge": ("transactions", forge(of_type("REFUND"), refund_of="tx_1_x")),
    "transfers_have_two_sides": ("transactions", lambda rows: rows.others.clear()),
    # keys
    "key_is_as_written": (
        "idempotency_keys",
        lambda rows: rows.keys.__setitem__(0, replace(rows.keys[0], verb="charge")),
    ),
    "key_leads_somewhere": (
        "idempotency_keys",
        lambda rows: rows.keys.__setitem__(0, chain.seal_key("bob", "buy", "grant", bytes(16), "g_nowhere")),
    ),
    # lots
    "lot_is_what_was_granted": ("lots", lot(0, priority=1)),
    "lot_is_what_its_entries_say": ("lots", lot(0, remaining=1)),
    "lot_ended_when_it_was_due": ("lots", lot(0, ended_at=1)),
    # the account
    "no_tail_is_cut_off": ("transactions", lambda rows: rows.transactions.pop()),
    "balances_are_what_transactions_say": ("accounts", account(spent=1)),
    "holds_are_counted": ("holds", lambda rows: rows.holds.pop()),
    "times_are_what_transactions_say": ("accounts", account(recorded_at=1)),
    "plan_is_what_transactions_say": ("accounts", account(ends_at=1)),
}


def test_every_check_stands_here() -> None:
    names = [check.__name__ for checks in CHECKS.values() for check in checks]
    assert sorted(BROKEN) == sorted(names)
    assert all(check.__doc__ for checks in CHECKS.values() for check in checks)


def test_a_sound_ledger_has_nothing_wrong() -> None:
    rows = a_ledger()
    assert found_in(rows) == []
    assert len(rows.transactions) > 8
    assert {hold.state for hold in rows.holds} == {"captured", "expired", "open"}


@pytest.mark.parametrize("name", list(BROKEN))
def test_what_is_broken_is_noticed_by_its_check(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table, tamper = BROKEN[name]
    rows = a_ledger()
    tamper(rows)
    found = found_in(rows)
    assert any((finding.table, finding.account) == (table, "bob") for finding in found), found
    # It is this very check that notices: without it, something is not said.
    _leave_out(name, monkeypatch)
    assert Counter(found) - Counter(found_in(rows))


def _leave_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from bursar.core.invariants import audit, books

    for module, list_name in [
        (books, "BOOK_CHECKS"),
        (audit, "HOLD_CHECKS"),
        (audit, "MEMBER_CHECKS"),
        (books, "MEMBER_CHECKS"),
        (audit, "LIMIT_CHECKS"),
        (audit, "TRANSACTION_CHECKS"),
        (audit, "KEY_CHECKS"),
        (audit, "LOT_CHECKS"),
        (audit, "ACCOUNT_CHECKS"),
    ]:
        kept = tuple(check for check in getattr(module, list_name) if check.__name__ != name)
        monkeypatch.setattr(module, list_name, kept)


def test_one_changed_transaction_is_named_and_none_after_it() -> None:
    for number in range(len(a_ledger().transactions)):
        for changes in ({"amount": 1}, {"hash": bytes(32)}, {"posted_after": 1}, {"skill": "X"}):
            rows = a_ledger()
            rows.transactions[number] = replace(rows.transactions[number], **changes)
            found = [finding for finding in found_in(rows) if finding.table == "transactions"]
            assert {finding.row for finding in found if finding.column != "refund_of"} == {number + 1}


def test_a_gap_is_named_once() -> None:
    rows = a_ledger()
    del rows.transactions[2:5]
    wrong = [str(finding) for finding in found_in(rows) if finding.table == "transactions" and finding.column is None]
    assert wrong == ["transactions / bob / 3: is missing, and all up to 5"]


def test_broken_text_is_no_crash() -> None:
    for changes in (
        {"entries": "no json"},
        {"entries": '[["a",1.5]]'},
        {"detail": "no json"},
        {"detail": "[]"},
        {"detail": '{"lots":1}'},
        {"detail": '{"lots":[1,{},{"grant":1}]}'},
        {"detail": '{"corrects":1,"sent":2,"received":3}'},
        {"id": "nonsense"},
        {"type": "NONSENSE"},
    ):
        for number in range(len(a_ledger().transactions)):
            rows = a_ledger()
            rows.transactions[number] = replace(rows.transactions[number], **changes)
            assert any(finding.row == number + 1 for finding in found_in(rows)), changes
    for number in range(2):
        rows = a_ledger()
        rows.holds[number] = replace(rows.holds[number], slices="no json")
        assert any(finding.row == rows.holds[number].hold_id for finding in found_in(rows))


def test_a_lot_that_nobody_granted_and_one_that_is_gone() -> None:
    rows = a_ledger()
    gone = rows.lots.pop(0)
    assert any(finding.row == gone.lot_id and "missing" in finding.message for finding in found_in(rows))
    rows.lots += [gone, replace(gone, lot_id="g_forged")]
    assert any(finding.row == "g_forged" for finding in found_in(rows))


def test_a_book_is_checked_as_it_is() -> None:
    ledger = PureLedger()
    ledger.execute(OpenAccount(account="alice"))
    ledger.execute(Grant(account="alice", amount=5 * NANOS))
    ledger.execute(PlaceHold(account="alice", amount=NANOS))
    book = ledger.books["alice"]
    assert check_book(book) == []
    hold = next(iter(book.holds.values()))
    lot_id, amount = next(iter(book.lots)), NANOS
    assert hold is not None
    book.lot(lot_id).held = 0
    wrong = {(finding.table, finding.column) for finding in check_book(book)}
    assert wrong == {("accounts", "held"), ("lots", "held")}
    assert amount == hold.amount


def test_a_finding_reads_as_one_line() -> None:
    assert str(Finding("lots", "bob", "g_1", "held", "is 1")) == "lots / bob / g_1 / held: is 1"
    assert str(Finding("accounts", "bob", None, None, "is missing")) == "accounts / bob: is missing"
