"""Runs through the library's two faces: opened by entering, closed by leaving, whatever happens inside."""

from __future__ import annotations

import asyncio

import pytest

from bursar.core.errors import InsufficientCredits, RunExhausted, RunNotOpen
from bursar.credits import AsyncCredits, Credits
from tests.credits.conftest import Clock


async def test_a_run_is_closed_when_it_is_left(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    async with credits.run("alice", 10) as run:
        await run.charge(2)
        async with run.hold(4) as hold:
            await hold.capture(3)
        async with run.run(3) as part:
            await part.charge(1)
            with pytest.raises(RunExhausted) as refusal:
                await part.charge(3)
        assert isinstance(refusal.value, InsufficientCredits)
        assert (await run.get()).left == 4
        pending = await run.place_hold(1)
    assert (run.answer.state, run.answer.spent, run.answer.calls) == ("closed", 6, 3)
    assert (await credits.get_hold("alice", pending.id)).state == "expired"
    assert [call.amount for call in (await credits.run_calls("alice", run.id)).data] == [-3, -2]
    balance = await credits.balance("alice")
    assert (balance.posted, balance.held) == (94, 0)
    with pytest.raises(RunNotOpen):
        await run.charge(1)
    assert (await credits.verify()).findings == []


async def test_an_exception_and_a_cancellation_close_it_as_well(credits: AsyncCredits) -> None:
    await credits.open_account("alice")

    async def fail() -> None:
        async with credits.run("alice", 10) as run:
            await run.charge(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    entered = asyncio.Event()

    async def work() -> None:
        async with credits.run("alice", 10):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert {run.state for run in (await credits.runs("alice")).data} == {"closed"}
    assert (await credits.balance("alice")).held == 0


def test_runs_through_the_blocking_face(blocking: Credits, clock: Clock) -> None:
    blocking.open_account("alice")
    with blocking.run("alice", 10, description="a task") as run:
        run.charge(2)
        with run.hold(3) as hold:
            hold.capture(1)
        with run.run(2) as part:
            part.charge(2)
        assert run.get().left == 5
        run.place_hold(1)
    assert (run.answer.spent, run.answer.description) == (5, "a task")
    opened = blocking.open_run("alice", 10, ttl_seconds=60, idempotency_key="task")
    assert blocking.open_run("alice", 10, ttl_seconds=60, idempotency_key="task") == opened
    clock.set("2026-01-10T12:01:00Z")
    assert blocking.get_run("alice", opened.id).state == "expired"
    assert blocking.close_run("alice", opened.id).state == "expired"
    assert blocking.balance("alice").available == 95
    with pytest.raises(RuntimeError, match="entered once"), run:
        pass
