"""One generation: the credits are held before the call, captured after it, released when it fails.

The hold carries the caller's idempotency key, so a repeat finds it: while the first is under way it is refused,
afterwards it is answered as the first time, from what was kept. A generation that failed has cost nothing, and a
repeat of it tries again under the next key. What was made is kept before it is charged for: whoever paid can fetch
it, and nobody pays for what is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

import msgspec
from msgspec import Struct

from bursar import entropy
from bursar.answers import ENCODER
from bursar.core import text
from bursar.core.commands import Capture, PlaceHold, Release
from bursar.core.errors import BursarError, Conflict, IdempotencyConflict
from bursar.core.model import Hold, HoldState, OnExpiry, Transaction, Usage
from bursar.core.money import Nanos
from bursar.service.auth import Caller
from bursar.service.context import Context
from bursar.service.media import Medium, answer
from bursar.service.providers.base import Call
from bursar.store.base import Tx

GRACE_SECONDS: Final = 60
"""How much longer than the provider may take the credits stay held."""

MAX_ATTEMPTS: Final = 20
ENDED_FREE: Final = frozenset((HoldState.RELEASED, HoldState.EXPIRED))

logger = logging.getLogger("bursar.generation")


class StillGenerating(Conflict):
    """The same request is still under way: ask again in a moment."""

    code = "still_generating"


class TriedTooOften(Conflict):
    """This request failed too often under this idempotency key: use another one."""

    code = "tried_too_often"


class Request(Struct, frozen=True):
    """What is to be generated, and for whom; `content` is what makes a repeat the same request.

    It costs what the skill costs; with a `call`, what its model takes: the most of it is held.
    """

    account: str
    skill: str
    caller: Caller
    key: str | None
    content: tuple[object, ...]
    call: Call | None = None


class Made(Struct, frozen=True):
    """What came of it: the answer, but for what it cost and left, and what is to be kept beside it."""

    shown: dict[str, Any]
    media: tuple[Medium, ...] = ()
    usage: Usage | None = None
    """What was measured; without it what was held is charged."""


class Generated(Struct, frozen=True):
    """The answer and what paid for it; `replayed` where it was made, and paid for, before."""

    shown: dict[str, Any]
    paid: Transaction
    replayed: bool

    @property
    def left(self) -> Nanos:
        """What could be spent right after."""
        return self.paid.available_after


Make = Callable[[str], Awaitable[Made]]
"""Makes it, under the given generation id."""


async def generate(here: Context, request: Request, make: Make) -> Generated:
    """Hold, make, keep, capture. Raises what the ledger refuses, and `ProviderFailed`."""
    hold, replayed = await _place(here, request)
    generation_id = str(uuid5(NAMESPACE_OID, hold.hold_id))
    if replayed:
        return await _again(here, hold, generation_id)
    try:
        made = await make(generation_id)
        await here.media.keep(*made.media, answer(generation_id, request.account, ENCODER.encode(made.shown)))
        captured = await here.engine.execute(
            Capture(**_stamp(request), hold=hold.hold_id, usage=made.usage, description=request.skill.lower())
        )
    except BaseException:
        # Also when the server stops in the middle: nobody pays for what they did not get.
        await asyncio.shield(_release(here, request, hold))
        raise
    if captured.transaction is None:
        raise RuntimeError("a capture made no transaction")
    return Generated(made.shown, captured.transaction, replayed=False)


async def _place(here: Context, request: Request) -> tuple[Hold, bool]:
    """The hold of this request, and whether it was there already."""
    for attempt in range(MAX_ATTEMPTS):
        try:
            outcome = await here.engine.execute(_hold(here, request, attempt))
        except IdempotencyConflict:
            raise IdempotencyConflict(request.key or "") from None
        if outcome.hold is None:
            raise RuntimeError("a hold made no hold")
        if not outcome.replayed or outcome.hold.state not in ENDED_FREE:
            return outcome.hold, outcome.replayed
    raise TriedTooOften


def _hold(here: Context, request: Request, attempt: int) -> PlaceHold:
    """A crash leaves it to expire for nothing: the document charges for results only."""
    key = metadata = None
    if request.key is not None:
        text.check_key("idempotency_key", request.key)
        key = f"ai:{_digest(request.key)}:{attempt}"
        metadata = msgspec.json.encode({"request": _digest(*request.content)}).decode()
    return PlaceHold(
        **_stamp(request),
        key=key,
        skill=request.skill if request.call is None else None,
        model=None if request.call is None else request.call.model,
        usage=None if request.call is None else request.call.at_most,
        dispatched=True,
        ttl_seconds=int(here.settings.provider_timeout_seconds) + GRACE_SECONDS,
        on_expiry=OnExpiry.RELEASE,
        description=request.skill.lower(),
        metadata=metadata,
    )


async def _again(here: Context, hold: Hold, generation_id: str) -> Generated:
    """The first answer, from what was kept and from the transaction that paid for it."""
    if hold.unsettled:
        raise StillGenerating
    kept = await here.media.find(hold.account_id, generation_id)

    async def find(tx: Tx) -> list[Transaction]:
        return await tx.transactions([(hold.account_id, hold.settled_seq)])

    paid = await here.credits.store.read(find)
    if kept is None or not paid:
        raise TriedTooOften
    return Generated(msgspec.json.decode(kept.content), paid[0], replayed=True)


async def _release(here: Context, request: Request, hold: Hold) -> None:
    try:
        await here.engine.execute(Release(**_stamp(request), hold=hold.hold_id))
    except BursarError as error:
        # It expires by itself, for nothing.
        logger.warning("the hold %s could not be released: %s", hold.hold_id, error, extra={"hold": hold.hold_id})


def _stamp(request: Request) -> dict[str, Any]:
    token, salt = entropy.identity()
    return {"account": request.account, "token": token, "salt": salt, "actor": request.caller.actor}


def _digest(*parts: object) -> str:
    return sha256(msgspec.json.encode(parts)).hexdigest()[:32]
