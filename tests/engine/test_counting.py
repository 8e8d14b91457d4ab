"""Who is first gets it, and nothing is given twice: many at once, on one account, from everywhere."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from bursar.core.commands import (
    Capture,
    Charge,
    Command,
    Grant,
    OpenAccount,
    PlaceHold,
    Release,
    Touch,
    Transfer,
    Unfreeze,
)
from bursar.core.errors import IdempotencyConflict
from tests.engine.audit import audit
from tests.engine.peers import peers
from tests.engine.rig import CREDIT, Rig, charge, done, opened, refused


async def check_spent(rig: Rig, account: str = "alice", rows: int = 101) -> None:
    """Nothing is left, and the audit finds every row in its place."""
    ledger = (await audit(rig.store))[account]
    assert (ledger.account.posted, ledger.account.held) == (0, 0)
    assert [row.seq for row in ledger.transactions] == list(range(1, rows + 1))


async def test_of_200_charges_on_100_credits_100_succeed(url: str) -> None:
    async with opened(url) as rig:
        await rig.open_account(credits=100)
        results = await asyncio.gather(*(rig.engine.execute(charge()) for _ in range(200)), return_exceptions=True)
        assert len(done(results)) == 100
        assert refused(results) == ["insufficient_credits"] * 100
        await check_spent(rig)


async def test_of_200_holds_on_100_credits_100_succeed_and_each_is_captured_once(url: str) -> None:
    async with opened(url) as rig:
        await rig.open_account(credits=100)
        results = await rig.at_once(*[PlaceHold(account="alice", amount=CREDIT)] * 200)
        holds = [result.hold.hold_id for result in done(results) if result.hold]
        assert len(set(holds)) == 100
        assert refused(results) == ["insufficient_credits"] * 100
        row = await rig.account()
        assert (row.posted, row.held, row.available) == (100 * CREDIT, 100 * CREDIT, 0)

        captures = await rig.at_once(*[Capture(account="alice", hold=hold) for hold in holds * 2])
        assert [result.replayed for result in done(captures)] == [False] * 100 + [True] * 100
        assert len({result.transaction.id for result in done(captures) if result.transaction}) == 100
        await check_spent(rig)


async def test_capture_and_release_of_one_hold_at_once_leave_one_of_them(url: str) -> None:
    async with opened(url) as one, opened(url) as two:
        await one.open_account(credits=100)
        for _ in range(20):
            hold = (await one.engine.execute(PlaceHold(account="alice", amount=CREDIT))).hold
            assert hold is not None
            results = await asyncio.gather(
                one.engine.execute(Capture(account="alice", hold=hold.hold_id)),
                two.engine.execute(Release(account="alice", hold=hold.hold_id)),
                return_exceptions=True,
            )
            assert len(done(results)) == 1
            assert refused(results) == ["hold_not_open"]
        await audit(one.store)


async def test_two_engines_on_one_database_share_100_credits(url: str) -> None:
    async with opened(url) as one, opened(url) as two:
        await one.open_account(credits=100)
        results = await asyncio.gather(
            *(rig.engine.execute(charge()) for _ in range(100) for rig in (one, two)), return_exceptions=True
        )
        assert len(done(results)) == 100
        assert refused(results) == ["insufficient_credits"] * 100
        await check_spent(two)


async def test_three_processes_on_one_database_share_100_credits(either_url: str) -> None:
    async with opened(either_url) as rig, peers(either_url, 3) as others:
        await rig.open_account(credits=100)
        answers = await asyncio.gather(
            *(other.do("charge", account="alice", amount=CREDIT, times=70) for other in others)
        )
        assert sum(len(answer["ids"]) for answer in answers) == 100
        assert sum(answer["refused"].get("insufficient_credits", 0) for answer in answers) == 110
        await check_spent(rig)


async def test_three_processes_hold_and_capture(either_url: str) -> None:
    async with opened(either_url) as rig, peers(either_url, 3) as others:
        await rig.open_account(credits=30)
        answers = await asyncio.gather(
            *(other.do("hold", account="alice", amount=CREDIT, times=20, capture=True) for other in others)
        )
        assert sum(len(answer["ids"]) for answer in answers) == 30
        await check_spent(rig, rows=31)


async def test_the_same_key_50_times_at_once_is_one_charge(url: str) -> None:
    async with opened(url) as one, opened(url) as two:
        await one.open_account(credits=100)
        results = await asyncio.gather(*(rig.engine.execute(charge(key="k")) for _ in range(25) for rig in (one, two)))
        assert sorted(result.replayed for result in results) == [False] + [True] * 49
        assert len({result.transaction for result in results}) == 1
        ledger = (await audit(one.store))["alice"]
        assert ledger.account.posted == 99 * CREDIT
        assert len(ledger.transactions) == 2


async def test_the_same_key_in_three_processes_is_one_charge_each(either_url: str) -> None:
    async with opened(either_url) as rig, peers(either_url, 3) as others:
        await rig.open_account(credits=100)
        answers = await asyncio.gather(
            *(other.do("charge", account="alice", amount=CREDIT, times=20, key="key-{n}") for other in others)
        )
        assert len({tuple(answer["ids"]) for answer in answers}) == 1, "each learns the same twenty ids"
        assert sum(answer["replayed"] for answer in answers) == 40
        assert (await audit(rig.store))["alice"].account.posted == 80 * CREDIT


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(charge(credits=2, key="k"), id="other amount"),
        pytest.param(Charge(account="alice", skill="TEXT", key="k"), id="skill"),
        pytest.param(charge(description="other", key="k"), id="other text"),
        pytest.param(PlaceHold(account="alice", amount=CREDIT, key="k"), id="other verb"),
        pytest.param(Grant(account="alice", amount=CREDIT, key="k"), id="grant"),
        pytest.param(Transfer(account="alice", to="bob", amount=CREDIT, key="k"), id="transfer"),
    ],
)
@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "later"])
async def test_the_same_key_for_something_else_is_a_conflict(
    sqlite_url: str, other: Charge | PlaceHold | Grant | Transfer, together: bool
) -> None:
    async with opened(sqlite_url, lanes=1) as rig:
        await rig.open_account(credits=100)
        await rig.open_account("bob")
        if together:
            first, second = await rig.at_once(charge(key="k"), other)
        else:
            [first], [second] = await rig.at_once(charge(key="k")), await rig.at_once(other)
        assert done([first])
        assert isinstance(second, IdempotencyConflict)
        assert (await audit(rig.store))["alice"].account.posted == 99 * CREDIT


async def test_a_key_that_was_refused_may_be_used_again(url: str) -> None:
    async with opened(url) as rig:
        await rig.open_account()
        assert refused(await rig.at_once(charge(key="k"))) == ["insufficient_credits"]
        await rig.engine.execute(Grant(account="alice", amount=CREDIT))
        first = await rig.engine.execute(charge(key="k"))
        assert not first.replayed
        assert (await rig.engine.execute(charge(key="k"))).transaction == first.transaction


@pytest.mark.parametrize("make", [OpenAccount, Unfreeze, Touch], ids=lambda make: make.verb)
async def test_a_key_is_remembered_even_where_there_was_nothing_to_do(url: str, make: type[Command]) -> None:
    async with opened(url) as rig:
        await rig.open_account(credits=10)
        await rig.engine.execute(make(account="alice", key="k"))
        assert (await rig.engine.execute(make(account="alice", key="k"))).replayed
        with pytest.raises(IdempotencyConflict):
            await rig.engine.execute(charge(key="k"))
        assert (await audit(rig.store))["alice"].account.posted == 10 * CREDIT


async def test_transfers_in_both_directions_between_the_same_accounts_all_succeed(url: str) -> None:
    names = ["a", "b", "c"]
    async with AsyncExitStack() as stack:
        rigs = [await stack.enter_async_context(opened(url)) for _ in range(3)]
        for name in names:
            await rigs[0].open_account(name, credits=1000)
        pairs = [(one, two) for one in names for two in names if one != two]
        results = await asyncio.gather(
            *(
                rig.engine.execute(Transfer(account=one, to=two, amount=CREDIT))
                for _ in range(20)
                for rig in rigs
                for one, two in pairs
            ),
            return_exceptions=True,
        )
        assert not refused(results)
        ledgers = await audit(rigs[0].store)
        assert [ledgers[name].account.posted for name in names] == [1000 * CREDIT] * 3
        assert [len(ledgers[name].transactions) for name in names] == [1 + 4 * 60] * 3


async def test_transfers_in_both_directions_by_three_processes_all_succeed(either_url: str) -> None:
    async with opened(either_url) as rig, peers(either_url, 3) as others:
        for name in ("a", "b"):
            await rig.open_account(name, credits=1000)
        answers = await asyncio.gather(
            *(
                other.do("transfer", account=one, to=two, amount=CREDIT, times=50)
                for number, other in enumerate(others)
                for one, two in [("a", "b") if number % 2 else ("b", "a")]
            )
        )
        assert [len(answer["ids"]) for answer in answers] == [50] * 3
        ledgers = await audit(rig.store)
        assert [ledgers[name].account.posted for name in ("a", "b")] == [1050 * CREDIT, 950 * CREDIT]
