"""What holds of a transaction, given the fold of all before it and the rows that it refers to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bursar.core import chain
from bursar.core.book import seq_of
from bursar.core.invariants.findings import Finding, Findings, of_hold, of_key, of_transaction
from bursar.core.invariants.fold import Fold, detail_of, entries_of, terms_of
from bursar.core.invariants.related import Related, corrected_by, other_side
from bursar.core.model import Transaction, TransactionType


def seq_has_no_gaps(row: Transaction, fold: Fold, related: Related) -> Findings:
    """An account's transactions are numbered 1, 2, 3 and on; the id says the number."""
    if row.seq != fold.seq + 1:
        yield from missing(row.account_id, fold.seq + 1, row.seq - 1)
        fold.heads = fold.balances = None
    if seq_of(row.id) != row.seq:
        yield of_transaction(row, "id", f"is {row.id}, which has another seq")


def chain_is_unbroken(row: Transaction, fold: Fold, related: Related) -> Findings:
    """The hash is that of the row and of the hash before it."""
    expected = None if fold.heads is None else [chain.rehash(head, row) for head in fold.heads]
    if expected is None or row.hash in expected:
        fold.heads = (row.hash,)
        return
    fold.heads = (row.hash, *expected)
    yield of_transaction(row, "hash", "the transaction was changed by hand")


def text_is_as_written(row: Transaction, fold: Fold, related: Related) -> Findings:
    """Description, metadata and key are what their salted digest says, or were erased whole."""
    if not chain.text_holds(row):
        yield of_transaction(row, "text_digest", "description, metadata, key or salt was changed by hand")


def entries_sum_to_the_amount(row: Transaction, fold: Fold, related: Related) -> Findings:
    """A transaction's entries sum to its amount."""
    total = sum(part for _, part in entries_of(row))
    if total != row.amount:
        yield of_transaction(row, "entries", f"sum to {total}, the amount is {row.amount}")


def posted_after_adds_up(row: Transaction, fold: Fold, related: Related) -> Findings:
    """What is posted after a transaction is what was posted before it and its amount."""
    expected = None if fold.balances is None else [posted + row.amount for posted in fold.balances]
    if expected is None or row.posted_after in expected:
        fold.balances = (row.posted_after,)
        return
    fold.balances = (row.posted_after, *expected)
    yield of_transaction(row, "posted_after", f"is {row.posted_after}, the amounts so far say {expected[-1]}")


def type_and_times_are_sound(row: Transaction, fold: Fold, related: Related) -> Findings:
    """The type is known; nothing takes effect after it was recorded, nothing is recorded before what came before."""
    if row.type not in TransactionType.__members__:
        yield of_transaction(row, "type", f"is {row.type}")
    if row.effective_at > row.recorded_at:
        yield of_transaction(row, "effective_at", f"is {row.effective_at}, after it was recorded")
    if fold.recorded_at is not None and row.recorded_at < fold.recorded_at:
        yield of_transaction(row, "recorded_at", f"is {row.recorded_at}, before the transaction before it")


def transaction_has_its_key(row: Transaction, fold: Fold, related: Related) -> Findings:
    """A transaction under an idempotency key, or the grant it made, is what the key remembers."""
    if row.idempotency_key is None:
        return
    key = related.keys.get(row.idempotency_key)
    made = [row.id, *(terms["grant"] for terms in terms_of(detail_of(row)))]
    if key is None or key.reference not in made:
        yield of_key(row.account_id, row.idempotency_key, "reference", f"does not lead to transaction {row.seq}")


def hold_knows_its_transaction(row: Transaction, fold: Fold, related: Related) -> Findings:
    """The hold that a transaction names exists, and was settled by it or by what corrects it."""
    if row.hold is None:
        return
    hold = related.holds.get(row.hold)
    if hold is None:
        yield Finding("holds", row.account_id, row.hold, None, f"is missing; transaction {row.seq} names it")
        return
    last = related.transactions.get(hold.settled_seq)
    if hold.settled_seq != row.seq and (last is None or corrected_by(last) != row.id):
        yield of_hold(hold, "settled_seq", f"is {hold.settled_seq}, though transaction {row.seq} names the hold")


def transaction_fits_its_run(row: Transaction, fold: Fold, related: Related) -> Findings:
    """A transaction is part of a run that is there, and of the same as its hold."""
    hold = related.holds.get(row.hold or "")
    if hold is not None and hold.budget is None and hold.run != row.run:
        yield of_transaction(row, "run", f"is {row.run}, its hold is in {hold.run}")
    if row.run is not None and getattr(related.holds.get(row.run), "budget", None) is None:
        yield of_transaction(row, "run", f"is {row.run}, which is no run")


def refunds_fit_their_charge(row: Transaction, fold: Fold, related: Related) -> Findings:
    """A refund names an earlier charge, and no more is given back than was charged."""
    if row.refund_of is None:
        return
    charged = related.transaction(row.refund_of)
    if charged is None or charged.type != TransactionType.CONSUMPTION or charged.seq >= row.seq:
        yield of_transaction(row, "refund_of", f"is {row.refund_of}, which is no charge before it")
        return
    refunded = sum(refund.amount for refund in related.refunds.get(row.refund_of, ()))
    if refunded > -charged.amount:
        yield of_transaction(row, "refund_of", f"{refunded} was given back of {-charged.amount}")


def transfers_have_two_sides(row: Transaction, fold: Fold, related: Related) -> Findings:
    """What leaves one account arrives at the other, in transactions that name each other."""
    side = other_side(row)
    if side is None:
        return
    account, other_id = side
    other = related.others.get((account, seq_of(other_id)))
    if other is None or (other.id, other.amount, other_side(other)) != (
        other_id,
        -row.amount,
        (row.account_id, row.id),
    ):
        yield of_transaction(row, "detail", f"names {other_id} of account {account}, which is not its other side")


TRANSACTION_CHECKS: Final[tuple[Callable[[Transaction, Fold, Related], Findings], ...]] = (
    seq_has_no_gaps,
    chain_is_unbroken,
    text_is_as_written,
    entries_sum_to_the_amount,
    posted_after_adds_up,
    type_and_times_are_sound,
    transaction_has_its_key,
    hold_knows_its_transaction,
    transaction_fits_its_run,
    refunds_fit_their_charge,
    transfers_have_two_sides,
)


def missing(account: str, first: int, last: int) -> Findings:
    """That the transactions from `first` to `last` are not there, if that is any."""
    if first <= last:
        message = "is missing" if first == last else f"is missing, and all up to {last}"
        yield Finding("transactions", account, first, None, message)
