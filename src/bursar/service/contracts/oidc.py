"""Sign-in by a provider, for browsers: `GET /api/auth/signin/NAME` leads away, `/api/auth/callback/NAME` is where they
come back to. The address to register with the provider is `BURSAR_PUBLIC_URL/api/auth/callback/NAME`.

Without `redirect` the answer is that of a login. With it the browser goes on to that path of this server, where
`GET /api/auth/session` says who it is.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from msgspec import Struct

from bursar.service.auth import Way
from bursar.service.context import Context, Here
from bursar.service.contracts.session import is_secure, keep_session
from bursar.service.contracts.sign_in import SignedIn, User, address_of
from bursar.service.depends import answer, answers
from bursar.service.identity import flow as flows
from bursar.service.identity.flow import Flow
from bursar.service.identity.people import Person
from bursar.service.identity.provider import Provider, error_code
from bursar.service.problems import RouteNotFound, SignInFailed

CALLBACK: Final = "/api/auth/callback"
AWAY: Final[dict[str, Any]] = {
    "status_code": 303,
    "response_class": Response,
    "response_model": None,
    "responses": {303: {"description": "Go to the provider"}},
}

router = APIRouter(prefix="/api/auth", tags=["signing in"])


class ProviderAnswer(Struct, frozen=True, rename="camel"):
    """Where sign-in begins, and where it comes back to."""

    id: str
    type: str
    signin_url: str
    callback_url: str


def find_provider(here: Here, provider: Annotated[str, Path(description="Its name in the settings")]) -> Provider:
    """The provider of the path. Raises `RouteNotFound`."""
    found = here.providers.get(provider)
    if found is None:
        raise RouteNotFound("There is no such provider: see GET /api/auth/providers.")
    return found


Named = Annotated[Provider, Depends(find_provider)]


@router.get("/providers", **answers(dict[str, ProviderAnswer]))
async def list_providers(here: Here) -> Response:
    """By whom one can sign in."""
    public = here.settings.public_url.rstrip("/")
    return answer(
        {
            name: ProviderAnswer(name, "oidc", f"{public}/api/auth/signin/{name}", provider.callback_url)
            for name, provider in here.providers.items()
        }
    )


@router.get("/signin/{provider}", **AWAY)
async def begin(
    here: Here,
    provider: Named,
    redirect: Annotated[str | None, Query(description="A path of this server to go to in the end")] = None,
) -> Response:
    """Go to a provider to sign in there."""
    flow = flows.begin(provider.name, redirect)
    response = RedirectResponse(await provider.begin(flow), 303)
    response.set_cookie(
        flows.COOKIE,
        flows.seal(flow, here.secrets),
        max_age=flows.TTL_SECONDS,
        path=CALLBACK,
        secure=is_secure(here),
        httponly=True,
        samesite="lax",
    )
    return _private(response)


@router.get("/callback/{provider}", **answers(SignedIn))
async def finish(
    request: Request,
    here: Here,
    provider: Named,
    code: Annotated[str | None, Query()] = None,
    state: Annotated[str | None, Query()] = None,
    error: Annotated[str | None, Query()] = None,
    iss: Annotated[str | None, Query()] = None,
) -> Response:
    """Come back from a provider."""
    with here.attempts.attempt(address_of(request)):
        flow = _under_way(here, request, provider.name, state)
        if error is not None:
            raise SignInFailed(f"The provider did not sign you in: {error_code(error)}.")
        if not code or iss not in (None, provider.config.issuer):
            raise SignInFailed("The provider's answer is not for this sign-in.")
        person = await provider.redeem(code, flow)
    return await _signed_in(here, provider, person, flow)


def _under_way(here: Context, request: Request, name: str, state: str | None) -> Flow:
    """What this very browser began. Raises `SignInFailed`."""
    flow = flows.unseal(request.cookies.get(flows.COOKIE, ""), here.secrets)
    if flow is None or flow.provider != name:
        raise SignInFailed("This sign-in did not begin in this browser, or too long ago: begin again.")
    if not hmac.compare_digest((state or "").encode("utf-8", "replace"), flow.state.encode()):
        raise SignInFailed("This is not the sign-in that this browser began (state): begin again.")
    return flow


async def _signed_in(here: Context, provider: Provider, person: Person, flow: Flow) -> Response:
    found = await here.people.sign_in(person, link=provider.config.link_emails)
    if found.disowned:
        here.authenticator.forget()
    token = here.tokens.issue(found.account, Way.PROVIDER)
    response: Response
    if flow.redirect is None:
        response = answer(SignedIn(token, User(found.account, person.email)))
    else:
        response = RedirectResponse(flow.redirect, 303)
        keep_session(here, response, token)
    response.delete_cookie(flows.COOKIE, CALLBACK, secure=is_secure(here), httponly=True, samesite="lax")
    return _private(response)


def _private(response: Response) -> Response:
    """Secrets are in its headers, or in the address that it answers: neither is kept or passed on."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
