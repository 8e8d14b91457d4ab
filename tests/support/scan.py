"""Everything that a store holds of an account, read in one moment."""

from collections.abc import Callable
from typing import Any, TypeVar

from bursar.core.book import seq_of
from bursar.core.invariants.related import other_side
from bursar.core.model import Hold, Lot, Member, Remembered, Transaction
from bursar.store.base import Store, Tx
from tests.support.ledger import Rows

T = TypeVar("T")

PAGE = 1_000


async def rows_in(store: Store, account: str) -> Rows:
    """All rows of one account."""

    async def work(tx: Tx) -> Rows:
        (row,) = await tx.accounts([account])
        lots = await _scan(tx, "scan_lots", Lot, account, lambda lot: lot.lot_id, "")
        for lot in lots:
            lot.started, lot.live = bool(lot.started), bool(lot.live)
        history = await _scan(tx, "scan_transactions", Transaction, account, lambda transaction: transaction.seq, 0)
        sides = [(other, seq_of(transaction)) for other, transaction in filter(None, map(other_side, history))]
        return Rows(
            row,
            lots,
            history,
            await _scan(tx, "scan_holds", Hold, account, lambda hold: hold.hold_id, ""),
            await _scan(tx, "scan_keys", Remembered, account, lambda key: key.key, ""),
            await tx.transactions(sides),
            await _scan(tx, "scan_members", Member, account, lambda member: member.member, ""),
        )

    return await store.read(work)


async def _scan(
    tx: Tx, name: str, row_type: Callable[..., T], account: str, key_of: Callable[[T], Any], after: Any
) -> list[T]:
    rows: list[T] = []
    while page := await tx.fetch(name, account, after, PAGE):
        rows += [row_type(*row) for row in page]
        after = key_of(rows[-1])
    return rows
