"""The database goes away: said plainly, nothing half done, and all by itself well again."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from bursar.core.commands import PlaceHold
from bursar.core.errors import DatabaseUnavailable
from bursar.store.base import Lane, Tx, Work
from tests.engine.audit import audit
from tests.engine.databases import ONE_FLAVOUR, Servers
from tests.engine.rig import CREDIT, Gate, charge, done, opened, refused, run_plainly


async def kill_connections(url: str) -> int:
    """pg_terminate_backend for every connection of ours; how many, once they are gone."""
    killed = set[int]()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            found = await connection.execute(
                "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'bursar'"
            )
            rows = await found.fetchall()
            if not rows:
                return len(killed)
            killed |= {row[0] for row in rows}


class TestKilledConnections:
    async def test_right_before_commit(self, pg_url: str) -> None:
        async with opened(pg_url, lanes=1) as rig:
            await rig.open_account(credits=100)

            async def kill_before_commit(lane: Lane, work: Work[Any]) -> Any:
                rig.store.run = run_plainly

                async def work_and_die(tx: Tx) -> Any:
                    result = await work(tx)
                    assert await kill_connections(pg_url)
                    return result

                return await lane.run(work_and_die)

            for number in range(5):
                rig.store.run = kill_before_commit
                results = await rig.at_once(*[charge(key=f"{number}-{n}") for n in range(10)])
                assert [result.replayed for result in done(results)] == [False] * 10
            assert rig.engine.stats.retries == 5
            assert (await audit(rig.store))["alice"].account.posted == 50 * CREDIT

    @pytest.mark.parametrize("step", ["lock", "clock", "live_lots", "keys", "write"])
    async def test_between_two_steps(self, one_pg_url: str, step: str) -> None:
        async with opened(one_pg_url, lanes=1) as rig:
            await rig.open_account(credits=100)

            async def kill_before_step(lane: Lane, work: Work[Any]) -> Any:
                rig.store.run = run_plainly

                class Dying:
                    def __init__(self, tx: Tx) -> None:
                        self._tx = tx

                    def __getattr__(self, name: str) -> Any:
                        async def call(*args: Any) -> Any:
                            if name == step:
                                assert await kill_connections(one_pg_url)
                            return await getattr(self._tx, name)(*args)

                        return call

                return await lane.run(lambda tx: work(Dying(tx)))

            rig.store.run = kill_before_step
            assert not (await rig.engine.execute(charge(key="k"))).replayed
            assert rig.engine.stats.retries == 1
            assert (await audit(rig.store))["alice"].account.posted == 99 * CREDIT

    async def test_while_idle(self, pg_url: str) -> None:
        async with opened(pg_url) as rig:
            await rig.open_account(credits=100)
            for _ in range(3):
                assert await kill_connections(pg_url)
                await rig.engine.execute(charge())
                assert await kill_connections(pg_url)
                await rig.engine.view("alice")
            assert rig.engine.stats.retries == 0
            assert (await audit(rig.store))["alice"].account.posted == 97 * CREDIT


@pytest.mark.parametrize("flavour", ONE_FLAVOUR)
async def test_a_server_that_is_stopped_and_started(flavour: Any, one_pg_url: str, servers: Servers) -> None:
    server = servers(flavour)
    async with opened(one_pg_url) as rig:
        await rig.open_account(credits=100)
        held = await rig.engine.execute(PlaceHold(account="alice", amount=CREDIT))
        for _ in range(2):
            server.crash()
            try:
                for _ in range(3):
                    with pytest.raises(DatabaseUnavailable):
                        await rig.engine.execute(charge())
                    with pytest.raises(DatabaseUnavailable):
                        await rig.engine.view("alice")
                results = await rig.at_once(*[charge()] * 20)
                assert refused(results) == ["database_unavailable"] * 20
                assert rig.engine.queued == 0
            finally:
                server.restart()
            assert len(done(await rig.at_once(*[charge()] * 20))) == 20
            book = await rig.engine.view("alice")
            assert held.hold is not None
            assert book.account.held == CREDIT
        assert (await audit(rig.store))["alice"].account.posted == 60 * CREDIT


@pytest.mark.parametrize("flavour", ONE_FLAVOUR)
async def test_what_waits_while_the_server_restarts_is_carried_out(
    flavour: Any, one_pg_url: str, servers: Servers
) -> None:
    server = servers(flavour)
    async with opened(one_pg_url, lanes=1) as rig:
        await rig.open_account(credits=100)
        gate = rig.store.run = Gate()
        futures = [rig.engine.submit(charge())]
        await gate.reached.wait()
        futures += [rig.engine.submit(charge()) for _ in range(9)]
        server.crash()
        server.restart()
        gate.open()
        assert len(done(await asyncio.gather(*futures))) == 10
        assert (await audit(rig.store))["alice"].account.posted == 90 * CREDIT


async def test_away_for_a_moment_is_not_noticed(url: str) -> None:
    away = 2

    async def come_back(lane: Lane, work: Work[Any]) -> Any:
        nonlocal away
        if away == 0:
            return await lane.run(work)
        away -= 1
        raise DatabaseUnavailable("nobody there")

    async with opened(url) as rig:
        await rig.open_account(credits=10)
        rig.store.run = come_back
        await rig.engine.execute(charge())
        assert (await audit(rig.store))["alice"].account.posted == 9 * CREDIT


async def test_a_lane_that_cannot_be_opened_is_opened_later(one_pg_url: str) -> None:
    """The patient's lane is opened when it is first needed; here it cannot be, at first."""
    async with opened(one_pg_url, lanes=1) as rig:
        await rig.open_account(credits=10)
        lane, failures = rig.store.inner.lane, 1

        async def fail_once() -> Lane:
            nonlocal failures
            if failures:
                failures -= 1
                raise DatabaseUnavailable("no connection left")
            return await lane()

        rig.store.inner.lane = fail_once  # type: ignore[method-assign]
        [line] = rig.engine._lines
        assert line.lane is not None
        await line.lane.close()
        line.lane = None
        await rig.engine.execute(charge())
        assert failures == 0
        assert (await audit(rig.store))["alice"].account.posted == 9 * CREDIT
