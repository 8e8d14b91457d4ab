"""An endpoint that does nothing, as FastAPI does it: what the HTTP figure is measured against.

`python -m bursar.bench.noop PORT` serves it on uvicorn with uvloop and httptools, one process, no access log.
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class ChargeBody(BaseModel):
    """The body of a charge."""

    skill: str
    idempotency_key: str | None = None


app = FastAPI()


@app.post("/api/v1/accounts/{account}/charges", status_code=201)
async def charge(account: str, body: ChargeBody) -> dict[str, str]:
    """Answer at once."""
    return {"account": account, "skill": body.skill}


@app.get("/readyz")
async def ready() -> dict[str, str]:
    """Say so."""
    return {"status": "ready"}


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
