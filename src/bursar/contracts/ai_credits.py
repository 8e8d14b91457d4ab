"""The `ai-credits` system: 100 credits a month, a text costs 1, an image 5. Its answers, its messages, its console
lines.

Nothing here decides: it reads what the ledger says and brings it into the document's words. Amounts are integers
where whole; a field's place in its Struct is its place in the JSON.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from bursar.answers import Number
from bursar.core.errors import InsufficientCredits, Invalid
from bursar.core.model import Account, Catalogue, Instant
from bursar.core.money import Nanos, format_credits, to_number
from bursar.core.periods import format_millis, to_datetime
from bursar.core.pricing import cost
from bursar.core.timeline import as_of
from bursar.credits import AsyncCredits

TEXT_GENERATION: Final = "TEXT_GENERATION"
IMAGE_GENERATION: Final = "IMAGE_GENERATION"

RESET_DONE: Final = "Credits reset successfully"
RESET_STARTED: Final = "🔄 Starting monthly AI credits reset..."


class Costs(Struct, frozen=True):
    """What one generation costs right now; None where the skill has no price per call."""

    text_generation: Number | None
    image_generation: Number | None


class Balance(Struct, frozen=True):
    """`credits` is all that is available, `credits_limit` the plan's allowance."""

    credits: Number
    credits_limit: Number
    last_reset: str | None
    next_reset: str | None
    costs: Costs


class Stats(Struct, frozen=True):
    """`credits_used` is net consumption since `last_reset`; an estimate is None where a generation is free."""

    credits_used: Number
    credits_remaining: Number
    credits_limit: Number
    percentage_used: int
    last_reset: str | None
    next_reset: str | None
    estimated_text_generations: int | None
    estimated_image_generations: int | None


class Reset(Struct, frozen=True):
    """The answer to a reset by hand."""

    message: str
    balance: Balance


async def get_balance(credits: AsyncCredits, user_id: str) -> Balance:
    """What the user has. Raises `AccountNotFound`."""
    return balance_of(*await _look_up(credits, user_id))


async def get_stats(credits: AsyncCredits, user_id: str) -> Stats:
    """What the user spent, and how far the rest goes. Raises `AccountNotFound`."""
    return stats_of(*await _look_up(credits, user_id))


async def reset(credits: AsyncCredits, user_id: str, actor: str = "library") -> Reset:
    """Start the month's allowance afresh; bought and bonus credits stay. Raises `AccountNotFound`."""
    await credits.renew(user_id, actor=actor)
    return Reset(RESET_DONE, await get_balance(credits, user_id))


def balance_of(account: Account, catalogue: Catalogue) -> Balance:
    """Of an account in which everything due is done."""
    return Balance(
        to_number(account.available),
        to_number(limit_of(account, catalogue)),
        _millis(account.last_reset),
        _millis(account.next_reset),
        Costs(*(None if price is None else to_number(price) for price in _costs(catalogue))),
    )


def stats_of(account: Account, catalogue: Catalogue) -> Stats:
    """Of an account in which everything due is done."""
    limit = limit_of(account, catalogue)
    texts, images = (_estimate(account.available, price) for price in _costs(catalogue))
    return Stats(
        to_number(account.spent),
        to_number(account.available),
        to_number(limit),
        _percentage(account.spent, limit),
        _millis(account.last_reset),
        _millis(account.next_reset),
        texts,
        images,
    )


def limit_of(account: Account, catalogue: Catalogue) -> Nanos:
    """The allowance of the account's plan; 0 without a plan."""
    plan = catalogue.plans.get(account.plan or "")
    return 0 if plan is None else plan.allowance


def insufficient_message(error: InsufficientCredits) -> str:
    """As in `Insufficient AI credits. You have 3 credits, but need 5. Credits will reset on 2/1/2025.`."""
    have, need = format_credits(error.available), format_credits(error.required)
    message = f"Insufficient AI credits. You have {have} credits, but need {need}."
    return message if error.resets_at is None else f"{message} Credits will reset on {_american(error.resets_at)}."


def deducted_line(user_id: str, skill: str, charged: Nanos, left: Nanos) -> str:
    """After each charge."""
    amount, balance = format_credits(charged), format_credits(left)
    return f"💰 Deducted {amount} credits from user {user_id} ({skill.lower()}). New balance: {balance}"


def text_completed_line(generation_id: str, left: Nanos) -> str:
    """After three texts."""
    return f"✅ Text generation completed: {generation_id}, Credits remaining: {format_credits(left)}"


def image_completed_line(generation_id: str, media_id: str, left: Nanos) -> str:
    """After a picture."""
    remaining = format_credits(left)
    return f"✅ Image generation completed: {generation_id}, media: {media_id}, Credits remaining: {remaining}"


def reset_line(user_id: str, limit: Nanos) -> str:
    """After one user's monthly renewal."""
    return f"🔄 Reset credits for user {user_id} to {format_credits(limit)}"


def reset_completed_line(users: int) -> str:
    """After a round of renewals."""
    return f"✅ Monthly reset completed for {users} users"


async def _look_up(credits: AsyncCredits, user_id: str) -> tuple[Account, Catalogue]:
    book = await credits.engine.view(user_id)
    catalogue = await credits.catalog.newest()
    if any(skill.later for skill in catalogue.skills.values()):
        catalogue = as_of(catalogue, await credits.engine.now())
    return book.account, catalogue


def _costs(catalogue: Catalogue) -> tuple[Nanos | None, Nanos | None]:
    return _cost(catalogue, TEXT_GENERATION), _cost(catalogue, IMAGE_GENERATION)


def _cost(catalogue: Catalogue, name: str) -> Nanos | None:
    skill = catalogue.skills.get(name)
    try:
        return None if skill is None else cost(skill.price)
    except Invalid:
        return None


def _estimate(available: Nanos, price: Nanos | None) -> int | None:
    return max(available, 0) // price if price else None


def _percentage(spent: Nanos, limit: Nanos) -> int:
    """Rounded half up; may pass 100, 0 where the limit is 0."""
    return (200 * spent + limit) // (2 * limit) if limit else 0


def _millis(instant: Instant | None) -> str | None:
    return None if instant is None else format_millis(instant)


def _american(instant: Instant) -> str:
    day = to_datetime(instant)
    return f"{day.month}/{day.day}/{day.year}"
