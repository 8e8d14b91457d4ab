"""Plans, and which one an account has."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response
from msgspec import Struct

from bursar.answers import AccountAnswer, PlanAnswer, make_account
from bursar.core import text
from bursar.core.commands import CancelPlan, ChangePlan, Command
from bursar.core.errors import Invalid
from bursar.core.model import When
from bursar.credits.arguments import PRESET_DEFAULT, AnchorIn, PeriodIn, RenewalIn
from bursar.credits.face import made, stamp
from bursar.service.auth import Caller, Permission
from bursar.service.context import Context, Here
from bursar.service.depends import AccountId, IdempotencyKey, Json, May, answer, answers
from bursar.service.wire import Body, segment

router = APIRouter(tags=["plans"])


class PlanBody(Body, kw_only=True):
    """All of a plan: what is left out is as it would be in a new one. Without `after` the default plan follows it."""

    allowance: Decimal
    display_name: str | None = None
    period: PeriodIn = "month"
    anchor: AnchorIn = "calendar"
    renewal: RenewalIn = "reset"
    rollover_cap: Decimal | None = None
    priority: int = 10
    timezone: str | None = None
    duration_days: int | None = None
    after: str | msgspec.UnsetType | None = msgspec.UNSET
    trial: bool = False
    prorated: bool = False


class SubscriptionBody(Body, kw_only=True):
    """`days`: a newly paid period of so many. `at`: now, or when the period that is paid for or under way has ended."""

    plan: str
    days: int | None = None
    at: When = When.NOW
    idempotency_key: str | None = None


class CancelBody(Body, kw_only=True):
    """`at`: period_end, if nothing is said, or now."""

    at: When | None = None
    idempotency_key: str | None = None


class Plans(Struct):
    """All plans: there are few."""

    data: list[PlanAnswer]
    next_cursor: str | None = None


def plan_name(raw: str) -> str:
    """The name in the path. Raises `Invalid`."""
    name = segment("plan", raw)
    text.check_id("plan", name)
    return name


@router.get("/plans", **answers(Plans), dependencies=[May(Permission.READ_CATALOGUE)])
async def list_plans(here: Here) -> Response:
    """All plans."""
    return answer(Plans(await here.credits.plans.list()))


@router.get("/plans/{name}", **answers(PlanAnswer), dependencies=[May(Permission.READ_CATALOGUE)])
async def get_plan(name: str, here: Here) -> Response:
    """One plan."""
    return answer(await here.credits.plans.get(plan_name(name)))


@router.put("/plans/{name}", **answers(PlanAnswer, takes=PlanBody), dependencies=[May(Permission.CHANGE_CATALOGUE)])
async def put_plan(name: str, here: Here, body: Annotated[PlanBody, Json(PlanBody)]) -> Response:
    """Make a plan, or change one: it holds from the next renewal on."""
    plan = await here.credits.plans.put(
        plan_name(name),
        allowance=body.allowance,
        display_name=body.display_name,
        period=body.period,
        anchor=body.anchor,
        renewal=body.renewal,
        rollover_cap=body.rollover_cap,
        priority=body.priority,
        timezone=body.timezone,
        duration_days=body.duration_days,
        after=PRESET_DEFAULT if isinstance(body.after, msgspec.UnsetType) else body.after,
        trial=body.trial,
        prorated=body.prorated,
    )
    return answer(plan)


@router.put("/accounts/{account}/subscription", **answers(AccountAnswer, takes=SubscriptionBody))
async def subscribe(
    caller: Annotated[Caller, May(Permission.ADMINISTER)],
    account: AccountId,
    here: Here,
    key: IdempotencyKey,
    body: Annotated[SubscriptionBody, Json(SubscriptionBody)],
) -> Response:
    """Give an account another plan, or a newly paid period."""
    key = _one("idempotency_key", key, body.idempotency_key)
    command = ChangePlan(**stamp(account, caller.actor, key), plan=body.plan, days=body.days, at=body.at)
    return await _carry_out(here, command)


@router.delete("/accounts/{account}/subscription", **answers(AccountAnswer, takes=CancelBody))
async def cancel(
    caller: Annotated[Caller, May(Permission.ADMINISTER)],
    account: AccountId,
    here: Here,
    key: IdempotencyKey,
    body: Annotated[CancelBody, Json(CancelBody)],
    at: Annotated[When | None, Query(description="period_end, if nothing is said, or now")] = None,
) -> Response:
    """Cancel an account's plan: the plan after it follows."""
    key = _one("idempotency_key", key, body.idempotency_key)
    when = _one("at", at, body.at) or When.PERIOD_END
    return await _carry_out(here, CancelPlan(**stamp(account, caller.actor, key), at=when))


async def _carry_out(here: Context, command: Command) -> Response:
    outcome = await here.engine.execute(command)
    return answer(make_account(made(outcome.account)), replayed=outcome.replayed)


def _one(field: str, outside: str | None, inside: str | None) -> str | None:
    """What stands in the body or outside of it. Raises `Invalid` where the two differ."""
    if outside is not None and inside is not None and outside != inside:
        raise Invalid(field, "is not the same in the body and outside of it")
    return inside if outside is None else outside
