"""`@metered` on every kind of function."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from bursar.core.errors import HoldNotOpen, InsufficientCredits, Invalid
from bursar.credits import AsyncCredits, Credits
from bursar.integrations.meter import meter
from bursar.integrations.metered import metered
from bursar.integrations.refusals import NobodySpends


async def left(credits: AsyncCredits) -> tuple[Any, Any]:
    balance = await credits.balance("alice")
    return balance.posted, balance.held


def left_blocking(credits: Credits) -> tuple[Any, Any]:
    balance = credits.balance("alice")
    return balance.posted, balance.held


# Coroutines


async def test_a_coroutine_is_charged_when_it_returns(credits: AsyncCredits) -> None:
    @metered("TEXT_GENERATION", credits=credits, account="user", description="a text")
    async def write(prompt: str, *, user: str = "alice") -> str:
        """Write."""
        assert await left(credits) == (100, 1)
        return prompt.upper()

    assert await write("to be") == "TO BE"
    assert await left(credits) == (99, 0)
    assert (await credits.history("alice")).data[0].description == "a text"
    assert (write.__name__, write.__doc__) == ("write", "Write.")
    assert inspect.iscoroutinefunction(write)


async def test_what_a_coroutine_raises_releases(credits: AsyncCredits) -> None:
    @metered(5, credits=lambda: credits, account="user")
    async def fail(user: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail("alice")
    assert await left(credits) == (100, 0)


async def test_with_too_little_it_does_not_run(credits: AsyncCredits) -> None:
    @metered("100.5", credits=credits, account="user")
    async def dear(user: str | None) -> None:
        pytest.fail("nothing may run")

    with pytest.raises(InsufficientCredits):
        await dear("alice")
    with pytest.raises(NobodySpends):
        await dear(None)


@pytest.mark.parametrize(("real", "posted"), [(None, 95), (2, 98)])
async def test_cancelled_it_is_charged_as_far_as_it_came(credits: AsyncCredits, real: int | None, posted: int) -> None:
    inside = asyncio.Event()

    @metered(5, credits=credits, account="user")
    async def slow(user: str) -> None:
        if real is not None:
            meter().cost(real)
        inside.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(slow("alice"))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await left(credits) == (posted, 0)


async def test_of_many_at_once_no_more_run_than_can_pay(credits: AsyncCredits) -> None:
    ran = 0

    @metered(2, credits=credits, account="user")
    async def call(user: str) -> None:
        nonlocal ran
        ran += 1
        await asyncio.sleep(0)

    results = await asyncio.gather(*(call("alice") for _ in range(100)), return_exceptions=True)
    assert (ran, sum(isinstance(result, InsufficientCredits) for result in results)) == (50, 50)
    assert await left(credits) == (0, 0)


async def test_prices_accounts_and_keys_may_be_functions_of_the_arguments(credits: AsyncCredits) -> None:
    @metered(
        lambda order: order.get("price"),
        credits=credits,
        account=lambda order: order["user"],
        idempotency_key=lambda order: order["id"],
    )
    async def ship(order: dict[str, Any]) -> int | Decimal:
        return meter().amount

    assert await ship({"user": "alice", "price": 7, "id": "o-1"}) == 7
    with pytest.raises(HoldNotOpen):
        await ship({"user": "alice", "price": 7, "id": "o-1"})
    with pytest.raises(LookupError):
        await ship({"user": "alice", "id": "o-2"})  # free, so there is no meter
    assert await left(credits) == (93, 0)


async def test_an_account_is_opened_on_first_sight(credits: AsyncCredits) -> None:
    @metered(1, credits=credits, account="user")
    async def call(user: str) -> None: ...

    await call("bob")
    assert (await credits.account("bob")).posted == 99


# Asynchronous generators


async def test_a_stream_is_charged_after_its_last_value(credits: AsyncCredits) -> None:
    @metered(10, credits=credits, account="user")
    async def words(user: str) -> AsyncIterator[str]:
        yield "to"
        assert await left(credits) == (100, 10)
        meter().cost(3)
        yield "be"

    assert [word async for word in words("alice")] == ["to", "be"]
    assert await left(credits) == (97, 0)


async def test_a_stream_that_breaks_releases(credits: AsyncCredits) -> None:
    @metered(10, credits=credits, account="user")
    async def words(user: str) -> AsyncIterator[str]:
        yield "to"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        [word async for word in words("alice")]
    assert await left(credits) == (100, 0)


@pytest.mark.parametrize(("real", "posted"), [(None, 90), ("0.5", Decimal("99.5"))])
async def test_a_reader_who_leaves_pays_as_far_as_it_came(credits: AsyncCredits, real: str | None, posted: Any) -> None:
    closed: list[str] = []

    @metered(10, credits=credits, account="user")
    async def words(user: str) -> AsyncIterator[str]:
        try:
            if real is not None:
                meter().cost(real)
            yield "to"
            yield "be"
        finally:
            closed.append(user)

    stream = words("alice")
    assert await anext(stream) == "to"
    await stream.aclose()  # type: ignore[attr-defined]
    assert closed == ["alice"]
    assert await left(credits) == (posted, 0)


async def test_a_free_stream_passes(credits: AsyncCredits) -> None:
    @metered(None, credits=credits, account="user")
    async def words(user: str) -> AsyncIterator[str]:
        yield "to"

    assert [word async for word in words("alice")] == ["to"]


# Functions, and their generators


def test_a_function_is_charged_when_it_returns(blocking: Credits) -> None:
    @metered("IMAGE_GENERATION", credits=blocking, account="user")
    def draw(user: str, *, dear: bool = True) -> str:
        if not dear:
            meter().cost("1.5")
        return "a picture"

    assert draw("alice") == "a picture"
    assert draw(user="alice", dear=False) == "a picture"
    assert left_blocking(blocking) == (Decimal("93.5"), 0)


def test_what_a_function_raises_releases_and_an_interrupt_is_charged(blocking: Credits) -> None:
    @metered(5, credits=blocking, account="user")
    def fail(user: str, error: type[BaseException]) -> None:
        raise error

    with pytest.raises(ZeroDivisionError):
        fail("alice", ZeroDivisionError)
    assert left_blocking(blocking) == (100, 0)
    with pytest.raises(KeyboardInterrupt):
        fail("alice", KeyboardInterrupt)
    assert left_blocking(blocking) == (95, 0)


def test_of_many_threads_no_more_run_than_can_pay(blocking: Credits) -> None:
    ran: list[int] = []
    full = threading.Barrier(20, timeout=60)

    @metered(5, credits=blocking, account="user")
    def call(user: str) -> None:
        ran.append(1)
        full.wait()

    def attempt(_: int) -> bool:
        try:
            call("alice")
        except InsufficientCredits:
            return False
        return True

    with ThreadPoolExecutor(40) as threads:
        results = list(threads.map(attempt, range(40)))
    assert (len(ran), results.count(True)) == (20, 20)
    assert left_blocking(blocking) == (0, 0)


def test_a_generator_is_one_piece_of_work(blocking: Credits) -> None:
    @metered(10, credits=blocking, account="user")
    def words(user: str, how: str) -> Iterator[str]:
        yield "to"
        meter().cost(3)
        if how == "breaks":
            raise ZeroDivisionError
        yield "be"

    assert list(words("alice", "whole")) == ["to", "be"]
    assert left_blocking(blocking) == (97, 0)
    with pytest.raises(ZeroDivisionError):
        list(words("alice", "breaks"))
    assert left_blocking(blocking) == (97, 0)
    stream = words("alice", "left")
    assert next(stream) == "to"
    stream.close()  # type: ignore[attr-defined]
    assert left_blocking(blocking) == (87, 0)


def test_what_is_free_passes(blocking: Credits) -> None:
    @metered(0, credits=blocking, account="user")
    def call(user: str) -> str:
        return user

    @metered(0, credits=blocking, account="user")
    def words(user: str) -> Iterator[str]:
        yield user

    assert (call("alice"), list(words("alice"))) == ("alice", ["alice"])


# Mistakes


def test_mistakes_are_found_where_the_function_is_written(blocking: Credits) -> None:
    with pytest.raises(Invalid, match="price"):
        metered(0.5, credits=blocking, account="user")  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="no parameter 'usr'"):

        @metered(1, credits=blocking, account="usr")
        def call(user: str) -> None: ...


async def test_the_wrong_kind_of_credits_is_refused(credits: AsyncCredits, blocking: Credits) -> None:
    @metered(1, credits=blocking, account="user")
    async def waits(user: str) -> None: ...

    @metered(1, credits=credits, account="user")
    def does_not(user: str) -> None: ...

    with pytest.raises(TypeError, match="block the event loop"):
        await waits("alice")
    with pytest.raises(TypeError, match="can await"):
        does_not("alice")
