"""Nothing of the face is missing over HTTP, and what is sent is what the service takes."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import fields

from bursar.core import commands
from bursar.core.commands import Command, OpenAccount, Touch
from bursar.credits import AsyncCredits
from bursar.credits.catalogue import AsyncPlans, AsyncSkills
from bursar.credits.models import AsyncModels
from bursar.credits.remote.connection import Connection, ThreadConnection
from bursar.credits.remote.face import RemoteCredits, RemotePlans, RemoteSkills
from bursar.credits.remote.models import RemoteModels
from bursar.credits.remote.paths import escaped
from bursar.credits.remote.place import Place
from bursar.credits.remote.port import RemotePort
from bursar.credits.remote.reporting import RemoteReports
from bursar.credits.remote.verbs import ROUTES, body_of, request_of
from bursar.credits.reporting import AsyncReports
from bursar.service.api.verbs import VERBS

FACES = [
    (AsyncCredits, RemoteCredits),
    (AsyncSkills, RemoteSkills),
    (AsyncModels, RemoteModels),
    (AsyncPlans, RemotePlans),
    (AsyncReports, RemoteReports),
]
NOT_OVER_HTTP = {Touch: "what is due is done by whatever comes next"}


def all_commands(base: type[Command] = Command) -> set[type[Command]]:
    below = set(base.__subclasses__())
    return below.union(*(all_commands(sub) for sub in below))


def test_every_command_has_a_row() -> None:
    concrete = {command for command in all_commands() if command.verb}
    assert concrete == ROUTES.keys() | NOT_OVER_HTTP.keys(), "a new verb is a row in credits/remote/verbs.py"


@pytest.mark.parametrize(("face", "remote"), FACES)
def test_whatever_needs_the_engine_has_another_text(face: type, remote: type) -> None:
    for name, method in inspect.getmembers(face, inspect.iscoroutinefunction):
        needs_engine = "_port.run(" in inspect.getsource(method) or "_catalogue()" in inspect.getsource(method)
        if name != "_catalogue" and needs_engine:
            assert name in vars(remote), f"{name}: a new read is a method in credits/remote"


@pytest.mark.parametrize(("face", "remote"), FACES)
def test_another_text_takes_the_same_arguments(face: type, remote: type) -> None:
    for name, method in vars(remote).items():
        if inspect.iscoroutinefunction(method) and not name.startswith("_"):
            assert inspect.signature(method) == inspect.signature(getattr(face, name)), name


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_of_the_service_is_asked_with_fields_that_it_knows(verb: Any) -> None:
    (command,) = (command for command in ROUTES if command.verb == verb.name)
    route = ROUTES[command]
    assert (route.path, route.method) == (verb.path, "POST")
    taken = {field.encode_name for field in fields(verb.body)}
    sent = {field.name for field in fields(command)} - set(Command.__struct_fields__) - {"currency"}
    ids = {name for name in sent if f"{{{name}}}" in verb.path}
    assert sent - ids <= taken


def test_what_is_by_default_is_left_out_and_amounts_are_credits() -> None:
    command = commands.PlaceHold(account="alice", amount=2_500_000_000, metadata='{"a":[1.5]}', key="k")
    assert request_of(command).body == b'{"amount":2.5,"metadata":{"a":[1.5]},"idempotency_key":"k"}'
    grant = commands.Grant(account="alice", amount=1, paid="9.99", currency="EUR", expires_at=1_735_689_600_000_000)
    assert body_of(grant)["paid"] == {"amount": "9.99", "currency": "EUR"}
    assert body_of(grant)["expires_at"] == "2025-01-01T00:00:00Z"


def test_no_plan_is_said_and_the_services_own_is_not() -> None:
    port = RemotePort(_nowhere())
    assert body_of(OpenAccount(account="alice"))["plan"] is None
    assert body_of(OpenAccount(account="alice", plan=port.default_plan)).get("plan", UNSET) is UNSET


@pytest.mark.parametrize(
    ("segment", "shown"),
    [("alice", "alice"), ("..", "%2E%2E"), ("a b", "a%20b"), ("ü|@", "%C3%BC%7C%40"), ("%2F", "%252F")],
)
def test_an_id_is_one_segment_whatever_is_in_it(segment: str, shown: str) -> None:
    assert escaped(segment) == shown


async def test_there_is_no_engine_in_this_process() -> None:
    credits = RemoteCredits(RemotePort(_nowhere()))
    with pytest.raises(RuntimeError, match="has no engine"):
        _ = credits.engine
    with pytest.raises(NotImplementedError, match="no way over HTTP"):
        await credits._port.run(lambda runtime: runtime.engine.now())


def _nowhere() -> Connection:
    return ThreadConnection(Place("http://127.0.0.1:1", None, 1.0))
