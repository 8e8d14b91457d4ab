"""A commit whose answer was lost: carried out exactly once, and the right answer, whether it had landed or not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bursar.core.book import Outcome
from bursar.core.commands import (
    AddMember,
    Adjust,
    Capture,
    Charge,
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
    SetLimit,
    Touch,
    Transfer,
    UpdateAccount,
    Void,
)
from bursar.core.errors import DatabaseUnavailable
from bursar.core.limits import all_limits
from bursar.engine import engine as engine_module
from bursar.store.base import CommitInDoubt, Lane, LockTimeout, Tx, Work
from bursar.verify import verify
from tests.engine.audit import Ledger, audit, read_ledgers
from tests.engine.proxy import Cut, proxied
from tests.engine.rig import CREDIT, DAY, HOUR, Hands, Rig, RunLane, charge, opened, run_plainly


class Abandoned(Exception):
    """Ends a tx without a commit."""


async def roll_back(lane: Lane, work: Work[Any]) -> None:
    """Do the work, and take it back."""

    async def abandon(tx: Tx) -> None:
        await work(tx)
        raise Abandoned

    with pytest.raises(Abandoned):
        await lane.run(abandon)


class Losing:
    """Lanes that lose the answers to the next commits: `landed` says of each in turn whether it lands."""

    def __init__(self, *landed: bool, then: RunLane = run_plainly) -> None:
        self._landed = list(landed)
        self._then = then

    async def __call__(self, lane: Lane, work: Work[Any]) -> Any:
        if not self._landed:
            return await self._then(lane, work)
        if self._landed.pop(0):
            await lane.run(work)
        else:
            await roll_back(lane, work)
        raise CommitInDoubt("the connection is gone")


Make = Callable[[Rig, str], Awaitable[Command]]


async def hold_of(rig: Rig, account: str) -> str:
    outcome = await rig.engine.execute(PlaceHold(account=account, amount=5 * CREDIT))
    assert outcome.hold is not None
    return outcome.hold.hold_id


async def an_open_account(rig: Rig, account: str) -> Command:
    return OpenAccount(account=f"{account}-new", email="c@example.org")


async def an_open_account_with_a_plan(rig: Rig, account: str) -> Command:
    return OpenAccount(account=f"{account}-new", plan="free")


async def a_charge(rig: Rig, account: str) -> Command:
    return charge(account, credits=3)


async def a_charge_with_a_key(rig: Rig, account: str) -> Command:
    return charge(account, credits=3, key="k")


async def a_hold(rig: Rig, account: str) -> Command:
    return PlaceHold(account=account, amount=5 * CREDIT)


async def a_dispatch(rig: Rig, account: str) -> Command:
    return Dispatch(account=account, hold=await hold_of(rig, account), measured=CREDIT)


async def an_extension(rig: Rig, account: str) -> Command:
    return Extend(account=account, hold=await hold_of(rig, account), amount=3 * CREDIT)


async def a_capture(rig: Rig, account: str) -> Command:
    return Capture(account=account, hold=await hold_of(rig, account), amount=6 * CREDIT)


async def a_release(rig: Rig, account: str) -> Command:
    return Release(account=account, hold=await hold_of(rig, account))


async def a_refund(rig: Rig, account: str) -> Command:
    outcome = await rig.engine.execute(charge(account, credits=9))
    assert outcome.transaction is not None
    return Refund(account=account, transaction=outcome.transaction.id, amount=2 * CREDIT)


async def a_transfer(rig: Rig, account: str) -> Command:
    return Transfer(account=account, to=f"{account}-to", amount=4 * CREDIT)


async def a_grant(rig: Rig, account: str) -> Command:
    return Grant(account=account, amount=4 * CREDIT, source="purchase")


async def a_void(rig: Rig, account: str) -> Command:
    outcome = await rig.engine.execute(Grant(account=account, amount=7 * CREDIT))
    assert outcome.lot is not None
    return Void(account=account, grant=outcome.lot.lot_id)


async def an_adjustment(rig: Rig, account: str) -> Command:
    return Adjust(account=account, by=-4 * CREDIT, reason="r")


async def a_freeze(rig: Rig, account: str) -> Command:
    return Freeze(account=account)


async def an_update(rig: Rig, account: str) -> Command:
    return UpdateAccount(account=account, name="Alice")


async def a_limit(rig: Rig, account: str) -> Command:
    return SetLimit(account=account, limit="daily", window="day", amount=9 * CREDIT)


async def a_members_limit(rig: Rig, account: str) -> Command:
    return SetLimit(account=account, limit="mia", window="day", amount=9 * CREDIT, scope="member", value="mia")


async def a_lifted_limit(rig: Rig, account: str) -> Command:
    await rig.engine.execute(await a_members_limit(rig, account))
    return RemoveLimit(account=account, limit="mia")


async def a_member(rig: Rig, account: str) -> Command:
    return AddMember(account=account, member="mia")


async def a_removed_member(rig: Rig, account: str) -> Command:
    await rig.engine.execute(AddMember(account=account, member="mia"))
    return RemoveMember(account=account, member="mia")


async def run_of(rig: Rig, account: str) -> str:
    outcome = await rig.engine.execute(OpenRun(account=account, budget=9 * CREDIT))
    assert outcome.hold is not None
    return outcome.hold.hold_id


async def a_run(rig: Rig, account: str) -> Command:
    await rig.engine.execute(await a_limit(rig, account))
    return OpenRun(account=account, budget=9 * CREDIT)


async def a_call_of_a_run(rig: Rig, account: str) -> Command:
    return PlaceHold(account=account, amount=5 * CREDIT, run=await run_of(rig, account))


async def a_closed_run(rig: Rig, account: str) -> Command:
    run = await run_of(rig, account)
    await rig.engine.execute(PlaceHold(account=account, amount=5 * CREDIT, run=run))
    return CloseRun(account=account, run=run)


VERBS: list[Make] = [
    a_limit,
    a_members_limit,
    a_lifted_limit,
    a_member,
    a_removed_member,
    a_run,
    a_call_of_a_run,
    a_closed_run,
    an_open_account,
    an_open_account_with_a_plan,
    a_charge,
    a_charge_with_a_key,
    a_hold,
    a_dispatch,
    an_extension,
    a_capture,
    a_release,
    a_refund,
    a_transfer,
    a_grant,
    a_void,
    an_adjustment,
    a_freeze,
    an_update,
]


async def prepare(rig: Rig, make: Make, account: str = "alice") -> Command:
    await rig.open_account(account, credits=100)
    await rig.open_account(f"{account}-to", credits=100)
    return await make(rig, account)


def shape(ledgers: dict[str, Ledger], account: str) -> dict[str, Any]:
    """The account's books and those beside it, but for when and under which ids."""
    return {
        name.removeprefix(account): (
            [(row.type, row.amount, row.posted_after, row.held_after) for row in ledger.transactions],
            sorted((hold.state, hold.amount, hold.captured, hold.measured) for hold in ledger.holds.values()),
            sorted((lot.remaining, lot.held) for lot in ledger.lots.values()),
            sorted(ledger.keys),
            (ledger.account.status, ledger.account.name, ledger.account.available),
        )
        for name, ledger in ledgers.items()
        if name.removeprefix(account) in ("", "-to", "-new")
    }


