"""What holds of an idempotency key, given the fold of all lots and what it refers to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bursar.core import chain
from bursar.core.invariants.findings import Findings, of_key
from bursar.core.invariants.fold import Fold
from bursar.core.invariants.related import Related
from bursar.core.model import Remembered


def key_is_as_written(key: Remembered, fold: Fold, related: Related) -> Findings:
    """The fingerprint is bound to its row."""
    if not chain.key_holds(key):
        yield of_key(key.account_id, key.key, "fingerprint", "the key was changed by hand")


def key_leads_somewhere(key: Remembered, fold: Fold, related: Related) -> Findings:
    """What a key remembers exists: a hold, a grant, a transaction or the account itself."""
    reference = key.reference
    exists = (
        reference == key.account_id
        or reference in related.holds
        or reference in fold.lots
        or related.transaction(reference) is not None
    )
    if not exists:
        yield of_key(key.account_id, key.key, "reference", f"is {reference}, which does not exist")


KEY_CHECKS: Final[tuple[Callable[[Remembered, Fold, Related], Findings], ...]] = (
    key_is_as_written,
    key_leads_somewhere,
)
