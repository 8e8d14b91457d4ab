"""What waits is committed together, in order; what is alone is not kept waiting."""

from __future__ import annotations

import asyncio

from bursar.core.commands import Capture, Grant, OpenAccount, PlaceHold, Refund
from tests.engine.audit import audit
from tests.engine.rig import CREDIT, Gate, Rig, charge, done, opened, refused


async def behind_a_gate(rig: Rig, count: int, accounts: int = 1) -> list[int]:
    """Charges that queue up behind a batch that is held back; the sizes of the batches they were committed in."""
    for number in range(accounts):
        await rig.open_account(f"a{number}", credits=count)
    gate = rig.store.run = Gate()
    first = rig.engine.submit(charge("a0"))
    await gate.reached.wait()
    batches, commands = rig.engine.stats.batches, rig.engine.stats.commands
    futures = [rig.engine.submit(charge(f"a{number % accounts}")) for number in range(count - 1)]
    assert rig.engine.queued == count
    gate.open()
    await asyncio.gather(first, *futures)
    assert rig.engine.queued == 0
    return [rig.engine.stats.batches - batches, rig.engine.stats.commands - commands]


async def test_what_queues_behind_a_batch_is_one_batch(url: str) -> None:
    async with opened(url, lanes=1) as rig:
        assert await behind_a_gate(rig, 500, accounts=7) == [2, 500]
        assert rig.engine.stats.largest_batch == 499
        await audit(rig.store)


async def test_lanes_take_what_is_theirs_as_one_batch_each(pg_url: str) -> None:
    async with opened(pg_url, lanes=3) as rig:
        batches, commands = await behind_a_gate(rig, 300, accounts=30)
        assert commands == 300
        assert batches <= 4
        await audit(rig.store)


async def test_a_batch_has_a_largest_size(sqlite_url: str) -> None:
    async with opened(sqlite_url, lanes=1, max_batch=50) as rig:
        assert await behind_a_gate(rig, 201) == [5, 201]
        assert rig.engine.stats.largest_batch == 50


async def test_a_batch_is_one_tx(url: str) -> None:
    async with opened(url, lanes=1) as rig:
        await rig.open_account(credits=100)
        before = rig.store.batches
        await rig.at_once(*[charge(key=f"k{number}") for number in range(100)])
        assert rig.store.batches == before + 1
        assert rig.engine.stats.batches == rig.store.batches


async def test_an_idle_engine_commits_a_single_command_at_once(url: str) -> None:
    async with opened(url) as rig:
        await rig.open_account(credits=5)
        before = rig.engine.stats.batches
        for _ in range(5):
            await rig.engine.execute(charge())
        assert rig.engine.stats.batches == before + 5


async def test_a_batch_decides_in_the_order_of_submission(url: str) -> None:
    async with opened(url, lanes=1) as rig:
        results = await rig.at_once(
            charge(),
            OpenAccount(account="alice"),
            charge(),
            Grant(account="alice", amount=2 * CREDIT),
            charge(),
            charge(),
            charge(),
        )
        assert [result.verb for result in done(results)] == ["open", "grant", "charge", "charge"]
        assert refused(results) == ["account_not_found", "insufficient_credits", "insufficient_credits"]
        ledger = (await audit(rig.store))["alice"]
        assert [row.id for row in ledger.transactions] == [
            result.transaction.id for result in done(results) if result.transaction
        ]


async def test_a_batch_builds_on_what_it_has_just_made(url: str) -> None:
    async with opened(url, lanes=1) as rig:
        await rig.open_account(credits=10)
        [held] = done(await rig.at_once(PlaceHold(account="alice", amount=4 * CREDIT, key="h")))
        assert held.hold
        [captured, *_] = done(
            await rig.at_once(Capture(account="alice", hold=held.hold.hold_id, amount=3 * CREDIT), charge(key="c"))
        )
        assert captured.transaction
        refund = Refund(account="alice", transaction=captured.transaction.id, amount=2 * CREDIT)
        results = await rig.at_once(
            *[refund] * 2, PlaceHold(account="alice", amount=4 * CREDIT, key="h"), charge(key="c"), charge(key="d")
        )
        assert refused(results) == ["refund_exceeds_charge"]
        assert [(result.verb, result.replayed) for result in done(results)] == [
            ("refund", False),
            ("hold", True),
            ("charge", True),
            ("charge", False),
        ]
        ledger = (await audit(rig.store))["alice"]
        assert ledger.account.posted == (10 - 3 - 1 + 2 - 1) * CREDIT


async def test_refunds_of_one_charge_in_one_batch_count_the_earlier_ones_once(url: str) -> None:
    async with opened(url, lanes=1) as rig:
        await rig.open_account(credits=10)
        charged = (await rig.engine.execute(charge(credits=10))).transaction
        assert charged is not None
        refund = Refund(account="alice", transaction=charged.id, amount=CREDIT)
        await rig.engine.execute(refund)
        results = await rig.at_once(*[refund] * 12)
        assert len(done(results)) == 9
        assert refused(results) == ["refund_exceeds_charge"] * 3
        assert (await audit(rig.store))["alice"].account.posted == 10 * CREDIT


async def test_the_engine_counts_what_it_did(sqlite_url: str) -> None:
    async with opened(sqlite_url) as rig:
        await rig.open_account(credits=1)
        await rig.at_once(charge(), charge(), charge("bob"))
        stats = rig.engine.stats
        assert stats.outcomes == {"open": 1, "grant": 1, "charge": 1}
        assert stats.rejections == {"insufficient_credits": 1, "account_not_found": 1}
        assert (stats.batches, stats.commands, stats.retries, stats.in_doubt) == (3, 5, 0, 0)
        assert stats.commit_seconds > 0
