"""The named statements that pages, jobs and verify are made of."""

from __future__ import annotations

from typing import Any

import pytest

from bursar.store.base import Duplicate, Lane, Refused, Store, Tx
from tests.store.rows import BYTES, T0, account, hold, key, lot, transaction, write


async def fetch(store: Store, name: str, *args: Any) -> list[tuple[Any, ...]]:
    async def work(tx: Tx) -> list[tuple[Any, ...]]:
        return await tx.fetch(name, *args)

    return await store.read(work)


async def execute(store: Store, name: str, *args: Any) -> int:
    async def work(tx: Tx) -> int:
        return await tx.execute(name, *args)

    return await store.write(work)


async def firsts(store: Store, name: str, *args: Any) -> list[Any]:
    return [row[0] for row in await fetch(store, name, *args)]


class TestAccounts:
    async def test_pages(self, store: Store, lane: Lane) -> None:
        await write(
            lane,
            new_accounts=[
                account("u1", email="Zoe@example.com", plan="free"),
                account("u2", name="zoe", plan="pro", status="frozen"),
                account("zoe-3", plan="pro"),
                account("u4", name="100%_"),
            ],
        )
        everybody = (None, None, None)
        assert await firsts(store, "list_accounts", *everybody, None, 10) == ["u1", "u2", "u4", "zoe-3"]
        assert await firsts(store, "list_accounts", *everybody, "u1", 2) == ["u2", "u4"]
        assert await firsts(store, "list_accounts", "ZOE", None, None, None, 10) == ["u1", "u2", "zoe-3"]
        assert await firsts(store, "list_accounts", "zoe", "pro", None, None, 10) == ["u2", "zoe-3"]
        assert await firsts(store, "list_accounts", None, None, "frozen", None, 10) == ["u2"]
        assert await firsts(store, "list_accounts", "%_", None, None, None, 10) == ["u4"]
        assert await fetch(store, "count_accounts") == [(4,)]
        assert await firsts(store, "scan_accounts", "u1", 2) == ["u2", "u4"]
        assert await firsts(store, "find_account_by_email", "Zoe@example.com") == ["u1"]
        assert await firsts(store, "find_account_by_email", "nobody") == []

    async def test_who_is_due(self, store: Store, lane: Lane) -> None:
        await write(
            lane,
            new_accounts=[account("lot", due_at=T0), account("later", due_at=T0 + 1), account("never")],
            new_holds=[
                hold("hold", expires_at=T0),
                hold("lot", expires_at=T0),
                hold("settled", state="captured", expires_at=T0, settled_at=T0),
                hold("later", expires_at=T0 + 1),
            ],
        )
        assert await firsts(store, "due_accounts", T0, 10) == ["hold", "lot"]
        assert await firsts(store, "due_accounts", T0, 1) == ["hold"]
        assert await firsts(store, "due_accounts", T0 - 1, 10) == []


class TestStatement:
    async def test_newest_first_by_cursor_and_filter(self, store: Store, lane: Lane) -> None:
        await write(
            lane,
            transactions=[
                transaction("a", seq, effective_at=T0 + seq, type="PURCHASE" if seq == 2 else "CONSUMPTION")
                for seq in range(1, 6)
            ]
            + [transaction("b", 9, skill="TEXT")],
        )

        async def seqs(account_id: str, *args: Any) -> list[int]:
            return [row[1] for row in await fetch(store, "list_transactions", account_id, *args)]

        nothing = (None, None, None, None)
        assert await seqs("a", *nothing, None, 10) == [5, 4, 3, 2, 1]
        assert await seqs("a", *nothing, 4, 2) == [3, 2]
        assert await seqs("a", "PURCHASE", None, None, None, None, 10) == [2]
        assert await seqs("a", None, None, T0 + 2, T0 + 4, None, 10) == [3, 2]
        assert await seqs("b", None, "TEXT", None, None, None, 10) == [9]
        assert await seqs("b", None, "IMAGE", None, None, None, 10) == []
        assert [row[1] for row in await fetch(store, "scan_transactions", "a", 3, 10)] == [4, 5]

    async def test_holds_lots_and_keys(self, store: Store, lane: Lane) -> None:
        await write(
            lane,
            new_holds=[hold("a", "1"), hold("a", "2", state="captured"), hold("b", "1")],
            new_lots=[lot("a", "1"), lot("a", "2", live=False), lot("b", "1")],
            keys=[key("a", "1"), key("a", "2"), key("b", "1")],
        )

        async def seconds(name: str, *args: Any) -> list[str]:
            return [row[1] for row in await fetch(store, name, *args)]

        assert await seconds("list_holds", "a", None, None, 10) == ["1", "2"]
        assert await seconds("list_holds", "a", "captured", None, 10) == ["2"]
        assert await seconds("list_holds", "a", None, "1", 10) == ["2"]
        assert await seconds("list_lots", "a", None, 10) == ["1", "2"]
        assert await seconds("list_lots", "a", "1", 10) == ["2"]
        for name in ("scan_holds", "scan_lots", "scan_keys"):
            assert await seconds(name, "a", "", 10) == ["1", "2"]
            assert await seconds(name, "a", "1", 10) == ["2"]

    async def test_rows_without_an_account_are_found(self, store: Store, lane: Lane) -> None:
        await write(
            lane,
            new_accounts=[account("a")],
            new_holds=[hold("a", "1"), hold("ghost", "1")],
            new_lots=[lot("a", "1"), lot("ghost", "1")],
            keys=[key("a", "1"), key("ghost", "1")],
            transactions=[transaction("a", 1), transaction("ghost", 3), transaction("ghost", 2)],
        )
        for name in ("orphan_holds", "orphan_lots", "orphan_keys"):
            assert await fetch(store, name, 10) == [("ghost", "1")]
        assert await fetch(store, "orphan_transactions", 10) == [("ghost", 2)]


