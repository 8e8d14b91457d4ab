"""What a check finds wrong, named by table, account, and seq or id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct

from bursar.core.model import Account, Hold, Lot, Member, Transaction


class Finding(Struct, frozen=True):
    """A row that is not what the rules make it; `row` is its seq or id, `column` what is wrong of it where it is
    known.
    """

    table: str
    account: str
    row: int | str | None
    column: str | None
    message: str

    def __str__(self) -> str:
        place = [self.table, self.account, *([] if self.row is None else [str(self.row)]), *filter(None, [self.column])]
        return f"{' / '.join(place)}: {self.message}"


Findings: TypeAlias = Iterator[Finding]


def of_account(account: Account, column: str, message: str) -> Finding:
    """An account's column is wrong."""
    return Finding("accounts", account.account_id, None, column, message)


def of_lot(lot: Lot, column: str, message: str) -> Finding:
    """A lot's column is wrong."""
    return Finding("lots", lot.account_id, lot.lot_id, column, message)


def of_hold(hold: Hold, column: str, message: str) -> Finding:
    """A hold's column is wrong."""
    return Finding("holds", hold.account_id, hold.hold_id, column, message)


def of_member(member: Member, column: str, message: str) -> Finding:
    """A member's column is wrong."""
    return Finding("members", member.account_id, member.member, column, message)


def of_transaction(row: Transaction, column: str, message: str) -> Finding:
    """A transaction's column is wrong."""
    return Finding("transactions", row.account_id, row.seq, column, message)


def of_key(account: str, key: str, column: str, message: str) -> Finding:
    """An idempotency key's column is wrong."""
    return Finding("idempotency_keys", account, key, column, message)


def compare(account: Account, column: str, expected: object) -> Findings:
    """Nothing, or that the account's column is not what is expected."""
    found = getattr(account, column)
    if found != expected:
        yield of_account(account, column, f"is {found}, the rules say {expected}")


def compare_lot(lot: Lot, column: str, expected: object) -> Findings:
    """Nothing, or that the lot's column is not what is expected."""
    found = getattr(lot, column)
    if found != expected:
        yield of_lot(lot, column, f"is {found}, the transactions and holds say {expected}")
