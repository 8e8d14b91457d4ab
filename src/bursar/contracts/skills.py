"""The `skills` system: tools whose price and kill switch an administrator changes while they are sold. Its one
function, its texts.

Nothing here decides: the ledger reads the price in the tx that charges it, and the balance and the log are one row.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from bursar.answers import Number
from bursar.contracts.faces import both
from bursar.core.errors import BursarError, InsufficientCredits, Kind, SkillDisabled
from bursar.credits import AsyncCredits

INSUFFICIENT: Final = "Insufficient credits"
DISABLED: Final = "Tool disabled"

REFUSED: Final = (Kind.INSUFFICIENT, Kind.DENIED)
"""What is an answer; everything else (no such skill or user, no database) is raised: no user can mend it."""


class Charged(Struct, frozen=True, omit_defaults=True):
    """`{success: true, remaining}`, or `{success: false, error}`."""

    success: bool
    remaining: Number | None = None
    error: str | None = None


@both
async def charge_user(
    credits: AsyncCredits,
    user_id: str,
    skill_name: str,
    description: str,
    *,
    idempotency_key: str | None = None,
    actor: str = "library",
) -> Charged:
    """Charge one call of a skill at its price of this very moment.

    Raises `SkillNotFound`, `AccountNotFound`, `Invalid`, `IdempotencyConflict`, `DatabaseUnavailable`.
    """
    try:
        receipt = await credits.charge(
            user_id, skill=skill_name, description=description, idempotency_key=idempotency_key, actor=actor
        )
    except BursarError as refusal:
        if refusal.kind not in REFUSED:
            raise
        return Charged(success=False, error=refusal_text(refusal))
    return Charged(success=True, remaining=receipt.available)


def refusal_text(refusal: BursarError) -> str:
    """In the document's words where it has some, else in the ledger's."""
    if isinstance(refusal, InsufficientCredits):
        return INSUFFICIENT
    return DISABLED if isinstance(refusal, SkillDisabled) else str(refusal)