class TestCatalogue:
    async def test_skills_and_their_prices(self, store: Store) -> None:
        assert await execute(store, "insert_skill", "TEXT", "Text", None, True, T0) == 1
        first = ("TEXT", 1, '[{"unit":"call"}]', "1e-9", 0, "1", T0, 5, T0, None, None)
        second = ("TEXT", 2, "[]", "1", 7, "1.5", T0, None, T0 + 1, T0 + 2, '[{"above":1}]')
        assert await execute(store, "insert_price", *first) == 1
        assert await execute(store, "insert_price", *second) == 1
        assert await execute(store, "update_skill", "TEXT", "Texts", "words", False) == 1
        assert await execute(store, "update_skill", "NONE", "Texts", "words", False) == 0
        assert await fetch(store, "list_skills") == [("TEXT", "Texts", "words", False, T0)]
        assert await fetch(store, "list_prices") == [first, second]
        with pytest.raises(Duplicate):
            await execute(store, "insert_skill", "TEXT", "Text", None, True, T0)
        with pytest.raises(Refused):
            await execute(store, "insert_price", "GHOST", *second[1:])

    async def test_models_and_their_prices(self, store: Store) -> None:
        assert await execute(store, "insert_model", "gpt-4o", True, T0) == 1
        assert await execute(store, "insert_model", "*", True, T0) == 1
        first = (1, "gpt-4o", "own", '[{"unit":"call"}]', "1e-9", 0, "1", "0.01", T0, 5, T0, None)
        second = (2, "*", "own", "[]", "1", 7, "1.5", None, T0, None, T0 + 1, T0 + 2)
        for price in (second, first):
            assert await execute(store, "insert_model_price", *price) == 1
        assert await fetch(store, "list_model_prices") == [second, first]
        assert await execute(store, "update_model", "gpt-4o", False) == 1
        assert await execute(store, "update_model", "gpt-5", False) == 0
        assert await fetch(store, "list_models") == [("*", True, T0), ("gpt-4o", False, T0)]
        with pytest.raises(Duplicate):
            await execute(store, "insert_model", "gpt-4o", True, T0)
        with pytest.raises(Duplicate):
            await execute(store, "insert_model_price", *first)
        with pytest.raises(Refused):
            await execute(store, "insert_model_price", 3, "ghost", *first[2:])

    async def test_a_plan_changes_in_place_and_keeps_its_birthday(self, store: Store) -> None:
        first = ("pro", "Pro", 5, "month", "calendar", "reset", None, 10, T0, None, None, None, False, False)
        terms = ("PRO", 6, "week", "anniversary", "rollover", 7, 11)
        later = ("Asia/Tokyo", 30, "free", True, True)
        await execute(store, "upsert_plan", *first)
        await execute(store, "upsert_plan", "pro", *terms, T0 + 1, *later)
        assert await fetch(store, "list_plans") == [("pro", *terms, T0, *later)]

    async def test_the_version_moves(self, store: Store) -> None:
        [(before,)] = await fetch(store, "catalogue_version")
        assert await execute(store, "bump_catalogue") == 1
        assert await fetch(store, "catalogue_version") == [(before + 1,)]


