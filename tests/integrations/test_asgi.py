"""ASGI middleware on a real uvicorn: who is let in, and what each response comes to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse, StreamingResponse

from bursar.core.errors import Invalid
from bursar.credits import AsyncCredits, Credits
from bursar.integrations.asgi import CreditsMiddleware
from bursar.integrations.meter import meter
from bursar.integrations.prices import Request
from bursar.integrations.refusals import api_calls, problem, skills
from tests.credits.conftest import DATABASES
from tests.credits.remote.conftest import Service, service
from tests.integrations.conftest import eventually, serving

__all__ = ["service"]

ALICE = {"x-user": "alice"}


def who(request: Request) -> str | None:
    return request.headers.get("x-user")


def metered(app: Any, credits: Any, **arguments: Any) -> CreditsMiddleware:
    given: dict[str, Any] = {"account": who, "price": 1} | arguments
    return CreditsMiddleware(app, credits, **given)


async def posted_and_held(credits: AsyncCredits, account: str = "alice") -> tuple[Any, Any]:
    balance = await credits.balance(account)
    return balance.posted, balance.held


@pytest.fixture
def ran() -> list[str]:
    """Which handlers ran."""
    return []


@pytest.fixture
def app(ran: list[str]) -> FastAPI:
    """An app with a route for every way to end."""
    app = FastAPI()

    @app.api_route("/ok", methods=["GET", "POST"])
    async def ok() -> dict[str, str]:
        ran.append("ok")
        return {"answer": "yes"}

    @app.post("/created", status_code=201)
    async def created() -> dict[str, str]:
        ran.append("created")
        return {}

    @app.get("/missing")
    async def missing() -> None:
        ran.append("missing")
        raise HTTPException(404)

    @app.get("/returned")
    async def returned() -> JSONResponse:
        ran.append("returned")
        return JSONResponse({}, 422)

    @app.get("/raises")
    async def raises() -> None:
        ran.append("raises")
        raise ZeroDivisionError

    @app.get("/moved")
    async def moved() -> JSONResponse:
        ran.append("moved")
        return JSONResponse({}, 307)

    @app.get("/items/{name}")
    async def item(name: str) -> str:
        ran.append(name)
        return name

    return app


# Who is let in


@pytest.mark.parametrize("database", DATABASES)
async def test_of_a_hundred_at_once_on_an_account_of_fifty_fifty_handlers_run(credits: AsyncCredits) -> None:
    """All fifty are inside at the same time: each waits for the others before it answers."""
    await credits.adjust("alice", to=50, reason="the test")
    ran = 0
    full = asyncio.Event()
    app = FastAPI()

    @app.get("/call")
    async def call() -> str:
        nonlocal ran
        ran += 1
        if ran == 50:
            full.set()
        await full.wait()
        return "done"

    limits = httpx.Limits(max_connections=100)
    async with (
        serving(metered(app, credits, refuse=api_calls)) as address,
        httpx.AsyncClient(base_url=address, headers=ALICE, limits=limits, timeout=60) as client,
    ):
        answers = await asyncio.gather(*(client.get("/call") for _ in range(100)))
    statuses = [answer.status_code for answer in answers]
    assert (ran, statuses.count(200), statuses.count(402)) == (50, 50, 50)
    assert await posted_and_held(credits) == (0, 0)
    assert [t.type for t in (await credits.history("alice", limit=200)).data].count("CONSUMPTION") == 50


async def test_behind_a_service_it_is_the_same(service: Service) -> None:
    """The app's ledger is a service, on another server: forty at once on an account of twenty."""
    ran = 0
    full = asyncio.Event()
    app = FastAPI()

    @app.get("/call")
    async def call() -> str:
        nonlocal ran
        ran += 1
        if ran == 20:
            full.set()
        await full.wait()
        return "done"

    async with AsyncCredits.open(service.url) as credits:
        await credits.open_account("alice")
        await credits.adjust("alice", to=20, reason="the test")
        async with (
            serving(metered(app, credits)) as address,
            httpx.AsyncClient(base_url=address, headers=ALICE, timeout=60) as client,
        ):
            answers = await asyncio.gather(*(client.get("/call") for _ in range(40)))
        statuses = [answer.status_code for answer in answers]
        assert (ran, statuses.count(200), statuses.count(402)) == (20, 20, 20)
        assert await posted_and_held(credits) == (0, 0)


