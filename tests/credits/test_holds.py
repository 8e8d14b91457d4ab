"""Holds as context managers: settled whatever happens inside."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from bursar.core.errors import AccountNotFound, EngineClosed, HoldNotOpen, InsufficientCredits, Invalid
from bursar.credits import AsyncCredits, AsyncHold
from bursar.credits.arguments import OnExpiryIn
from tests.credits.conftest import Clock, on_one_database


@pytest.fixture
async def alice(credits: AsyncCredits) -> AsyncCredits:
    """A ledger in which alice has 100."""
    await credits.open_account("alice")
    return credits


async def posted_and_held(credits: AsyncCredits) -> tuple[object, object]:
    balance = await credits.balance("alice")
    return balance.posted, balance.held


async def test_inside_it_is_dispatched_and_held(alice: AsyncCredits) -> None:
    async with alice.hold("alice", skill="IMAGE_GENERATION", actor="app") as hold:
        assert (await alice.get_hold("alice", hold.id)).state == "dispatched"
        assert (hold.amount, hold.receipt) == (5, None)
        assert await posted_and_held(alice) == (100, 5)


async def test_leaving_without_capture_captures_the_quote(alice: AsyncCredits) -> None:
    async with alice.hold("alice", skill="IMAGE_GENERATION", quantity=2) as hold:
        pass
    assert hold.receipt is not None
    assert (hold.receipt.amount, hold.receipt.hold) == (-10, hold.id)
    assert await posted_and_held(alice) == (90, 0)


async def test_what_was_captured_inside_is_all_there_is(alice: AsyncCredits) -> None:
    async with alice.hold("alice", 10) as hold:
        receipt = await hold.capture("2.5", description="less")
    assert hold.receipt == receipt
    assert (receipt.amount, receipt.description) == (-2.5, "less")
    assert [t.type for t in (await alice.history("alice")).data] == ["CONSUMPTION", "PLAN"]


async def test_usage_is_priced_as_the_hold_was_quoted(alice: AsyncCredits) -> None:
    await alice.skills.add("CHAT", components=[{"unit": "output_token", "credits": "0.001"}], minimum=1)
    async with alice.hold("alice", skill="CHAT", usage={"output_tokens": 9_000}) as hold:
        await alice.skills.set_price("CHAT", 99)
        receipt = await hold.capture(usage={"output_tokens": 5_000})
    assert (hold.amount, receipt.amount) == (9, -5)
    assert receipt.price is not None
    assert receipt.price.version == 1


async def test_an_exception_releases(alice: AsyncCredits) -> None:
    with pytest.raises(ZeroDivisionError):
        async with alice.hold("alice", 10) as hold:
            raise ZeroDivisionError
    assert (await alice.get_hold("alice", hold.id)).state == "released"
    assert await posted_and_held(alice) == (100, 0)


async def test_an_exception_after_the_capture_leaves_it(alice: AsyncCredits) -> None:
    async def call() -> None:
        async with alice.hold("alice", 10) as hold:
            await hold.capture(3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await call()
    assert await posted_and_held(alice) == (97, 0)


async def test_a_release_inside_stands(alice: AsyncCredits) -> None:
    async with alice.hold("alice", 10) as hold:
        assert (await hold.release()).state == "released"
    assert hold.receipt is None
    assert await posted_and_held(alice) == (100, 0)


@pytest.mark.parametrize(
    ("on_expiry", "measured", "posted"),
    [
        ("capture_held", None, 90),
        ("capture_held", 4, 90),
        ("capture_measured", 4, 96),
        ("capture_measured", 0, 100),
        ("capture_measured", None, 90),
        ("release", 4, 100),
    ],
)
async def test_a_cancellation_settles_by_policy(
    alice: AsyncCredits, on_expiry: OnExpiryIn, measured: int | None, posted: int
) -> None:
    inside = asyncio.Event()

    async def call() -> None:
        async with alice.hold("alice", 10, on_expiry=on_expiry) as hold:
            if measured is not None:
                await hold.dispatch(measured=measured)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await posted_and_held(alice) == (posted, 0)


async def test_a_generator_that_is_closed_settles_by_policy(alice: AsyncCredits) -> None:
    async def stream() -> AsyncIterator[str]:
        async with alice.hold("alice", 10, on_expiry="capture_measured") as hold:
            await hold.extend(measured=3)
            yield "a word"
            yield "never read"

    words = stream()
    assert await anext(words) == "a word"
    await words.aclose()  # type: ignore[attr-defined]
    assert await posted_and_held(alice) == (97, 0)


async def test_a_timeout_is_a_cancellation(alice: AsyncCredits) -> None:
    async def call() -> None:
        async with asyncio.timeout(None) as deadline, alice.hold("alice", 10):
            deadline.reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await call()
    assert await posted_and_held(alice) == (90, 0)


async def test_a_second_cancellation_does_not_lose_the_settlement(alice: AsyncCredits) -> None:
    inside = asyncio.Event()

    async def call() -> None:
        async with alice.hold("alice", 10):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await inside.wait()
    task.cancel()
    await asyncio.sleep(0)  # it runs into the settlement
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await alice.charge("alice", 1)  # submitted later, so carried out later
    assert await posted_and_held(alice) == (89, 0)


async def test_cancelled_while_it_is_placed_it_is_given_back_before_closing(alice: AsyncCredits, url: str) -> None:
    task = asyncio.create_task(alice.hold("alice", 10).__aenter__())
    await asyncio.sleep(0)  # the hold is submitted
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await alice.close()
    async with AsyncCredits.open(url, clock="2026-01-10T12:00:00Z") as ledger:
        assert [hold.state for hold in (await ledger.holds("alice")).data] == ["released"]
        assert await posted_and_held(ledger) == (100, 0)


async def test_cancelled_while_it_is_refused_there_is_nothing_to_give_back(
    alice: AsyncCredits, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    task = asyncio.create_task(alice.hold("alice", 101).__aenter__())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await alice.close()
    assert caplog.text == ""
    async with AsyncCredits.open(url, clock="2026-01-10T12:00:00Z") as ledger:
        assert (await ledger.holds("alice")).data == []


async def test_cancelled_during_the_capture_the_real_cost_stands(alice: AsyncCredits) -> None:
    inside = asyncio.Event()

    async def call() -> None:
        async with alice.hold("alice", 10) as hold:
            inside.set()
            await hold.capture(3)

    task = asyncio.create_task(call())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await posted_and_held(alice) == (97, 0)


async def test_too_little_is_refused_at_the_door(alice: AsyncCredits) -> None:
    with pytest.raises(InsufficientCredits):
        async with alice.hold("alice", 101):
            pytest.fail("nothing may run")
    with pytest.raises(AccountNotFound):
        async with alice.hold("nobody", 1):
            pytest.fail("nothing may run")
    assert (await alice.holds("alice")).data == []


@on_one_database
async def test_arguments_are_refused_before_anything_else(alice: AsyncCredits) -> None:
    with pytest.raises(Invalid, match="amount"):
        alice.hold("alice", 0.5)  # type: ignore[arg-type]


async def test_at_least_holds_what_there_is(alice: AsyncCredits) -> None:
    async with alice.hold("alice", 130, at_least=20) as hold:
        assert hold.amount == 100
        await hold.capture(30)
    assert await posted_and_held(alice) == (70, 0)


async def test_a_capture_beyond_the_hold_becomes_debt(alice: AsyncCredits) -> None:
    async with alice.hold("alice", 99) as hold:
        receipt = await hold.capture(102)
    assert (receipt.posted_after, receipt.debt) == (-2, 2)


async def test_an_extension_counts(alice: AsyncCredits) -> None:
    async with alice.hold("alice", 10) as hold:
        await hold.extend(5, ttl_seconds=3_600)
        assert hold.amount == 15
    assert await posted_and_held(alice) == (85, 0)


@on_one_database
async def test_a_hold_is_entered_once(alice: AsyncCredits) -> None:
    hold = alice.hold("alice", 1)
    with pytest.raises(RuntimeError, match="entering"):
        _ = hold.id
    async with hold:
        pass
    with pytest.raises(RuntimeError, match="once"):
        await hold.__aenter__()
    assert await posted_and_held(alice) == (99, 0)


async def test_the_replay_of_an_ended_hold_permits_no_call(alice: AsyncCredits) -> None:
    async with alice.hold("alice", 1, idempotency_key="call-1"):
        pass
    with pytest.raises(HoldNotOpen):
        async with alice.hold("alice", 1, idempotency_key="call-1"):
            pytest.fail("nothing may run")
    assert await posted_and_held(alice) == (99, 0)


async def test_cancelling_a_replay_leaves_the_first_callers_hold(alice: AsyncCredits) -> None:
    async with alice.hold("alice", 10, idempotency_key="call-1") as hold:
        task = asyncio.create_task(alice.hold("alice", 10, idempotency_key="call-1").__aenter__())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await hold.extend(ttl_seconds=1)).state == "dispatched"
    assert await posted_and_held(alice) == (90, 0)


async def test_settled_elsewhere_it_stays_so(alice: AsyncCredits) -> None:
    async with alice.hold("alice", 10) as hold:
        await alice.capture("alice", hold.id, 4)
    assert await posted_and_held(alice) == (96, 0)


async def test_left_after_it_expired_the_quote_stands(alice: AsyncCredits, clock: Clock) -> None:
    async with alice.hold("alice", 10, ttl_seconds=60):
        clock.set("2026-01-10T13:00:00Z")
        assert await posted_and_held(alice) == (90, 0)
    assert await posted_and_held(alice) == (90, 0)


async def test_captured_after_it_expired_the_real_cost_stands(alice: AsyncCredits, clock: Clock) -> None:
    async with alice.hold("alice", 10, ttl_seconds=60) as hold:
        clock.set("2026-01-10T13:00:00Z")
        await alice.charge("alice", 1)
        await hold.capture(3)
    assert await posted_and_held(alice) == (96, 0)


async def test_an_exception_after_it_expired_takes_back_what_expiry_charged(alice: AsyncCredits, clock: Clock) -> None:
    async def call() -> None:
        async with alice.hold("alice", 10, ttl_seconds=60):
            clock.set("2026-01-10T13:00:00Z")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await call()
    assert await posted_and_held(alice) == (100, 0)


async def test_when_settling_fails_too_the_first_error_is_raised_with_a_note(
    alice: AsyncCredits, caplog: pytest.LogCaptureFixture
) -> None:
    async def call() -> None:
        async with alice.hold("alice", 10):
            await alice.close()
            raise ZeroDivisionError

    with caplog.at_level(logging.WARNING), pytest.raises(ZeroDivisionError) as failure:
        await call()
    assert "could not be settled" in failure.value.__notes__[0]
    assert "could not be settled" in caplog.text


async def test_when_only_settling_fails_that_is_raised(alice: AsyncCredits) -> None:
    with pytest.raises(EngineClosed):
        async with alice.hold("alice", 10):
            await alice.close()


async def test_many_at_once_hold_no_more_than_there_is(alice: AsyncCredits) -> None:
    async def call() -> bool:
        try:
            async with alice.hold("alice", 1) as hold:
                await hold.capture()
        except InsufficientCredits:
            return False
        return True

    results = await asyncio.gather(*(call() for _ in range(150)))
    assert results.count(True) == 100
    assert await posted_and_held(alice) == (0, 0)


async def test_a_hold_shows_itself(alice: AsyncCredits) -> None:
    async with alice.hold("alice", 10) as hold:
        assert isinstance(hold, AsyncHold)
        assert hold.answer == await alice.get_hold("alice", hold.id)
