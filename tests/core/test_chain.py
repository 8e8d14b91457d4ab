"""The hash chain and the digests beside it, recomputed here from what the documentation says of them."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from msgspec.structs import astuple, replace

from bursar.core import chain
from bursar.core.commands import Capture, Charge, Freeze, Grant, OpenAccount, PlaceHold
from bursar.core.model import Account, Hold, Remembered, Transaction
from bursar.core.money import NANOS
from tests.support.ledger import PureLedger


def a_ledger() -> PureLedger:
    ledger = PureLedger()
    ledger.put_price("TEXT", NANOS)
    ledger.execute(OpenAccount(account="zoë", email="z@example.com", key="open"))
    ledger.execute(Grant(account="zoë", amount=9 * NANOS, source="purchase", paid="9.99", currency="EUR", key="buy"))
    ledger.execute(Charge(account="zoë", skill="TEXT", description="ein Kätzchen 💰", metadata='{"a":"1"}', key="call"))
    hold = ledger.execute(PlaceHold(account="zoë", amount=NANOS, member="m")).hold
    assert hold is not None
    ledger.execute(Capture(account="zoë", hold=hold.hold_id, amount=3 * NANOS))
    return ledger


LEDGER = a_ledger()
ROWS = LEDGER.rows("zoë")


def canonical(row: Transaction) -> bytes:
    """The documented form: the first 22 fields and the text digest, as JSON without spaces."""
    text = None if row.text_digest is None else b64encode(row.text_digest).decode()
    return json.dumps([*astuple(row)[:22], text], ensure_ascii=False, separators=(",", ":")).encode()


def test_the_chain_is_what_its_documentation_says() -> None:
    head = b""
    for row in ROWS.transactions:
        head = sha256(head + b"\x01" + canonical(row)).digest()
        assert row.hash == head
        assert chain.rehash(head, row) != head
    assert ROWS.account.head == head
    assert len(ROWS.transactions) == 3


def test_a_transaction_of_a_run_has_version_2() -> None:
    """0x02, and the run before the text digest."""
    row, before = ROWS.transactions[1], ROWS.transactions[0].hash
    text = None if row.text_digest is None else b64encode(row.text_digest).decode()
    form = json.dumps([*astuple(row)[:22], "r_1", text], ensure_ascii=False, separators=(",", ":")).encode()
    assert chain.rehash(before, replace(row, run="r_1")) == sha256(before + b"\x02" + form).digest()


def test_rows_of_before_there_were_runs_and_limits_keep_their_digests() -> None:
    hold = Hold(
        *("alice", "h_1", "captured", 5, 4, 3, '[["g_1",5]]', "CHAT", "gpt", 2, '{"calls":2}', "mia", "debt"),
        *("release", "key:k1", "words", "{}", "key", 9, 1, 8, 7, b"settled", b""),
    )
    assert chain.digest_hold(hold).hex() == "9ad6fd98bea4eeb1b1c2060cfbccbf86"
    account = Account(
        *("alice", "a@example.com", "Alice", "free", "active", "debt", "UTC", "{}", 5, 4, 3, 2, 1, 1, 7),
        *(b"head", 1, 2, 3, 4, 5, b""),
    )
    assert chain.digest_profile(account).hex() == "cce7a3aa1ac1e0560f02f9b67ea483ff"


def test_the_text_digest_is_what_its_documentation_says() -> None:
    row = ROWS.transactions[1]
    assert row.salt is not None
    words = json.dumps([row.description, row.metadata, row.idempotency_key], ensure_ascii=False, separators=(",", ":"))
    assert row.text_digest == sha256(row.salt + words.encode()).digest()


@pytest.mark.parametrize("field", Transaction.__struct_fields__)
def test_every_field_of_a_transaction_is_covered(field: str) -> None:
    row, before = ROWS.transactions[1], ROWS.transactions[0].hash
    assert chain.rehash(before, row) == row.hash
    assert chain.text_holds(row)
    changed = replace(row, **{field: _other(getattr(row, field))})
    assert chain.rehash(before, changed) != changed.hash or not chain.text_holds(changed)


def test_erased_text_leaves_the_chain_whole() -> None:
    row, before = ROWS.transactions[1], ROWS.transactions[0].hash
    erased = replace(row, description=None, metadata=None, idempotency_key=None, salt=None)
    assert chain.rehash(before, erased) == row.hash
    assert chain.text_holds(erased)
    for kept in ("description", "metadata", "idempotency_key", "salt"):
        assert not chain.text_holds(replace(erased, **{kept: getattr(row, kept)}))


def test_text_without_words_has_no_salt() -> None:
    row = ROWS.transactions[2]
    assert (row.salt, row.text_digest) == (None, None)
    assert chain.text_holds(row)
    assert not chain.text_holds(replace(row, description="made up"))
    assert not chain.text_holds(replace(row, salt=b"made up"))


@pytest.mark.parametrize("field", Hold.__struct_fields__)
def test_every_field_of_a_hold_is_covered(field: str) -> None:
    (hold,) = ROWS.holds
    assert hold.digest == chain.digest_hold(hold)
    changed = replace(hold, **{field: _other(getattr(hold, field))})
    assert changed.digest != chain.digest_hold(changed)


PROFILE = (
    *("account_id", "email", "name", "plan", "status", "overage"),
    *("timezone", "metadata", "last_reset", "next_reset", "created_at", "limits"),
)


@pytest.mark.parametrize("field", Account.__struct_fields__)
def test_the_profile_digest_covers_what_no_transaction_tells(field: str) -> None:
    account = ROWS.account
    changed = replace(account, **{field: _other(getattr(account, field))})
    covered = chain.digest_profile(changed) != chain.digest_profile(account)
    assert covered is (field in PROFILE)


@pytest.mark.parametrize("field", Remembered.__struct_fields__)
def test_every_field_of_a_key_is_covered(field: str) -> None:
    for key in ROWS.keys:
        assert chain.key_holds(key)
        assert not chain.key_holds(replace(key, **{field: _other(getattr(key, field))}))


def test_two_rows_are_never_told_apart_by_accident() -> None:
    """The same words at other places are other words."""
    salt = bytes(16)
    digests = {
        chain.digest_text(salt, *words)
        for words in [
            ("a", None, None),
            (None, "a", None),
            (None, None, "a"),
            ("a", "a", None),
            ("", "a", None),
            ("[", '"', ","),
        ]
    }
    assert len(digests) == 6


def test_a_change_of_status_moves_no_chain() -> None:
    ledger = a_ledger()
    before = ledger.rows("zoë").account.head
    ledger.execute(Freeze(account="zoë"))
    assert ledger.rows("zoë").account.head == before


def _other(value: Any) -> Any:
    match value:
        case None:
            return "made up"
        case int():
            return value + 1
        case bytes():
            return value[:-1] + bytes([value[-1] ^ 1])
    return f"{value}x"