async def test_below_the_price_it_is_refused_before_the_handler(
    credits: AsyncCredits, app: FastAPI, ran: list[str]
) -> None:
    await credits.adjust("alice", to="0.5", reason="the test")
    async with serving(metered(app, credits)) as address, httpx.AsyncClient(base_url=address) as client:
        answer = await client.get("/ok", headers=ALICE)
    assert (answer.status_code, answer.json()) == (402, {"error": "This needs 1 credits; 0.5 are available."})
    assert ran == []
    assert await posted_and_held(credits) == (Decimal("0.5"), 0)


@pytest.mark.parametrize(
    ("refuse", "content_type", "body"),
    [
        (
            api_calls,
            "application/json",
            {"error": "Insufficient credits. Please contact support to add more credits to your account."},
        ),
        (skills, "application/json", {"error": "Insufficient credits"}),
        (
            problem,
            "application/problem+json",
            {
                "type": "urn:bursar:problem:insufficient_credits",
                "status": 402,
                "code": "insufficient_credits",
                "detail": "This needs 500 credits; 100 are available.",
                "required": 500,
                "available": 100,
                "resets_at": "2026-02-01T00:00:00Z",
            },
        ),
    ],
)
async def test_the_body_of_a_402_is_the_apps_choice(
    credits: AsyncCredits, app: FastAPI, refuse: Any, content_type: str, body: dict[str, Any]
) -> None:
    async with (
        serving(metered(app, credits, price=500, refuse=refuse)) as address,
        httpx.AsyncClient(base_url=address) as client,
    ):
        answer = await client.get("/ok", headers=ALICE)
    assert (answer.status_code, answer.headers["content-type"], answer.json()) == (402, content_type, body)


async def test_nobody_pays_for_nobody(credits: AsyncCredits, app: FastAPI, ran: list[str]) -> None:
    async with serving(metered(app, credits)) as address, httpx.AsyncClient(base_url=address) as client:
        answer = await client.get("/ok")
    assert (answer.status_code, ran) == (401, [])


async def test_an_account_is_opened_on_first_sight(credits: AsyncCredits, app: FastAPI) -> None:
    async with serving(metered(app, credits)) as address, httpx.AsyncClient(base_url=address) as client:
        answers = await asyncio.gather(*(client.get("/ok", headers={"x-user": "bob"}) for _ in range(5)))
        assert [answer.status_code for answer in answers] == [200] * 5
    assert await posted_and_held(credits, "bob") == (95, 0)


async def test_or_not_opened_where_that_is_asked_for(credits: AsyncCredits, app: FastAPI) -> None:
    async with (
        serving(metered(app, credits, open_accounts=False)) as address,
        httpx.AsyncClient(base_url=address) as client,
    ):
        answer = await client.get("/ok", headers={"x-user": "bob"})
        strange = await client.get("/ok", headers={"x-user": "a/b"})
    assert (answer.status_code, answer.json()) == (404, {"error": "There is no account 'bob'."})
    assert strange.status_code == 422


