"""Getting in and out: a full queue, a closed engine, callers who leave, other threads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest

from bursar.core.commands import Charge, Command, Grant
from bursar.core.errors import BursarError, EngineClosed, InsufficientCredits, Invalid, Overloaded
from tests.engine.audit import audit
from tests.engine.rig import CREDIT, Gate, charge, done, opened, refused

T = TypeVar("T")


class TestFull:
    async def test_a_full_queue_refuses_at_once_and_loses_nothing(self, url: str) -> None:
        async with opened(url, lanes=1, max_queue=10) as rig:
            await rig.open_account(credits=100)
            gate = rig.store.run = Gate()
            futures = [rig.engine.submit(charge())]
            await gate.reached.wait()
            futures += [rig.engine.submit(charge()) for _ in range(9)]
            for _ in range(3):
                with pytest.raises(Overloaded):
                    rig.engine.submit(charge())
            assert refused(await rig.engine.execute_many([charge()])) == ["overloaded"]
            assert not any(future.done() for future in futures)
            gate.open()
            assert len(done(await asyncio.gather(*futures))) == 10
            assert len(done(await rig.at_once(*[charge()] * 10))) == 10
            assert (await audit(rig.store))["alice"].account.posted == 80 * CREDIT

    async def test_those_who_left_make_room(self, sqlite_url: str) -> None:
        async with opened(sqlite_url, lanes=1, max_queue=3) as rig:
            await rig.open_account(credits=10)
            gate = rig.store.run = Gate()
            first = rig.engine.submit(charge())
            await gate.reached.wait()
            for future in [rig.engine.submit(charge()) for _ in range(2)]:
                future.cancel()
            gate.open()
            await first
            while rig.engine.queued:
                await asyncio.sleep(0)
            assert len(done(await rig.at_once(*[charge()] * 3))) == 3
            assert rig.engine.queued == 0


class TestMalformed:
    async def test_it_is_refused_before_it_is_queued(self, sqlite_url: str) -> None:
        async with opened(sqlite_url) as rig:
            for bad in (charge("no\0body"), charge("x" * 300), charge(credits=0), charge(description="\ud800")):
                with pytest.raises(Invalid):
                    rig.engine.submit(bad)
            assert rig.engine.queued == 0
            assert rig.store.batches == 0

    async def test_among_many_it_fails_alone(self, url: str) -> None:
        async with opened(url) as rig:
            await rig.open_account(credits=500)
            commands = [charge(key=f"k{number}") for number in range(500)]
            commands.insert(250, charge(key="\0"))
            commands.insert(100, charge(description="\ud800"))
            results = await rig.engine.execute_many(commands)
            assert [type(results[number]) for number in (100, 251)] == [Invalid, Invalid]
            assert len(done(results)) == 500
            assert (await audit(rig.store))["alice"].account.posted == 0


class TestClose:
    async def test_it_finishes_what_has_queued(self, url: str) -> None:
        async with opened(url) as rig:
            await rig.open_account(credits=100)
            gate = rig.store.run = Gate()
            futures = [rig.engine.submit(charge())]
            await gate.reached.wait()
            futures += [rig.engine.submit(charge()) for _ in range(50)]
            closing = asyncio.create_task(rig.engine.close())
            while rig.engine._open:
                await asyncio.sleep(0)
            gate.open()
            await closing
            assert len(done([future.result() for future in futures])) == 51
            assert (await audit(rig.store))["alice"].account.posted == 49 * CREDIT

    async def test_afterwards_it_refuses(self, sqlite_url: str) -> None:
        async with opened(sqlite_url) as rig:
            await rig.open_account(credits=1)
            await rig.engine.close()
            with pytest.raises(EngineClosed):
                rig.engine.submit(charge())
            with pytest.raises(EngineClosed):
                await rig.engine.execute(charge())
            with pytest.raises(EngineClosed):
                rig.engine.submit_threadsafe(charge())
            assert refused(await rig.engine.execute_many([charge()])) == ["closed"]
            assert (await audit(rig.store))["alice"].account.posted == CREDIT

    async def test_closing_twice_and_at_once_is_fine(self, url: str) -> None:
        async with opened(url) as rig:
            await rig.open_account(credits=1)
            await asyncio.gather(rig.engine.close(), rig.engine.close())
            await rig.engine.close()


class TestCancelled:
    async def test_before_it_was_taken_it_never_happens(self, url: str) -> None:
        async with opened(url, lanes=1) as rig:
            await rig.open_account(credits=10)
            gate = rig.store.run = Gate()
            first = rig.engine.submit(charge())
            await gate.reached.wait()
            leaving = asyncio.create_task(rig.engine.execute(charge()))
            staying = asyncio.create_task(rig.engine.execute(charge()))
            while rig.engine.queued < 3:
                await asyncio.sleep(0)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            gate.open()
            await asyncio.gather(first, staying)
            assert (await audit(rig.store))["alice"].account.posted == 8 * CREDIT

    async def test_once_it_was_taken_it_is_carried_out(self, url: str) -> None:
        async with opened(url, lanes=1) as rig:
            await rig.open_account(credits=10)
            gate = rig.store.run = Gate()
            leaving = rig.engine.submit(charge(key="k"))
            staying = rig.engine.submit(charge())
            await gate.reached.wait()
            leaving.cancel()
            gate.open()
            await staying
            assert (await rig.engine.execute(charge(key="k"))).replayed
            assert (await audit(rig.store))["alice"].account.posted == 8 * CREDIT

    async def test_a_batch_of_nobody_is_not_run(self, sqlite_url: str) -> None:
        async with opened(sqlite_url, lanes=1) as rig:
            await rig.open_account(credits=10)
            gate = rig.store.run = Gate()
            first = rig.engine.submit(charge())
            await gate.reached.wait()
            for future in [rig.engine.submit(charge()) for _ in range(5)]:
                future.cancel()
            gate.open()
            await first
            await rig.engine.close()
            assert rig.store.batches == 3


class MeetingPlace(deque[Any]):
    """A queue to which two threads append before either of them goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.barrier = threading.Barrier(2, timeout=30)

    def append(self, item: Any) -> None:
        super().append(item)
        self.barrier.wait()


