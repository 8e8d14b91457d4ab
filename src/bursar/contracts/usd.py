"""The `usd` system: a balance in US dollars, checked before a call, reduced by its real cost after it. Its functions.

Nothing here decides: a deduction and its row in `credit_transactions` are one, and the ledger refuses what is not
there.
Between a check and a deduction others may spend; who wants the money set aside meanwhile takes `credits.hold`, as the
service's own generations do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from bursar.answers import Number
from bursar.contracts.faces import both
from bursar.core.money import to_number
from bursar.credits import AsyncCredits
from bursar.credits.arguments import AmountIn, amount_of

Context: TypeAlias = str | Mapping[str, Any]
"""What a deduction was for: words, or facts of which `description` is the words."""


@both
async def get_user_balance(credits: AsyncCredits, user_id: str) -> Number:
    """What the user can spend, in dollars. Raises `AccountNotFound`."""
    return (await credits.account(user_id)).available


@both
async def check_sufficient_funds(credits: AsyncCredits, user_id: str, estimated_cost: AmountIn) -> bool:
    """Whether the user could pay so much now; never with nothing left. Raises `AccountNotFound`, `Invalid`."""
    cost = to_number(amount_of("estimated_cost", estimated_cost))
    available = (await credits.account(user_id)).available
    return available > 0 and available >= cost


@both
async def deduct_credits(
    credits: AsyncCredits,
    user_id: str,
    amount: AmountIn,
    context: Context,
    *,
    idempotency_key: str | None = None,
    actor: str = "library",
) -> Number:
    """Take a real cost; the balance after it. Raises `InsufficientCredits`, `AccountNotFound`, `Invalid`."""
    words, facts = (context, None) if isinstance(context, str) else (context.get("description"), context)
    receipt = await credits.charge(
        user_id, amount, description=words, metadata=facts, idempotency_key=idempotency_key, actor=actor
    )
    return receipt.available


@both
async def add_credits(
    credits: AsyncCredits,
    user_id: str,
    amount: AmountIn,
    source: str,
    *,
    idempotency_key: str | None = None,
    actor: str = "library",
) -> Number:
    """Top up; the balance after it. `source` is purchase, bonus, admin or a word of your own.

    Raises `AccountNotFound`, `Invalid`.
    """
    await credits.grant(user_id, amount, source=source, idempotency_key=idempotency_key, actor=actor)
    return (await credits.account(user_id)).available
