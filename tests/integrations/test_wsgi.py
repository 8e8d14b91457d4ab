"""WSGI middleware on a real waitress: who is let in, and what each response comes to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from bursar.credits import AsyncCredits, Credits
from bursar.integrations.meter import meter
from bursar.integrations.prices import Request
from bursar.integrations.refusals import api_calls
from bursar.integrations.wsgi import CreditsMiddleware
from tests.credits.conftest import DATABASES
from tests.integrations.conftest import eventually, serving_wsgi

ALICE = {"x-user": "alice"}


def who(request: Request) -> str | None:
    return request.headers.get("x-user")


def metered(app: Any, credits: Any, **arguments: Any) -> CreditsMiddleware:
    given: dict[str, Any] = {"account": who, "price": 1} | arguments
    return CreditsMiddleware(app, credits, **given)


def posted_and_held(credits: Credits) -> tuple[Any, Any]:
    balance = credits.balance("alice")
    return balance.posted, balance.held


def answering(status: str, parts: Callable[[], Any]) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, [("Content-Type", "text/plain")])
        return parts()

    return app


@pytest.mark.parametrize("database", DATABASES)
def test_of_a_hundred_at_once_on_an_account_of_fifty_fifty_handlers_run(blocking: Credits) -> None:
    """All fifty are inside at the same time: each waits for the others before it answers."""
    blocking.adjust("alice", to=50, reason="the test")
    ran: list[int] = []
    full = threading.Barrier(50, timeout=60)

    def app(environ: Any, start_response: Any) -> Any:
        ran.append(1)
        full.wait()
        start_response("200 OK", [])
        return [b"done"]

    with (
        serving_wsgi(metered(app, blocking, refuse=api_calls), threads=100) as address,
        httpx.Client(base_url=address, headers=ALICE, timeout=60, limits=httpx.Limits(max_connections=100)) as client,
        ThreadPoolExecutor(100) as threads,
    ):
        answers = list(threads.map(lambda _: client.get("/call"), range(100)))
        assert posted_and_held(blocking) == (0, 0)
    statuses = [answer.status_code for answer in answers]
    assert (len(ran), statuses.count(200), statuses.count(402)) == (50, 50, 50)
    refused = next(answer for answer in answers if answer.status_code == 402)
    assert refused.json() == {
        "error": "Insufficient credits. Please contact support to add more credits to your account."
    }


@pytest.mark.parametrize(
    ("status", "posted"),
    [("200 OK", 99), ("204 No Content", 99), ("302 Found", 100), ("404 Not Found", 100), ("500 Oh", 100)],
)
def test_one_credit_for_each_2xx_and_none_otherwise(blocking: Credits, status: str, posted: int) -> None:
    app = answering(status, lambda: [] if status.startswith("204") else [b"text"])
    with serving_wsgi(metered(app, blocking)) as address:
        answer = httpx.get(address, headers=ALICE)
    assert f"{answer.status_code}" == status[:3]
    assert posted_and_held(blocking) == (posted, 0)


def test_nobody_and_too_little_are_refused_before_the_handler(blocking: Credits) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        pytest.fail("nothing may run")

    with serving_wsgi(metered(app, blocking, price="100.5")) as address:
        nobody, poor = httpx.get(address), httpx.get(address, headers=ALICE)
    assert (nobody.status_code, poor.status_code) == (401, 402)
    assert poor.json() == {"error": "This needs 100.5 credits; 100 are available."}
    assert posted_and_held(blocking) == (100, 0)


def test_a_handler_that_raises_costs_nothing(blocking: Credits, caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise ZeroDivisionError

    with serving_wsgi(metered(app, blocking)) as address:
        assert httpx.get(address, headers=ALICE).status_code == 500
    assert posted_and_held(blocking) == (100, 0)


def test_a_stream_is_charged_once_it_is_whole(blocking: Credits) -> None:
    def parts() -> Iterator[bytes]:
        for word in (b"to", b"be"):
            assert posted_and_held(blocking) == (100, 1)
            meter().cost("0.5")
            yield word

    with serving_wsgi(metered(answering("200 OK", parts), blocking)) as address:
        assert httpx.get(address, headers=ALICE).text == "tobe"
    assert posted_and_held(blocking) == (Decimal("99.5"), 0)


def test_a_stream_that_breaks_costs_nothing(blocking: Credits, caplog: pytest.LogCaptureFixture) -> None:
    def parts() -> Iterator[bytes]:
        yield b"to"
        raise ZeroDivisionError

    with serving_wsgi(metered(answering("200 OK", parts), blocking)) as address, pytest.raises(httpx.HTTPError):
        httpx.get(address, headers=ALICE)
    assert posted_and_held(blocking) == (100, 0)


@pytest.mark.parametrize(("real", "posted"), [(None, 90), ("2.5", Decimal("97.5"))])
async def test_a_client_that_leaves_a_stream_pays_as_far_as_it_came(
    blocking: Credits, real: str | None, posted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gone = threading.Event()
    closed: list[str] = []

    def parts() -> Iterator[bytes]:
        try:
            if real is not None:
                meter().cost(real)
            yield b"to"
            gone.wait(60)
            for _ in range(10_000):  # until the server notices
                yield b"be" * 10_000
        finally:
            closed.append("closed")

    with serving_wsgi(metered(answering("200 OK", parts), blocking, price=10)) as address:
        _start_and_leave(address)
        gone.set()
        await eventually(lambda: _nothing_held(blocking))
    assert closed == ["closed"]
    assert posted_and_held(blocking) == (posted, 0)


def test_whoever_has_an_answer_of_known_length_finds_it_paid(blocking: Credits) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        meter().cost("0.5")
        yield b"to"
        yield b"be"

    response = iter(metered(app, blocking)(_environ(), _start))
    assert (next(response), posted_and_held(blocking)) == (b"to", (100, 1))
    assert (next(response), posted_and_held(blocking)) == (b"be", (Decimal("99.5"), 0))
    assert list(response) == []
    response.close()  # type: ignore[attr-defined]
    assert posted_and_held(blocking) == (Decimal("99.5"), 0)


def test_a_status_that_comes_with_the_first_part(blocking: Credits) -> None:
    """An app may be a generator: nothing of it has run when the server begins to read."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response(environ["QUERY_STRING"].replace("+", " "), [])
        yield b"text"

    with serving_wsgi(metered(app, blocking)) as address:
        assert httpx.get(f"{address}/?200+OK", headers=ALICE).text == "text"
        assert posted_and_held(blocking) == (99, 0)
        assert httpx.get(f"{address}/?404+Not", headers=ALICE).status_code == 404
    assert posted_and_held(blocking) == (99, 0)


