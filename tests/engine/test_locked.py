"""Somebody else's tx sits on an account: whoever needs that account waits, nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from bursar.core.book import Outcome
from bursar.core.commands import Capture, OpenAccount, PlaceHold, Transfer
from bursar.core.errors import Overloaded
from bursar.engine import engine as engine_module
from bursar.store.base import Contention, Duplicate, Lane, LockTimeout, Work
from tests.engine.audit import audit
from tests.engine.rig import CREDIT, Rig, charge, done, opened, refused, run_plainly


@asynccontextmanager
async def held(url: str, *accounts: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """An app's own tx that sits on these accounts until the end of the block."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("SELECT FROM bursar.accounts WHERE account_id = ANY(%s) FOR UPDATE", [list(accounts)])
        yield connection
        await connection.rollback()


async def turned_away(rig: Rig) -> None:
    """Return once the engine has met the lock, and the blocked command waits with the patient."""
    while not rig.engine._blocked:
        await asyncio.sleep(0)


async def with_accounts(rig: Rig, accounts: Sequence[str]) -> None:
    await asyncio.gather(*(rig.open_account(account, credits=1000) for account in accounts))


OTHERS = [f"other-{number}" for number in range(20)]


class TestOthersGoOn:
    async def test_hundreds_are_served_while_the_lock_is_held(self, pg_url: str) -> None:
        async with opened(pg_url) as rig:
            await with_accounts(rig, ["blocked", *OTHERS])
            async with held(pg_url, "blocked"):
                waiting = rig.engine.submit(charge("blocked"))
                await turned_away(rig)
                for _ in range(20):
                    await asyncio.gather(*(rig.engine.execute(charge(other)) for other in OTHERS))
                assert not waiting.done()
            assert (await waiting).verb == "charge"
            assert rig.engine.queued == 0
            assert not rig.engine._blocked
            ledgers = await audit(rig.store)
            assert [ledgers[other].account.posted for other in ("blocked", *OTHERS)] == [999 * CREDIT] + [
                980 * CREDIT
            ] * 20

    async def test_those_of_the_same_batch_are_served_too(self, pg_url: str) -> None:
        async with opened(pg_url, lanes=1) as rig:
            await with_accounts(rig, ["blocked", *OTHERS])
            async with held(pg_url, "blocked"):
                waiting = [rig.engine.submit(charge("blocked")) for _ in range(3)]
                served = [rig.engine.submit(charge(other)) for other in OTHERS]
                waiting += [rig.engine.submit(charge("blocked"))]
                await asyncio.gather(*served)
                assert not any(future.done() for future in waiting)
            await asyncio.gather(*waiting)
            assert (await audit(rig.store))["blocked"].account.posted == 996 * CREDIT

    async def test_once_it_is_known_nobody_waits_for_it_again(self, pg_url: str) -> None:
        timeouts = 0

        async def count(lane: Lane, work: Work[Any]) -> Any:
            nonlocal timeouts
            try:
                return await lane.run(work)
            except LockTimeout:
                timeouts += 1
                raise

        async with opened(pg_url, lanes=1) as rig:
            await with_accounts(rig, ["blocked", *OTHERS])
            rig.store.run = count
            async with held(pg_url, "blocked"):
                waiting = [rig.engine.submit(charge("blocked"))]
                await turned_away(rig)
                for other in OTHERS:
                    waiting += [rig.engine.submit(charge("blocked"))]
                    waiting += [rig.engine.submit(Transfer(account=other, to="blocked", amount=CREDIT))]
                    await asyncio.gather(*(rig.engine.execute(charge(one)) for one in OTHERS))
                assert timeouts == 1
            assert len(done(await asyncio.gather(*waiting))) == 41
            await audit(rig.store)

    async def test_transfers_into_it_wait_by_themselves(self, pg_url: str) -> None:
        timeouts = 0

        async def count(lane: Lane, work: Work[Any]) -> Any:
            nonlocal timeouts
            try:
                return await lane.run(work)
            except LockTimeout:
                timeouts += 1
                raise

        async with opened(pg_url, lanes=1) as rig:
            await with_accounts(rig, ["blocked", *OTHERS])
            rig.store.run = count
            async with held(pg_url, "blocked"):
                waiting = [rig.engine.submit(Transfer(account=OTHERS[0], to="blocked", amount=CREDIT))]
                await turned_away(rig)
                for other in OTHERS[1:]:
                    waiting += [rig.engine.submit(Transfer(account=other, to="blocked", amount=CREDIT))]
                    await asyncio.gather(*(rig.engine.execute(charge(one)) for one in OTHERS))
                assert timeouts == 1
                assert not any(future.done() for future in waiting)
            await asyncio.gather(*waiting)
            assert (await audit(rig.store))["blocked"].account.posted == 1020 * CREDIT

    async def test_an_account_can_be_opened_beside_it(self, pg_url: str) -> None:
        async with opened(pg_url, lanes=1) as rig:
            await rig.open_account("blocked", credits=1)
            async with held(pg_url, "blocked"):
                waiting = rig.engine.submit(charge("blocked"))
                again = rig.engine.submit(OpenAccount(account="blocked"))
                assert (await rig.engine.execute(OpenAccount(account="new"))).created
                assert refused(await rig.at_once(charge("nobody"))) == ["account_not_found"]
                assert not waiting.done()
                assert not again.done()
            await waiting
            assert not (await again).created


