"""Runs under concurrency: children that ask at once, through many processes; processes that die."""

from __future__ import annotations

import asyncio
from collections import Counter

from bursar.clock import now
from bursar.core.book import Outcome
from bursar.core.commands import Capture, Charge, CloseRun, Grant, OpenRun, PlaceHold, Refund, Release, SetLimit
from bursar.core.model import Hold
from bursar.verify import verify
from tests.engine.peers import peers
from tests.engine.rig import CREDIT, Rig, done, opened, refused
from tests.support.clock import SetClock


async def open_run(rig: Rig, credits: int = 10, **terms: object) -> str:
    outcome = await rig.engine.execute(OpenRun(account="alice", budget=credits * CREDIT, **terms))  # type: ignore[arg-type]
    return hold_of(outcome).hold_id


def hold_of(outcome: Outcome) -> Hold:
    assert outcome.hold is not None
    return outcome.hold


async def check(rig: Rig, posted: int, held: int = 0) -> None:
    row = await rig.account()
    assert (row.posted, row.held) == (posted * CREDIT, held * CREDIT)
    assert (await verify(rig.store)).findings == []


async def test_of_three_children_that_ask_for_4_of_10_at_once_through_three_processes_two_pass(
    either_url: str,
) -> None:
    async with opened(either_url) as rig, peers(either_url, 3) as others:
        await rig.open_account(credits=100)
        lots = {lot.lot_id: lot.remaining for lot in (await rig.engine.view("alice")).live_lots()}
        run = await open_run(rig)
        asked = {"account": "alice", "amount": 4 * CREDIT, "run": run}
        answers = await asyncio.gather(*(other.do("hold", **asked) for other in others))
        assert sum(len(answer["ids"]) for answer in answers) == 2
        assert sum((Counter(answer["refused"]) for answer in answers), Counter()) == {"run_exhausted": 1}
        await check(rig, 100, 10)
        await rig.engine.execute(CloseRun(account="alice", run=run))
        await check(rig, 100)
        book = await rig.engine.view("alice")
        assert {lot.lot_id: lot.remaining for lot in book.live_lots()} == lots
        assert all(lot.held == 0 for lot in book.live_lots())


async def test_the_children_of_a_process_that_died_settle_by_policy(either_url: str) -> None:
    clock = SetClock(now())  # the other processes have the real one
    async with opened(either_url, clock=clock) as rig:
        await rig.open_account(credits=100)
        run = await open_run(rig, ttl_seconds=3600)
        async with peers(either_url, 2) as others:
            asked = {"account": "alice", "amount": 3 * CREDIT, "run": run}
            await others[0].do("hold", **asked, dispatched=True)
            await others[1].do("hold", **asked)
        clock.instant += 3600 * 1_000_000
        assert (await rig.engine.view("alice")).account.held == 0
        await rig.engine.execute(Grant(account="alice", amount=CREDIT))
        await check(rig, 98)


async def test_calls_of_one_run_and_its_close_at_once_leave_nothing_held(either_url: str) -> None:
    async with opened(either_url) as rig:
        await rig.open_account(credits=100)
        run = await open_run(rig, 40)
        results = await rig.at_once(
            *(Charge(account="alice", amount=CREDIT, run=run) for _ in range(10)),
            *(PlaceHold(account="alice", amount=CREDIT, run=run, dispatched=True) for _ in range(10)),
            CloseRun(account="alice", run=run),
            *(Charge(account="alice", amount=CREDIT, run=run) for _ in range(10)),
            CloseRun(account="alice", run=run),
        )
        assert refused(results) == ["run_not_open"] * 10
        assert done(results)[-1].replayed
        await check(rig, 80)


async def test_many_runs_and_runs_in_them_settle_to_the_credit(url: str) -> None:
    async with opened(url) as rig:
        await rig.open_account(credits=500)
        await rig.engine.execute(SetLimit(account="alice", limit="all", window="day", amount=400 * CREDIT))
        outer = [await open_run(rig, 20) for _ in range(10)]
        inner = [await open_run(rig, 12, run=run) for run in outer]
        holds = await rig.at_once(*(PlaceHold(account="alice", amount=5 * CREDIT, run=run) for run in inner))
        names = [hold_of(result).hold_id for result in done(holds)]
        await rig.at_once(
            *(Capture(account="alice", hold=name, amount=7 * CREDIT) for name in names[:5]),
            *(Release(account="alice", hold=name) for name in names[5:]),
            *(Charge(account="alice", amount=CREDIT, run=run) for run in outer),
        )
        await check(rig, 455, 155)
        charges = await rig.at_once(*(Charge(account="alice", amount=2 * CREDIT, run=run) for run in inner))
        refunds = [result.transaction.id for result in done(charges) if result.transaction is not None]
        await rig.at_once(
            *(CloseRun(account="alice", run=run) for run in outer),
            *(Refund(account="alice", transaction=charge) for charge in refunds[:3]),
        )
        await check(rig, 441)