class TestThreads:
    async def test_many_threads_share_100_credits(self, url: str) -> None:
        async with opened(url) as rig:
            await rig.open_account(credits=100)
            start = threading.Barrier(8, timeout=30)

            def spend() -> list[str]:
                start.wait()
                codes = []
                for _ in range(25):
                    try:
                        rig.engine.submit_threadsafe(charge()).wait()
                        codes.append("ok")
                    except InsufficientCredits as refusal:
                        codes.append(refusal.code)
                return codes

            codes = [code for part in await in_threads(*[spend] * 8) for code in part]
            assert sorted(codes) == ["insufficient_credits"] * 100 + ["ok"] * 100
            assert (await audit(rig.store))["alice"].account.posted == 0

    async def test_two_threads_that_submit_at_the_same_moment_are_both_heard(self, sqlite_url: str) -> None:
        async with opened(sqlite_url) as rig:
            await rig.open_account(credits=2)
            rig.engine._arrivals = MeetingPlace()

            def spend() -> str:
                return rig.engine.submit_threadsafe(charge()).wait().verb

            assert await in_threads(spend, spend) == ["charge", "charge"]

    async def test_what_a_thread_submits_behind_a_gate_is_one_batch(self, url: str) -> None:
        async with opened(url, lanes=1) as rig:
            await rig.open_account(credits=100)
            before = rig.engine.stats.batches
            gate = rig.store.run = Gate()

            def spend() -> int:
                waiters = [rig.engine.submit_threadsafe(charge()) for _ in range(100)]
                asyncio.run_coroutine_threadsafe(open_when_queued(), loop)
                return len([waiter.wait() for waiter in waiters])

            async def open_when_queued() -> None:
                gate.open()

            loop = asyncio.get_running_loop()
            assert await in_threads(spend) == [100]
            assert rig.engine.stats.batches <= before + 2

    async def test_a_refusal_is_raised_in_the_thread(self, sqlite_url: str) -> None:
        async with opened(sqlite_url, max_queue=0) as rig:

            def spend(command: Charge) -> str:
                waiter = rig.engine.submit_threadsafe(command)
                with pytest.raises(BursarError) as caught:
                    waiter.wait()
                assert waiter.done()
                return caught.value.code

            assert await in_threads(lambda: spend(charge())) == ["overloaded"]
            assert await in_threads(lambda: spend(charge("\0"))) == ["invalid"]

    async def test_what_cannot_even_be_checked_fails_alone(self, sqlite_url: str) -> None:
        async with opened(sqlite_url) as rig:
            await rig.open_account(credits=1)
            nonsense = Command(account="alice")  # no verb at all

            def spend() -> str:
                waiters = [rig.engine.submit_threadsafe(nonsense), rig.engine.submit_threadsafe(charge())]
                with pytest.raises(KeyError):
                    waiters[0].wait()
                return waiters[1].wait().verb

            assert await in_threads(spend) == ["charge"]

    async def test_what_comes_too_late_is_told_so(self, sqlite_url: str) -> None:
        async with opened(sqlite_url) as rig:
            await rig.open_account(credits=1)
            waiter = rig.engine.submit_threadsafe(charge())  # the loop has not seen it yet
            await rig.engine.close()
            assert waiter.done()
            with pytest.raises(EngineClosed):
                waiter.wait()


async def in_threads(*calls: Callable[[], T]) -> list[T]:
    """What the calls return, each in a thread of its own; one that hangs is left behind."""
    futures: list[Future[T]] = []
    for call in calls:
        future: Future[T] = Future()
        futures.append(future)
        threading.Thread(target=_run, args=(call, future), daemon=True).start()
    return await asyncio.wait_for(asyncio.gather(*map(asyncio.wrap_future, futures)), timeout=30)


def _run(call: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)


async def test_the_first_batch_of_an_engine_may_be_a_large_one(url: str) -> None:
    async with opened(url) as rig:
        await rig.open_account()
        results = await rig.at_once(*[Grant(account="alice", amount=CREDIT)] * 2500)
        assert len(done(results)) == 2500
        assert (await audit(rig.store))["alice"].account.seq == 2500