class TestIdentity:
    async def test_logins(self, store: Store) -> None:
        login = ("zoe@example.com", "$argon2id$", "alice", "account", T0)
        assert await execute(store, "insert_login", *login) == 1
        assert await fetch(store, "find_login", "zoe@example.com") == [login]
        assert await fetch(store, "find_login", "ZOE@example.com") == []
        with pytest.raises(Duplicate):
            await execute(store, "insert_login", *login)
        with pytest.raises(Refused):
            await execute(store, "insert_login", "ZOE@example.com", *login[1:])

    async def test_identities(self, store: Store) -> None:
        identity = ("https://issuer.example.com", "zoe", "alice", T0)
        assert await execute(store, "insert_identity", *identity) == 1
        assert await fetch(store, "find_identity", *identity[:2]) == [("alice",)]
        assert await fetch(store, "find_identity", "https://issuer.example.com/", "zoe") == []
        with pytest.raises(Duplicate):
            await execute(store, "insert_identity", *identity[:2], "bob", T0)
        assert await execute(store, "insert_identity", "https://other.example.com", *identity[1:]) == 1
        assert await execute(store, "erase_identities", "alice") == 2

    async def test_ways_into_an_account(self, store: Store) -> None:
        assert await fetch(store, "ways_into_account", "alice") == []
        await execute(store, "insert_login", "zoe@example.com", "$argon2id$", "alice", "account", T0)
        assert await fetch(store, "ways_into_account", "alice") == [("pwd",)]
        for subject in ("zoe", "zo"):
            await execute(store, "insert_identity", "https://issuer.example.com", subject, "alice", T0)
        assert sorted(await fetch(store, "ways_into_account", "alice")) == [("fed",), ("pwd",)]
        assert await execute(store, "disown_login", "zoe@example.com", "") == 1
        assert await fetch(store, "ways_into_account", "alice") == [("fed",)]

    async def test_keys_of_an_account_end_once(self, store: Store) -> None:
        one = ("k1", b"digest-1", "bk_1", "account", "alice", None, False, T0, None, None)
        await execute(store, "insert_api_key", *one)
        await execute(store, "insert_api_key", "k2", b"digest-2", "bk_2", "account", "bob", *one[5:])
        assert await execute(store, "revoke_account_keys", "alice", T0 + 5) == 1
        assert await execute(store, "revoke_account_keys", "alice", T0 + 6) == 0
        assert await fetch(store, "get_api_key", "k1") == [(*one[:-1], T0 + 5)]

    async def test_api_keys(self, store: Store) -> None:
        one = ("k1", b"digest-1", "bk_1", "admin", None, "first", True, T0, None, None)
        two = ("k2", b"digest-2", "bk_2", "account", "alice", None, False, T0, T0 + 1, None)
        for row in (one, two):
            await execute(store, "insert_api_key", *row)
        assert await fetch(store, "find_api_key", b"digest-2") == [two]
        assert await fetch(store, "get_api_key", "k1") == [one]
        assert await fetch(store, "list_api_keys", None, None, 10) == [one, two]
        assert await fetch(store, "list_api_keys", "alice", None, 10) == [two]
        assert await fetch(store, "list_api_keys", None, "k1", 10) == [two]
        assert await execute(store, "revoke_api_key", "k1", T0 + 5) == 1
        assert await execute(store, "revoke_api_key", "k1", T0 + 6) == 0
        assert await fetch(store, "get_api_key", "k1") == [(*one[:-1], T0 + 5)]
        with pytest.raises(Duplicate):
            await execute(store, "insert_api_key", "k3", *two[1:])

    async def test_media_and_settings(self, store: Store) -> None:
        picture = ("m1", "alice", "image/png", BYTES * 5000, T0)
        assert await execute(store, "insert_media", *picture) == 1
        assert await fetch(store, "find_media", "m1") == [picture]
        assert await execute(store, "put_setting", "preset", "one") == 1
        assert await execute(store, "put_setting", "preset", "two") == 0
        assert await fetch(store, "get_setting", "preset") == [("one",)]
        assert await execute(store, "replace_setting", "preset", "two") == 1
        assert await fetch(store, "get_setting", "preset") == [("two",)]

    async def test_erasing_takes_texts_and_salts_of_one_account(self, store: Store, lane: Lane) -> None:
        texts = {"description": "d", "metadata": "{}", "idempotency_key": "k"}
        rows = [transaction(name, 1, salt=b"s", text_digest=b"t", **texts) for name in ("a", "b")]
        await write(
            lane, transactions=rows, new_holds=[hold(name, **texts) for name in ("a", "b")], keys=[key("a"), key("b")]
        )
        for name in ("transactions", "holds", "keys", "logins", "identities", "api_keys", "media"):
            await execute(store, f"erase_{name}", "a")
        erased = transaction("a", 1, text_digest=b"t")

        async def work(tx: Tx) -> Any:
            return (
                sorted(await tx.transactions([("a", 1), ("b", 1)]), key=lambda row: row.account_id),
                sorted(await tx.holds([("a", "h1"), ("b", "h1")]), key=lambda row: row.account_id),
                await tx.keys([("a", "k1"), ("b", "k1")]),
            )

        transactions, holds, keys = await store.read(work)
        assert transactions == [erased, rows[1]]
        assert holds == [hold("a"), hold("b", **texts)]
        assert keys == [key("b")]


async def test_many_rows_of_a_named_statement(store: Store) -> None:
    async def work(tx: Tx) -> None:
        await tx.execute_many("put_setting", [(f"s{number}", "v") for number in range(3)])
        await tx.execute_many("put_setting", [])

    await store.write(work)
    assert await fetch(store, "get_setting", "s2") == [("v",)]
