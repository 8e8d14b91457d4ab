"""A read computes what is due and writes nothing; what a later command writes is what was read."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import asdict

from bursar.core.book import Book
from bursar.core.commands import Dispatch, Grant, OpenAccount, PlaceHold, Touch
from bursar.core.errors import AccountNotFound
from bursar.core.model import Transaction
from tests.engine.audit import audit, read_ledgers
from tests.engine.rig import CREDIT, DAY, HOUR, T0, Hands, Rig, charge, opened

MOMENTS = [T0 + hours * HOUR for hours in (1, 2, 3, 24, 48, 24 * 31, 24 * 31 + 1, 24 * 62, 24 * 100)]


async def set_up(rig: Rig, account: str = "alice", plan: str = "free") -> None:
    """An account on which, as time goes by, everything falls due that can."""
    execute = rig.engine.execute
    await execute(OpenAccount(account=account, plan=plan))
    await execute(Grant(account=account, amount=10 * CREDIT, priority=1, expires_at=T0 + 2 * HOUR))
    await execute(Grant(account=account, amount=5 * CREDIT, effective_at=T0 + 3 * HOUR, expires_at=T0 + 4 * DAY))
    await execute(Grant(account=account, amount=CREDIT, priority=2))
    for dispatched, policy, ttl in (
        (False, "capture_held", 3_600),
        (True, "capture_held", 3_600),
        (True, "release", 7_200),
        (True, "capture_measured", 86_400),
    ):
        outcome = await execute(
            PlaceHold(account=account, amount=3 * CREDIT, dispatched=dispatched, on_expiry=policy, ttl_seconds=ttl)
        )
        if policy == "capture_measured" and outcome.hold is not None:
            await execute(Dispatch(account=account, hold=outcome.hold.hold_id, measured=CREDIT))


def seen(book: Book) -> dict[str, object]:
    return asdict(book.account)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{(moment - T0) // HOUR}h")
async def test_what_is_read_is_what_is_then_written(either_url: str, moment: int) -> None:
    clock = Hands()
    async with opened(either_url, clock=clock) as rig:
        await set_up(rig)
        stored = await read_ledgers(rig.store)
        clock.instant = moment
        book = await rig.engine.view("alice")
        assert await read_ledgers(rig.store) == stored, "a read has written"

        await rig.engine.execute(Touch(account="alice"))
        ledger = (await audit(rig.store))["alice"]
        assert seen(book) == asdict(ledger.account)
        assert book.new_transactions == ledger.transactions[len(stored["alice"].transactions) :]
        assert seen(await rig.engine.view("alice")) == asdict(ledger.account)
        for hold in book.holds.values():
            assert hold is None or hold == ledger.holds[hold.hold_id]


async def test_a_refused_command_writes_what_was_due_and_nothing_else(either_url: str) -> None:
    clock = Hands()
    async with opened(either_url, clock=clock) as rig:
        await set_up(rig)
        clock.instant = T0 + 30 * DAY
        book = await rig.engine.view("alice")
        [result] = await rig.at_once(charge(credits=10_000))
        assert getattr(result, "code", None) == "insufficient_credits"
        assert seen(book) == asdict((await audit(rig.store))["alice"].account)


def told(rows: list[Transaction]) -> list[tuple[object, ...]]:
    """What is the same whenever it is written."""
    return [
        (row.seq, [part for _, part in row.entry_list()], row.type, row.amount, row.posted_after, row.effective_at)
        for row in rows
    ]


@pytest.mark.parametrize(("plan", "days"), [("free", 45), ("saving", 100)])
async def test_touched_often_and_touched_once_at_the_end_are_the_same_rows(url: str, plan: str, days: int) -> None:
    """Of a `reset` plan that missed several periods only the last one is granted: it is touched within the second."""
    clock = Hands()
    async with opened(url, clock=clock) as rig:
        for account in ("often", "once"):
            await rig.engine.execute(OpenAccount(account=account, plan=plan))
            for token, expires_at in (("a" * 20, T0 + 20 * DAY), ("b" * 20, T0 + 40 * DAY)):
                await rig.engine.execute(Grant(account=account, token=token, amount=CREDIT, expires_at=expires_at))
        for hours in range(1, 24 * days, 7):
            clock.instant = T0 + hours * HOUR
            await rig.engine.execute(Touch(account="often"))
        clock.instant = T0 + days * DAY
        await rig.engine.execute_many([Touch(account="often"), Touch(account="once")])
        ledgers = await audit(rig.store)
        often, once = (told(ledgers[account].transactions) for account in ("often", "once"))
        assert often == once
        assert [row[2] for row in often].count("EXPIRY") >= 2


async def test_a_read_sees_what_was_acknowledged(url: str) -> None:
    async with opened(url) as one, opened(url) as two:
        await one.open_account(credits=100)
        for number in range(1, 21):
            await one.engine.execute(charge())
            assert (await two.engine.view("alice")).account.posted == (100 - number) * CREDIT


async def test_reads_beside_writes_see_one_moment(url: str) -> None:
    async with opened(url) as rig:
        await rig.open_account(credits=100)
        spending = [rig.engine.submit(PlaceHold(account="alice", amount=CREDIT)) for _ in range(100)]
        for book in await asyncio.gather(*(rig.engine.view("alice") for _ in range(50))):
            lots = [lot for lot in book.lots.values() if lot is not None]
            assert sum(lot.held for lot in lots) == book.account.held
            assert book.account.holds_opened == book.account.open_holds == book.account.held // CREDIT
        await asyncio.gather(*spending)


async def test_an_account_that_is_not_there(url: str) -> None:
    async with opened(url) as rig:
        with pytest.raises(AccountNotFound):
            await rig.engine.view("nobody")


async def test_the_time_is_the_databases_or_the_test_clocks(url: str) -> None:
    clock = Hands(T0 + 5)
    async with opened(url) as plain, opened(url, clock=clock) as tested:
        assert await tested.engine.now() == T0 + 5
        earlier = await plain.engine.now()
        assert T0 < earlier <= await plain.engine.now()


async def test_an_accounts_time_never_goes_back(either_url: str) -> None:
    clock = Hands(T0 + DAY)
    async with opened(either_url, clock=clock) as rig:
        await rig.open_account(credits=10)
        clock.instant = T0
        outcome = await rig.engine.execute(charge())
        assert outcome.transaction is not None
        assert outcome.transaction.recorded_at == T0 + DAY
        assert (await rig.engine.view("alice")).account.recorded_at == T0 + DAY
        await audit(rig.store)
