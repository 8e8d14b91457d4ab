"""The asynchronous face called from event loops that did not open it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from bursar.core.errors import EngineClosed, InsufficientCredits
from bursar.credits import AsyncCredits
from tests.credits.conftest import on_one_database

T = TypeVar("T")


@pytest.fixture
async def alice(credits: AsyncCredits) -> AsyncCredits:
    """A ledger in which alice has 100."""
    await credits.open_account("alice")
    return credits


async def elsewhere(coroutine: Coroutine[Any, Any, T]) -> T:
    """Its result, run on an event loop of its own in another thread."""
    with ThreadPoolExecutor(1) as thread:
        return await asyncio.get_running_loop().run_in_executor(thread, asyncio.run, coroutine)


async def test_calls_from_another_loop_are_brought_home(alice: AsyncCredits) -> None:
    async def day() -> object:
        await alice.charge("alice", 1)
        await alice.charge_many([{"account": "alice", "amount": 2}])
        async with alice.hold("alice", 10) as hold:
            await hold.capture(3)
        with pytest.raises(InsufficientCredits):
            await alice.charge("alice", 1_000)
        return (await alice.balance("alice")).available

    assert await elsewhere(day()) == 94
    assert (await alice.balance("alice")).available == 94


async def test_a_hold_that_is_cancelled_on_another_loop_is_settled(alice: AsyncCredits) -> None:
    async def call() -> None:
        inside = asyncio.Event()

        async def wait() -> None:
            async with alice.hold("alice", 10):
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await elsewhere(call())
    assert (await alice.balance("alice")).available == 90


async def test_a_hold_that_is_cancelled_while_it_is_placed_from_another_loop_is_given_back(alice: AsyncCredits) -> None:
    async def call() -> None:
        task = asyncio.create_task(alice.hold("alice", 10).__aenter__())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await elsewhere(call())
    while [hold.state for hold in (await alice.holds("alice")).data] != ["released"]:
        await asyncio.sleep(0)
    assert (await alice.balance("alice")).available == 100


async def test_closing_from_another_loop_closes(alice: AsyncCredits) -> None:
    await elsewhere(alice.close())
    with pytest.raises(EngineClosed):
        await alice.charge("alice", 1)
    await alice.close()


@on_one_database
async def test_closing_twice_at_once_closes_once(alice: AsyncCredits) -> None:
    await asyncio.gather(alice.close(), alice.close())
    with pytest.raises(EngineClosed):
        await alice.balance("alice")


@on_one_database
def test_a_loop_that_does_not_run_is_named(url: str) -> None:
    async def opened() -> AsyncCredits:
        credits = await AsyncCredits.open(url)
        await credits.open_account("alice")
        return credits

    loop = asyncio.new_event_loop()
    credits = loop.run_until_complete(opened())
    with pytest.raises(RuntimeError, match="does not run"):
        asyncio.run(credits.charge("alice", 1))
    with pytest.raises(RuntimeError, match="does not run"):
        asyncio.run(credits.balance("alice"))
    loop.run_until_complete(credits.close())
    loop.close()
    with pytest.raises(EngineClosed):
        asyncio.run(credits.charge("alice", 1))
    asyncio.run(credits.close())


def test_one_ledger_serves_many_loops_at_once(url: str) -> None:
    home = asyncio.new_event_loop()
    running = threading.Thread(target=home.run_forever)
    running.start()

    async def opened() -> AsyncCredits:
        credits = await AsyncCredits.open(url)
        await credits.open_account("alice")
        return credits

    credits = asyncio.run_coroutine_threadsafe(opened(), home).result()

    async def spend() -> int:
        results = await asyncio.gather(*(credits.charge("alice", 1) for _ in range(30)), return_exceptions=True)
        return sum(not isinstance(result, InsufficientCredits) for result in results)

    with ThreadPoolExecutor(4) as threads:
        spent = list(threads.map(lambda _: asyncio.run(spend()), range(4)))
    assert sum(spent) == 100
    asyncio.run_coroutine_threadsafe(credits.close(), home).result()
    home.call_soon_threadsafe(home.stop)
    running.join()
    home.close()
