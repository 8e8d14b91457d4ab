"""The session: who is signed in, and what they have left. A page on this server that a provider's sign-in led to has
it by cookie, which is good for nothing else: everything that spends wants the token in a header, where no other site
can put it.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from msgspec import Struct

from bursar.answers import Number
from bursar.core.errors import Invalid
from bursar.core.periods import format_millis
from bursar.service.auth import Caller, Permission
from bursar.service.context import Context, Here
from bursar.service.depends import Allowed, answer, answers
from bursar.service.wire import header

COOKIE: Final = "bursar_session"
PATH: Final = "/api/auth"

router = APIRouter(prefix=PATH, tags=["signing in"])


class SessionUser(Struct, frozen=True):
    """The account of whoever is signed in."""

    id: str
    email: str | None
    name: str | None
    plan: str | None
    credits: Number


class Session(Struct, frozen=True):
    """`credits` stands beside the user too; `token` only where a cookie stood for it."""

    user: SessionUser
    credits: Number
    expires: str | None
    token: str | msgspec.UnsetType = msgspec.UNSET


class SignedOut(Struct, frozen=True):
    """The cookie is gone; a token that was handed out is good until it ends."""

    message: str


class AllowedByCookie(Allowed):
    """Takes the cookie where no header was sent."""

    def authorization(self, request: Request) -> bytes | None:
        sent, cookie = super().authorization(request), request.cookies.get(COOKIE)
        return f"Bearer {cookie}".encode() if sent is None and cookie else sent


@router.get("/session", **answers(Session))
async def get_session(
    request: Request, here: Here, caller: Annotated[Caller, Depends(AllowedByCookie(Permission.READ))]
) -> Response:
    """Who is signed in, with their credits."""
    if caller.account is None:
        raise Invalid("authorization", "must be a token or a key of an account: this key is bound to none")
    account = await here.credits.account(caller.account)
    credits = account.available
    user = SessionUser(account.id, account.email, account.name, account.plan, credits)
    ends = caller.signed_in_until or caller.expires_at
    by_cookie = header(request.scope, b"authorization") is None
    response = answer(
        Session(
            user,
            credits,
            None if ends is None else format_millis(ends),
            request.cookies[COOKIE] if by_cookie else msgspec.UNSET,
        )
    )
    response.headers["Cache-Control"] = "no-store"
    return response


@router.post("/signout", **answers(SignedOut))
async def sign_out(here: Here) -> Response:
    """Forget the cookie."""
    response = answer(SignedOut("Signed out"))
    response.delete_cookie(COOKIE, PATH, secure=is_secure(here), httponly=True, samesite="lax")
    return response


def keep_session(here: Context, response: Response, token: str) -> None:
    """Give the browser the cookie."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=here.settings.token_ttl_seconds,
        path=PATH,
        secure=is_secure(here),
        httponly=True,
        samesite="lax",
    )


def is_secure(here: Context) -> bool:
    """Whether browsers come by https: then a cookie never goes another way."""
    return here.settings.public_url.startswith("https://")