def answer(outcome: Outcome) -> tuple[Any, ...]:
    """What it says, but for when and under which ids."""
    return (
        outcome.verb,
        outcome.replayed,
        outcome.created,
        outcome.transaction and (outcome.transaction.seq, outcome.transaction.amount),
        outcome.hold and (outcome.hold.state, outcome.hold.amount, outcome.hold.captured),
        outcome.lot and outcome.lot.remaining,
        outcome.other and outcome.other.amount,
        outcome.account and (outcome.account.status, outcome.account.name),
        outcome.limit and outcome.limit.definition,
        outcome.member and (outcome.member.member, outcome.member.status),
    )


async def kept(rig: Rig, account: str) -> Any:
    """Its limits, with what they have counted, and its members."""
    book = await rig.engine.view(account, members=True)
    limits = [(limit.definition, limit.spent, limit.held) for limit in all_limits(book)]
    return limits, sorted((row.member, row.status) for row in book.every_member())


@pytest.mark.parametrize(
    "landed",
    [[True], [False], [False, False, True], [True, True]],
    ids=["landed", "not landed", "the third landed", "landed, and the look was lost too"],
)
async def test_each_verb_is_carried_out_once_and_answered_rightly(url: str, landed: list[bool]) -> None:
    async with opened(url) as rig:
        for number, make in enumerate(VERBS):
            plain, lossy = f"plain-{number}", f"lossy-{number}"
            expected = await rig.engine.execute(await prepare(rig, make, plain))
            command = await prepare(rig, make, lossy)
            rig.store.run = Losing(*landed)
            outcome = await rig.engine.execute(command)
            rig.store.run = run_plainly
            assert answer(outcome) == answer(expected), make.__name__
            ledgers = await audit(rig.store)
            assert shape(ledgers, lossy) == shape(ledgers, plain), make.__name__
            assert await kept(rig, lossy) == await kept(rig, plain), make.__name__
        assert (await verify(rig.store)).findings == []
        assert rig.engine.stats.in_doubt == len(landed) * len(VERBS)


