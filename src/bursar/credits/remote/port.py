"""The way to a service, as a port: commands become requests, and what it tells becomes what they did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NoReturn, TypeVar

import msgspec
from msgspec import Raw, Struct

from bursar.answers import ENCODER
from bursar.core.commands import Command, check
from bursar.core.errors import BursarError
from bursar.credits.ports import SERVICES_PLAN, Undo, Work
from bursar.credits.remote.answers import decode
from bursar.credits.remote.connection import Connection, Query, Request
from bursar.credits.remote.refusals import ServiceUnavailable, refusal_of
from bursar.credits.remote.verbs import body_of, keyed, request_of, told
from bursar.credits.runtime import Runtime
from bursar.credits.told import Told

T = TypeVar("T")

BATCH: Final = 1_000
"""The most charges that one request may carry."""


class RemotePort:
    """See `Port`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def runtime(self) -> Runtime:
        """There is none: engine, store and catalogue are the service's."""
        raise RuntimeError("a ledger behind HTTP has no engine, store or catalogue in this process")

    @property
    def default_plan(self) -> str:
        return SERVICES_PLAN

    async def execute(self, command: Command) -> Told:
        check(command)
        return await self._tell(keyed(command), own=command.key is None)

    async def execute_many(self, commands: Sequence[Command]) -> list[Told | BursarError]:
        results: list[Told | BursarError | None] = [_problem(command) for command in commands]
        sound = [keyed(command) for command, result in zip(commands, results, strict=True) if result is None]
        done = [result for part in _parts(sound) for result in await self._tell_many(part)]
        answers = iter(done)
        return [next(answers) if result is None else result for result in results]

    async def insist(self, command: Command, undo: Undo | None = None) -> Told:
        check(command)
        sent = keyed(command)

        def work() -> Any:
            return self._tell(sent, own=command.key is None)

        def take_back(done: Told) -> Any:
            following = None if undo is None else undo(done)
            return None if following is None else self.execute(following)

        made: Told = await self._connection.insist(work, take_back)
        return made

    async def run(self, work: Work[Any]) -> NoReturn:
        """What needs an engine has another text over HTTP: `RemoteCredits` lacks one."""
        raise NotImplementedError(f"{work!r} has no way over HTTP")

    async def ask(
        self,
        shape: type[T],
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
        repeatable: bool = True,
        patient: bool = False,
        once: bool = False,
    ) -> T:
        """A request that is no command. What is None in a query is left out."""
        shown: Query = {name: value for name, value in (query or {}).items() if value is not None}
        encoded = None if body is None else ENCODER.encode(body)
        request = Request(method, path, shown, encoded, repeatable, patient, once)
        return decode((await self._connection.ask(request)).body, shape)

    async def close(self) -> None:
        await self._connection.close()

    async def _tell(self, command: Command, *, own: bool) -> Told:
        """`own`: the key is ours alone, so that what was repeated was repeated by us."""
        answer = await self._connection.ask(request_of(command))
        return told(command, answer.body, replayed=answer.replayed and not own)

    async def _tell_many(self, commands: Sequence[Command]) -> list[Told | BursarError]:
        charges = [body_of(command) | {"account": command.account} for command in commands]
        request = Request("POST", "charges/batch", body=ENCODER.encode({"charges": charges}))
        results = decode((await self._connection.ask(request)).body, _Results).results
        if len(results) != len(commands):
            raise ServiceUnavailable(f"{len(results)} results for {len(commands)} charges")
        return [_result(command, result) for command, result in zip(commands, results, strict=True)]


class _Results(Struct):
    results: list[Raw]


class _Status(Struct):
    status: int


def _parts(commands: list[Command]) -> list[list[Command]]:
    return [commands[start : start + BATCH] for start in range(0, len(commands), BATCH)]


def _result(command: Command, result: Raw) -> Told | BursarError:
    status = msgspec.json.decode(result, type=_Status).status
    return told(command, bytes(result), replayed=False) if status < 400 else refusal_of(status, bytes(result))


def _problem(command: Command) -> BursarError | None:
    """What is wrong with one of many."""
    try:
        check(command)
    except BursarError as refusal:
        return refusal
    return None
