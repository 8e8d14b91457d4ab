"""What a lane remembers of accounts never differs from what is stored, whoever wrote it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from bursar.core.model import Account, Lot
from bursar.store.base import Changes, Contention, Lane, Store, Tx
from bursar.store.known import Known
from tests.store.rows import account, lot, write

ROWS = "UPDATE bursar.accounts SET posted = 70 WHERE account_id = 'a'; UPDATE bursar.lots SET remaining = 70"
MORE = "UPDATE bursar.accounts SET posted = posted; INSERT INTO bursar.lots SELECT account_id, 'g2', source, plan"
MORE += ", priority, amount, 5, held, effective_at, expires_at, ended_at, paid, currency, seq, started, live"
MORE += " FROM bursar.lots"


@pytest.fixture
async def peer(store: Store) -> AsyncIterator[Lane]:
    """Another lane on the same database."""
    lane = await store.lane()
    yield lane
    await lane.close()


async def begun(tx: Tx) -> tuple[Account, list[Lot]]:
    [row] = await tx.lock(["a"])
    await tx.clock()
    return row, sorted(await tx.live_lots(["a"]), key=lambda lot: lot.lot_id)


async def spend(lane: Lane, amount: int, error: Exception | None = None) -> tuple[int, dict[str, int]]:
    """Charge the first lot as the engine does; what was there before."""

    async def work(tx: Tx) -> tuple[int, dict[str, int]]:
        row, lots = await begun(tx)
        seen = (row.posted, {lot.lot_id: lot.remaining for lot in lots})
        row.posted -= amount
        lots[0].remaining -= amount
        lots[0].live = lots[0].remaining > 0
        if error is not None:
            raise error
        await tx.write(Changes(spent=[row], lots=[lots[0]]))
        return seen

    return await lane.run(work)


async def with_credits(lane: Lane) -> None:
    await write(lane, new_accounts=[account("a", posted=100)], new_lots=[lot("a", "g1", remaining=100, amount=100)])


async def test_each_tx_sees_what_the_one_before_left(lane: Lane) -> None:
    await with_credits(lane)
    assert [await spend(lane, 10) for _ in range(3)] == [(left, {"g1": left}) for left in (100, 90, 80)]


async def test_what_another_lane_wrote_is_seen(lane: Lane, peer: Lane) -> None:
    await with_credits(lane)
    seen = [await spend(one, 10) for one in (lane, peer, lane, lane, peer)]
    assert seen == [(left, {"g1": left}) for left in (100, 90, 80, 70, 60)]


@pytest.mark.parametrize("error", [ValueError("refused"), Contention("again")], ids=["error", "contention"])
async def test_what_was_rolled_back_is_forgotten(lane: Lane, error: Exception) -> None:
    await with_credits(lane)
    await spend(lane, 10)
    with pytest.raises(type(error)):
        await spend(lane, 50, error)
    assert await spend(lane, 10) == (90, {"g1": 90})


async def test_a_tx_that_only_looked_changed_nothing(lane: Lane, peer: Lane) -> None:
    await with_credits(lane)
    await spend(lane, 10)
    await lane.run(begun)
    assert await spend(lane, 10) == (90, {"g1": 90})
    assert await spend(peer, 10) == (80, {"g1": 80})


async def test_who_starts_over_reads_anew(lane: Lane) -> None:
    await with_credits(lane)
    await spend(lane, 10)

    async def twice(tx: Tx) -> tuple[int, list[int]]:
        row, lots = await begun(tx)
        row.posted = lots[0].remaining = 1
        [row] = await tx.accounts(["a"])
        lots = await tx.live_lots(["a"])
        return row.posted, [lot.remaining for lot in lots]

    assert await lane.run(twice) == (90, [90])
    assert await spend(lane, 10) == (90, {"g1": 90})


async def test_a_spent_lot_is_out_a_new_one_is_in_and_one_comes_back(lane: Lane) -> None:
    await with_credits(lane)
    assert await spend(lane, 100) == (100, {"g1": 100})

    async def give(tx: Tx) -> list[Lot]:
        row, lots = await begun(tx)
        row.posted += 7
        await tx.write(Changes(balances=[row], new_lots=[lot("a", "g2", remaining=7)]))
        return lots

    async def give_back(tx: Tx) -> None:
        row, _ = await begun(tx)
        [spent] = await tx.lots([("a", "g1")])
        row.posted += 3
        spent.remaining, spent.live = 3, True
        await tx.write(Changes(balances=[row], lots=[spent]))

    assert await lane.run(give) == []
    assert await spend(lane, 1) == (7, {"g2": 7})
    await lane.run(give_back)
    assert await spend(lane, 1) == (9, {"g1": 3, "g2": 6})
    assert await spend(lane, 1) == (8, {"g1": 2, "g2": 6})


@pytest.mark.parametrize(
    ("statement", "posted", "lots"), [(ROWS, 70, {"g1": 70}), (MORE, 90, {"g1": 90, "g2": 5})], ids=["rows", "more"]
)
async def test_what_an_app_wrote_is_seen(pg_url: str, statement: Any, posted: int, lots: dict[str, int]) -> None:
    from bursar.store.url import open_store

    store = open_store(pg_url)
    await store.open()
    lane = await store.lane()
    await with_credits(lane)
    await spend(lane, 10)
    async with await psycopg.AsyncConnection.connect(pg_url) as app:
        await app.execute(statement)
    assert await spend(lane, 10) == (posted, lots)
    await lane.close()
    await store.close()


async def test_nothing_is_remembered_beyond_the_connection(pg_url: str) -> None:
    """Behind a new one may be another server, restored or failed over to, where the same stamp is another tx."""
    from bursar.store.url import open_store

    store = open_store(pg_url)
    await store.open()
    lane = await store.lane()
    await with_credits(lane)
    await spend(lane, 10)
    async with await psycopg.AsyncConnection.connect(pg_url, autocommit=True) as app:
        await app.execute("UPDATE bursar.lots SET remaining = 5")  # under the same stamp
        assert await spend(lane, 1) == (90, {"g1": 90}), "as the lane left it"
        await app.execute("UPDATE bursar.lots SET remaining = 5")
        await app.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        assert await spend(lane, 1) == (89, {"g1": 5})
    await lane.close()
    await store.close()


def test_it_remembers_those_that_were_used_last() -> None:
    known = Known(most=2)
    for name in "abca":
        known.begin()
        known.account(name, 1)
        known.read(account(name), 1)
        known.read_lots([name], [lot(name, "g")])
        known.commit(Changes(), 1)
    known.begin()
    assert [known.account(name, 1) for name in "abc"] == [account("a"), None, account("c")]
    known.begin()
    assert known.account("a", 1) is None, "it went out and did not come back"


def test_another_stamp_means_another_row() -> None:
    known = Known()
    known.read(replace(account("a"), posted=1), 1)
    known.read_lots(["a"], [])
    known.commit(Changes(), 1)
    known.begin()
    assert known.account("a", 2) is None
