"""The `tokens` system: credits shown as tokens, 5 for free users, 100 for a pro user's paid period. Its functions, its
texts.

Nothing here counts or decides. Credits times `tokens_per_credit` are tokens; what was used is what the ledger's
statement of the account says; tiers are plans, and one that has expired is followed by `free` by itself. The other
constants of the document are the catalogue's: the allowances of the plans `free` and `pro`, the prices of the skills.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from msgspec import Struct

from bursar.answers import AccountAnswer, Number
from bursar.contracts.faces import both
from bursar.core.errors import InsufficientCredits
from bursar.credits import AsyncCredits
from bursar.credits.arguments import AmountIn

TOKENS_PER_CREDIT: Final = 2_000
FREE, PRO = "free", "pro"
CODE_GENERATION: Final = "CODE_GENERATION"
CODE_REVIEW: Final = "CODE_REVIEW"
RESET_SKILL: Final = "MONTHLY_TOKEN_RESET"

INSUFFICIENT: Final = "Insufficient credits"
STATUS: Final = 429

FAR_BACK: Final = datetime(1970, 1, 1, tzinfo=UTC)


class UserCredits(Struct, frozen=True, rename="camel"):
    """What a user has, as `GET /api/user/usage` shows it."""

    credits: Number
    total_tokens: Number
    available_tokens: Number
    is_subscribed: bool
    subscription_tier: str


class UsageStatus(Struct, frozen=True, rename="camel"):
    """The same, and what was used: in all, and in this month."""

    credits: Number
    total_tokens: Number
    available_tokens: Number
    is_subscribed: bool
    subscription_tier: str
    subscription_ends_at: datetime | None
    total_tokens_used: Number
    monthly_tokens_used: Number
    monthly_reset_date: datetime


class CreditStatus(Struct, frozen=True, rename="camel"):
    """Whether a request could be paid for now."""

    has_credits: bool
    credits_remaining: Number
    tokens_remaining: Number


class CreditInfo(Struct, frozen=True, rename="camel"):
    """What a request took, and what it left."""

    tokens_used: Number
    credits_remaining: Number
    total_tokens_used: Number


class Refused(Struct, frozen=True):
    """The body of a refusal."""

    error: str
    detail: str
    status: int = STATUS


class Validated(Struct, frozen=True, rename="camel"):
    """Either what was consumed, or why nothing was."""

    success: bool
    credit_info: CreditInfo | None = None
    refused: Refused | None = None


class Subscription(Struct, frozen=True, rename="camel"):
    """A user's tier, and until when."""

    is_subscribed: bool
    subscription_tier: str
    subscription_ends_at: datetime | None
    credits: Number


# Usage


@both
async def check_user_credits(
    credits: AsyncCredits,
    user_id: str,
    *,
    skill: str = CODE_GENERATION,
    tokens_per_credit: int = TOKENS_PER_CREDIT,
) -> CreditStatus:
    """Look without consuming. Raises `AccountNotFound`, `SkillNotFound`, `SkillDisabled`."""
    return await _status(credits, user_id, skill, tokens_per_credit)


async def _status(credits: AsyncCredits, user_id: str, skill: str, tokens_per_credit: int) -> CreditStatus:
    quote = await credits.quote(user_id, skill=skill)
    return CreditStatus(quote.sufficient, quote.available, tokens(quote.available, tokens_per_credit))


@both
async def consume_credits(
    credits: AsyncCredits,
    user_id: str,
    *,
    skill: str = CODE_GENERATION,
    tokens_per_credit: int = TOKENS_PER_CREDIT,
    idempotency_key: str | None = None,
    actor: str = "library",
) -> CreditInfo:
    """Take what one request costs. Raises `InsufficientCredits`, `AccountNotFound`, `SkillDisabled`."""
    return await _consume(credits, user_id, skill, tokens_per_credit, idempotency_key, actor)


@both
async def get_usage_status(
    credits: AsyncCredits, user_id: str, *, tokens_per_credit: int = TOKENS_PER_CREDIT
) -> UsageStatus:
    """Everything. The month is UTC's, or began when it was reset by hand. Raises `AccountNotFound`."""
    account = await credits.account(user_id)
    used, now = await _used(credits, user_id, FAR_BACK)
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    by_hand = (await credits.history(user_id, skill=RESET_SKILL, since=month, limit=1)).data
    began = by_hand[0].effective_at if by_hand else month
    monthly, _ = await _used(credits, user_id, began)
    has = make_user_credits(account, tokens_per_credit)
    return UsageStatus(
        has.credits,
        has.total_tokens,
        has.available_tokens,
        has.is_subscribed,
        has.subscription_tier,
        account.subscription_ends_at,
        tokens(used, tokens_per_credit),
        tokens(monthly, tokens_per_credit),
        began,
    )


