"""The one place that wires: what is open, which paths there are, how refusals look where.

    POST of a ledger command   ->  hot.HotRoutes        (no framework)
    everything else            ->  FastAPI              (ids stay percent-encoded until a handler decodes them, once)

`create_app(settings)` is an ASGI application with a lifespan; `server` runs it with its own.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from bursar.answers import ENCODER, Receipts
from bursar.clock import test_clock_from
from bursar.core.errors import BursarError, Invalid
from bursar.credits import AsyncCredits
from bursar.service import docs, health, openapi
from bursar.service.api import (
    accounts,
    batch,
    history,
    keys,
    limits,
    models,
    plans,
    proof,
    reports,
    runs,
    skills,
)
from bursar.service.api.verbs import VERBS
from bursar.service.attempts import Attempts
from bursar.service.auth import Authenticator, Credentials
from bursar.service.context import Context
from bursar.service.contracts.registry import CONTRACTS, SIGNING_IN, contract_of, find_contract
from bursar.service.hot import HotRoutes, refusal_of, report
from bursar.service.identity.fetching import Fetcher
from bursar.service.identity.outside import EitherTokens, OutsideTokens
from bursar.service.identity.people import People
from bursar.service.identity.provider import make_providers
from bursar.service.jobs import Jobs
from bursar.service.keys import Keys
from bursar.service.logins import Logins, PresentTokens
from bursar.service.media import Media
from bursar.service.metrics import Metrics
from bursar.service.problems import (
    PROBLEM_JSON,
    FieldError,
    InvalidFields,
    MethodNotAllowed,
    Refusal,
    RouteNotFound,
    problem_of,
)
from bursar.service.providers import make_provider
from bursar.service.tokens import Secrets, Tokens
from bursar.service.wire import JSON, Gone, Receive, Scope, Send
from bursar.settings import Settings
from bursar.store.base import StoreError

logger = logging.getLogger("bursar.service")


class App:
    """The ASGI application."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.hot = HotRoutes(VERBS)
        self.api = _make_api(self)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Context]:
        """Open everything, start the jobs; at the end finish what is under way and close."""
        async with AsyncExitStack() as stack:
            context = await _open(self.settings, stack)
            self.api.state.context = context
            yield context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.api(scope, receive, send)
        raw_path: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        if scope["method"] == "POST":
            context: Context = self.api.state.context
            found = self.hot.find(raw_path)
            if found is not None:
                return await self.hot.run(context, *found, scope, receive, send)
            if raw_path == batch.PATH:
                return await batch.charge_batch(context, scope, receive, send)
        scope["path"] = raw_path.decode("ascii", "replace")
        try:
            return await self.api(scope, receive, send)
        except Exception as error:
            # Starlette raises again what was answered with a 500 already; what broke later was not reported yet.
            if "bursar.reported" not in scope:
                report(error, scope)
                raise
        return None


def version() -> str:
    """Of the package, where it is installed."""
    try:
        return metadata.version("bursar")
    except metadata.PackageNotFoundError:
        return "unknown"


def create_app(settings: Settings) -> App:
    """The service, not yet open."""
    return App(settings)


async def _open(settings: Settings, stack: AsyncExitStack) -> Context:
    """What is opened is closed in the opposite order."""
    secrets = Secrets.of(settings)
    tokens = Tokens(secrets, settings.token_ttl_seconds)
    ledger = await stack.enter_async_context(
        AsyncCredits.open(
            settings.url,
            preset=settings.preset,
            migrate=True,
            clock=test_clock_from(settings.test_clock),
            lanes=settings.lanes,
        )
    )
    _warn_of_preset(settings, ledger.catalog.preset)
    provider = make_provider(settings)
    stack.push_async_callback(provider.close)
    fetcher = Fetcher(settings.identity_timeout_seconds)
    stack.push_async_callback(fetcher.close)
    providers = make_providers(settings, fetcher)
    for identity_provider in providers.values():
        stack.push_async_callback(identity_provider.close)
    callers: Credentials = PresentTokens(tokens, ledger.store)
    if settings.jwt_issuer:
        outside = OutsideTokens(ledger, settings, fetcher)
        stack.push_async_callback(outside.close)
        callers = EitherTokens(callers, outside)
    keys_ = Keys(ledger.store)
    jobs = Jobs(ledger, settings.job_seconds)
    jobs.start()
    stack.push_async_callback(jobs.stop)
    return Context(
        settings=settings,
        credits=ledger,
        engine=ledger.engine,
        receipts=Receipts(ledger.catalog),
        keys=keys_,
        secrets=secrets,
        tokens=tokens,
        authenticator=Authenticator(keys_, callers, settings.key_cache_seconds),
        logins=Logins(ledger),
        attempts=Attempts(settings.sign_in_attempts_per_email, settings.sign_in_attempts_per_address),
        providers=providers,
        people=People(ledger),
        media=Media(ledger.store, settings.data_dir / "media"),
        provider=provider,
        metrics=Metrics(),
    )


