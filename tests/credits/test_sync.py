"""The blocking face: the same methods, any number of threads, closing and interrupting."""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bursar.core.errors import (
    BursarError,
    DatabaseUnavailable,
    EngineClosed,
    HoldNotOpen,
    IdempotencyConflict,
    InsufficientCredits,
    Invalid,
)
from bursar.core.money import NANOS
from bursar.credits import AsyncCredits, AsyncHold, Credits, Hold
from bursar.credits.asynchronous import Opened
from bursar.credits.catalogue import AsyncPlans, AsyncSkills
from bursar.credits.driving import drive
from bursar.credits.runtime import Runtime
from bursar.credits.synchronous import Plans, Skills
from bursar.engine import Waiter
from tests.credits.conftest import Clock, on_one_database

TWINS = [(AsyncCredits, Credits), (AsyncHold, Hold), (AsyncSkills, Skills), (AsyncPlans, Plans)]

ASYNC_ONLY = {"engine", "store", "catalog"}
"""What belongs to the event loop below."""


def public(cls: type) -> dict[str, object]:
    return {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}


@pytest.fixture
def alice(blocking: Credits) -> Credits:
    """A ledger in which alice has 100."""
    blocking.open_account("alice")
    return blocking


# The two faces are one


@pytest.mark.parametrize(("asynchronous", "synchronous"), TWINS)
def test_both_faces_have_the_same_methods(asynchronous: type, synchronous: type) -> None:
    assert public(asynchronous).keys() - ASYNC_ONLY == public(synchronous).keys()


@pytest.mark.parametrize(("asynchronous", "synchronous"), TWINS)
def test_each_method_looks_like_its_twin_and_does_not_have_to_be_awaited(asynchronous: type, synchronous: type) -> None:
    for name, method in public(synchronous).items():
        twin = getattr(asynchronous, name)
        if not inspect.isfunction(method):
            continue
        assert inspect.signature(method) == inspect.signature(twin), name
        assert method.__doc__ == twin.__doc__, name
        assert not inspect.iscoroutinefunction(method), name


def test_opening_takes_the_same_arguments() -> None:
    ours, theirs = inspect.signature(Credits.open), inspect.signature(AsyncCredits.open)
    assert ours.parameters == theirs.parameters
    assert theirs.return_annotation == Opened.__name__


def test_a_coroutine_that_suspends_is_refused() -> None:
    class Suspended:
        def __await__(self) -> Generator[None]:
            yield

    async def wait() -> None:
        await Suspended()

    with pytest.raises(RuntimeError, match="waited for something"):
        drive(wait())


# What it does


def test_a_day_with_the_ledger(alice: Credits) -> None:
    alice.grant("alice", 50, source="purchase")
    receipt = alice.charge("alice", skill="TEXT_GENERATION", idempotency_key="req-1")
    assert alice.charge("alice", skill="TEXT_GENERATION", idempotency_key="req-1") == receipt
    with alice.hold("alice", skill="IMAGE_GENERATION") as hold:
        assert alice.balance("alice").held == 5
        captured = hold.capture(4)
    assert hold.receipt == captured
    refund = alice.refund("alice", captured.id)
    page = alice.history("alice")
    assert [t.type for t in page.data] == ["REFUND", "CONSUMPTION", "CONSUMPTION", "PURCHASE", "PLAN"]
    assert page.data[0] == refund == alice.receipt("alice", refund.id)
    assert alice.account("alice").available == 149
    assert [account.id for account in alice.accounts().data] == ["alice"]


def test_the_catalogue(alice: Credits) -> None:
    alice.skills.add("SUMMARY", 2, description="A summary")
    assert alice.charge("alice", skill="SUMMARY").amount == -2
    alice.skills.set_price("SUMMARY", 3)
    assert [price.cost for price in alice.skills.prices("SUMMARY")] == [3, 2]
    alice.skills.disable("SUMMARY")
    assert not alice.skills.get("SUMMARY").active
    alice.plans.put("gold", allowance=1_000)
    assert {plan.name for plan in alice.plans.list()} == {"enterprise", "free", "pro", "team", "gold"}