@both
async def get_user_credits(
    credits: AsyncCredits, user_id: str, *, tokens_per_credit: int = TOKENS_PER_CREDIT
) -> UserCredits:
    """What the user has. Raises `AccountNotFound`."""
    return make_user_credits(await credits.account(user_id), tokens_per_credit)


@both
async def initialize_user_credits(
    credits: AsyncCredits, user_id: str, *, is_pro: bool = False, tokens_per_credit: int = TOKENS_PER_CREDIT
) -> UserCredits:
    """Open the account with its tier's credits; one that exists stays as it is."""
    account = await credits.open_account(user_id, plan=PRO if is_pro else FREE)
    return make_user_credits(account, tokens_per_credit)


@both
async def reset_monthly_tokens(credits: AsyncCredits, user_id: str, *, actor: str = "library") -> None:
    """Begin this month's count anew; with each month it does so by itself. Credits stay. Raises `AccountNotFound`."""
    await credits.charge(user_id, skill=RESET_SKILL, actor=actor)


# Users


@both
async def initialize_user_on_signup(
    credits: AsyncCredits,
    user_id: str,
    *,
    is_pro: bool = False,
    days: int = 30,
    email: str | None = None,
    name: str | None = None,
) -> Subscription:
    """A new user with 5 credits, or with a pro period; a second call changes nothing."""
    await credits.open_account(user_id, plan=FREE, email=email, name=name)
    if is_pro:
        await credits.subscribe(user_id, PRO, days=days, idempotency_key=f"signup:{PRO}")
    return make_subscription(await credits.account(user_id))


@both
async def upgrade_user_to_pro(
    credits: AsyncCredits,
    user_id: str,
    days: int,
    *,
    idempotency_key: str | None = None,
    actor: str = "library",
) -> Subscription:
    """A pro period of so many days, with its 100 credits; what was bought or given stays. Raises `AccountNotFound`."""
    return make_subscription(
        await credits.subscribe(user_id, PRO, days=days, idempotency_key=idempotency_key, actor=actor)
    )


@both
async def downgrade_user_to_free(credits: AsyncCredits, user_id: str, *, actor: str = "library") -> Subscription:
    """Back to free now: 5 credits less what was used of the period. Raises `AccountNotFound`."""
    return make_subscription(await credits.subscribe(user_id, FREE, actor=actor))


@both
async def grant_bonus_credits(
    credits: AsyncCredits,
    user_id: str,
    amount: AmountIn,
    *,
    idempotency_key: str | None = None,
    actor: str = "library",
    tokens_per_credit: int = TOKENS_PER_CREDIT,
) -> UserCredits:
    """Credits that outlive every period. Raises `AccountNotFound`, `Invalid`."""
    await credits.grant(user_id, amount, source="bonus", idempotency_key=idempotency_key, actor=actor)
    return make_user_credits(await credits.account(user_id), tokens_per_credit)


@both
async def renew_subscription(
    credits: AsyncCredits,
    user_id: str,
    days: int,
    *,
    idempotency_key: str | None = None,
    actor: str = "library",
) -> Subscription:
    """So many more days after those that are paid for, with the period's credits; one that has lapsed begins anew.

    Raises `AccountNotFound`.
    """
    tier = _tier(await credits.account(user_id))
    plan = PRO if tier == FREE else tier
    return make_subscription(
        await credits.subscribe(user_id, plan, days=days, idempotency_key=idempotency_key, actor=actor)
    )


@both
async def check_subscription_expiry(credits: AsyncCredits, user_id: str) -> bool:
    """Whether the user had a subscription that is over. Raises `AccountNotFound`."""
    if _tier(await credits.account(user_id)) != FREE:
        return False
    plans = (await credits.history(user_id, type="PLAN", limit=1_000)).data
    return any(receipt.source not in (f"plan:{FREE}", "plan:None") for receipt in plans)


