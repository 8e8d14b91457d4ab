"""The `api-calls` system: 5,000 credits once, 1 for every API call that succeeds. Its functions, its text, its console
line.

The middleware that asks before a call and charges after it is `bursar.integrations.asgi` (or `wsgi`); these are for
code that does so by hand. Asking first is a courtesy only: it is the deduction that never goes below zero.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Final

from bursar.answers import Number, Receipt
from bursar.contracts.faces import both
from bursar.core.errors import Insufficient
from bursar.credits import AsyncCredits
from bursar.credits.arguments import AmountIn

INSUFFICIENT: Final = "Insufficient credits. Please contact support to add more credits to your account."

logger = logging.getLogger("bursar.api_calls")


@both
async def check_user_credits(credits: AsyncCredits, user_id: str, required_amount: AmountIn = 1) -> bool:
    """Whether the user could pay so much now. Raises `AccountNotFound`, `Invalid`."""
    quote = await credits.quote(user_id, required_amount)
    return quote.sufficient


@both
async def deduct_user_credits(
    credits: AsyncCredits,
    user_id: str,
    amount: AmountIn = 1,
    *,
    description: str | None = None,
    idempotency_key: str | None = None,
    actor: str = "library",
) -> bool:
    """Take credits; False where there are too few, and then none are taken. Raises `AccountNotFound`, `Invalid`."""
    try:
        receipt = await credits.charge(
            user_id, amount, description=description, idempotency_key=idempotency_key, actor=actor
        )
    except Insufficient as refusal:
        logger.warning("Could not deduct credits from user %s: %s", user_id, refusal, extra={"user": user_id})
        return False
    logger.info("%s", deducted_line(receipt), extra={"user": user_id, "transaction": receipt.id})
    return True


@both
async def get_user_credits(credits: AsyncCredits, user_id: str) -> Number:
    """What the user can spend now. Raises `AccountNotFound`."""
    return (await credits.account(user_id)).available


def deducted_line(receipt: Receipt) -> str:
    """After each deduction."""
    amount, left = f"{Decimal(-receipt.amount):f}", f"{Decimal(receipt.available):f}"
    return f"Deducted {amount} credits from user {receipt.account}. New balance: {left}"