def test_refusals_are_raised_where_they_were_asked_for(alice: Credits) -> None:
    with pytest.raises(InsufficientCredits):
        alice.charge("alice", 101)
    with pytest.raises(Invalid):
        alice.charge("alice", "x")
    results = alice.charge_many([{"account": "alice", "amount": 1}, {"account": "alice", "amount": 100}])
    assert isinstance(results[1], InsufficientCredits)


def test_an_exception_inside_a_hold_releases_it(alice: Credits) -> None:
    with pytest.raises(ZeroDivisionError), alice.hold("alice", 10) as hold:
        raise ZeroDivisionError
    assert hold.answer.state == "released"
    assert alice.balance("alice").available == 100


def test_ctrl_c_inside_a_hold_settles_by_policy(alice: Credits) -> None:
    def call() -> None:
        with alice.hold("alice", 10, on_expiry="capture_measured") as hold:
            hold.dispatch(measured=3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call()
    assert alice.balance("alice").available == 97


def test_a_generator_that_is_dropped_settles_by_policy(alice: Credits) -> None:
    def stream() -> Iterator[str]:
        with alice.hold("alice", 10):
            yield "a word"
            yield "never read"

    words = stream()
    assert next(words) == "a word"
    del words
    gc.collect()
    assert alice.balance("alice").available == 90


def test_a_generator_that_is_dropped_in_the_ledgers_own_thread_settles_too(alice: Credits) -> None:
    async def leave(_: object) -> None:
        hold.__exit__(GeneratorExit, GeneratorExit(), None)

    hold = alice.hold("alice", 10)
    hold.__enter__()
    drive(alice._port.run(leave))
    alice.charge("alice", 1)
    assert alice.balance("alice").available == 89


@on_one_database
def test_the_ledgers_own_thread_cannot_wait_for_itself(alice: Credits) -> None:
    async def charge(_: object) -> None:
        alice.charge("alice", 1)

    with pytest.raises(RuntimeError, match="itself"):
        drive(alice._port.run(charge))


# Threads


def test_many_threads_spend_no_more_than_there_is(alice: Credits) -> None:
    def charge(number: int) -> bool:
        try:
            alice.charge("alice", 1, description=f"call {number}")
        except InsufficientCredits:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(charge, range(150)))
    assert results.count(True) == 100
    seqs = [receipt.seq for receipt in alice.history("alice", limit=200).data]
    assert seqs == list(range(101, 0, -1))


def test_many_threads_with_one_key_charge_once(alice: Credits) -> None:
    with ThreadPoolExecutor(16) as threads:
        receipts = list(threads.map(lambda _: alice.charge("alice", 1, idempotency_key="k"), range(50)))
    assert len({receipt.id for receipt in receipts}) == 1
    with pytest.raises(IdempotencyConflict):
        alice.charge("alice", 2, idempotency_key="k")


def test_a_hold_may_be_captured_by_another_thread(alice: Credits) -> None:
    with alice.hold("alice", 10) as hold, ThreadPoolExecutor(1) as threads:
        threads.submit(hold.capture, 2).result()
    assert alice.balance("alice").available == 98


# Interrupted while waiting


class Alarm(Exception):
    """What a signal's handler raises."""


@pytest.fixture
def stalled(alice: Credits) -> Iterator[threading.Event]:
    """The ledger's thread stands still until the event is set; once this thread waits for it, an alarm goes off."""
    go_on, standing = threading.Event(), threading.Event()
    main = threading.get_ident()

    async def stand(_: object) -> None:
        standing.set()
        go_on.wait()

    def ring_when_waiting() -> None:
        while sys._current_frames()[main].f_code is not Waiter.wait.__code__:
            if go_on.wait(0.001):
                return
        signal.pthread_kill(main, signal.SIGUSR1)

    def ring(*_: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGUSR1, ring)
    threads = [
        threading.Thread(target=lambda: drive(alice._port.run(stand))),
        threading.Thread(target=ring_when_waiting),
    ]
    threads[0].start()
    standing.wait()
    threads[1].start()
    yield go_on
    go_on.set()
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGUSR1, before)


