"""A new price and the kill switch hold for the very next charge, in every process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bursar.core.commands import Capture, Charge, OpenAccount, PlaceHold
from bursar.core.errors import PlanNotFound, SkillDisabled, SkillNotFound
from bursar.core.model import Plan, Usage
from bursar.store.base import Lane, Tx, Work
from tests.engine.audit import audit
from tests.engine.peers import peer
from tests.engine.rig import CREDIT, T0, Tripwire, done, opened, run_plainly

TEXT = Charge(account="alice", skill="TEXT")


async def test_a_price_set_in_another_process_holds_for_the_very_next_charge(url: str) -> None:
    async with opened(url) as rig, peer(url) as other:
        await rig.open_account(credits=1000)
        for cost in (3, 2, 7):
            await rig.engine.execute(TEXT)
            await other.do("set_price", skill="TEXT", cost=cost * CREDIT)
            outcome = await rig.engine.execute(TEXT)
            assert outcome.transaction is not None
            assert outcome.transaction.amount == -cost * CREDIT
            [answer] = [await other.do("charge", account="alice", skill="TEXT")]
            assert len(answer["ids"]) == 1
        amounts = [-row.amount // CREDIT for row in (await audit(rig.store))["alice"].transactions[1:]]
        assert amounts == [1, 3, 3, 3, 2, 2, 2, 7, 7]


async def test_the_kill_switch_of_another_process_holds_for_the_very_next_charge_and_hold(url: str) -> None:
    async with opened(url) as rig, peer(url) as other:
        await rig.open_account(credits=10)
        for _ in range(2):
            await rig.engine.execute(TEXT)
            await other.do("switch", skill="TEXT", active=False)
            with pytest.raises(SkillDisabled):
                await rig.engine.execute(TEXT)
            with pytest.raises(SkillDisabled):
                await rig.engine.execute(PlaceHold(account="alice", skill="TEXT"))
            await other.do("switch", skill="TEXT", active=True)
        assert (await audit(rig.store))["alice"].account.posted == 8 * CREDIT


async def test_a_hold_is_captured_at_the_price_it_was_quoted(url: str) -> None:
    async with opened(url) as rig, peer(url) as other:
        await rig.open_account(credits=10)
        held = await rig.engine.execute(
            PlaceHold(account="alice", skill="TOKENS", usage=Usage(output_tokens=1_000_000_000))
        )
        await other.do("set_price", skill="TOKENS", cost=CREDIT)
        await other.do("switch", skill="TOKENS", active=False)
        assert held.hold is not None
        outcome = await rig.engine.execute(
            Capture(account="alice", hold=held.hold.hold_id, usage=Usage(output_tokens=500_000_000))
        )
        assert outcome.transaction is not None
        assert (outcome.transaction.amount, outcome.transaction.price_version) == (-1_500_000_000, 1)


async def test_what_another_engine_adds_is_known_at_once(url: str) -> None:
    async with opened(url) as one, opened(url) as two:
        with pytest.raises(PlanNotFound):
            await two.engine.execute(OpenAccount(account="bob", plan="gold"))
        await one.open_account(credits=10)
        with pytest.raises(SkillNotFound):
            await two.engine.execute(Charge(account="alice", skill="NEW"))
        await one.catalog.add_skill("NEW", cost=2 * CREDIT, now=T0)
        await one.catalog.put_plan(Plan("gold", "Gold", 500 * CREDIT), T0)
        await two.engine.execute(Charge(account="alice", skill="NEW"))
        await two.engine.execute(OpenAccount(account="bob", plan="gold"))
        ledgers = await audit(one.store)
        assert [ledgers[name].account.posted for name in ("alice", "bob")] == [8 * CREDIT, 500 * CREDIT]


async def test_a_price_set_while_a_batch_is_being_decided_holds_for_the_next_one(pg_url: str) -> None:
    async with opened(pg_url, lanes=1) as rig, opened(pg_url) as other:
        await rig.open_account(credits=100)
        locked, go_on = asyncio.Event(), asyncio.Event()

        async def pause_after_the_version(lane: Lane, work: Work[Any]) -> Any:
            rig.store.run = run_plainly

            async def pausing(tx: Tx) -> Any:
                async def clock() -> Any:
                    answer = await tx.clock()
                    locked.set()
                    await go_on.wait()
                    return answer

                paused = Tripwire(tx)
                paused.clock = clock  # type: ignore[attr-defined]
                return await work(paused)  # type: ignore[arg-type]

            return await lane.run(pausing)

        rig.store.run = pause_after_the_version
        first = rig.engine.submit(TEXT)
        await locked.wait()
        await other.catalog.set_price("TEXT", cost=5 * CREDIT, now=T0)
        second = rig.engine.submit(TEXT)
        go_on.set()
        amounts = [result.transaction.amount for result in done([await first, await second]) if result.transaction]
        assert amounts == [-CREDIT, -5 * CREDIT]


async def test_the_catalogue_is_read_only_when_it_has_moved(url: str) -> None:
    async with opened(url, lanes=1) as rig, opened(url) as other:
        await rig.open_account(credits=100)
        reads: list[str] = []

        async def watch(lane: Lane, work: Work[Any]) -> Any:
            return await lane.run(lambda tx: work(Tripwire(tx, before=note)))  # type: ignore[arg-type]

        def note(name: str, args: tuple[Any, ...]) -> None:
            if name == "fetch":
                reads.append(args[0])

        await rig.engine.execute(TEXT)
        rig.store.run = watch
        await rig.engine.execute(TEXT)
        assert reads == []
        await other.catalog.set_price("TEXT", cost=5 * CREDIT, now=T0)
        await rig.engine.execute(TEXT)
        assert "list_prices" in reads
        reads.clear()
        await rig.engine.execute(TEXT)
        assert reads == []