async def test_when_the_ledger_is_away_nobody_is_let_in(
    credits: AsyncCredits, app: FastAPI, ran: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    await credits.close()
    async with serving(metered(app, credits)) as address, httpx.AsyncClient(base_url=address) as client:
        answer = await client.get("/ok", headers=ALICE)
    assert (answer.status_code, answer.headers["retry-after"], ran) == (503, "1", [])
    assert "closed" in caplog.text


# What each response comes to


@pytest.mark.parametrize(
    ("path", "status", "posted"),
    [
        ("/ok", 200, 99),
        ("/missing", 404, 100),
        ("/nowhere", 404, 100),
        ("/returned", 422, 100),
        ("/moved", 307, 100),
        ("/raises", 500, 100),
    ],
)
async def test_one_credit_for_each_2xx_and_none_otherwise(
    credits: AsyncCredits, app: FastAPI, path: str, status: int, posted: int
) -> None:
    async with serving(metered(app, credits)) as address, httpx.AsyncClient(base_url=address) as client:
        answer = await client.get(path, headers=ALICE)
        assert answer.status_code == status
        # Whoever has the answer finds it paid.
        if status == 200:
            assert await posted_and_held(credits) == (posted, 0)
    assert await posted_and_held(credits) == (posted, 0)


def streaming(parts: Callable[[], AsyncIterator[str]]) -> FastAPI:
    app = FastAPI()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(parts())

    return app


async def test_a_stream_is_charged_once_it_is_whole(credits: AsyncCredits) -> None:
    async def parts() -> AsyncIterator[str]:
        for word in ("to", "be"):
            assert await posted_and_held(credits) == (100, 1)
            yield word

    async with serving(metered(streaming(parts), credits)) as address, httpx.AsyncClient(base_url=address) as client:
        answer = await client.get("/stream", headers=ALICE)
        assert (answer.status_code, answer.text) == (200, "tobe")
        assert await posted_and_held(credits) == (99, 0)


async def test_a_stream_that_breaks_costs_nothing(credits: AsyncCredits) -> None:
    async def parts() -> AsyncIterator[str]:
        yield "to"
        raise ZeroDivisionError

    async with serving(metered(streaming(parts), credits)) as address, httpx.AsyncClient(base_url=address) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/stream", headers=ALICE)
        await eventually(lambda: _nothing_held(credits))
    assert await posted_and_held(credits) == (100, 0)


@pytest.mark.parametrize(("real", "posted"), [(None, 90), ("2.5", Decimal("97.5")), (0, 100)])
async def test_a_client_that_leaves_a_stream_pays_as_far_as_it_came(
    credits: AsyncCredits, real: Any, posted: Any
) -> None:
    async def parts() -> AsyncIterator[str]:
        if real is not None:
            meter().cost(real)
        yield "to"
        await asyncio.Event().wait()

    async with (
        serving(metered(streaming(parts), credits, price=10)) as address,
        httpx.AsyncClient(base_url=address) as client,
    ):
        async with client.stream("GET", "/stream", headers=ALICE) as answer:
            assert await anext(answer.aiter_text()) == "to"
            assert await posted_and_held(credits) == (100, 10)
        await eventually(lambda: _nothing_held(credits))
    assert await posted_and_held(credits) == (posted, 0)


async def test_a_client_that_does_not_wait_for_a_2xx_pays_for_it(credits: AsyncCredits) -> None:
    inside, leave = asyncio.Event(), asyncio.Event()
    app = FastAPI()

    @app.get("/slow")
    async def slow() -> str:
        inside.set()
        await leave.wait()
        return "done"

    async with serving(metered(app, credits)) as address, httpx.AsyncClient(base_url=address) as client:
        request = asyncio.create_task(client.get("/slow", headers=ALICE))
        await inside.wait()
        request.cancel()
        await asyncio.wait([request])
        leave.set()
        await eventually(lambda: _nothing_held(credits))
    assert await posted_and_held(credits) == (99, 0)


@pytest.mark.parametrize(("status", "posted"), [(None, 100), (200, 99), (500, 100)])
async def test_a_handler_that_its_server_cancels(credits: AsyncCredits, status: int | None, posted: int) -> None:
    """Some servers cancel the handler of a client that left."""
    inside = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if status is not None:
            await send({"type": "http.response.start", "status": status, "headers": []})
        inside.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(_call(metered(app, credits)))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await posted_and_held(credits) == (posted, 0)


async def test_a_handler_that_stops_before_the_end_costs_nothing(credits: AsyncCredits) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    await _call(metered(app, credits))
    assert await posted_and_held(credits) == (100, 0)


async def test_what_the_server_says_of_a_lost_connection_is_a_client_that_left(credits: AsyncCredits) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    async def broken(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await _call(metered(app, credits), broken)
    assert await posted_and_held(credits) == (99, 0)


async def test_an_error_after_the_end_changes_nothing(credits: AsyncCredits) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"whole"})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await _call(metered(app, credits))
    assert await posted_and_held(credits) == (99, 0)