def test_interrupted_while_a_hold_is_placed_it_is_given_back(
    alice: Credits, stalled: threading.Event, url: str, clock: Clock
) -> None:
    with pytest.raises(Alarm), alice.hold("alice", 10):
        pytest.fail("nothing may run")
    stalled.set()
    alice.close()
    with Credits.open(url, clock=str(clock.path)) as credits:
        assert [hold.state for hold in credits.holds("alice").data] == ["released"]


def test_interrupted_while_a_capture_waits_it_is_carried_out(alice: Credits, request: pytest.FixtureRequest) -> None:
    def call() -> None:
        with alice.hold("alice", 10) as hold:
            go_on: threading.Event = request.getfixturevalue("stalled")
            try:
                hold.capture(3)
            finally:
                go_on.set()

    with pytest.raises(Alarm):
        call()
    assert alice.balance("alice").available == 97


def test_interrupted_while_it_waits_to_be_refused_there_is_nothing_to_give_back(
    alice: Credits, stalled: threading.Event
) -> None:
    with pytest.raises(Alarm), alice.hold("alice", 101):
        pytest.fail("nothing may run")
    stalled.set()
    assert alice.holds("alice").data == []


# Opening and closing


def test_after_closing_everything_is_refused(alice: Credits) -> None:
    hold = alice.hold("alice", 1)
    alice.close()
    alice.close()
    for call in (
        lambda: alice.charge("alice", 1),
        lambda: alice.balance("alice"),
        alice.skills.list,
        hold.__enter__,
    ):
        with pytest.raises(EngineClosed):
            call()


def test_closing_waits_for_what_was_submitted(url: str) -> None:
    credits = Credits.open(url)
    credits.open_account("alice")
    answers: list[object] = []
    begun = threading.Barrier(9)

    def charge() -> None:
        begun.wait()
        try:
            answers.append(credits.charge("alice", 1).amount)
        except EngineClosed as refusal:
            answers.append(refusal.code)

    threads = [threading.Thread(target=charge) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.wait()
    credits.close()
    for thread in threads:
        thread.join()
    with Credits.open(url) as again:
        assert again.account("alice").posted == 100 - answers.count(-1)
    assert answers.count(-1) + answers.count("closed") == 8


def test_closing_waits_for_what_is_being_read(alice: Credits) -> None:
    reading, leaving = threading.Event(), threading.Event()

    async def read(runtime: Runtime) -> int:
        reading.set()
        while not leaving.is_set():
            await asyncio.sleep(0)
        for _ in range(20_000):
            await asyncio.sleep(0)
        return (await runtime.engine.view("alice")).account.posted

    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(lambda: drive(alice._port.run(read)))
        reading.wait()
        leaving.set()
        alice.close()
        assert answer.result() == 100 * NANOS


def test_closing_leaves_no_thread_behind(url: str) -> None:
    before = set(threading.enumerate())
    with Credits.open(url) as credits:
        credits.open_account("alice")
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system has no /proc/self/task to look into")
def test_when_it_is_closed_the_system_too_has_ended_its_threads(url: str) -> None:
    for _ in range(20):
        before = set(threading.enumerate())
        with Credits.open(url) as credits:
            credits.accounts()
            threads = set(threading.enumerate()) - before
        left = [thread.name for thread in threads if Path(f"/proc/self/task/{thread.native_id}").exists()]
        assert threads
        assert left == []


def test_dropping_it_unclosed_ends_its_thread(url: str) -> None:
    credits = Credits.open(url)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "bursar"]
    del credits
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()


def test_what_is_wrong_is_known_when_it_is_opened() -> None:
    with pytest.raises(DatabaseUnavailable):
        Credits.open("postgresql://127.0.0.1:1/nothing")
    with pytest.raises(Invalid, match="database_url"):
        Credits.open("mysql://localhost/bursar")
    assert not [thread for thread in threading.enumerate() if thread.name == "bursar"]


def test_errors_can_be_caught_as_one_kind(alice: Credits) -> None:
    with pytest.raises(BursarError):
        alice.capture("alice", "h_none", 1)
    with alice.hold("alice", 1) as hold:
        hold.release()
        with pytest.raises(HoldNotOpen):
            hold.capture()
