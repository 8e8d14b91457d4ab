"""The proof: every row of the ledger recomputed by the rules."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from msgspec import Struct

from bursar.core import text
from bursar.service.auth import Permission
from bursar.service.context import Here
from bursar.service.depends import Json, May, answer, answers
from bursar.service.wire import Body
from bursar.verify import Verdict, verify

router = APIRouter(tags=["proof"])


class VerifyBody(Body, kw_only=True):
    """One account, or everything."""

    account: str | None = None


class VerifyAnswer(Struct, frozen=True):
    """Whether the ledger is sound; if not, `findings` name table, account and row."""

    sound: bool
    verdict: Verdict


@router.post("/verify", **answers(VerifyAnswer, takes=VerifyBody), dependencies=[May(Permission.PROVE)])
async def verify_ledger(here: Here, body: Annotated[VerifyBody, Json(VerifyBody)]) -> Response:
    """Recompute every row, and name what is wrong."""
    if body.account is not None:
        text.check_id("account", body.account)
    accounts = None if body.account is None else [body.account]
    verdict = await verify(here.credits.store, accounts=accounts)
    return answer(VerifyAnswer(sound=not verdict.findings and verdict.complete, verdict=verdict))
