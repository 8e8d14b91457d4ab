"""Everything there is of one account, checked row by row and then as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from bursar.core.book import Book
from bursar.core.invariants.accounts import ACCOUNT_CHECKS
from bursar.core.invariants.books import BOOK_CHECKS, check_book
from bursar.core.invariants.findings import Finding, Findings
from bursar.core.invariants.fold import Fold, LotFold
from bursar.core.invariants.holds import HOLD_CHECKS
from bursar.core.invariants.keys import KEY_CHECKS
from bursar.core.invariants.limits import LIMIT_CHECKS, MEMBER_CHECKS, read_limits
from bursar.core.invariants.lots import LOT_CHECKS
from bursar.core.invariants.related import Related
from bursar.core.invariants.transactions import TRANSACTION_CHECKS
from bursar.core.model import Account, Hold, Lot, Member, Remembered, Transaction

CHECKS: Final[dict[str, tuple[Any, ...]]] = {
    "books": BOOK_CHECKS,
    "members": MEMBER_CHECKS,
    "holds": HOLD_CHECKS,
    "transactions": TRANSACTION_CHECKS,
    "idempotency_keys": KEY_CHECKS,
    "lots": LOT_CHECKS,
    "accounts": ACCOUNT_CHECKS,
    "limits": LIMIT_CHECKS,
}
"""Every check there is, by what it looks at."""


class Audit:
    """One account's rows, each once, in the order of the methods; transactions by seq. What each yields must be
    consumed.

    Memory is a page of rows, and the lots and limits of the account with a few numbers for each.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.fold = Fold()
        self.fold.add_limits(None, read_limits(account.limits))
        self._book = Book(account)

    def members(self, rows: Iterable[Member]) -> Findings:
        """Members need no other rows; what their limits must have counted is known at the end."""
        for row in rows:
            for check in MEMBER_CHECKS:
                yield from check(row)
            self.fold.members += 1
            self.fold.add_limits(row.member, read_limits(row.limits))

    def holds(self, rows: Iterable[Hold], related: Related) -> Findings:
        """`related`: their keys and runs, the transactions that settled them and those that these correct."""
        for row in rows:
            for check in HOLD_CHECKS:
                yield from check(row, related)
            self.fold.add_hold(row)

    def transactions(self, rows: Iterable[Transaction], related: Related) -> Findings:
        """`related`: their keys and runs, the holds they name and what settled those, the charges that they give back,
        the holds of those and all that was given back of them, the other sides of transfers.
        """
        for row in rows:
            for check in TRANSACTION_CHECKS:
                yield from check(row, self.fold, related)
            self.fold.add(row)
            charged = row if row.refund_of is None else related.transaction(row.refund_of) or row
            self.fold.add_spending(row, related.made(charged))

    def keys(self, rows: Iterable[Remembered], related: Related) -> Findings:
        """`related`: the holds and transactions that they remember."""
        for row in rows:
            for check in KEY_CHECKS:
                yield from check(row, self.fold, related)

    def lots(self, rows: Iterable[Lot]) -> Findings:
        """Lots need no other rows: the fold has all that was said of them."""
        for row in rows:
            folded = self.fold.lots.get(row.lot_id) or LotFold()
            for check in LOT_CHECKS:
                yield from check(row, folded, self.fold, self.account)
            self._book.lots[row.lot_id] = row

    def close(self) -> Findings:
        """What only all of it together can tell."""
        for lot_id in self.fold.lots:
            if lot_id not in self._book.lots:
                yield Finding(
                    "lots", self.account.account_id, lot_id, None, "is missing; transactions or holds name it"
                )
        for check in ACCOUNT_CHECKS:
            yield from check(self.account, self.fold)
        self.fold.close_holds()
        for check in LIMIT_CHECKS:
            yield from check(self.account, self.fold)
        yield from check_book(self._book)


def check_account(
    account: Account,
    lots: Iterable[Lot],
    transactions: Iterable[Transaction],
    holds: Iterable[Hold] = (),
    keys: Iterable[Remembered] = (),
    others: Iterable[Transaction] = (),
    members: Iterable[Member] = (),
) -> list[Finding]:
    """Everything that one account's rows break; `others` are the other sides of its transfers."""
    history, placed, remembered = list(transactions), list(holds), list(keys)
    refunds: dict[str, list[Transaction]] = {}
    for row in history:
        if row.refund_of is not None:
            refunds.setdefault(row.refund_of, []).append(row)
    related = Related(
        {row.seq: row for row in history},
        {row.hold_id: row for row in placed},
        {row.key: row for row in remembered},
        refunds,
        {(row.account_id, row.seq): row for row in others},
    )
    audit = Audit(account)
    return [
        *audit.members(members),
        *audit.holds(placed, related),
        *audit.transactions(sorted(history, key=lambda row: row.seq), related),
        *audit.keys(remembered, related),
        *audit.lots(lots),
        *audit.close(),
    ]
