"""Up to a thousand charges in one request, each for itself: one that is refused says why and holds up none of the
others.

An item is taken apart by itself, so that what makes one of them unreadable (a lone surrogate, a number without an
end) is its own affair. All are queued before any is awaited: they share one commit.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from msgspec import Raw, Struct

from bursar.answers import ENCODER
from bursar.clock import monotonic
from bursar.core.book import Outcome
from bursar.core.errors import BursarError, Invalid
from bursar.service.api.bodies import ChargeBody
from bursar.service.auth import Caller, Permission, require
from bursar.service.context import Context
from bursar.service.hot import Asked, refusal_of, send_problem
from bursar.service.openapi import Operation
from bursar.service.problems import Refusal, problem_of
from bursar.service.wire import (
    Body,
    Gone,
    Receive,
    Scope,
    Send,
    decode_body,
    header,
    read_body,
    send_answer,
    split_list,
)

PATH: Final = b"/api/v1/charges/batch"
PERMISSION: Final = Permission.SPEND
MAX_ITEMS: Final = 1_000
CHARGED: Final = 201


class ItemBody(ChargeBody, kw_only=True):
    """One charge of a batch."""

    account: str


class BatchBody(Body, kw_only=True):
    """The charges, in the order in which they are answered."""

    charges: list[ItemBody]


class BatchAnswer(Struct):
    """For each its `status`, and the receipt or the problem."""

    results: list[dict[str, Any]]


class _Items(Body, kw_only=True):
    """A `BatchBody` whose items are not looked at yet."""

    charges: list[Raw]


OPERATION: Final = Operation(
    PATH.decode(), "charge_batch", "Charge up to 1,000, each for itself", BatchBody, BatchAnswer, (200,)
)


Result = asyncio.Future[Outcome] | BursarError | Refusal


async def charge_batch(context: Context, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request."""
    began = monotonic()
    try:
        caller = await context.authenticator.identify(header(scope, b"authorization"))
        require(caller, PERMISSION)
        if header(scope, b"idempotency-key") is not None:
            raise Invalid("idempotency_key", "stands at each item of a batch, not at the whole")
        raw = await read_body(scope, receive, context.settings.body_limit_bytes)
        items = split_list(raw, _Items, "charges")
        if len(items) > MAX_ITEMS:
            raise Invalid("charges", f"must be at most {MAX_ITEMS}")
        submitted = [_submit(item, caller, context) for item in items]
        futures = [result for result in submitted if isinstance(result, asyncio.Future)]
        await asyncio.gather(*futures, return_exceptions=True)
        results = [_show(result, context, monotonic() - began) for result in submitted]
        answer = ENCODER.encode({"results": results})
    except Gone:
        return None
    except Exception as error:  # noqa: BLE001 - whatever it is, it is answered
        return await send_problem(send, refusal_of(error, scope))
    return await send_answer(send, 200, answer)


def _submit(item: bytes, caller: Caller, context: Context) -> Result:
    try:
        body = decode_body(item, ItemBody)
        return context.engine.submit(body.command(Asked(caller, body.account, key=body.idempotency_key)))
    except (BursarError, Refusal) as refusal:
        return refusal


def _show(result: Result, context: Context, seconds: float) -> Raw:
    """One result: the receipt or the problem, with its status first."""
    if isinstance(result, asyncio.Future):
        error = result.exception()
        if error is None:
            return _show_receipt(result.result(), context, seconds)
        if not isinstance(error, BursarError):
            raise error
        result = error
    problem = problem_of(result)
    context.metrics.refused("charge", problem.code)
    return Raw(problem.encode())


def _show_receipt(outcome: Outcome, context: Context, seconds: float) -> Raw:
    context.metrics.did("charge", replayed=outcome.replayed, seconds=seconds)
    if outcome.transaction is None:
        raise RuntimeError("a charge made no transaction")
    receipt = ENCODER.encode(context.receipts.of(outcome.transaction))
    again = b'"idempotency_replayed":true,' if outcome.replayed else b""
    return Raw(b'{"status":%d,%b%b' % (CHARGED, again, receipt[1:]))
