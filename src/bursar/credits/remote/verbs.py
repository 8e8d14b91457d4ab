"""Every command as a request: one row each. A new verb of the API is a new row.

A command's fields have the names of the body's; what differs is written as amounts in credits, times as RFC 3339 and
metadata as the JSON that it is. What is as it is by default is left out, so that an older service understands it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import get_annotations
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import fields, replace

from bursar import entropy
from bursar.answers import (
    ENCODER,
    AccountAnswer,
    GrantReceipt,
    HoldAnswer,
    LimitAnswer,
    MemberAnswer,
    Receipt,
    RunAnswer,
    TransferReceipt,
)
from bursar.core.commands import (
    AddMember,
    Adjust,
    CancelPlan,
    Capture,
    ChangePlan,
    Charge,
    Close,
    CloseRun,
    Command,
    Dispatch,
    Extend,
    Freeze,
    Grant,
    OpenAccount,
    OpenRun,
    PlaceHold,
    Refund,
    Release,
    RemoveLimit,
    RemoveMember,
    Renew,
    SetLimit,
    Transfer,
    Unfreeze,
    UpdateAccount,
    Void,
)
from bursar.core.money import to_number
from bursar.core.periods import format_instant
from bursar.credits.ports import SERVICES_PLAN
from bursar.credits.remote.answers import decode
from bursar.credits.remote.connection import Request
from bursar.credits.remote.paths import escaped
from bursar.credits.told import Told

Body = dict[str, Any]

STAMP: Final = frozenset(Command.__struct_fields__)


class Route(Struct, frozen=True, kw_only=True):
    """Where a command goes and what comes back. `keyed`: to repeat it safely, it needs an idempotency key."""

    path: str
    answer: Callable[[bytes], Told]
    method: str = "POST"
    keyed: bool = True
    also: Body = {}
    """What the body says besides."""
    shape: Callable[[Any, Body], Body] = lambda _command, body: body
    """What the body calls otherwise."""


def _account(body: bytes) -> Told:
    return Told(account=decode(body, AccountAnswer))


def _receipt(body: bytes) -> Told:
    return Told(transaction=decode(body, Receipt))


def _hold(body: bytes) -> Told:
    return Told(hold=decode(body, HoldAnswer))


def _grant(body: bytes) -> Told:
    given = decode(body, GrantReceipt)
    return Told(lot=given.grant, transaction=given.transaction)


def _transfer(body: bytes) -> Told:
    moved = decode(body, TransferReceipt)
    return Told(transaction=moved.sent, other=moved.received)


def _limit(body: bytes) -> Told:
    return Told(limit=decode(body, LimitAnswer))


def _member(body: bytes) -> Told:
    return Told(member=decode(body, MemberAnswer))


def _run(body: bytes) -> Told:
    return Told(run=decode(body, RunAnswer))


def _nothing(_body: bytes) -> Told:
    """It is gone."""
    return Told()


def _open_shape(command: OpenAccount, body: Body) -> Body:
    """No plan has to be said; the service's own goes without saying."""
    body |= {"id": command.account, "plan": command.plan}
    if command.plan is SERVICES_PLAN:
        del body["plan"]
    return body


def _grant_shape(command: Grant, body: Body) -> Body:
    if command.paid is not None:
        body["paid"] = {"amount": body.pop("paid"), "currency": body.pop("currency")}
    return body


def _transfer_shape(command: Transfer, body: Body) -> Body:
    return body | {"from": command.account}


