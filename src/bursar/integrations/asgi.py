"""Middleware for ASGI apps: Starlette, FastAPI, Django, any.

    app = CreditsMiddleware(app, credits, account=lambda request: request.headers.get("x-user"), price=1)
    app.add_middleware(CreditsMiddleware, credits=ledger, account=who, routes={"POST /api/text": "TEXT_GENERATION"})

The price is held before the handler runs; too little is refused then and there. It is captured when a 2xx is about
to be whole, so that whoever has the answer finds it paid; see `gate` for every other end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from bursar.core.commands import DEFAULT_TTL_SECONDS
from bursar.core.errors import BursarError
from bursar.integrations.gate import AccountOf, Crash, Ending, Gate, is_success, settle
from bursar.integrations.meter import running
from bursar.integrations.prices import PriceOf, Request
from bursar.integrations.refusals import Refuse, headers_of, plain
from bursar.integrations.spend import Ledger, Spend, find_async

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class CreditsMiddleware:
    """See the module.

    `credits` are `AsyncCredits`, or a function that finds them. `account` finds who pays: a function of the
    `Request`; None answers 401. `price` is for every route that `routes` does not name; `exclude` are routes that are
    free. `refuse` makes the answer of a request that is not let in. An account that is not there yet is opened, unless
    `open_accounts` says otherwise. `on_crash` decides what a process that dies leaves: nothing, or what was held.
    """

    def __init__(
        self,
        app: App,
        credits: Ledger,
        *,
        account: AccountOf,
        price: PriceOf = None,
        routes: Mapping[str, PriceOf] | None = None,
        exclude: Iterable[str] = (),
        refuse: Refuse = plain,
        open_accounts: bool = True,
        on_crash: Crash = "release",
        ttl_seconds: int = DEFAULT_TTL_SECONDS,
        actor: str = "library",
    ) -> None:
        self.app = app
        self._credits = credits
        self._gate = Gate(
            account,
            price,
            routes,
            exclude,
            refuse,
            open_accounts=open_accounts,
            on_crash=on_crash,
            ttl_seconds=ttl_seconds,
            actor=actor,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._gate.is_free(scope["method"], scope["path"]):
            return await self.app(scope, receive, send)
        try:
            spend = await self._gate.enter(find_async(self._credits), _request(scope))
        except BursarError as refusal:
            return await self._send_refusal(send, refusal)
        if spend is None:
            return await self.app(scope, receive, send)
        exchange = Exchange(spend, receive, send)
        with running(spend.meter):
            return await exchange.run(self.app, scope)

    async def _send_refusal(self, send: Send, refusal: BursarError) -> None:
        answer = self._gate.answer(refusal)
        body = answer.encode()
        headers = {"Content-Type": answer.content_type, "Content-Length": str(len(body)), **headers_of(refusal)}
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
        await send({"type": "http.response.body", "body": body})


class Exchange:
    """One request and its response, watched."""

    def __init__(self, spend: Spend, receive: Receive, send: Send) -> None:
        self._spend = spend
        self._receive = receive
        self._send = send
        self._status: int | None = None
        self._whole = False
        self._left = False

    async def run(self, app: App, scope: Scope) -> None:
        """The handler, then what its response comes to, unless that is settled already."""
        try:
            await app(scope, self.receive, self.send)
        except BaseException as error:
            # A server cancels the handler of a client that left.
            self._left = self._left or isinstance(error, asyncio.CancelledError)
            await settle(self._spend, self._status, self._ending(), error)
            raise
        await settle(self._spend, self._status, self._ending())

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._left = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif _is_last(message) and not self._whole:
            self._whole = True
            if is_success(self._status):
                await self._spend.done()
        try:
            await self._send(message)
        except OSError:
            self._left = True
            raise

    def _ending(self) -> Ending:
        if self._whole:
            return Ending.WHOLE
        return Ending.LEFT if self._left else Ending.BROKE


def _is_last(message: Message) -> bool:
    if message["type"] == "http.response.body":
        return not message.get("more_body")
    return bool(message["type"] == "http.response.pathsend")


def _request(scope: Scope) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))
    return Request(scope["method"], scope["path"], query, headers, scope)