async def test_an_answer_goes_out_even_if_the_ledger_is_away_by_then(
    credits: AsyncCredits, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()

    @app.get("/last")
    async def last() -> str:
        await credits.close()
        return "done"

    async with (
        serving(metered(app, credits, ttl_seconds=1)) as address,
        httpx.AsyncClient(base_url=address) as client,
    ):
        assert (await client.get("/last", headers=ALICE)).status_code == 200
    assert "could not be settled" in caplog.text
    async with AsyncCredits.open(url, clock="2026-01-10T12:00:02Z") as again:  # the hold's time is over
        assert await posted_and_held(again) == (100, 0)
        await again.renew("alice")  # writes what was due


@pytest.mark.parametrize(("on_crash", "posted"), [("release", 100), ("capture_held", 99)])
async def test_a_process_that_dies_leaves_what_the_app_chose(
    credits: AsyncCredits, url: str, on_crash: str, posted: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        (hold,) = (await credits.holds("alice")).data
        assert (hold.state, hold.on_expiry) == ("dispatched", on_crash)
        await credits.close()  # from here on this process says nothing more

    await _call(metered(app, credits, on_crash=on_crash, ttl_seconds=1))
    async with AsyncCredits.open(url, clock="2026-01-10T12:00:02Z") as again:
        await again.charge("alice", 1)
        assert await posted_and_held(again) == (posted - 1, 0)


async def test_the_real_cost_may_be_less_or_more_or_nothing(credits: AsyncCredits) -> None:
    await credits.skills.add("CHAT", components=[{"unit": "output_token", "credits": "0.5", "per": 1}])
    app = FastAPI()

    @app.get("/chat/{tokens}")
    def chat(tokens: int) -> None:  # in a thread
        meter().cost(usage={"output_tokens": tokens}, provider_cost_usd="0.01", description="a chat")

    @app.get("/free")
    async def free() -> None:
        meter().free()

    price = {"skill": "CHAT", "usage": {"output_tokens": 20}}
    async with (
        serving(metered(app, credits, price=price)) as address,
        httpx.AsyncClient(base_url=address, headers=ALICE) as client,
    ):
        for path in ("/chat/3", "/chat/30", "/free"):
            assert (await client.get(path)).status_code == 200
    receipts = (await credits.history("alice", type="CONSUMPTION")).data
    assert [receipt.amount for receipt in receipts] == [0, -15, Decimal("-1.5")]
    assert (receipts[1].description, receipts[1].provider_cost_usd) == ("a chat", "0.01")
    assert receipts[0].description == "GET /free"


async def test_a_real_cost_that_makes_no_sense_is_refused_in_the_handler(credits: AsyncCredits) -> None:
    app = FastAPI()

    @app.get("/call")
    async def call() -> str:
        with pytest.raises(Invalid, match="amount"):
            meter().cost(-1)
        with pytest.raises(Invalid, match="usage"):
            meter().cost(1, usage={"images": 1})
        return meter().hold_id

    async with serving(metered(app, credits)) as address, httpx.AsyncClient(base_url=address) as client:
        assert (await client.get("/call", headers=ALICE)).status_code == 200
    assert await posted_and_held(credits) == (99, 0)


async def test_usage_where_an_amount_was_held_is_charged_as_quoted(
    credits: AsyncCredits, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()

    @app.get("/call")
    async def call() -> None:
        meter().cost(usage={"images": 1})

    async with serving(metered(app, credits, price=4)) as address, httpx.AsyncClient(base_url=address) as client:
        assert (await client.get("/call", headers=ALICE)).status_code == 200
    assert await posted_and_held(credits) == (96, 0)
    assert "the quote is charged" in caplog.text


def test_outside_of_what_costs_credits_there_is_no_meter() -> None:
    with pytest.raises(LookupError, match="nothing that runs here"):
        meter()


# Prices


async def test_each_route_has_its_price_and_some_are_free(credits: AsyncCredits, app: FastAPI, ran: list[str]) -> None:
    middleware = metered(
        app,
        credits,
        price=1,
        routes={
            "POST /ok": "IMAGE_GENERATION",
            "/items/free": None,
            "/items/{name}": lambda request: len(request.path),
        },
        exclude=["/created"],
    )
    async with serving(middleware) as address, httpx.AsyncClient(base_url=address, headers=ALICE) as client:
        costs = []
        for method, path in (
            ("GET", "/ok"),
            ("POST", "/ok"),
            ("GET", "/items/free"),
            ("GET", "/items/abc"),
            ("POST", "/created"),
            ("OPTIONS", "/ok"),
        ):
            before, _ = await posted_and_held(credits)
            await client.request(method, path)
            costs.append(before - (await posted_and_held(credits))[0])
    assert costs == [1, 5, 0, 10, 0, 0]
    assert ran == ["ok", "ok", "free", "abc", "created"]


async def test_a_price_may_be_awaited_for_and_name_its_terms(credits: AsyncCredits, app: FastAPI) -> None:
    async def price(request: Request) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        count = int(request.query.get("n", "0"))
        return {"skill": "TEXT_GENERATION", "quantity": count, "member": "bob"} if count else None

    async def account(request: Request) -> str | None:
        await asyncio.sleep(0)
        return who(request)

    middleware = CreditsMiddleware(app, lambda: credits, account=account, price=price, actor="shop")
    async with serving(middleware) as address, httpx.AsyncClient(base_url=address, headers=ALICE) as client:
        assert (await client.get("/ok?n=3")).status_code == 200
        assert (await client.get("/ok")).status_code == 200
    (receipt,) = (await credits.history("alice", type="CONSUMPTION")).data
    assert (receipt.amount, receipt.member, receipt.actor, receipt.skill) == (-3, "bob", "shop", "TEXT_GENERATION")


async def test_a_skills_price_and_kill_switch_hold_for_the_very_next_request(
    credits: AsyncCredits, app: FastAPI, ran: list[str]
) -> None:
    async with (
        serving(metered(app, credits, price="TEXT_GENERATION", refuse=skills)) as address,
        httpx.AsyncClient(base_url=address, headers=ALICE) as client,
    ):
        await client.get("/ok")
        await credits.skills.set_price("TEXT_GENERATION", 7)
        await client.get("/ok")
        assert await posted_and_held(credits) == (92, 0)
        await credits.skills.disable("TEXT_GENERATION")
        answer = await client.get("/ok")
    assert (answer.status_code, answer.json(), len(ran)) == (402, {"error": "Tool disabled"}, 2)


async def test_blocking_credits_are_refused_on_an_event_loop(app: FastAPI, blocking: Credits) -> None:
    with pytest.raises(TypeError, match="would block the event loop"):
        await _call(metered(app, blocking))


async def test_what_is_no_http_request_passes(credits: AsyncCredits) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await metered(app, credits)({"type": "lifespan"}, _no, _no)
    assert seen == ["lifespan"]


async def _nothing_held(credits: AsyncCredits) -> bool:
    return bool((await posted_and_held(credits))[1] == 0)


async def _no(*_: Any) -> Any:
    return {"type": "http.request", "body": b""}


async def _call(app: Any, send: Any = _no) -> None:
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": [(b"x-user", b"alice")], "query_string": b""}
    await app(scope, _no, send)