@pytest.mark.parametrize("landed", [True, False])
async def test_a_whole_batch_is_one_question(url: str, landed: bool) -> None:
    async with opened(url, lanes=1) as rig:
        await rig.open_account(credits=100)
        rig.store.run = Losing(landed)
        results = await rig.at_once(
            charge("nobody"), *[charge(key=f"k{number}") for number in range(50)], OpenAccount(account="bob")
        )
        assert [getattr(result, "code", None) for result in results] == ["account_not_found"] + [None] * 51
        assert [result.replayed for result in results if isinstance(result, Outcome)] == [False] * 51
        assert (await audit(rig.store))["alice"].account.posted == 50 * CREDIT


@pytest.mark.parametrize("landed", [True, False])
@pytest.mark.parametrize("make", [a_charge, a_hold, a_capture, an_open_account_with_a_plan, a_transfer])
async def test_others_may_have_gone_on_meanwhile(either_url: str, make: Make, landed: bool) -> None:
    async with opened(either_url) as rig, opened(either_url) as other:
        command = await prepare(rig, make)
        losing = Losing(landed)

        async def interfere(lane: Lane, work: Work[Any]) -> Any:
            rig.store.run = run_plainly
            try:
                await losing(lane, work)
            finally:
                await other.engine.execute(OpenAccount(account=command.account, plan="free"))
                await other.engine.execute(Grant(account=command.account, amount=CREDIT))
                await other.engine.execute(charge(command.account, description="the other's"))

        rig.store.run = interfere
        outcome = await rig.engine.execute(command)
        assert not outcome.replayed
        assert outcome.created is (make is not an_open_account_with_a_plan or landed), "who came first has created it"
        ledger = (await audit(rig.store))[command.account]
        spent = [row for row in ledger.transactions if row.type in ("CONSUMPTION", "TRANSFER_OUT", "PLAN")]
        assert len(spent) == (1 if make is a_hold else 2), "ours once, and the other's"
        assert len(ledger.holds) == (1 if make in (a_hold, a_capture) else 0)


@pytest.mark.parametrize("landed", [True, False])
@pytest.mark.parametrize("kind", ["lot", "renewal", "hold"])
async def test_what_was_due_tells_nothing_since_others_make_the_same_rows(
    either_url: str, kind: str, landed: bool
) -> None:
    clock = Hands()
    async with opened(either_url, clock=clock) as rig, opened(either_url, clock=clock) as other:
        await rig.open_account(credits=100, plan="free" if kind == "renewal" else None)
        if kind == "lot":
            await rig.engine.execute(Grant(account="alice", amount=CREDIT, expires_at=clock.now() + HOUR))
        if kind == "hold":
            held = PlaceHold(account="alice", amount=CREDIT, dispatched=True, ttl_seconds=60)
            await rig.engine.execute(held)
        clock.instant += 40 * DAY
        losing = Losing(landed)

        async def interfere(lane: Lane, work: Work[Any]) -> Any:
            rig.store.run = run_plainly
            try:
                await losing(lane, work)
            finally:
                await other.engine.execute(Touch(account="alice"))

        rig.store.run = interfere
        outcome = await rig.engine.execute(charge())
        ledger = (await audit(rig.store))["alice"]
        assert outcome.transaction in ledger.transactions
        assert len([row for row in ledger.transactions if row.type == "CONSUMPTION"]) == (2 if kind == "hold" else 1)


class TestUnderWay:
    """The connection is lost, and the server has yet to finish the commit."""

    async def lose(self, rig: Rig, *commands: Command, land: bool) -> list[Any]:
        """Carry these out. The first commit ends only once the engine was twice seen to wait for it."""
        end, waits = asyncio.Event(), 0
        under_way: list[asyncio.Task[Any]] = []

        async def lose_the_first(lane: Lane, work: Work[Any]) -> Any:
            rig.store.run = wait_for_it
            written = asyncio.Event()

            async def commit_late(tx: Tx) -> None:
                await work(tx)
                written.set()
                await end.wait()
                if not land:
                    raise Abandoned

            under_way.append(asyncio.create_task(lane.run(commit_late)))
            await written.wait()
            raise CommitInDoubt("the connection is gone")

        async def wait_for_it(_: Lane, work: Work[Any]) -> Any:
            nonlocal waits
            lane = await rig.store.inner.lane()
            try:
                return await lane.run(work)
            except LockTimeout:
                waits += 1
                if waits == 2:
                    end.set()
                    await asyncio.gather(*under_way, return_exceptions=True)
                raise
            finally:
                await lane.close()

        rig.store.run = lose_the_first
        results = await rig.at_once(*commands)
        assert end.is_set(), "the engine did not wait for what was under way"
        rig.store.run = run_plainly
        return results

    @pytest.mark.parametrize("land", [True, False])
    async def test_on_an_account_that_is_there(self, pg_url: str, land: bool) -> None:
        async with opened(pg_url, lanes=1) as rig:
            await rig.open_account(credits=100)
            [outcome] = await self.lose(rig, charge(), land=land)
            assert isinstance(outcome, Outcome)
            ledger = (await audit(rig.store))["alice"]
            assert [row.id for row in ledger.transactions[1:]] == [outcome.transaction and outcome.transaction.id]

    @pytest.mark.parametrize("land", [True, False])
    async def test_on_an_account_that_is_new(self, pg_url: str, land: bool) -> None:
        async with opened(pg_url, lanes=1) as rig:
            opening, spending = await self.lose(
                rig, OpenAccount(account="alice", plan="free"), charge(credits=10), land=land
            )
            assert [opening.created, spending.verb] == [True, "charge"]
            assert (await audit(rig.store))["alice"].account.posted == 90 * CREDIT


