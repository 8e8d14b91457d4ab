"""Who may spend how much: limits, and members."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Path, Response
from msgspec import Struct

from bursar.answers import LimitAnswer, MemberAnswer, Page
from bursar.core.model import LimitScope, LimitWindow
from bursar.service.auth import Caller, Permission
from bursar.service.context import Here
from bursar.service.depends import AccountId, Cursor, Json, Limit, May, answer, answers, path_name
from bursar.service.wire import Body

router = APIRouter(tags=["limits"])

LimitId = Annotated[str, Path(description="The limit's id, of your own making, percent-encoded")]
MemberId = Annotated[str, Path(description="The member's id, percent-encoded")]


class LimitBody(Body, kw_only=True):
    """At most `amount` in each `window`; `value` names the member, key, skill, model or run of that scope."""

    window: LimitWindow
    amount: Decimal
    scope: LimitScope = LimitScope.ACCOUNT
    value: str | None = None
    timezone: str | None = None


class LimitList(Struct, frozen=True):
    """All limits of an account and of its members."""

    data: list[LimitAnswer]
    next_cursor: None = None


@router.get("/accounts/{account}/limits", **answers(LimitList), dependencies=[May(Permission.READ)])
async def list_limits(account: AccountId, here: Here) -> Response:
    """An account's limits and those of its members, with what they have counted."""
    return answer(LimitList(await here.credits.limits(account)))


@router.put("/accounts/{account}/limits/{limit}", **answers(LimitAnswer, takes=LimitBody))
async def put_limit(
    caller: Annotated[Caller, May(Permission.ADMINISTER)],
    account: AccountId,
    limit: LimitId,
    here: Here,
    body: Annotated[LimitBody, Json(LimitBody)],
) -> Response:
    """Set a limit, or change it; what its window has seen already counts."""
    return answer(
        await here.credits.set_limit(
            account,
            path_name("limit", limit),
            body.amount,
            window=body.window.value,
            scope=body.scope.value,
            value=body.value,
            timezone=body.timezone,
            actor=caller.actor,
        )
    )


@router.delete("/accounts/{account}/limits/{limit}", status_code=204, response_class=Response, response_model=None)
async def delete_limit(
    caller: Annotated[Caller, May(Permission.ADMINISTER)], account: AccountId, limit: LimitId, here: Here
) -> Response:
    """Lift a limit."""
    await here.credits.remove_limit(account, path_name("limit", limit), actor=caller.actor)
    return Response(status_code=204)


@router.get("/accounts/{account}/members", **answers(Page[MemberAnswer]), dependencies=[May(Permission.READ)])
async def list_members(account: AccountId, here: Here, cursor: Cursor, limit: Limit = 100) -> Response:
    """An account's members, removed ones too."""
    return answer(await here.credits.members(account, cursor=cursor, limit=limit))


@router.put("/accounts/{account}/members/{member}", **answers(MemberAnswer))
async def put_member(
    caller: Annotated[Caller, May(Permission.ADMINISTER)], account: AccountId, member: MemberId, here: Here
) -> Response:
    """Let a member spend. Once one was added, only members may spend in a member's name."""
    return answer(await here.credits.add_member(account, path_name("member", member), actor=caller.actor))


@router.delete("/accounts/{account}/members/{member}", **answers(MemberAnswer))
async def delete_member(
    caller: Annotated[Caller, May(Permission.ADMINISTER)], account: AccountId, member: MemberId, here: Here
) -> Response:
    """Let a member spend no more; what is in flight may settle."""
    return answer(await here.credits.remove_member(account, path_name("member", member), actor=caller.actor))