def _warn_of_preset(settings: Settings, began_with: str | None) -> None:
    """A preset fills an empty ledger only."""
    wanted = Path(settings.preset).stem
    if wanted != began_with:
        facts = {"preset": wanted, "began_with": began_with}
        began = began_with or "(none)"
        logger.warning("this ledger began with the preset %s; %s changes nothing in it", began, wanted, extra=facts)


def _make_api(app: App) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with app.opened():
            yield

    api = FastAPI(
        title="Bursar", version=version(), lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    for module in (accounts, history, limits, runs, skills, models, plans, keys, reports, proof):
        api.include_router(module.router, prefix="/api/v1", responses=openapi.PROBLEMS)
    api.include_router(health.router, responses=openapi.PROBLEMS)
    api.include_router(health.router, prefix="/api/v1", include_in_schema=False)
    for router in SIGNING_IN:
        api.include_router(router, responses=openapi.refusals(contract_of(app.settings.preset).shape))
    for contract in CONTRACTS:
        for router in contract.routers:
            api.include_router(router, responses=openapi.refusals(contract.shape))
    for refused_by in (BursarError, Refusal, StoreError):
        api.add_exception_handler(refused_by, _refuse)
    api.add_exception_handler(RequestValidationError, _refuse_query)
    api.add_exception_handler(Gone, _nobody_there)
    api.add_exception_handler(Exception, _break)

    async def refuse_route(request: Request, error: Exception) -> Response:
        return _answer(request, _route_refusal(app.hot, request, error))

    api.add_exception_handler(HTTPException, refuse_route)
    api.openapi = lambda: _document(api)  # type: ignore[method-assign]

    @api.get("/docs", include_in_schema=False)
    async def show_docs() -> HTMLResponse:
        return HTMLResponse(docs.page(_document(api)), headers={"Content-Security-Policy": docs.CONTENT_POLICY})

    return api


def _document(api: FastAPI) -> dict[str, Any]:
    if api.openapi_schema is None:
        api.openapi_schema = openapi.document(api, [*(verb.operation() for verb in VERBS), batch.OPERATION])
    return api.openapi_schema


async def _refuse(request: Request, error: Exception) -> Response:
    return _answer(request, refusal_of(error, request.scope))


async def _refuse_query(request: Request, error: Exception) -> Response:
    """What FastAPI checks itself: parameters in the query."""
    assert isinstance(error, RequestValidationError)
    wrong = [FieldError(str(item["loc"][-1]), str(item["msg"])) for item in error.errors()]
    return _answer(request, InvalidFields(wrong) if wrong else Invalid("request", "is malformed"))


async def _nobody_there(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)


async def _break(request: Request, error: Exception) -> Response:
    request.scope["bursar.reported"] = True
    return _answer(request, report(error, request.scope))


def _route_refusal(hot: HotRoutes, request: Request, error: Exception) -> Refusal:
    """Starlette's own refusals: no such path, or not this method on it."""
    assert isinstance(error, HTTPException)
    allowed = (error.headers or {}).get("Allow")
    path = request.scope["path"]
    if error.status_code == 404 and (hot.find(path.encode()) is not None or path == batch.PATH.decode()):
        allowed = "POST"
    if allowed is not None:
        return MethodNotAllowed(f"This path takes {allowed}.", [(b"allow", allowed.encode())])
    return RouteNotFound(f"There is nothing at {path[:200]}.")


def _answer(request: Request, error: BursarError | Refusal) -> Response:
    """A refusal, in the shape that belongs to the path."""
    context: Context = request.app.state.context
    contract = find_contract(request.scope["path"], context.credits.catalog.preset)
    if contract is not None:
        refused = contract.refuse(error, context.settings)
        headers = refused.headers
        response = Response(ENCODER.encode(refused.body), refused.status, media_type=JSON.decode())
    else:
        problem = problem_of(error)
        headers = problem.headers
        response = Response(problem.encode(), problem.status, media_type=PROBLEM_JSON.decode())
    for name, value in headers:
        response.headers[name.decode()] = value.decode()
    return response