@pytest.mark.parametrize("cut", Cut)
async def test_a_connection_that_breaks_during_commit(pg_url: str, cut: Cut) -> None:
    async with proxied(pg_url) as (proxy, url), opened(url, lanes=1) as rig:
        await rig.open_account(credits=100)
        for number in range(5):
            proxy.cut = cut
            outcome = await rig.engine.execute(charge(key=f"k{number}"))
            assert not outcome.replayed
            hold = await rig.engine.execute(PlaceHold(account="alice", amount=CREDIT))
            proxy.cut = cut
            assert hold.hold
            await rig.engine.execute(Capture(account="alice", hold=hold.hold.hold_id))
        assert rig.engine.stats.in_doubt == 10
        ledger = (await audit(rig.store))["alice"]
        assert ledger.account.posted == 90 * CREDIT
        assert ledger.account.seq == 11


class TestLongOutage:
    """The answer is lost, and the database stays away for longer than anybody tries who is sure."""

    @pytest.fixture(autouse=True)
    def hasty(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_module, "RETRY_SECONDS", 0.0)

    @staticmethod
    def away(times: int | None) -> RunLane:
        left = times

        async def run(lane: Lane, work: Work[Any]) -> Any:
            nonlocal left
            if left == 0:
                return await lane.run(work)
            left = None if left is None else left - 1
            raise DatabaseUnavailable("nobody there")

        return run

    @pytest.mark.parametrize("landed", [True, False])
    async def test_it_is_cleared_up_as_soon_as_the_database_is_back(self, url: str, landed: bool) -> None:
        async with opened(url) as rig:
            await rig.open_account(credits=10)
            rig.store.run = Losing(landed, then=self.away(50))
            assert not (await rig.engine.execute(charge(key="k"))).replayed
            assert (await audit(rig.store))["alice"].account.posted == 9 * CREDIT

    @pytest.mark.parametrize("landed", [True, False])
    async def test_in_the_end_the_caller_is_told_and_may_ask_again(
        self, url: str, landed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine_module, "PATIENCE_SECONDS", 0.0)
        async with opened(url) as rig:
            await rig.open_account(credits=10)
            rig.store.run = Losing(landed, then=self.away(None))
            with pytest.raises(DatabaseUnavailable, match="same idempotency key"):
                await rig.engine.execute(charge(key="k"))
            rig.store.run = run_plainly
            assert (await rig.engine.execute(charge(key="k"))).replayed is landed
            assert (await audit(rig.store))["alice"].account.posted == 9 * CREDIT

    async def test_a_look_that_fails_is_tried_again(self, url: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.CRITICAL, "bursar.engine")
        failures = 3

        async def fail(lane: Lane, work: Work[Any]) -> Any:
            nonlocal failures
            if failures == 0:
                return await lane.run(work)
            failures -= 1
            raise ValueError("a bug")

        async with opened(url, lanes=1) as rig:
            await rig.open_account(credits=10)
            rig.store.run = Losing(True, then=fail)
            results = await rig.at_once(charge(), charge())
            assert [type(result) for result in results] == [Outcome, Outcome]
            assert (await audit(rig.store))["alice"].account.posted == 8 * CREDIT


async def test_nothing_is_written_where_the_answer_to_a_refusal_is_lost(url: str) -> None:
    async with opened(url) as rig:
        await rig.open_account()
        before = await read_ledgers(rig.store)
        rig.store.run = Losing(True)
        [result] = await rig.at_once(Charge(account="alice", amount=CREDIT))
        assert getattr(result, "code", None) == "insufficient_credits"
        assert await read_ledgers(rig.store) == before
