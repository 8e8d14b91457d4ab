"""Runs: a budget for a whole task, which calls that name it draw from."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from bursar.answers import Page, Receipt, RunAnswer
from bursar.core.book import Outcome
from bursar.core.commands import DEFAULT_TTL_SECONDS, CloseRun, Command, OpenRun
from bursar.credits import arguments
from bursar.service.auth import Caller, Permission
from bursar.service.context import Context, Here
from bursar.service.depends import (
    AccountId,
    Cursor,
    IdempotencyKey,
    Json,
    Limit,
    May,
    answer,
    answers,
    path_name,
)
from bursar.service.hot import Asked, CommandBody, idempotency_key

router = APIRouter(tags=["runs"])

RunId = Annotated[str, Path(description="The run's id")]


class RunBody(CommandBody, kw_only=True):
    """A `budget` that is set aside for `ttl_seconds` at most; in another `run`, out of that one's."""

    budget: Decimal
    ttl_seconds: int = DEFAULT_TTL_SECONDS
    run: str | None = None
    member: str | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None

    def command(self, asked: Asked) -> OpenRun:
        return OpenRun(
            **asked.stamp(),
            budget=arguments.amount_of("budget", self.budget),
            ttl_seconds=self.ttl_seconds,
            run=self.run,
            member=self.member,
            description=self.description,
            metadata=arguments.json_of("metadata", self.metadata),
        )


class CloseBody(CommandBody, kw_only=True):
    """Nothing but a key."""

    def command(self, asked: Asked) -> CloseRun:
        return CloseRun(**asked.stamp(), run=asked.item)


@router.post("/accounts/{account}/runs", **answers(RunAnswer, 201, takes=RunBody))
async def open_run(
    caller: Annotated[Caller, May(Permission.SPEND)],
    account: AccountId,
    here: Here,
    key: IdempotencyKey,
    body: Annotated[RunBody, Json(RunBody)],
) -> Response:
    """Set a budget aside."""
    asked = Asked(caller, account, key=_key(key, body))
    return await _shown(here, await _carry_out(here, body.command(asked)), 201)


@router.get("/accounts/{account}/runs", **answers(Page[RunAnswer]), dependencies=[May(Permission.READ)])
async def list_runs(account: AccountId, here: Here, cursor: Cursor, limit: Limit = 100) -> Response:
    """An account's runs, ended ones too."""
    return answer(await here.credits.runs(account, cursor=cursor, limit=limit))


@router.get("/accounts/{account}/runs/{run}", **answers(RunAnswer), dependencies=[May(Permission.READ)])
async def get_run(account: AccountId, run: RunId, here: Here) -> Response:
    """A run: what is left, what is held, and what its calls came to."""
    return answer(await here.credits.get_run(account, path_name("run", run)))


@router.get(
    "/accounts/{account}/runs/{run}/transactions", **answers(Page[Receipt]), dependencies=[May(Permission.READ)]
)
async def list_calls(account: AccountId, run: RunId, here: Here, cursor: Cursor, limit: Limit = 100) -> Response:
    """What a run's calls were charged, newest first."""
    return answer(await here.credits.run_calls(account, path_name("run", run), cursor=cursor, limit=limit))


@router.post("/accounts/{account}/runs/{run}/close", **answers(RunAnswer, takes=CloseBody))
async def close_run(
    caller: Annotated[Caller, May(Permission.SPEND)],
    account: AccountId,
    run: RunId,
    here: Here,
    key: IdempotencyKey,
    body: Annotated[CloseBody, Json(CloseBody)],
) -> Response:
    """End a run: calls in flight end by their own rule, what is left returns. One that has ended is shown."""
    asked = Asked(caller, account, path_name("run", run), _key(key, body))
    return await _shown(here, await _carry_out(here, body.command(asked)), 200)


def _key(from_header: str | None, body: CommandBody) -> str | None:
    return idempotency_key(None if from_header is None else from_header.encode(), body.idempotency_key)


async def _carry_out(here: Context, command: Command) -> Outcome:
    return await here.engine.submit(command)


async def _shown(here: Context, outcome: Outcome, status: int) -> Response:
    assert outcome.hold is not None, "a run is a hold"
    run = await here.credits.get_run(outcome.hold.account_id, outcome.hold.hold_id)
    return answer(run, status, replayed=outcome.replayed)