@both
async def get_subscription_status(credits: AsyncCredits, user_id: str) -> Subscription:
    """The tier as it is now. Raises `AccountNotFound`."""
    return make_subscription(await credits.account(user_id))


# Validation


@both
async def validate_and_consume_credits(
    credits: AsyncCredits,
    user_id: str,
    *,
    skill: str = CODE_GENERATION,
    tokens_per_credit: int = TOKENS_PER_CREDIT,
    idempotency_key: str | None = None,
    actor: str = "library",
) -> Validated:
    """Check and take in one step: two at once never spend the same credit. Raises `AccountNotFound`."""
    try:
        taken = await _consume(credits, user_id, skill, tokens_per_credit, idempotency_key, actor)
    except InsufficientCredits as short:
        return Validated(success=False, refused=insufficient(short, tokens_per_credit))
    return Validated(success=True, credit_info=taken)


@both
async def get_credit_status(
    credits: AsyncCredits,
    user_id: str,
    *,
    skill: str = CODE_GENERATION,
    tokens_per_credit: int = TOKENS_PER_CREDIT,
) -> CreditStatus:
    """Whether a request could be paid for. Raises `AccountNotFound`."""
    return await _status(credits, user_id, skill, tokens_per_credit)


@both
async def validate_credits(
    credits: AsyncCredits,
    user_id: str,
    *,
    skill: str = CODE_GENERATION,
    tokens_per_credit: int = TOKENS_PER_CREDIT,
) -> Refused | None:
    """For middleware: the body to answer with status 429, None where the request may go on. Takes nothing.

    Raises `AccountNotFound`.
    """
    quote = await credits.quote(user_id, skill=skill)
    return None if quote.sufficient else _refused(quote.available, tokens_per_credit)


# What is shown


def insufficient(short: InsufficientCredits, tokens_per_credit: int = TOKENS_PER_CREDIT) -> Refused:
    """As in `You have 0 credits remaining (0 tokens)`."""
    return _refused(short.available.credits, tokens_per_credit)


def tokens(credits: Number, tokens_per_credit: int = TOKENS_PER_CREDIT) -> Number:
    """What so many credits are in tokens: whole where they are whole."""
    exact = Decimal(credits) * tokens_per_credit
    return int(exact) if exact == int(exact) else exact.normalize()


def make_user_credits(account: AccountAnswer, tokens_per_credit: int = TOKENS_PER_CREDIT) -> UserCredits:
    """Of an account as it stands now."""
    tier = _tier(account)
    return UserCredits(
        account.available,
        tokens(account.posted, tokens_per_credit),
        tokens(account.available, tokens_per_credit),
        tier != FREE,
        tier,
    )


def make_subscription(account: AccountAnswer) -> Subscription:
    """Of an account as it stands now."""
    tier = _tier(account)
    return Subscription(tier != FREE, tier, account.subscription_ends_at, account.available)


async def make_credit_info(
    credits: AsyncCredits, user_id: str, charged: Number, left: Number, tokens_per_credit: int = TOKENS_PER_CREDIT
) -> CreditInfo:
    """What a request took, beside everything that was used up to now."""
    used, _ = await _used(credits, user_id, FAR_BACK)
    return CreditInfo(tokens(charged, tokens_per_credit), left, tokens(used, tokens_per_credit))


async def _consume(
    credits: AsyncCredits, user_id: str, skill: str, tokens_per_credit: int, key: str | None, actor: str
) -> CreditInfo:
    receipt = await credits.charge(user_id, skill=skill, idempotency_key=key, actor=actor)
    return await make_credit_info(credits, user_id, -receipt.amount, receipt.available, tokens_per_credit)


async def _used(credits: AsyncCredits, user_id: str, since: datetime) -> tuple[Number, datetime]:
    """Net consumption since then, and the ledger's now."""
    report = await credits.reports.statement(user_id, since, limit=1)
    spent = sum((Decimal(sums.amount) for sums in report.movements if sums.type in _NET), Decimal(0))
    return -spent, report.until


def _refused(available: Number, tokens_per_credit: int) -> Refused:
    left = tokens(available, tokens_per_credit)
    return Refused(INSUFFICIENT, f"You have {_plain(available)} credits remaining ({_plain(left)} tokens)")


def _plain(amount: Number) -> str:
    return f"{Decimal(amount):f}"


def _tier(account: AccountAnswer) -> str:
    return account.plan or FREE


_NET = frozenset(("CONSUMPTION", "REFUND"))
