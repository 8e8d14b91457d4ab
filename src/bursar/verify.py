"""The proof: every row of the ledger recomputed by the rules of `core`.

Each account is read in one moment of its own, page by page, while the engine keeps writing; the daily totals and what
belongs to no account in one moment each. Memory is a page of rows, the lots of one account and the rows of the daily
totals, whatever the ledger's size. What is due but was not done by anyone yet is not missing: the rows are proven as
they stand.

    proof = Proof(store)
    async for finding in proof: ...      # as they are found
    proof.transactions                   # how many were looked at
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final, TypeVar

from msgspec import Struct, field

from bursar.core.book import seq_of
from bursar.core.errors import AccountNotFound
from bursar.core.invariants import Audit, Finding, Related
from bursar.core.invariants.related import corrected_by, other_side
from bursar.core.model import Account, Hold, Lot, Member, Remembered, Transaction
from bursar.store.base import Store, Tx
from bursar.totals import compare_tallies, read_tally, recount

T = TypeVar("T")

PAGE: Final = 500
ACCOUNTS: Final = 50
"""How many accounts are read in one moment."""

MAX_FINDINGS: Final = 1_000
"""Enough to see what happened: whoever looks for more has lost the ledger."""

ORPHANS: Final = {
    "orphan_transactions": "transactions",
    "orphan_lots": "lots",
    "orphan_holds": "holds",
    "orphan_keys": "idempotency_keys",
    "orphan_members": "members",
}


class Verdict(Struct):
    """What was looked at, and what was found wrong: at most `MAX_FINDINGS`, `complete` says whether that is all."""

    accounts: int = 0
    transactions: int = 0
    lots: int = 0
    holds: int = 0
    idempotency_keys: int = 0
    members: int = 0
    totals: int = 0
    paid_totals: int = 0
    lot_totals: int = 0
    complete: bool = True
    findings: list[Finding] = field(default_factory=list)


async def verify(store: Store, *, accounts: Sequence[str] | None = None) -> Verdict:
    """Prove these accounts, or everything. Raises `AccountNotFound`."""
    proof = Proof(store, accounts)
    async for finding in proof:
        if len(proof.verdict.findings) == MAX_FINDINGS:
            proof.verdict.complete = False
            break
        proof.verdict.findings.append(finding)
    return proof.verdict


class Proof:
    """One run over a ledger: what is wrong, as it is found; `verdict` counts what was looked at."""

    def __init__(self, store: Store, accounts: Sequence[str] | None = None) -> None:
        self.verdict = Verdict()
        self._store = store
        self._accounts = accounts

    async def __aiter__(self) -> AsyncIterator[Finding]:
        for account in self._accounts or ():
            for finding in await self._store.read(self._one(account)):
                yield finding
        if self._accounts is not None:
            return
        after: str | None = ""
        while after is not None:
            after, findings = await self._store.read(self._page(after))
            for finding in findings:
                yield finding
        for finding in [*await self._store.read(self._orphans), *await self._store.read(self._totals)]:
            yield finding

    # Accounts

    def _one(self, account: str) -> Callable[[Tx], Any]:
        async def work(tx: Tx) -> list[Finding]:
            rows = await tx.accounts([account])
            if not rows:
                raise AccountNotFound(account)
            return await self._account(tx, rows[0])

        return work

    def _page(self, after: str) -> Callable[[Tx], Any]:
        """The accounts after this one; where the next page begins, None at the end."""

        async def work(tx: Tx) -> tuple[str | None, list[Finding]]:
            rows = [Account(*row) for row in await tx.fetch("scan_accounts", after, ACCOUNTS)]
            findings: list[Finding] = []
            for row in rows:
                findings += await self._account(tx, row)
                if len(findings) > MAX_FINDINGS:
                    return row.account_id, findings
            return (rows[-1].account_id if rows else None), findings

        return work

    async def _account(self, tx: Tx, account: Account) -> list[Finding]:
        audit = Audit(account)
        findings: list[Finding] = []
        name, verdict = account.account_id, self.verdict
        after: Any = ""
        while members := [Member(*row) for row in await tx.fetch("scan_members", name, after, PAGE)]:
            findings += audit.members(members)
            verdict.members += len(members)
            after = members[-1].member
        after = ""
        while holds := [Hold(*row) for row in await tx.fetch("scan_holds", name, after, PAGE)]:
            findings += audit.holds(holds, await _around_holds(tx, name, holds))
            verdict.holds += len(holds)
            after = holds[-1].hold_id
        after = 0
        while rows := [Transaction(*row) for row in await tx.fetch("scan_transactions", name, after, PAGE)]:
            findings += audit.transactions(rows, await _around_transactions(tx, name, rows))
            verdict.transactions += len(rows)
            after = rows[-1].seq
        after = ""
        while keys := [Remembered(*row) for row in await tx.fetch("scan_keys", name, after, PAGE)]:
            findings += audit.keys(keys, await _around_keys(tx, name, keys))
            verdict.idempotency_keys += len(keys)
            after = keys[-1].key
        after = ""
        while lots := [_lot(row) for row in await tx.fetch("scan_lots", name, after, PAGE)]:
            findings += audit.lots(lots)
            verdict.lots += len(lots)
            after = lots[-1].lot_id
        findings += audit.close()
        verdict.accounts += 1
        return list(dict.fromkeys(findings))

    # Everything together

    async def _orphans(self, tx: Tx) -> list[Finding]:
        """Rows whose account is gone, and the accounts that are."""
        orphans = [
            Finding(table, account, row, "account_id", "belongs to no account")
            for name, table in ORPHANS.items()
            for account, row in await tx.fetch(name, MAX_FINDINGS)
        ]
        accounts = sorted({orphan.account for orphan in orphans})
        return orphans + [Finding("accounts", account, None, None, "is missing; it has rows") for account in accounts]

    async def _totals(self, tx: Tx) -> list[Finding]:
        """The totals are what the transactions come to."""
        stored = await read_tally(tx)
        self.verdict.totals = len(stored.totals)
        self.verdict.paid_totals = len(stored.paid)
        self.verdict.lot_totals = len(stored.lots)
        return compare_tallies(stored, await recount(tx))


async def _around_holds(tx: Tx, account: str, holds: list[Hold]) -> Related:
    settled = await _transactions(tx, account, [hold.settled_seq for hold in holds])
    corrected = await _transactions(tx, account, [seq_of(corrected_by(row)) for row in settled.values()])
    return Related(
        settled | corrected,
        await _holds(tx, account, [hold.run for hold in holds]),
        await _keys(tx, account, [hold.idempotency_key for hold in holds]),
    )


async def _around_transactions(tx: Tx, account: str, rows: list[Transaction]) -> Related:
    charges = sorted({row.refund_of for row in rows if row.refund_of is not None})
    refunds: dict[str, list[Transaction]] = {}
    for refund in await tx.refunds([(account, charge) for charge in charges]):
        refunds.setdefault(refund.refund_of or "", []).append(refund)
    charged = await _transactions(tx, account, map(seq_of, charges))
    named = [(row.hold, row.run) for row in (*rows, *charged.values())]
    holds = await _holds(tx, account, chain.from_iterable(named))
    sides = [(other, seq_of(side)) for other, side in filter(None, map(other_side, rows))]
    settled = await _transactions(tx, account, [hold.settled_seq for hold in holds.values()])
    return Related(
        charged | settled,
        holds,
        await _keys(tx, account, [row.idempotency_key for row in rows]),
        refunds,
        {(row.account_id, row.seq): row for row in await tx.transactions(sorted(set(sides)))},
    )


async def _around_keys(tx: Tx, account: str, keys: list[Remembered]) -> Related:
    references = [key.reference for key in keys]
    return Related(
        await _transactions(tx, account, map(seq_of, references)),
        await _holds(tx, account, references),
    )


async def _transactions(tx: Tx, account: str, seqs: Iterable[int]) -> dict[int, Transaction]:
    wanted = sorted({seq for seq in seqs if seq > 0})
    return {row.seq: row for row in await tx.transactions([(account, seq) for seq in wanted])}


async def _holds(tx: Tx, account: str, hold_ids: Iterable[str | None]) -> dict[str, Hold]:
    wanted = sorted({hold_id for hold_id in hold_ids if hold_id is not None and hold_id.startswith(("h_", "r_"))})
    return {row.hold_id: row for row in await tx.holds([(account, hold_id) for hold_id in wanted])}


async def _keys(tx: Tx, account: str, keys: Iterable[str | None]) -> dict[str, Remembered]:
    wanted = sorted({key for key in keys if key is not None})
    return {row.key: row for row in await tx.keys([(account, key) for key in wanted])}


def _lot(row: tuple[Any, ...]) -> Lot:
    lot = Lot(*row)
    # SQLite knows no booleans.
    lot.started, lot.live = bool(lot.started), bool(lot.live)
    return lot