class TestPatience:
    async def test_has_an_end(self, pg_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_module, "PATIENCE_SECONDS", 0.0)
        async with opened(pg_url, lanes=1) as rig:
            await with_accounts(rig, ["blocked", "free"])
            async with held(pg_url, "blocked"):
                results = await rig.at_once(
                    charge("blocked", key="k"), charge("free"), Transfer(account="free", to="blocked", amount=CREDIT)
                )
                assert [getattr(result, "code", "done") for result in results] == ["overloaded", "done", "overloaded"]
            assert not (await rig.engine.execute(charge("blocked", key="k"))).replayed
            ledgers = await audit(rig.store)
            assert [ledgers[name].account.posted for name in ("blocked", "free")] == [999 * CREDIT] * 2

    async def test_of_those_who_left_nothing_is_carried_out(self, pg_url: str) -> None:
        async with opened(pg_url) as rig:
            await with_accounts(rig, ["blocked"])
            async with held(pg_url, "blocked"):
                leaving, staying = rig.engine.submit(charge("blocked")), rig.engine.submit(charge("blocked"))
                await turned_away(rig)
                leaving.cancel()
            await staying
            assert (await audit(rig.store))["blocked"].account.posted == 999 * CREDIT

    async def test_counts_as_queued(self, pg_url: str) -> None:
        async with opened(pg_url, lanes=1, max_queue=5) as rig:
            await with_accounts(rig, ["blocked", "free"])
            async with held(pg_url, "blocked"):
                waiting = [rig.engine.submit(charge("blocked"))]
                await turned_away(rig)
                waiting += [rig.engine.submit(charge("blocked")) for _ in range(4)]
                with pytest.raises(Overloaded):
                    rig.engine.submit(charge("blocked"))
            await asyncio.gather(*waiting)
            assert (await rig.engine.execute(charge("free"))).verb == "charge"


class TestClosing:
    async def test_waits_for_those_who_wait(self, pg_url: str) -> None:
        async with opened(pg_url) as rig:
            await with_accounts(rig, ["blocked"])
            async with held(pg_url, "blocked"):
                waiting = rig.engine.submit(charge("blocked"))
                await turned_away(rig)
                closing = asyncio.create_task(rig.engine.close())
            await closing
            assert waiting.result().verb == "charge"

    async def test_even_where_they_come_to_wait_only_now(self, pg_url: str) -> None:
        async with opened(pg_url, lanes=1) as rig:
            await with_accounts(rig, ["blocked"])
            async with held(pg_url, "blocked"):
                first = rig.engine.submit(charge("blocked"))
                await turned_away(rig)
            await first
            assert rig.engine._patient is not None
            patient = rig.engine._patient.task
            assert patient is not None

            async def idle_first(lane: Lane, work: Work[Any]) -> Any:
                await asyncio.wait([patient])  # it has seen that the engine closes and that nobody waits
                return await lane.run(work)

            async with held(pg_url, "blocked"):
                rig.store.run = idle_first
                second = rig.engine.submit(charge("blocked"))
                closing = asyncio.create_task(rig.engine.close())
                await asyncio.wait([patient])
                await turned_away(rig)
                rig.store.run = run_plainly
            await asyncio.wait_for(closing, timeout=30)
            assert second.result().verb == "charge"


