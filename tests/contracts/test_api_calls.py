"""The `api-calls` contract, by its document: its functions, the script for users who were there before, the session."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bursar import AccountNotFound, AsyncCredits, Credits, Invalid
from bursar.contracts.api_calls import check_user_credits, deduct_user_credits, get_user_credits
from bursar.contracts.backfill import PAGE, Backfilled, backfill
from bursar.settings import Settings
from tests.service.conftest import opened, with_settings


@pytest.fixture
def ledger(database_url: str) -> Iterator[Credits]:
    with Credits.open(database_url, preset="api-calls") as credits:
        yield credits


def test_a_new_user_has_5000_once(ledger: Credits) -> None:
    account = ledger.open_account("user", email="user@example.com")
    assert (account.plan, account.available, account.next_reset) == ("Basic", 5_000, None)
    assert get_user_credits(ledger, "user") == 5_000


def test_each_call_costs_one_down_to_the_last(ledger: Credits, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bursar.api_calls")
    ledger.open_account("user")
    assert check_user_credits(ledger, "user", 1)
    assert deduct_user_credits(ledger, "user", 1)
    assert get_user_credits(ledger, "user") == 4_999
    assert caplog.messages == ["Deducted 1 credits from user user. New balance: 4999"]
    assert check_user_credits(ledger, "user", 4_999)
    assert not check_user_credits(ledger, "user", 5_000)
    assert not deduct_user_credits(ledger, "user", 5_000)
    assert get_user_credits(ledger, "user") == 4_999
    assert deduct_user_credits(ledger, "user", 4_999)
    assert not check_user_credits(ledger, "user", 1)
    assert not deduct_user_credits(ledger, "user", 1)
    assert get_user_credits(ledger, "user") == 0
    assert ledger.verify().findings == []


def test_a_user_that_nobody_has_heard_of_is_refused(ledger: Credits) -> None:
    for ask in (check_user_credits, deduct_user_credits, get_user_credits):
        with pytest.raises(AccountNotFound):
            ask(ledger, "nobody")


def test_calls_at_once_never_go_below_zero(ledger: Credits) -> None:
    ledger.open_account("user")
    ledger.adjust("user", to=10, reason="the test")
    start = threading.Barrier(32)

    def call(_: int) -> bool:
        start.wait()
        return deduct_user_credits(ledger, "user")

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(call, range(32))) == 10
    assert get_user_credits(ledger, "user") == 0
    assert len(ledger.history("user", type="CONSUMPTION").data) == 10


async def test_the_asynchronous_ledger_is_awaited(tmp_path: Path) -> None:
    async with AsyncCredits.open(f"sqlite:///{tmp_path}/bursar.db", preset="api-calls") as credits:
        await credits.open_account("user")
        assert await check_user_credits(credits, "user", 1)
        assert await deduct_user_credits(credits, "user", 1)
        assert await get_user_credits(credits, "user") == 4_999


async def test_the_balance_is_in_the_session(settings: Settings) -> None:
    async with opened(with_settings(settings, preset="api-calls")) as service:
        client, user = await service.user("user@example.com")
        session = (await client.get("/api/auth/session")).json()
        assert session["user"] == {
            "id": user,
            "email": "user@example.com",
            "name": None,
            "plan": "Basic",
            "credits": 5_000,
        }
        await deduct_user_credits(service.context.credits, user)
        assert (await client.get("/api/auth/session")).json()["credits"] == 4_999
        refused = await (await service.client()).get("/api/auth/session")
        assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})


# Users who were there before


@pytest.fixture
async def old(database_url: str) -> AsyncCredits:
    """Users of a system that knew no credits, but for a few."""
    credits = await AsyncCredits.open(database_url, preset="api-calls")
    for name in ("anna", "bert", "cleo", "dora", "emil"):
        await credits.open_account(name, plan=None)
    await credits.grant("bert", 7)
    await credits.grant("cleo", 9_000)
    await credits.grant("emil", 3)
    await credits.charge("emil", 3)
    await credits.close_account("dora")
    return credits


async def left(credits: AsyncCredits) -> dict[str, object]:
    return {account.id: account.available for account in (await credits.accounts()).data}


async def test_users_who_have_none_get_5000(old: AsyncCredits) -> None:
    async with old as credits:
        done = await backfill(credits, 5_000)
        assert done == Backfilled(total=5, accounts=5, given=2, left=3)
        after = {"anna": 5_000, "bert": 7, "cleo": 9_000, "dora": 0, "emil": 5_000}
        assert await left(credits) == after
        given = (await credits.history("anna")).data[0]
        assert (given.type, given.amount, given.description) == ("ADMIN", 5_000, "backfill first")
        await credits.charge("anna", 5_000)
        await backfill(credits, 5_000)
        assert await left(credits) == after | {"anna": 0}, "what was spent since is not given twice"
        await backfill(credits, 5_000, run="second")
        assert await left(credits) == after
        assert (await credits.verify()).findings == []


async def test_all_are_set_to_5000(old: AsyncCredits) -> None:
    async with old as credits:
        done = await backfill(credits, 5_000, everyone=True)
        assert (done.accounts, done.given, done.left) == (5, 4, 1)
        everyone = dict.fromkeys(("anna", "bert", "cleo", "emil"), 5_000)
        assert await left(credits) == everyone | {"dora": 0}
        [adjusted] = (await credits.history("cleo", type="ADJUSTMENT")).data
        assert (adjusted.amount, adjusted.description) == (-4_000, "backfill first")
        await credits.charge("bert", 1)
        await backfill(credits, 5_000, everyone=True)
        assert await left(credits) == everyone | {"dora": 0, "bert": 4_999}


async def test_what_is_held_counts_as_had(old: AsyncCredits) -> None:
    async with old as credits:
        async with credits.hold("bert", 7):
            await backfill(credits, 5_000)
        assert (await left(credits))["bert"] == 0


async def test_killed_halfway_it_ends_as_without_the_kill(database_url: str) -> None:
    class Killed(BaseException):
        pass

    def die(_: Backfilled) -> None:
        raise Killed

    async with AsyncCredits.open(database_url, preset="api-calls") as credits:
        names = [f"user-{number:04}" for number in range(PAGE + 20)]
        for name in names:
            await credits.open_account(name, plan=None)
        with pytest.raises(Killed):
            await backfill(credits, 5_000, say=die)
        halfway = await credits.accounts(limit=1_000)
        assert sum(account.available == 5_000 for account in halfway.data) == PAGE
        await credits.charge(names[0], 1)
        steps: list[tuple[int, int]] = []
        await backfill(credits, 5_000, say=lambda done: steps.append((done.accounts, done.total)))
        assert steps == [(PAGE, PAGE + 20), (PAGE + 20, PAGE + 20)]
        amounts = [account.available for account in (await credits.accounts(limit=1_000)).data]
        assert amounts == [4_999] + [5_000] * (len(names) - 1)
        assert (await credits.verify()).findings == []


@pytest.mark.parametrize("amount", [0, -1, "x", 1.5])
async def test_an_amount_that_makes_no_sense_is_refused(tmp_path: Path, amount: object) -> None:
    async with AsyncCredits.open(f"sqlite:///{tmp_path}/bursar.db") as credits:
        await credits.open_account("anna", plan=None)
        with pytest.raises(Invalid, match="credits"):
            await backfill(credits, amount)  # type: ignore[arg-type]
        assert await left(credits) == {"anna": 0}
