"""Accounts: found, read and changed; what they have; what a call would cost them."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from bursar.answers import AccountAnswer, BalanceAnswer, Page, QuoteAnswer
from bursar.core.commands import Renew
from bursar.core.errors import Invalid
from bursar.core.model import Overage
from bursar.credits.face import stamp
from bursar.service.api.bodies import UsageBody, usage_of
from bursar.service.auth import Caller, Permission
from bursar.service.context import Here
from bursar.service.depends import (
    AccountId,
    Cursor,
    IdempotencyKey,
    Json,
    Limit,
    May,
    answer,
    answers,
    one_key,
    query_text,
)
from bursar.service.wire import Body

router = APIRouter(tags=["accounts"])

Status = Literal["active", "frozen", "closed"]


class AccountPatch(Body, kw_only=True):
    """Change what is given; an empty text removes it. `status`: frozen refuses to spend, closed refuses for good."""

    email: str | None = None
    name: str | None = None
    metadata: dict[str, Any] | None = None
    overage: Overage | None = None
    status: Status | None = None
    reason: str | None = None
    idempotency_key: str | None = None


class RenewBody(Body, kw_only=True):
    """Start the plan's allowance afresh now."""

    idempotency_key: str | None = None


class QuoteBody(Body, kw_only=True):
    """What a charge or hold would say."""

    amount: Decimal | None = None
    skill: str | None = None
    model: str | None = None
    usage: UsageBody | None = None
    quantity: int = 1


@router.get("/accounts", **answers(Page[AccountAnswer]), dependencies=[May(Permission.LIST)])
async def list_accounts(
    here: Here,
    cursor: Cursor,
    query: Annotated[str | None, Query(description="Part of an id, e-mail address or name")] = None,
    plan: str | None = None,
    status: Status | None = None,
    limit: Limit = 100,
) -> Response:
    """Search accounts."""
    query, plan = query_text("query", query), query_text("plan", plan)
    page = await here.credits.accounts(query=query, plan=plan, status=status, cursor=cursor, limit=limit)
    return answer(page)


@router.get("/accounts/{account}", **answers(AccountAnswer), dependencies=[May(Permission.READ)])
async def get_account(
    account: AccountId,
    here: Here,
) -> Response:
    """One account."""
    return answer(await here.credits.account(account))


@router.patch("/accounts/{account}", **answers(AccountAnswer, takes=AccountPatch))
async def patch_account(
    caller: Annotated[Caller, May(Permission.ADMINISTER)],
    account: AccountId,
    here: Here,
    key: IdempotencyKey,
    body: Annotated[AccountPatch, Json(AccountPatch)],
) -> Response:
    """Change, freeze or close an account."""
    if body.reason is not None and body.status is None:
        raise Invalid("reason", "belongs to a change of status")
    await here.credits.account(account)
    if any(value is not None for value in (body.email, body.name, body.metadata, body.overage)):
        await here.credits.update_account(
            account,
            email=body.email,
            name=body.name,
            metadata=body.metadata,
            overage=None if body.overage is None else body.overage.value,
            idempotency_key=one_key(key, body.idempotency_key),
            actor=caller.actor,
        )
    if body.status is not None:
        change = {
            "active": here.credits.unfreeze,
            "frozen": here.credits.freeze,
            "closed": here.credits.close_account,
        }[body.status]
        await change(account, reason=body.reason, actor=caller.actor)
    return answer(await here.credits.account(account))


@router.post("/accounts/{account}/renewals", **answers(AccountAnswer, takes=RenewBody))
async def renew(
    caller: Annotated[Caller, May(Permission.ADMINISTER)],
    account: AccountId,
    here: Here,
    key: IdempotencyKey,
    body: Annotated[RenewBody, Json(RenewBody)],
) -> Response:
    """Start the plan's allowance afresh now; the next renewal stays where it was."""
    command = Renew(**stamp(account, caller.actor, one_key(key, body.idempotency_key)))
    outcome = await here.engine.execute(command)
    # A replay names the transaction that it made, not the account.
    return answer(await here.credits.account(account), replayed=outcome.replayed)


@router.get("/accounts/{account}/balance", **answers(BalanceAnswer), dependencies=[May(Permission.READ)])
async def get_balance(
    account: AccountId,
    here: Here,
) -> Response:
    """What an account has, lot by lot."""
    return answer(await here.credits.balance(account))


@router.post("/accounts/{account}/quotes", **answers(QuoteAnswer, takes=QuoteBody), dependencies=[May(Permission.READ)])
async def quote(
    account: AccountId,
    here: Here,
    body: Annotated[QuoteBody, Json(QuoteBody)],
) -> Response:
    """What a call would cost now; changes nothing."""
    return answer(
        await here.credits.quote(
            account,
            body.amount,
            skill=body.skill,
            model=body.model,
            usage=usage_of(body.usage),
            quantity=body.quantity,
        )
    )
