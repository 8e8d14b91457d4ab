"""Forgetting a person: their words are nowhere any more, and the ledger is as sound as before."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bursar.backup import write_backup
from bursar.core.commands import Capture, Charge, Grant, OpenAccount, PlaceHold
from bursar.core.errors import AccountNotFound, HoldNotOpen, Invalid
from bursar.core.money import NANOS
from bursar.credits import AsyncCredits
from bursar.erase import Erased, erase_account, remove_pictures
from bursar.store.base import Store
from bursar.store.url import open_store
from bursar.verify import verify
from tests.backup.conftest import KINDS, NewUrl, WrittenUrl


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = open_store(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def everything(url: str, folder: Path) -> dict[str, list[bytes]]:
    """Every row of every table."""
    await write_backup(url, folder / "all")
    with zipfile.ZipFile(folder / "all") as archive:
        return {name: archive.read(name).splitlines() for name in archive.namelist() if name.endswith(".ndjson")}


@pytest.mark.parametrize("kind", KINDS)
async def test_their_words_are_gone_and_the_chain_still_verifies(
    kind: str, written_url: WrittenUrl, tmp_path: Path
) -> None:
    url = await written_url(kind)
    before = await everything(url, tmp_path)
    words = [
        b"alice@example.com",
        b"a cat",
        b'"words"',
        b'{\\"trace',
        b"by mistake",
        b"Alice's",
        b"alice@corp",
        b'"buy"',
        b'"hold"',
    ]
    assert all(any(word in b"".join(rows) for rows in before.values()) for word in words)
    async with opened(url) as store:
        erased = await erase_account(store, "alice")
        assert erased.media == ["m1"]
        assert (erased.logins, erased.identities, erased.api_keys) == (1, 1, 1)
        assert erased.idempotency_keys > 5
        assert (await verify(store)).findings == []
    after = await everything(url, tmp_path)
    for name, rows in after.items():
        about_alice = b"".join(row for row in rows if b'"alice"' in row and b'"bob"' not in row)
        assert not [word for word in words if word in about_alice], name
    bobs = {name: [row for row in rows if b"alice" not in row] for name, rows in before.items()}
    for name, rows in bobs.items():
        assert set(rows) <= set(after[name]), name


@pytest.mark.parametrize("kind", KINDS)
async def test_amounts_stay_and_a_second_time_there_is_nothing_left(kind: str, written_url: WrittenUrl) -> None:
    url = await written_url(kind)
    async with AsyncCredits.open(url) as ledger:
        before, history = await ledger.balance("alice"), await ledger.history("alice")
        await erase_account(ledger.store, "alice")
        assert await ledger.balance("alice") == before
        after = await ledger.history("alice")
        assert [(row.id, row.amount, row.hash) for row in after.data] == [
            (row.id, row.amount, row.hash) for row in history.data
        ]
        assert {row.description for row in after.data} == {None}
        again = await erase_account(ledger.store, "alice")
        assert (again.idempotency_keys, again.logins, again.api_keys, again.media) == (0, 0, 0, [])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_that_is_repeated_afterwards_is_a_new_intent(kind: str, new_url: NewUrl) -> None:
    async with AsyncCredits.open(new_url(kind)) as ledger:
        await ledger.open_account("alice")
        first = await ledger.charge("alice", 1, idempotency_key="one")
        hold = await ledger.place_hold("alice", 5)
        await ledger.capture("alice", hold.id, 5)
        waiting = await ledger.place_hold("alice", 7, description="for Alice", idempotency_key="wait")
        await erase_account(ledger.store, "alice")
        second = await ledger.charge("alice", 1, idempotency_key="one")
        assert second.id != first.id
        with pytest.raises(HoldNotOpen):
            await ledger.capture("alice", hold.id, 5)
        assert (await ledger.capture("alice", waiting.id, 7)).posted_after == 86
        assert (await verify(ledger.store)).findings == []


@pytest.mark.parametrize("kind", KINDS)
async def test_erasing_while_the_account_spends(kind: str, new_url: NewUrl) -> None:
    async with AsyncCredits.open(new_url(kind)) as ledger:
        engine = ledger.engine
        await engine.execute(OpenAccount(account="alice"))
        await engine.execute(Grant(account="alice", amount=1_000 * NANOS))

        async def spend(number: int) -> None:
            await engine.execute(Charge(account="alice", amount=NANOS, key=f"{number}", description="about Alice"))
            held = (await engine.execute(PlaceHold(account="alice", amount=NANOS, description="about Alice"))).hold
            assert held is not None
            await engine.execute(Capture(account="alice", hold=held.hold_id))

        spenders = [asyncio.create_task(spend(number)) for number in range(100)]
        await asyncio.gather(*(erase_account(ledger.store, "alice") for _ in range(5)))
        await asyncio.gather(*spenders)
        assert (await ledger.balance("alice")).posted == 800
        assert (await verify(ledger.store)).findings == []


async def test_nobody_of_that_name(new_url: NewUrl) -> None:
    async with AsyncCredits.open(new_url("sqlite")) as ledger:
        with pytest.raises(AccountNotFound):
            await erase_account(ledger.store, "nobody")
        with pytest.raises(Invalid):
            await erase_account(ledger.store, "no/body")


def test_the_pictures_of_the_data_folder_go(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    for name in ("m1.png", "m2.png"):
        (tmp_path / "media" / name).write_bytes(b"png")
    erased = Erased(
        "alice", transactions=0, holds=0, idempotency_keys=0, logins=0, identities=0, api_keys=0, media=["m1", "gone"]
    )
    remove_pictures(tmp_path, erased)
    assert [path.name for path in (tmp_path / "media").iterdir()] == ["m2.png"]
