"""Jobs: what nobody touches gets done, once, by however many processes, and an outage is waited for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bursar.core.errors import DatabaseUnavailable
from bursar.service.jobs import Jobs
from bursar.settings import Settings
from tests.service.conftest import Service, opened, with_settings

V1 = "/api/v1"


@pytest.fixture
async def timed(database_url: str, settings: Settings, tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "clock").write_text("2025-01-10T00:00:00Z")
    changed = with_settings(settings, database_url=database_url, test_clock=str(tmp_path / "clock"))
    async with opened(changed) as service:
        yield service


def set_clock(service: Service, moment: str) -> None:
    assert service.context.settings.test_clock is not None
    Path(service.context.settings.test_clock).write_text(moment)


def jobs_of(service: Service, every_seconds: float = 3_600) -> Jobs:
    return Jobs(service.context.credits, every_seconds)


async def stored(service: Service, account: str) -> Any:
    """The account's row as it is written, with nothing computed."""
    rows = await service.context.credits.store.read(lambda tx: tx.accounts([account]))
    return rows[0]


async def test_plans_renew_and_the_console_says_so(timed: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bursar.jobs")
    for name in ("anna", "bert"):
        await timed.admin.post(f"{V1}/accounts", json={"id": name})
        await timed.admin.post(f"{V1}/accounts/{name}/charges", json={"amount": 30})
    await timed.account("carl", 5)
    assert await jobs_of(timed).run_once() == 0
    set_clock(timed, "2025-02-01T00:00:00Z")
    assert await jobs_of(timed).run_once() == 2
    assert [record.getMessage() for record in caplog.records] == [
        "🔄 Starting monthly AI credits reset...",
        "🔄 Reset credits for user anna to 100",
        "🔄 Reset credits for user bert to 100",
        "✅ Monthly reset completed for 2 users",
    ]
    assert (await stored(timed, "anna")).posted == 100_000_000_000
    assert (await stored(timed, "carl")).posted == 5_000_000_000
    assert await jobs_of(timed).run_once() == 0


async def test_holds_and_lots_end(timed: Service) -> None:
    await timed.account("alice", 10)
    grants = f"{V1}/accounts/alice/grants"
    await timed.admin.post(grants, json={"amount": 7, "expires_at": "2025-01-10T00:01:00Z"})
    holds = f"{V1}/accounts/alice/holds"
    await timed.admin.post(holds, json={"amount": 1, "ttl_seconds": 10})
    await timed.admin.post(holds, json={"amount": 2, "ttl_seconds": 10, "dispatched": True})
    set_clock(timed, "2025-01-10T00:02:00Z")
    assert await jobs_of(timed).run_once() == 1
    row = await stored(timed, "alice")
    assert (row.posted, row.held, row.open_holds) == (10_000_000_000, 0, 0)
    types = [item["type"] for item in (await timed.admin.get(f"{V1}/accounts/alice/transactions")).json()["data"]]
    assert sorted(types) == ["ADMIN", "ADMIN", "CONSUMPTION", "EXPIRY"]


async def test_many_processes_do_it_once(timed: Service, settings: Settings) -> None:
    names = [f"user-{number}" for number in range(30)]
    for name in names:
        await timed.admin.post(f"{V1}/accounts", json={"id": name})
    set_clock(timed, "2025-03-05T00:00:00Z")
    async with opened(timed.context.settings) as other:
        await asyncio.gather(*(jobs_of(one).run_once() for one in (timed, other) for _ in range(2)))
    for name in names:
        row = await stored(timed, name)
        assert (row.seq, row.posted) == (3, 100_000_000_000)


async def test_more_than_a_page(timed: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bursar.service.jobs.PAGE", 2)
    monkeypatch.setattr("bursar.service.jobs.WINDOW", 4)
    for number in range(11):
        await timed.admin.post(f"{V1}/accounts", json={"id": f"user-{number}"})
    set_clock(timed, "2025-02-01T00:00:00Z")
    assert await jobs_of(timed).run_once() == 11


async def test_an_outage_is_waited_for(
    timed: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await timed.admin.post(f"{V1}/accounts", json={"id": "anna"})
    set_clock(timed, "2025-02-01T00:00:00Z")
    jobs = jobs_of(timed, every_seconds=0.001)
    rounds, recovered = 0, asyncio.Event()
    run_once = jobs.run_once

    async def three_times_in_vain() -> int:
        nonlocal rounds
        rounds += 1
        if rounds <= 3:
            raise DatabaseUnavailable("it is gone")
        touched = await run_once()
        recovered.set()
        return touched

    monkeypatch.setattr(jobs, "run_once", three_times_in_vain)
    jobs.start()
    await recovered.wait()
    await jobs.stop()
    assert (await stored(timed, "anna")).seq == 3
    assert caplog.text.count("jobs wait for the database") == 1


async def test_stopping_does_not_wait_for_the_next_round(timed: Service) -> None:
    jobs = jobs_of(timed)
    jobs.start()
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await jobs.stop()
