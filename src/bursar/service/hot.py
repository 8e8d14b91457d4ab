"""Verbs: every request that is one ledger command, answered without the framework.

A `Verb` is data: a path, a body, how the two become a command, and how the outcome is shown. All of them take one
way: find the caller (from memory, mostly), read and decode the body, submit, encode. That costs some tens of
microseconds, which is why these requests do not pass through FastAPI; their rules (who may, problems, bounds,
documentation) are the same as everywhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from bursar import entropy
from bursar.answers import ENCODER, Receipts
from bursar.clock import monotonic
from bursar.core.book import Outcome
from bursar.core.commands import Command
from bursar.core.errors import BursarError, DatabaseUnavailable, Invalid, Overloaded
from bursar.service.auth import Caller, Permission, require
from bursar.service.context import Context
from bursar.service.openapi import Operation
from bursar.service.problems import PROBLEM_JSON, Internal, Refusal, problem_of
from bursar.service.wire import (
    REPLAYED,
    Body,
    Gone,
    Receive,
    Scope,
    Send,
    decode_body,
    header,
    read_body,
    segment,
    send_answer,
)
from bursar.store.base import CommitInDoubt, Contention, LockTimeout, Refused

PREFIX = b"/api/v1/"

logger = logging.getLogger("bursar.service")


class Asked(Struct, frozen=True):
    """What a request says beside its body. `account` is empty where the path names none."""

    caller: Caller
    account: str = ""
    item: str = ""
    """The second id of the path: a hold, grant or transaction."""
    key: str | None = None
    """The idempotency key."""
    default_plan: str | None = None
    """What a new account gets."""

    def stamp(self, account: str | None = None) -> dict[str, Any]:
        """What every command carries."""
        token, salt = entropy.identity()
        return {
            "account": self.account if account is None else account,
            "token": token,
            "salt": salt,
            "key": self.key,
            "actor": self.caller.actor,
        }


class CommandBody(Body, kw_only=True):
    """A body that becomes a command, and may carry its idempotency key."""

    idempotency_key: str | None = None

    def command(self, asked: Asked) -> Command:
        """The command that this asks for. Raises `Invalid`."""
        raise NotImplementedError


class Verb(Struct, frozen=True, kw_only=True):
    """One path that carries out one command."""

    path: str
    """Below /api/v1: literals and ids take turns."""
    name: str
    summary: str
    permission: Permission
    body: type[CommandBody]
    show: Callable[[Outcome, Receipts], Struct]
    answer: type[Struct]
    """What `show` returns, for the documentation."""
    status: int = 201
    status_again: int | None = None
    """Where it is there already; replays answer as the first time."""

    @property
    def item_name(self) -> str:
        """What the last id of the path is called."""
        return self.path.rpartition("{")[2].partition("}")[0]

    def operation(self) -> Operation:
        statuses = (self.status,) if self.status_again is None else (self.status, self.status_again)
        return Operation(f"/api/v1/{self.path}", self.name, self.summary, self.body, self.answer, statuses)


class HotRoutes:
    """Finds the verb of a path and carries it out."""

    def __init__(self, verbs: Iterable[Verb]) -> None:
        self._verbs = {_shape(verb.path.split("/")): verb for verb in verbs}

    def find(self, raw_path: bytes) -> tuple[Verb, list[str]] | None:
        """The verb of a path as it came over the wire, and the ids in it, still percent-encoded."""
        if not raw_path.startswith(PREFIX):
            return None
        parts = raw_path[len(PREFIX) :].decode("ascii", "replace").split("/")
        verb = self._verbs.get(_shape(parts))
        return None if verb is None else (verb, parts[1::2])

    async def run(
        self, context: Context, verb: Verb, ids: list[str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer one request."""
        began = monotonic()
        try:
            outcome = await _carry_out(context, verb, ids, scope, receive)
            body = ENCODER.encode(verb.show(outcome, context.receipts))
        except Gone:
            return None
        except Exception as error:  # noqa: BLE001 - whatever it is, it is answered
            refusal = refusal_of(error, scope)
            context.metrics.refused(verb.name, refusal.code)
            return await send_problem(send, refusal)
        context.metrics.did(verb.name, replayed=outcome.replayed, seconds=monotonic() - began)
        if outcome.replayed:
            return await send_answer(send, verb.status, body, headers=(REPLAYED,))
        status = verb.status if outcome.created or verb.status_again is None else verb.status_again
        return await send_answer(send, status, body)


async def _carry_out(context: Context, verb: Verb, ids: list[str], scope: Scope, receive: Receive) -> Outcome:
    authorization = header(scope, b"authorization")
    caller = context.authenticator.remembered(authorization) or await context.authenticator.identify(authorization)
    account = segment("account", ids[0]) if ids else ""
    require(caller, verb.permission, account or None)
    body = decode_body(await read_body(scope, receive, context.settings.body_limit_bytes), verb.body)
    item = segment(verb.item_name, ids[1]) if len(ids) > 1 else ""
    key = idempotency_key(header(scope, b"idempotency-key"), body.idempotency_key)
    asked = Asked(caller, account, item, key, context.credits.catalog.default_plan)
    return await context.engine.submit(body.command(asked))


def idempotency_key(from_header: bytes | None, from_body: str | None) -> str | None:
    """The key of a request, which may stand in either place. Raises `Invalid` where the two differ."""
    if from_header is None:
        return from_body
    try:
        key = from_header.decode()
    except UnicodeDecodeError:
        raise Invalid("idempotency_key", "must be valid UTF-8") from None
    if from_body is not None and from_body != key:
        raise Invalid("idempotency_key", "is not the same in the header and in the body")
    return key


async def send_problem(send: Send, refusal: BursarError | Refusal) -> None:
    """A refusal as problem+json."""
    problem = problem_of(refusal)
    await send_answer(send, problem.status, problem.encode(), PROBLEM_JSON, tuple(problem.headers))


def refusal_of(error: Exception, scope: Scope) -> BursarError | Refusal:
    """What a handler raised, as something to answer; a bug of ours without its story, which is logged."""
    if isinstance(error, DatabaseUnavailable):
        logger.warning("%s", error)
        return DatabaseUnavailable("it is away")  # what the driver says names hosts and databases: it stays in the log
    if isinstance(error, BursarError | Refusal):
        return error
    if isinstance(error, Refused):
        return Invalid("request", "the database does not take this")
    if isinstance(error, CommitInDoubt):
        return DatabaseUnavailable("the connection broke")
    if isinstance(error, Contention | LockTimeout):
        return Overloaded()
    return report(error, scope)


def report(error: Exception, scope: Scope) -> Internal:
    """Log a bug of ours; the answer names the line in the log, and nothing else."""
    request_id = entropy.token()
    facts = {"request_id": request_id}
    what = f"{scope['method']} {scope['path'][:200]}"
    logger.error("request %s broke: %s", request_id, what, exc_info=error, extra=facts)
    return Internal(request_id)


def _shape(parts: list[str]) -> tuple[str, ...]:
    """A path's literals, with its length: ids stand at every second place."""
    return (*parts[0::2], str(len(parts)))
