"""What every store does, whichever database is under it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import asdict, replace

from bursar.core.tally import NEVER, Backed, LotKey, PaidKey, Tally, Total, TotalKey
from bursar.store.base import Changes, Duplicate, Lane, Refused, Store, StoreError, Tx
from bursar.totals import read_tally
from tests.store.rows import (
    BIG,
    T0,
    TEXT,
    account,
    full_account,
    full_hold,
    full_lot,
    full_member,
    full_transaction,
    hold,
    key,
    lot,
    member,
    transaction,
    write,
)


async def accounts_of(lane: Lane, *ids: str) -> list[Any]:
    async def work(tx: Tx) -> list[Any]:
        return list(await tx.accounts(ids))

    return await lane.run(work)


async def lots_of(lane: Lane, *pairs: tuple[str, str]) -> list[Any]:
    async def work(tx: Tx) -> list[Any]:
        return list(await tx.lots(pairs))

    return await lane.run(work)


async def holds_of(lane: Lane, *pairs: tuple[str, str]) -> list[Any]:
    async def work(tx: Tx) -> list[Any]:
        return list(await tx.holds(pairs))

    return await lane.run(work)


async def members_of(lane: Lane, *pairs: tuple[str, str]) -> list[Any]:
    async def work(tx: Tx) -> list[Any]:
        return sorted(await tx.members(pairs), key=lambda row: pairs.index((row.account_id, row.member)))

    return await lane.run(work)


async def transactions_of(lane: Lane, *pairs: tuple[str, int]) -> list[Any]:
    async def work(tx: Tx) -> list[Any]:
        return list(await tx.transactions(pairs))

    return await lane.run(work)


class TestRoundTrip:
    @pytest.mark.parametrize("row", [account(), full_account()], ids=["plain", "full"])
    async def test_account(self, lane: Lane, row: Any) -> None:
        await write(lane, new_accounts=[row])
        assert [asdict(found) for found in await accounts_of(lane, row.account_id)] == [asdict(row)]

    @pytest.mark.parametrize("row", [lot(), full_lot()], ids=["plain", "full"])
    async def test_lot(self, lane: Lane, row: Any) -> None:
        await write(lane, new_lots=[row])
        [found] = await lots_of(lane, (row.account_id, row.lot_id))
        assert asdict(found) == asdict(row)
        assert (type(found.started), type(found.live)) == (bool, bool)

    @pytest.mark.parametrize("row", [hold(), full_hold()], ids=["plain", "full"])
    async def test_hold(self, lane: Lane, row: Any) -> None:
        await write(lane, new_holds=[row])
        assert [asdict(found) for found in await holds_of(lane, (row.account_id, row.hold_id))] == [asdict(row)]

    @pytest.mark.parametrize("row", [transaction(), full_transaction()], ids=["plain", "full"])
    async def test_transaction(self, lane: Lane, row: Any) -> None:
        await write(lane, transactions=[row])
        assert [asdict(found) for found in await transactions_of(lane, (row.account_id, row.seq))] == [asdict(row)]

    @pytest.mark.parametrize("name", ["k1", TEXT])
    async def test_key(self, lane: Lane, name: str) -> None:
        row = key(name=name)
        await write(lane, keys=[row])

        async def work(tx: Tx) -> Any:
            return await tx.keys([("alice", name), ("alice", "other"), ("bob", name)])

        assert await lane.run(work) == [row]

    @pytest.mark.parametrize("row", [member(), full_member()], ids=["plain", "full"])
    async def test_member(self, lane: Lane, row: Any) -> None:
        await write(lane, new_members=[row])
        wanted = [(row.account_id, row.member), (row.account_id, "other"), ("bob", row.member)]
        assert await members_of(lane, *wanted) == [row]


class TestUpdates:
    async def test_spent_changes_its_columns_only(self, lane: Lane) -> None:
        before, bystander = full_account("a"), full_account("b")
        await write(lane, new_accounts=[before, bystander])
        changes = {"posted": 1, "spent": 4, "seq": 7, "head": b"new", "recorded_at": T0 + 8, "limits": "[]"}
        await write(lane, spent=[account("a", **changes)])
        assert await accounts_of(lane, "a", "b") == [replace(before, **changes), bystander]

    async def test_members_changes_every_column(self, lane: Lane) -> None:
        await write(lane, new_members=[member("a"), member("a", "noa"), member("b")])
        changed = member("a", status="removed", created_at=T0 + 1, limits="[]", digest=b"new")
        await write(lane, members=[changed])
        wanted = [("a", "mia"), ("a", "noa"), ("b", "mia")]
        assert await members_of(lane, *wanted) == [changed, member("a", "noa"), member("b")]

    async def test_balances_changes_its_columns_only(self, lane: Lane) -> None:
        before, bystander = full_account("a"), full_account("b")
        await write(lane, new_accounts=[before, bystander])
        changed = account("a", posted=1, held=2, debt=3, spent=4, open_holds=5, holds_opened=6, seq=7)
        changed = replace(changed, head=b"new", recorded_at=T0 + 8, limits="[]")
        await write(lane, balances=[changed])
        amounts = ("posted", "held", "debt", "spent", "open_holds", "holds_opened")
        narrow = (*amounts, "seq", "head", "recorded_at", "limits")
        expected = replace(before, **{name: getattr(changed, name) for name in narrow})
        assert await accounts_of(lane, "a", "b") == [expected, bystander]

    async def test_accounts_changes_every_column(self, lane: Lane) -> None:
        await write(lane, new_accounts=[account("a"), account("b")])
        await write(lane, accounts=[full_account("a")])
        assert await accounts_of(lane, "a", "b") == [full_account("a"), account("b")]
        await write(lane, accounts=[account("a")])
        assert await accounts_of(lane, "a") == [account("a")]

    async def test_lots_changes_its_columns_only(self, lane: Lane) -> None:
        before, bystander = full_lot("a", "1"), full_lot("a", "2")
        await write(lane, new_lots=[before, bystander])
        await write(lane, lots=[lot("a", "1", remaining=7, held=6, live=True)])
        expected = replace(before, remaining=7, held=6, live=True)
        assert await lots_of(lane, ("a", "1"), ("a", "2")) == [expected, bystander]

    async def test_ended_lots_changes_its_columns_only(self, lane: Lane) -> None:
        before, bystander = full_lot("a", "1"), full_lot("a", "2")
        await write(lane, new_lots=[before, bystander])
        changes = {"remaining": 7, "held": 6, "ended_at": None, "seq": 5, "started": True, "live": True}
        await write(lane, ended_lots=[lot("a", "1", **changes)])
        assert await lots_of(lane, ("a", "1"), ("a", "2")) == [replace(before, **changes), bystander]

    async def test_holds_changes_every_column(self, lane: Lane) -> None:
        await write(lane, new_holds=[hold("a", "1"), hold("a", "2")])
        await write(lane, holds=[full_hold("a", "1")])
        assert await holds_of(lane, ("a", "1"), ("a", "2")) == [full_hold("a", "1"), hold("a", "2")]

    async def test_a_row_that_is_not_there_is_an_error_and_nothing_is_written(self, lane: Lane) -> None:
        await write(lane, new_accounts=[account("a")])
        with pytest.raises(StoreError, match="not there"):
            await write(lane, balances=[account("a", posted=9), account("ghost")])
        assert await accounts_of(lane, "a", "ghost") == [account("a")]

    async def test_many_rows_at_once(self, lane: Lane) -> None:
        ids = sorted(f"user-{number}" for number in range(2500))
        await write(
            lane,
            new_accounts=[account(name) for name in ids],
            new_lots=[lot(name) for name in ids],
            transactions=[transaction(name) for name in ids],
            keys=[key(name) for name in ids],
        )
        await write(
            lane, balances=[account(name, posted=5) for name in ids], lots=[lot(name, remaining=5) for name in ids]
        )
        assert await accounts_of(lane, *ids) == [account(name, posted=5) for name in ids]
        assert await transactions_of(lane, *[(name, 1) for name in ids]) == [transaction(name) for name in ids]


class TestLoads:
    async def test_lock_answers_in_id_order_and_leaves_out_who_is_not_there(self, lane: Lane) -> None:
        await write(lane, new_accounts=[account(name) for name in ("b", "ä", "a", "B", "💰", "\uffff")])

        async def work(tx: Tx) -> list[str]:
            wanted = sorted(["b", "ä", "a", "B", "💰", "\uffff", "ghost"])
            return [found.account_id for found in await tx.lock(wanted)]

        assert await lane.run(work) == ["B", "a", "b", "ä", "\uffff", "💰"]

    async def test_nothing_asked_nothing_answered(self, lane: Lane) -> None:
        async def work(tx: Tx) -> list[Any]:
            return [
                await tx.lock([]),
                await tx.accounts([]),
                await tx.live_lots([]),
                await tx.due_holds([], T0),
                await tx.keys([]),
                await tx.holds([]),
                await tx.lots([]),
                await tx.transactions([]),
                await tx.refunds([]),
                await tx.members([]),
            ]

        assert await lane.run(work) == [[]] * 10
        await write(lane)

    async def test_live_lots_leaves_out_spent_ones_and_other_accounts(self, lane: Lane) -> None:
        rows = [lot("b", "1"), lot("a", "2"), lot("a", "1"), lot("a", "3", live=False), lot("c", "1")]
        await write(lane, new_lots=rows)

        async def work(tx: Tx) -> Any:
            return await tx.live_lots(["a", "b"])

        assert await lane.run(work) == [lot("a", "1"), lot("a", "2"), lot("b", "1")]
        assert await lots_of(lane, ("a", "3")) == [lot("a", "3", live=False)]

    async def test_due_holds_are_unsettled_and_due(self, lane: Lane) -> None:
        now = T0 + 60
        due = [hold("a", "1", expires_at=now), hold("a", "2", state="dispatched", expires_at=now - 1)]
        others = [
            hold("a", "3", expires_at=now + 1),
            *(hold("a", state, state=state, expires_at=now) for state in ("captured", "released", "expired")),
            hold("b", "1", expires_at=now),
        ]
        await write(lane, new_holds=[*others, *reversed(due)])

        async def work(tx: Tx) -> Any:
            return await tx.due_holds(["a"], now)

        assert await lane.run(work) == due

    async def test_refunds_of_several_charges_in_order(self, lane: Lane) -> None:
        refunds = [transaction("a", 3, refund_of="tx_1_x"), transaction("a", 4, refund_of="tx_2_x")]
        foreign = transaction("b", 3, refund_of="tx_1_x")
        await write(lane, transactions=[foreign, *reversed(refunds), transaction("a", 1), transaction("a", 2)])

        async def work(tx: Tx) -> Any:
            return await tx.refunds([("a", "tx_2_x"), ("a", "tx_1_x"), ("b", "tx_9_x")])

        assert await lane.run(work) == refunds

    async def test_clock_moves_within_a_tx_and_tells_the_catalogue_version(self, lane: Lane) -> None:
        async def work(tx: Tx) -> tuple[int, int, int, int]:
            first, version = await tx.clock()
            now = first
            while now == first:
                now, _ = await tx.clock()
            await tx.execute("bump_catalogue")
            _, bumped = await tx.clock()
            return first, now, version, bumped

        first, later, version, bumped = await lane.run(work)
        assert T0 < first < later < first + 10**6
        assert bumped == version + 1


class TestTx:
    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, StoreError])
    async def test_an_exception_rolls_back_and_the_lane_goes_on(self, lane: Lane, error: type[BaseException]) -> None:
        async def work(tx: Tx) -> None:
            await tx.write(Changes(new_accounts=[account()]))
            raise error

        with pytest.raises(error):
            await lane.run(work)
        assert await accounts_of(lane, "alice") == []
        await write(lane, new_accounts=[account()])
        assert await accounts_of(lane, "alice") == [account()]

    async def test_a_duplicate_fails_with_everything_beside_it(self, lane: Lane) -> None:
        await write(lane, keys=[key()])
        with pytest.raises(Duplicate):
            await write(lane, new_accounts=[account()], keys=[key()])
        assert await accounts_of(lane, "alice") == []

    @pytest.mark.parametrize(
        "row",
        [account(posted=BIG + 1), account(name="\ud800"), account(held=-1), account(debt=-1)],
        ids=["too big", "lone surrogate", "held below 0", "debt below 0"],
    )
    @pytest.mark.parametrize("how", ["new_accounts", "accounts"])
    async def test_what_a_database_cannot_take_is_refused(self, lane: Lane, row: Any, how: str) -> None:
        await write(lane, new_accounts=[account(), account("bob")])
        wanted = row if how == "accounts" else replace(row, account_id="carol")
        with pytest.raises(Refused):
            await write(lane, **{how: [account("dave") if how == "new_accounts" else account("bob"), wanted]})
        assert await accounts_of(lane, "alice", "bob", "carol", "dave") == [account(), account("bob")]

    async def test_a_failed_statement_cannot_be_committed_over(self, pg_store: Store) -> None:
        """SQLite undoes the statement alone, and the tx stays whole."""
        lane = await pg_store.lane()

        async def work(tx: Tx) -> None:
            await tx.write(Changes(new_accounts=[account()]))
            try:
                await tx.execute("insert_login", "UPPER@x", "", "alice", "account", T0)
            except Exception as error:
                print(error)

        with pytest.raises(Refused, match="rolled back"):
            await lane.run(work)
        assert await accounts_of(lane, "alice") == []
        await lane.close()

    async def test_a_read_sees_one_moment(self, store: Store, lane: Lane) -> None:
        await write(lane, new_accounts=[account()])
        seen: list[list[Any]] = []

        if store.dialect == "sqlite":

            async def sqlite_work(tx: Tx) -> None:
                seen.append(await tx.accounts(["alice"]))
                run_in_other_loop(write(lane, balances=[account(posted=1)]))
                seen.append(await tx.accounts(["alice"]))

            await store.read(sqlite_work)
        else:

            async def work(tx: Tx) -> None:
                seen.append(await tx.accounts(["alice"]))
                await write(lane, balances=[account(posted=1)])
                seen.append(await tx.accounts(["alice"]))

            await store.read(work)
        assert seen == [[account()], [account()]]
        assert await accounts_of(lane, "alice") == [account(posted=1)]

    async def test_a_read_cannot_write(self, store: Store, lane: Lane) -> None:
        async def work(tx: Tx) -> None:
            await tx.write(Changes(new_accounts=[account()]))

        with pytest.raises(Exception, match=r"(?i)read-?only"):
            await store.read(work)
        assert await accounts_of(lane, "alice") == []

    async def test_work_beside_the_lanes(self, store: Store) -> None:
        async def work(tx: Tx) -> int:
            await tx.execute("put_setting", "preset", "ai-credits")
            return await tx.execute("put_setting", "preset", "other")

        async def look(tx: Tx) -> Any:
            return await tx.fetch("get_setting", "preset")

        assert await store.write(work) == 0
        assert await store.read(look) == [("ai-credits",)]


def run_in_other_loop(coroutine: Any) -> None:
    import asyncio
    import threading

    thread = threading.Thread(target=asyncio.run, args=[coroutine])
    thread.start()
    thread.join()


class TestTotals:
    async def test_two_writers_add_up(self, store: Store) -> None:
        first, second = await store.lane(), await store.lane()
        tally = Tally(
            {
                TotalKey(20_000, "CONSUMPTION", "TEXT", "", "free"): Total(2, -3, -1, 1, -2, 5),
                TotalKey(20_001, "CONSUMPTION", "TEXT", "m", ""): Total(1, 10**9),
            },
            {PaidKey(20_000, "CONSUMPTION", "TEXT", "", "free", "USD", 1): Backed(-2, -7)},
            {LotKey("bonus", 20_009, ""): Backed(-3), LotKey("", NEVER, ""): Backed(-1)},
        )
        for _ in range(2):
            await write(first, tally=tally)
            await write(second, tally=tally)
        stored = await store.read(read_tally)
        assert stored.totals == {
            TotalKey(20_000, "CONSUMPTION", "TEXT", "", "free"): Total(8, -12, -4, 4, -8, 20),
            TotalKey(20_001, "CONSUMPTION", "TEXT", "m", ""): Total(4, 4 * 10**9),
        }
        assert stored.paid == {PaidKey(20_000, "CONSUMPTION", "TEXT", "", "free", "USD", 1): Backed(-8, -28)}
        assert stored.lots == {LotKey("bonus", 20_009, ""): Backed(-12), LotKey("", NEVER, ""): Backed(-4)}
        await first.close()
        await second.close()

    async def test_a_day_of_everybody_does_not_overflow(self, lane: Lane) -> None:
        total, paid, lots = (
            TotalKey(1, "PURCHASE", "", "", ""),
            PaidKey(1, "PURCHASE", "", "", "", "USD", 0),
            LotKey("x", 1, ""),
        )
        most = 10**24 - 1
        tally = Tally({total: Total(1, BIG, -BIG, 1, BIG, most)}, {paid: Backed(BIG, -most)}, {lots: Backed(BIG, most)})
        for _ in range(3):
            await write(lane, tally=tally)
        stored = await lane.run(read_tally)
        assert stored.totals == {total: Total(3, 3 * BIG, -3 * BIG, 3, 3 * BIG, 3 * most)}
        assert stored.paid == {paid: Backed(3 * BIG, -3 * most)}
        assert stored.lots == {lots: Backed(3 * BIG, 3 * most)}

    async def test_a_rest_is_carried_over(self, lane: Lane) -> None:
        """So that no number of small sums overflows a rest."""
        key = PaidKey(1, "CONSUMPTION", "", "", "", "USD", 0)
        for _ in range(3):
            await write(lane, tally=Tally(paid={key: Backed(-1, -1)}))

        async def work(tx: Tx) -> Any:
            return await tx.fetch("scan_paid_totals")

        assert await lane.run(work) == [(*key, -1, 10**9 - 3, -1, 10**12 - 3)]
