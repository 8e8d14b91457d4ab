"""Callers that are cancelled or interrupted while a request is under way."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from bursar.credits import AsyncCredits, Credits
from tests.credits.remote.conftest import Service


class Alarm(Exception):
    """What a signal's handler raises."""


@pytest.fixture
async def alice(credits: AsyncCredits) -> AsyncCredits:
    """A ledger in which alice has 100."""
    await credits.open_account("alice")
    return credits


@pytest.fixture
def patient(blocking: Credits) -> Credits:
    """The same, for threads."""
    blocking.open_account("alice")
    return blocking


@pytest.fixture
def stalled(service: Service) -> Iterator[threading.Event]:
    """The service stands still until the event is set; once this thread waits for it, an alarm goes off."""
    go_on, standing = threading.Event(), threading.Event()
    main = threading.get_ident()

    def stand() -> None:
        standing.set()
        go_on.wait()

    def ring_when_waiting() -> None:
        while not _waits_for_an_answer(main):
            if go_on.wait(0.001):
                return
        signal.pthread_kill(main, signal.SIGUSR1)

    def ring(*_: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGUSR1, ring)
    service.loop.call_soon_threadsafe(stand)
    standing.wait()
    ringer = threading.Thread(target=ring_when_waiting)
    ringer.start()
    yield go_on
    go_on.set()
    ringer.join()
    signal.signal(signal.SIGUSR1, before)


def _waits_for_an_answer(thread: int) -> bool:
    code = sys._current_frames()[thread].f_code
    return code.co_name == "read" and code.co_filename.endswith("httpcore/_backends/sync.py")


def test_interrupted_while_a_hold_is_placed_it_is_given_back(
    patient: Credits, stalled: threading.Event, url: str
) -> None:
    with pytest.raises(Alarm), patient.hold("alice", 10):
        pytest.fail("nothing may run")
    stalled.set()
    patient.close()
    with Credits.open(url) as credits:
        assert [hold.state for hold in credits.holds("alice").data] == ["released"]


def test_interrupted_while_a_capture_waits_it_is_carried_out(
    patient: Credits, url: str, request: pytest.FixtureRequest
) -> None:
    def call() -> None:
        with patient.hold("alice", 10) as hold:
            go_on: threading.Event = request.getfixturevalue("stalled")
            try:
                hold.capture(3)
            finally:
                go_on.set()

    with pytest.raises(Alarm):
        call()
    patient.close()
    with Credits.open(url) as credits:
        assert credits.balance("alice").available == 97


def test_interrupted_while_it_waits_to_be_refused_there_is_nothing_to_give_back(
    patient: Credits, stalled: threading.Event, url: str
) -> None:
    with pytest.raises(Alarm), patient.hold("alice", 101):
        pytest.fail("nothing may run")
    stalled.set()
    patient.close()
    with Credits.open(url) as credits:
        assert credits.holds("alice").data == []


async def test_cancelled_while_it_is_placed_it_is_given_back_before_closing(alice: AsyncCredits, url: str) -> None:
    task = asyncio.create_task(alice.hold("alice", 10).__aenter__())
    await asyncio.sleep(0)  # the request is under way
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await alice.close()
    async with AsyncCredits.open(url) as ledger:
        assert [hold.state for hold in (await ledger.holds("alice")).data] == ["released"]


async def test_cancelled_while_it_is_refused_there_is_nothing_to_give_back(
    alice: AsyncCredits, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    task = asyncio.create_task(alice.hold("alice", 101).__aenter__())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await alice.close()
    assert "could not" not in caplog.text
    async with AsyncCredits.open(url) as ledger:
        assert (await ledger.holds("alice")).data == []
