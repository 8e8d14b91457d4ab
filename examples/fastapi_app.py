"""A FastAPI app whose routes cost credits: one by a dependency, the others by middleware.

    python examples/fastapi_app.py

    curl -X POST http://127.0.0.1:8000/api/my-tool -H 'X-User: alice'       402 {"error": "Insufficient credits"}
    curl -X POST http://127.0.0.1:8000/api/top-up  -H 'X-User: alice'
    curl -X POST http://127.0.0.1:8000/api/my-tool -H 'X-User: alice'       200, and 10 credits less
    curl http://127.0.0.1:8000/api/words -H 'X-User: alice'                 a stream, 1 credit
    curl http://127.0.0.1:8000/api/credits -H 'X-User: alice'               free

`BURSAR_URL` says where the ledger is: a database, or a service (`https://...`, with its key in BURSAR_API_KEY). A skill
`MY_NEW_TOOL` for 10 credits is added where there is none; an administrator may change its price or disable it while the
app runs, and the next call costs that.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Header
from fastapi.responses import StreamingResponse

from bursar import AsyncCredits, SkillNotFound
from bursar.integrations.asgi import CreditsMiddleware
from bursar.integrations.fastapi import install, spends
from bursar.integrations.meter import Meter
from bursar.integrations.prices import Request
from bursar.integrations.refusals import api_calls, skills

URL = os.environ.get("BURSAR_URL", "sqlite:///bursar.db")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncCredits.open(URL) as credits:
        app.state.credits = credits
        try:
            await credits.skills.get("MY_NEW_TOOL")
        except SkillNotFound:
            await credits.skills.add("MY_NEW_TOOL", 10, display_name="My Awesome Feature")
        yield


app = FastAPI(lifespan=lifespan)
install(app)


def ledger() -> AsyncCredits:
    return app.state.credits


async def current_user(
    credits: Annotated[AsyncCredits, Depends(ledger)], x_user: Annotated[str | None, Header()] = None
) -> str | None:
    """Who is asking. A stand-in for your sign-in: never trust such a header from outside.

    Nobody here begins with credits; without this line the account would be opened with the default plan.
    """
    if x_user is not None:
        await credits.open_account(x_user, plan=None)
    return x_user


User = Annotated[str, Depends(current_user)]
Tool = Annotated[Meter, spends("MY_NEW_TOOL", credits=ledger, account=current_user, refuse=skills)]


@app.post("/api/my-tool")
async def my_tool(call: Tool) -> dict[str, object]:
    return {"success": True, "held": call.amount}


@app.get("/api/words")
async def words() -> StreamingResponse:
    async def stream() -> AsyncIterator[str]:
        for word in ("to ", "be ", "or ", "not"):
            yield word

    return StreamingResponse(stream())


@app.post("/api/top-up")
async def top_up(user: User) -> dict[str, object]:
    given = await ledger().grant(user, 15, source="purchase")
    return {"credits": given.transaction.available if given.transaction else 0}


@app.get("/api/credits")
async def credits_left(user: User) -> dict[str, object]:
    return {"credits": (await ledger().balance(user)).available}


def payer(request: Request) -> str | None:
    """Who pays for what the middleware meters: a stand-in, as above."""
    return request.headers.get("x-user")


app.add_middleware(CreditsMiddleware, credits=ledger, account=payer, routes={"/api/words": 1}, refuse=api_calls)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")), log_level="warning")
