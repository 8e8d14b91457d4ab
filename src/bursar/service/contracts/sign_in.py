"""Signing in: register and login, which answer with a token that stands for the account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from msgspec import Struct

from bursar.service.context import Context, Here
from bursar.service.depends import Json, answer, answers
from bursar.service.logins import Login
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
    """`id` is the account's."""

    id: str
    email: str


class SignedIn(Struct, frozen=True):
    """Send the token as `Authorization: Bearer ...`."""

    token: str
    user: User


@router.post("/register", **answers(SignedIn, 201, takes=RegisterBody))
async def register(here: Here, body: Annotated[RegisterBody, Json(RegisterBody)]) -> Response:
    """A login and its account."""
    return _signed_in(here, await here.logins.register(body.email, body.password, body.name), 201)


@router.post("/login", **answers(SignedIn, takes=LoginBody))
async def login(here: Here, body: Annotated[LoginBody, Json(LoginBody)]) -> Response:
    """A token for a login."""
    return _signed_in(here, await here.logins.login(body.email, body.password), 200)


def _signed_in(here: Context, login: Login, status: int) -> Response:
    return answer(SignedIn(here.tokens.issue(login.account_id), User(login.account_id, login.email)), status)
