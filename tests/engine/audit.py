"""An auditor who knows the rules and nothing of how the books are kept: reads every row, recomputes, objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct, field

from bursar.core import chain
from bursar.core.book import seq_of
from bursar.core.model import Account, Hold, Lot, Remembered, Transaction
from bursar.store.base import Store, Tx

T = TypeVar("T")

PAGE = 1_000
DAY = 86_400_000_000


class Ledger(Struct):
    """One account with all its rows."""

    account: Account
    transactions: list[Transaction] = field(default_factory=list)
    lots: dict[str, Lot] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    keys: dict[str, Remembered] = field(default_factory=dict)


async def read_ledgers(store: Store) -> dict[str, Ledger]:
    """Everything that is stored, of one moment."""
    return (await store.read(_read))[0]


async def audit(store: Store) -> dict[str, Ledger]:
    """Everything that is stored; raises AssertionError naming the account where something is wrong."""
    ledgers, totals = await store.read(_read)
    for ledger in ledgers.values():
        check_account(ledger)
    expected = Counter[tuple[Any, ...]]()
    for ledger in ledgers.values():
        for row in ledger.transactions:
            expected[row.effective_at // DAY, row.type, row.skill or "", row.model or "", row.plan or ""] += row.amount
    assert totals == dict(expected), "the daily totals are not what the transactions say"
    return ledgers


async def _read(tx: Tx) -> tuple[dict[str, Ledger], dict[tuple[Any, ...], int]]:
    ledgers = {}
    for account in await _scan(tx, "scan_accounts", Account, (), lambda row: row.account_id, ""):
        owner = (account.account_id,)
        lots = await _scan(tx, "scan_lots", Lot, owner, lambda row: row.lot_id, "")
        holds = await _scan(tx, "scan_holds", Hold, owner, lambda row: row.hold_id, "")
        keys = await _scan(tx, "scan_keys", Remembered, owner, lambda row: row.key, "")
        ledgers[account.account_id] = Ledger(
            account,
            await _scan(tx, "scan_transactions", Transaction, owner, lambda row: row.seq, 0),
            {lot.lot_id: lot for lot in lots},
            {hold.hold_id: hold for hold in holds},
            {key.key: key for key in keys},
        )
    totals = {tuple(row[:5]): int(row[6]) * 10**9 + int(row[7]) for row in await tx.fetch("scan_totals")}
    return ledgers, totals


async def _scan(
    tx: Tx, name: str, row_type: Callable[..., T], owner: tuple[str, ...], key_of: Callable[[T], Any], first: Any
) -> list[T]:
    rows: list[T] = []
    after = first
    while page := await tx.fetch(name, *owner, after, PAGE):
        rows += [row_type(*row) for row in page]
        after = key_of(rows[-1])
    return rows


def check_account(ledger: Ledger) -> None:
    """Raise AssertionError where the account's rows contradict one another."""
    name = ledger.account.account_id
    _check_chain(ledger, name)
    _check_balances(ledger, name)
    _check_holds(ledger, name)
    _check_keys(ledger, name)


def _check_chain(ledger: Ledger, name: str) -> None:
    account, head, posted = ledger.account, b"", 0
    assert [row.seq for row in ledger.transactions] == list(range(1, account.seq + 1)), f"{name}: a gap in seq"
    recorded_at = account.created_at
    for row in ledger.transactions:
        where = f"{name} {row.id}"
        head, posted = chain.rehash(head, row), posted + row.amount
        assert row.hash == head, f"{where}: the chain is broken"
        assert chain.text_holds(row), f"{where}: the text was changed"
        assert seq_of(row.id) == row.seq, f"{where}: the id names another seq"
        assert row.posted_after == posted, f"{where}: posted_after is not the sum"
        assert sum(part for _, part in row.entry_list()) == row.amount, f"{where}: the entries are not the amount"
        assert row.recorded_at >= recorded_at, f"{where}: recorded before the one before it"
        recorded_at = row.recorded_at
    assert account.head == head, f"{name}: the account's head is not the last hash"
    assert account.posted == posted, f"{name}: posted is not the sum of the transactions"
    assert len({row.id for row in ledger.transactions}) == account.seq, f"{name}: an id twice"


def _check_balances(ledger: Ledger, name: str) -> None:
    account = ledger.account
    moved = Counter[str | None]()
    for row in ledger.transactions:
        for lot_id, part in row.entry_list():
            moved[lot_id] += part
    assert account.debt == -moved.pop(None, 0), f"{name}: debt is not what the entries say"
    for lot_id, lot in ledger.lots.items():
        assert lot.remaining == moved.pop(lot_id, 0), f"{name} {lot_id}: remaining is not what the entries say"
        assert 0 <= lot.held <= lot.remaining, f"{name} {lot_id}: more held than there is"
        assert bool(lot.live) == (lot.remaining > 0 or not lot.started), f"{name} {lot_id}: live, or not"
    assert not moved, f"{name}: entries of lots that are not there: {list(moved)}"
    assert account.posted == sum(lot.remaining for lot in ledger.lots.values()) - account.debt, f"{name}: posted"


def _check_holds(ledger: Ledger, name: str) -> None:
    account = ledger.account
    unsettled = [hold for hold in ledger.holds.values() if hold.unsettled]
    assert account.open_holds == len(unsettled), f"{name}: open_holds"
    assert account.holds_opened == len(ledger.holds), f"{name}: holds_opened"
    pinned = Counter[str]()
    for hold in unsettled:
        for lot_id, part in hold.slice_list():
            pinned[lot_id] += part
    for lot_id, lot in ledger.lots.items():
        assert lot.held == pinned[lot_id], f"{name} {lot_id}: held is not what the holds pin"
    assert account.held == sum(pinned.values()), f"{name}: held is not what the holds pin"
    charged = Counter[str]()
    for row in ledger.transactions:
        if row.hold is not None:
            charged[row.hold] -= row.amount
    for hold in ledger.holds.values():
        where = f"{name} {hold.hold_id}"
        assert hold.digest == chain.digest_hold(hold), f"{where}: the row was changed"
        assert hold.amount == sum(part for _, part in hold.slice_list()), f"{where}: amount is not what it pins"
        assert hold.captured == charged.pop(hold.hold_id, 0), f"{where}: captured is not what was charged for it"
    assert not any(charged.values()), f"{name}: charges of holds that are not there: {list(charged)}"


def _check_keys(ledger: Ledger, name: str) -> None:
    ids = {row.id for row in ledger.transactions} | set(ledger.holds) | set(ledger.lots) | {name}
    for row in ledger.keys.values():
        assert chain.key_holds(row), f"{name} key {row.key}: the row was changed"
        assert row.reference in ids, f"{name} key {row.key}: refers to {row.reference}, which is not there"
    for transaction in ledger.transactions:
        key = transaction.idempotency_key
        assert key is None or key in ledger.keys, f"{name} {transaction.id}: its key is gone"
