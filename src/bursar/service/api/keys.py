"""API keys: made, listed, ended. An account's own token or key makes keys for that account only."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from msgspec import Struct

from bursar.answers import Page
from bursar.core import text
from bursar.core.model import Instant
from bursar.core.periods import to_datetime
from bursar.service.auth import Caller, Permission, Role, require
from bursar.service.context import Here
from bursar.service.depends import Cursor, Json, Limit, May, answer, answers, path_name
from bursar.service.keys import ApiKey
from bursar.service.wire import Body, some_instant

router = APIRouter(tags=["keys"])


class KeyBody(Body, kw_only=True):
    """`account` is for the role account; `may_grant` lets a service key grant and refund."""

    role: Role
    account: str | None = None
    name: str | None = None
    may_grant: bool = False
    expires_at: str | None = None


class KeyAnswer(Struct, frozen=True):
    """A key without its secret; `prefix` is how it begins."""

    id: str
    prefix: str
    role: str
    account: str | None
    name: str | None
    may_grant: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKeyAnswer(KeyAnswer, frozen=True, kw_only=True):
    """The only answer that ever holds `key`."""

    key: str


@router.post("/keys", **answers(NewKeyAnswer, 201, takes=KeyBody))
async def create_key(
    caller: Annotated[Caller, May(Permission.KEYS)], here: Here, body: Annotated[KeyBody, Json(KeyBody)]
) -> Response:
    """Make a key; it is shown this once."""
    account = body.account
    if caller.role is Role.ACCOUNT:
        account = account or caller.account
        require(caller, Permission.KEYS, account)
        if body.role is not Role.ACCOUNT:
            require(caller, Permission.ADMINISTER)
    if account is not None:
        text.check_id("account", account)
        await here.credits.account(account)
    expires_at = some_instant("expires_at", body.expires_at)
    if caller.expires_at is not None:
        expires_at = min(expires_at or caller.expires_at, caller.expires_at)
    key, secret = await here.keys.create(
        body.role,
        account=account,
        name=body.name,
        may_grant=body.may_grant,
        expires_at=expires_at,
    )
    return answer(NewKeyAnswer(*_shown(key), key=secret), 201)


@router.get("/keys", **answers(Page[KeyAnswer]))
async def list_keys(
    caller: Annotated[Caller, May(Permission.KEYS)],
    here: Here,
    cursor: Cursor,
    account: Annotated[str | None, Query()] = None,
    limit: Limit = 100,
) -> Response:
    """Keys, without their secrets."""
    account = caller.account or account
    if account is not None:
        text.check_id("account", account)
    found = await here.keys.list_keys(account, cursor, limit + 1)
    page = found[:limit]
    return answer(Page([KeyAnswer(*_shown(key)) for key in page], page[-1].id if len(found) > limit else None))


@router.delete("/keys/{key}", status_code=204, response_class=Response, response_model=None)
async def revoke_key(caller: Annotated[Caller, May(Permission.KEYS)], key: str, here: Here) -> Response:
    """End a key."""
    await here.keys.revoke(path_name("key", key), caller.account)
    here.authenticator.forget()
    return Response(status_code=204)


def _shown(
    key: ApiKey,
) -> tuple[str, str, str, str | None, str | None, bool, datetime, datetime | None, datetime | None]:
    return (
        key.id,
        key.prefix,
        key.role,
        key.account_id,
        key.name,
        bool(key.may_grant),
        to_datetime(key.created_at),
        _moment(key.expires_at),
        _moment(key.revoked_at),
    )


def _moment(instant: Instant | None) -> datetime | None:
    return None if instant is None else to_datetime(instant)