def test_a_response_that_nobody_reads_is_settled_when_it_is_closed(blocking: Credits) -> None:
    app = metered(answering("200 OK", lambda: [b"text"]), blocking)
    response: Any = app(_environ(), _start)
    assert posted_and_held(blocking) == (100, 1)
    response.close()
    response.close()
    assert posted_and_held(blocking) == (99, 0)


def test_what_the_apps_own_close_raises_is_raised_and_settled(blocking: Credits) -> None:
    class Parts(list[bytes]):
        def close(self) -> None:
            raise ZeroDivisionError

    response: Any = metered(answering("200 OK", Parts), blocking)(_environ(), _start)
    with pytest.raises(ZeroDivisionError):
        response.close()
    assert posted_and_held(blocking) == (99, 0)


def test_prices_see_the_request(blocking: Credits) -> None:
    seen: list[Request] = []

    def price(request: Request) -> int:
        seen.append(request)
        return int(request.query["n"])

    app = answering("200 OK", lambda: [b"text"])
    middleware = metered(app, lambda: blocking, price=price, routes={"GET /free": None}, exclude=["/static/*"])
    with serving_wsgi(middleware) as address:
        httpx.post(f"{address}/caf%C3%A9?n=7", headers={**ALICE, "Content-Type": "text/x"}, content=b"x")
        httpx.get(f"{address}/free", headers=ALICE)
        httpx.get(f"{address}/static/x", headers=ALICE)
    (request,) = seen
    assert (request.method, request.path) == ("POST", "/café")
    assert (request.headers["content-type"], request.headers["x-user"]) == ("text/x", "alice")
    assert request.native["wsgi.url_scheme"] == "http"
    assert posted_and_held(blocking) == (93, 0)


async def test_credits_that_have_to_be_awaited_are_refused(credits: AsyncCredits) -> None:
    with pytest.raises(TypeError, match="nothing here can await"):
        metered(answering("200 OK", list), credits)(_environ(), _start)


def _environ() -> Any:
    return {"REQUEST_METHOD": "GET", "PATH_INFO": "/x", "QUERY_STRING": "", "HTTP_X_USER": "alice"}


def _start(*_: Any) -> Any:
    """What a server gives an app, of one that sends nothing."""


def _start_and_leave(address: str) -> None:
    """Read the first part, then break the connection."""
    parts = urlsplit(address)
    assert parts.hostname
    assert parts.port
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-User: alice\r\n\r\n")
        received = b""
        while b"to" not in received:
            received += connection.recv(4096)


async def _nothing_held(credits: Credits) -> bool:
    return bool(posted_and_held(credits)[1] == 0)