class TestContention:
    @pytest.mark.parametrize("error", [Contention("deadlock"), Duplicate("there already")], ids=repr)
    async def test_is_tried_again_and_nobody_hears_of_it(self, url: str, error: Exception) -> None:
        left = 3

        async def contend(lane: Lane, work: Work[Any]) -> Any:
            nonlocal left
            if left == 0:
                return await lane.run(work)
            left -= 1
            raise error

        async with opened(url) as rig:
            await rig.open_account(credits=5)
            rig.store.run = contend
            assert not (await rig.engine.execute(charge(key="k"))).replayed
            assert rig.engine.stats.retries == 3
            assert (await audit(rig.store))["alice"].account.posted == 4 * CREDIT

    async def test_without_end_is_overload_and_changes_nothing(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_module, "RETRY_SECONDS", 0.0)

        async def contend(lane: Lane, work: Work[Any]) -> Any:
            raise Contention("deadlock")

        async with opened(url) as rig:
            await rig.open_account(credits=5)
            rig.store.run = contend
            assert refused(await rig.at_once(charge(), charge())) == ["overloaded"] * 2
            rig.store.run = run_plainly
            await rig.engine.execute(charge())
            assert (await audit(rig.store))["alice"].account.posted == 4 * CREDIT

    async def test_an_app_that_locks_the_other_way_round_loses_nothing_of_ours(self, pg_url: str) -> None:
        """A real deadlock: the app has b and wants a, we have a and want b."""
        async with opened(f"{pg_url}?lock_timeout=20s&deadlock_timeout=10ms", lanes=1) as rig:
            await with_accounts(rig, ["a", "b"])
            async with held(pg_url, "b") as app:
                ours = rig.engine.submit(Transfer(account="a", to="b", amount=CREDIT))
                await until_waiting(pg_url)
                try:
                    await app.execute("SELECT FROM bursar.accounts WHERE account_id = 'a' FOR UPDATE")
                except psycopg.errors.DeadlockDetected:
                    await app.rollback()  # either side may be the victim
            assert (await ours).verb == "transfer"
            ledgers = await audit(rig.store)
            assert [ledgers[name].account.posted for name in ("a", "b")] == [999 * CREDIT, 1001 * CREDIT]


async def until_waiting(url: str) -> None:
    """Return when a connection of ours waits for a lock."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            found = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'bursar' AND wait_event_type = 'Lock'"
            )
            if (row := await found.fetchone()) and row[0]:
                return
            await asyncio.sleep(0)


async def test_two_engines_that_open_the_same_accounts_at_once_agree(url: str) -> None:
    async with opened(url) as one, opened(url) as two:
        names = [f"account-{number}" for number in range(50)]
        results = await asyncio.gather(
            *(rig.engine.execute(OpenAccount(account=name, plan="free")) for name in names for rig in (one, two))
        )
        assert sum(result.created for result in results) == 50
        ledgers = await audit(one.store)
        assert [ledgers[name].account.posted for name in names] == [100 * CREDIT] * 50


async def test_two_engines_that_settle_the_same_holds_at_once_agree(url: str) -> None:
    async with opened(url) as one, opened(url) as two:
        await one.open_account(credits=50)
        placed = done(await one.at_once(*[PlaceHold(account="alice", amount=CREDIT)] * 50))
        captures = [Capture(account="alice", hold=outcome.hold.hold_id) for outcome in placed if outcome.hold]
        results = await asyncio.gather(*(rig.engine.execute(capture) for capture in captures for rig in (one, two)))
        assert [type(result) for result in results] == [Outcome] * 100
        assert sum(result.replayed for result in results) == 50
        assert (await audit(one.store))["alice"].account.posted == 0
