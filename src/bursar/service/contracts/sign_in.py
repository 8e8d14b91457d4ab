"""Signing in with a password: register and login, which answer with a token that stands for the account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from msgspec import Struct

from bursar.core.errors import Invalid
from bursar.service.auth import Way
from bursar.service.context import Context, Here
from bursar.service.depends import Json, answer, answers
from bursar.service.logins import Login, normal_email
from bursar.service.wire import Body

router = APIRouter(prefix="/api/auth", tags=["signing in"])


class RegisterBody(Body, kw_only=True):
    """Who registers."""

    email: str
    password: str
    name: str | None = None


class LoginBody(Body, kw_only=True):
    """Who signs in."""

    email: str
    password: str


class User(Struct, frozen=True):
    """`id` is the account's; `email` is absent where nobody vouches for one."""

    id: str
    email: str | None


class SignedIn(Struct, frozen=True):
    """Send the token as `Authorization: Bearer ...`."""

    token: str
    user: User


@router.post("/register", **answers(SignedIn, 201, takes=RegisterBody))
async def register(request: Request, here: Here, body: Annotated[RegisterBody, Json(RegisterBody)]) -> Response:
    """A login and its account."""
    with here.attempts.attempt(address_of(request)):
        login = await here.logins.register(body.email, body.password, body.name)
    return _signed_in(here, login, 201)


@router.post("/login", **answers(SignedIn, takes=LoginBody))
async def login(request: Request, here: Here, body: Annotated[LoginBody, Json(LoginBody)]) -> Response:
    """A token for a login."""
    with here.attempts.attempt(address_of(request), _known_as(body.email)):
        login = await here.logins.login(body.email, body.password)
    return _signed_in(here, login, 200)


def address_of(request: Request) -> str | None:
    """Where the request came from; None where the server cannot know."""
    return None if request.client is None else request.client.host


def _known_as(email: str) -> str | None:
    try:
        return normal_email(email)
    except Invalid:
        return None


def _signed_in(here: Context, login: Login, status: int) -> Response:
    token = here.tokens.issue(login.account_id, Way.PASSWORD)
    return answer(SignedIn(token, User(login.account_id, login.email)), status)