ROUTES: Final[dict[type[Command], Route]] = {
    OpenAccount: Route(path="accounts", answer=_account, keyed=False, shape=_open_shape),
    UpdateAccount: Route(path="accounts/{account}", answer=_account, method="PATCH", keyed=False),
    Freeze: Route(path="accounts/{account}", answer=_account, method="PATCH", keyed=False, also={"status": "frozen"}),
    Unfreeze: Route(path="accounts/{account}", answer=_account, method="PATCH", keyed=False, also={"status": "active"}),
    Close: Route(path="accounts/{account}", answer=_account, method="PATCH", keyed=False, also={"status": "closed"}),
    Renew: Route(path="accounts/{account}/renewals", answer=_account),
    ChangePlan: Route(path="accounts/{account}/subscription", answer=_account, method="PUT"),
    CancelPlan: Route(path="accounts/{account}/subscription", answer=_account, method="DELETE"),
    SetLimit: Route(path="accounts/{account}/limits/{limit}", answer=_limit, method="PUT", keyed=False),
    RemoveLimit: Route(path="accounts/{account}/limits/{limit}", answer=_nothing, method="DELETE", keyed=False),
    AddMember: Route(path="accounts/{account}/members/{member}", answer=_member, method="PUT", keyed=False),
    RemoveMember: Route(path="accounts/{account}/members/{member}", answer=_member, method="DELETE", keyed=False),
    OpenRun: Route(path="accounts/{account}/runs", answer=_run),
    CloseRun: Route(path="accounts/{account}/runs/{run}/close", answer=_run, keyed=False),
    Charge: Route(path="accounts/{account}/charges", answer=_receipt),
    PlaceHold: Route(path="accounts/{account}/holds", answer=_hold),
    Dispatch: Route(path="accounts/{account}/holds/{hold}/dispatch", answer=_hold, keyed=False),
    Extend: Route(path="accounts/{account}/holds/{hold}/extend", answer=_hold),
    Capture: Route(path="accounts/{account}/holds/{hold}/capture", answer=_receipt, keyed=False),
    Release: Route(path="accounts/{account}/holds/{hold}/release", answer=_hold, keyed=False),
    Grant: Route(path="accounts/{account}/grants", answer=_grant, shape=_grant_shape),
    Void: Route(path="accounts/{account}/grants/{grant}/void", answer=_grant, keyed=False),
    Refund: Route(path="accounts/{account}/transactions/{transaction}/refund", answer=_receipt),
    Adjust: Route(path="accounts/{account}/adjustments", answer=_receipt),
    Transfer: Route(path="transfers", answer=_transfer, shape=_transfer_shape),
}
"""What is not `keyed` is the same however often it is done: by its content, or because a hold ends once."""


def keyed(command: Command) -> Command:
    """The same intent, with a key of its own where it has none and would need one."""
    if command.key is not None or not ROUTES[type(command)].keyed:
        return command
    return replace(command, key=entropy.token())


def request_of(command: Command) -> Request:
    """The request that asks for this."""
    route = ROUTES[type(command)]
    return Request(route.method, _path(route, command), body=ENCODER.encode(body_of(command)))


def body_of(command: Command) -> Body:
    """What stands in the request."""
    route = ROUTES[type(command)]
    body: Body = dict(route.also)
    for name, default, show in _shown_fields(type(command), route.path):
        value = getattr(command, name)
        if value is not None and value != default:
            body[name] = show(value)
    if command.key is not None:
        body["idempotency_key"] = command.key
    return route.shape(command, body)


def told(command: Command, body: bytes, *, replayed: bool) -> Told:
    """What the answer says."""
    done = ROUTES[type(command)].answer(body)
    return replace(done, replayed=True) if replayed else done


def _path(route: Route, command: Command) -> str:
    ids = {
        name: escaped(getattr(command, name)) for name in type(command).__struct_fields__ if f"{{{name}}}" in route.path
    }
    return route.path.format_map(ids)


@cache
def _shown_fields(command: type[Command], path: str) -> list[tuple[str, Any, Callable[[Any], Any]]]:
    """The fields that the body shows, their defaults, and how each is written."""
    kinds = {name: str(kind) for base in reversed(command.__mro__) for name, kind in get_annotations(base).items()}
    return [
        (field.name, field.default, _writer(field.name, kinds[field.name]))
        for field in fields(command)
        if field.name not in STAMP and f"{{{field.name}}}" not in path
    ]


def _writer(name: str, kind: str) -> Callable[[Any], Any]:
    if "Nanos" in kind:
        return to_number
    if "Instant" in kind:
        return format_instant
    return _raw if name == "metadata" else _as_it_is


def _raw(text: str) -> Raw:
    return msgspec.Raw(text.encode())


def _as_it_is(value: Any) -> Any:
    return value
