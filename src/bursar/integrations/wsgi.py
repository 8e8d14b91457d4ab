"""Middleware for WSGI apps: Flask, Django, any.

    app.wsgi_app = CreditsMiddleware(app.wsgi_app, credits, account=who, price=1)

The price is held before the app is called; too little is refused then and there. It is captured when a 2xx is about
to be whole, which its Content-Length says beforehand, else its end; see `gate` for every other end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from bursar.core.commands import DEFAULT_TTL_SECONDS
from bursar.core.errors import BursarError
from bursar.credits.driving import drive
from bursar.integrations.gate import AccountOf, Crash, Ending, Gate, settle
from bursar.integrations.meter import running
from bursar.integrations.prices import PriceOf, Request
from bursar.integrations.refusals import Refuse, headers_of, plain
from bursar.integrations.spend import Ledger, Spend, find_blocking

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class CreditsMiddleware:
    """See the module. The arguments are those of the ASGI middleware; `credits` are blocking ones, or find them."""

    def __init__(
        self,
        app: WSGIApplication,
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

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = _request(environ)
        if self._gate.is_free(request.method, request.path):
            return self.app(environ, start_response)
        try:
            spend = drive(self._gate.enter(find_blocking(self._credits), request))
        except BursarError as refusal:
            return self._send_refusal(start_response, refusal)
        if spend is None:
            return self.app(environ, start_response)
        return Response(spend, start_response).begin(self.app, environ)

    def _send_refusal(self, start_response: StartResponse, refusal: BursarError) -> Iterable[bytes]:
        answer = self._gate.answer(refusal)
        body = answer.encode()
        headers = {"Content-Type": answer.content_type, "Content-Length": str(len(body)), **headers_of(refusal)}
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", list(headers.items()))
        return [body]


class Response:
    """One response, watched: the iterable that the server reads and closes."""

    def __init__(self, spend: Spend, start_response: StartResponse) -> None:
        self._spend = spend
        self._start_response = start_response
        self._status: int | None = None
        self._missing: int | None = None
        self._parts: Iterable[bytes] = ()
        self._iterator: Iterator[bytes] = iter(())

    def begin(self, app: WSGIApplication, environ: WSGIEnvironment) -> Iterable[bytes]:
        try:
            with running(self._spend.meter):
                self._parts = app(environ, self._start)
                self._iterator = iter(self._parts)
        except BaseException as error:
            self._settle(Ending.BROKE, error)
            raise
        return self

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        self._status = int(status.split(" ", 1)[0])
        lengths = [value for name, value in headers if name.lower() == "content-length" and value.isdecimal()]
        self._missing = int(lengths[-1]) if lengths else None
        return self._start_response(status, headers, exc_info) if exc_info else self._start_response(status, headers)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            with running(self._spend.meter):
                part = next(self._iterator)
        except StopIteration:
            self._settle(Ending.WHOLE)
            raise
        except BaseException as error:
            self._settle(Ending.BROKE, error)
            raise
        if self._missing is not None:
            self._missing -= len(part)
            if self._missing <= 0:
                self._settle(Ending.WHOLE)
        return part

    def close(self) -> None:
        """What every server does in the end. Before the last part: the client is gone, or wanted the head alone."""
        try:
            close = getattr(self._parts, "close", None)
            if close is not None:
                with running(self._spend.meter):
                    close()
        finally:
            self._settle(Ending.LEFT)

    def _settle(self, ending: Ending, error: BaseException | None = None) -> None:
        drive(settle(self._spend, self._status, ending, error))


def _request(environ: WSGIEnvironment) -> Request:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace")
    return Request(environ["REQUEST_METHOD"], path or "/", query, headers, environ)
