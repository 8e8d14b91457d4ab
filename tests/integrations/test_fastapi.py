"""The FastAPI dependency, on a real uvicorn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from bursar.credits import AsyncCredits
from bursar.integrations.fastapi import install, spends
from bursar.integrations.meter import Meter, meter
from bursar.integrations.refusals import skills
from tests.integrations.conftest import eventually, serving

ALICE = {"x-user": "alice"}


def current_user(x_user: Annotated[str | None, Header()] = None) -> str | None:
    return x_user


def price_asked(request: Request) -> str | None:
    return request.query_params.get("price")


async def posted_and_held(credits: AsyncCredits) -> tuple[Any, Any]:
    balance = await credits.balance("alice")
    return balance.posted, balance.held


@pytest.fixture
def app(credits: AsyncCredits) -> FastAPI:
    """An app with a route for every way to end."""

    async def ledger() -> AsyncCredits:
        return credits

    def spending(price: Any, **arguments: Any) -> Any:
        return spends(price, credits=ledger, account=current_user, **arguments)

    two, picture, asked = spending(2), spending("IMAGE_GENERATION"), spending(price_asked)
    app = FastAPI()

    @app.get("/ok")
    async def ok(call: Meter = two) -> str:
        assert call is meter()
        return call.hold_id

    @app.get("/thread")
    def thread(call: Meter = picture) -> None:
        assert meter() is call
        call.cost("2.5", description="less")

    @app.get("/decorated", dependencies=[spending(3)])
    async def decorated() -> None:
        meter()

    @app.get("/free")
    async def free(call: Meter | None = asked) -> bool:
        return call is None

    @app.get("/missing", dependencies=[spending(1)])
    async def missing() -> None:
        raise HTTPException(404)

    @app.get("/set", dependencies=[spending(1)])
    async def set_status(response: Response) -> None:
        response.status_code = 409

    @app.get("/raises", dependencies=[spending(1)])
    async def raises() -> None:
        raise ZeroDivisionError

    @app.get("/dear", dependencies=[spending(1_000)])
    async def dear() -> None:
        pytest.fail("nothing may run")

    @app.get("/tool", dependencies=[spending(1_000, refuse=skills)])
    async def tool() -> None:
        pytest.fail("nothing may run")

    return app


@pytest.mark.parametrize(
    ("path", "status", "posted"),
    [
        ("/ok", 200, 98),
        ("/thread", 200, Decimal("97.5")),
        ("/decorated", 200, 97),
        ("/free", 200, 100),
        ("/free?price=4", 200, 96),
        ("/missing", 404, 100),
        ("/set", 409, 100),
        ("/raises", 500, 100),
        ("/dear", 402, 100),
    ],
)
async def test_what_each_end_comes_to(credits: AsyncCredits, app: FastAPI, path: str, status: int, posted: Any) -> None:
    async with serving(app) as address, httpx.AsyncClient(base_url=address, headers=ALICE) as client:
        assert (await client.get(path)).status_code == status
        await eventually(lambda: _nothing_held(credits))
    assert await posted_and_held(credits) == (posted, 0)


async def test_a_refusal_has_the_body_of_the_apps_choice(app: FastAPI) -> None:
    async with serving(app) as address, httpx.AsyncClient(base_url=address, headers=ALICE) as client:
        assert (await client.get("/tool")).json() == {"detail": {"error": "Insufficient credits"}}
    install(app)
    app.middleware_stack = None
    async with serving(app) as address, httpx.AsyncClient(base_url=address, headers=ALICE) as client:
        answer = await client.get("/tool")
        assert (answer.status_code, answer.json()) == (402, {"error": "Insufficient credits"})
        nobody = await client.get("/ok", headers={"x-user": ""}, follow_redirects=True)
    assert nobody.status_code == 422


async def test_nobody_pays_for_nobody(app: FastAPI) -> None:
    async with serving(app) as address, httpx.AsyncClient(base_url=address) as client:
        assert (await client.get("/ok")).status_code == 401


async def test_when_the_ledger_is_away_nobody_is_let_in(credits: AsyncCredits, app: FastAPI) -> None:
    await credits.close()
    async with serving(app) as address, httpx.AsyncClient(base_url=address, headers=ALICE) as client:
        answer = await client.get("/ok")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_of_many_at_once_no_more_run_than_can_pay(credits: AsyncCredits) -> None:
    ran = 0
    app = FastAPI()

    @app.get("/call", dependencies=[spends(1, credits=credits, account=current_user)])
    async def call() -> None:
        nonlocal ran
        ran += 1
        await asyncio.sleep(0)

    await credits.adjust("alice", to=50, reason="the test")
    async with (
        serving(app) as address,
        httpx.AsyncClient(base_url=address, headers=ALICE, timeout=60) as client,
    ):
        answers = await asyncio.gather(*(client.get("/call") for _ in range(100)))
        await eventually(lambda: _nothing_held(credits))
    statuses = [answer.status_code for answer in answers]
    assert (ran, statuses.count(200), statuses.count(402)) == (50, 50, 50)
    assert await posted_and_held(credits) == (0, 0)


def streaming(credits: AsyncCredits, parts: Any) -> FastAPI:
    ten = spends(10, credits=credits, account=current_user)
    app = FastAPI()

    @app.get("/stream")
    async def stream(call: Meter = ten) -> StreamingResponse:
        return StreamingResponse(parts(call))

    return app


async def test_a_stream_is_charged_once_it_is_whole(credits: AsyncCredits) -> None:
    async def parts(call: Meter) -> AsyncIterator[str]:
        assert await posted_and_held(credits) == (100, 10)
        yield "to"
        call.cost(4)

    async with (
        serving(streaming(credits, parts)) as address,
        httpx.AsyncClient(base_url=address, headers=ALICE) as client,
    ):
        assert (await client.get("/stream")).text == "to"
        await eventually(lambda: _nothing_held(credits))
    assert await posted_and_held(credits) == (96, 0)


async def test_a_stream_that_breaks_costs_nothing(credits: AsyncCredits) -> None:
    async def parts(call: Meter) -> AsyncIterator[str]:
        yield "to"
        raise ZeroDivisionError

    async with (
        serving(streaming(credits, parts)) as address,
        httpx.AsyncClient(base_url=address, headers=ALICE) as client,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/stream")
        await eventually(lambda: _nothing_held(credits))
    assert await posted_and_held(credits) == (100, 0)


async def test_a_client_that_leaves_a_stream_pays_as_far_as_it_came(credits: AsyncCredits) -> None:
    async def parts(call: Meter) -> AsyncIterator[str]:
        call.cost(3)
        yield "to"
        await asyncio.Event().wait()

    async with (
        serving(streaming(credits, parts)) as address,
        httpx.AsyncClient(base_url=address, headers=ALICE) as client,
    ):
        async with client.stream("GET", "/stream") as answer:
            assert await anext(answer.aiter_text()) == "to"
        await eventually(lambda: _nothing_held(credits))
    assert await posted_and_held(credits) == (97, 0)


@pytest.mark.parametrize(("begun", "posted"), [(True, 90), (False, 100)])
async def test_on_a_server_that_says_so_by_an_error_it_is_the_same(
    credits: AsyncCredits, begun: bool, posted: int
) -> None:
    """Newer servers raise where a client is gone; it may be gone before its request was whole, too."""
    app = FastAPI()

    @app.post("/stream", dependencies=[spends(10, credits=credits, account=current_user)])
    async def stream(request: Request) -> StreamingResponse:
        await request.body()

        async def parts() -> AsyncIterator[str]:
            yield "to"

        return StreamingResponse(parts())

    async def receive() -> Any:
        return {"type": "http.request", "body": b""} if begun else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("gone")

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": "POST",
        "path": "/stream",
        "raw_path": b"/stream",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"x-user", b"alice")],
    }
    with pytest.raises((ClientDisconnect, OSError)):
        await app(scope, receive, send)
    assert await posted_and_held(credits) == (posted, 0)


async def _nothing_held(credits: AsyncCredits) -> bool:
    return bool((await posted_and_held(credits))[1] == 0)
