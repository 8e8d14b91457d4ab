"""Rows to store: plain ones, and ones with every column at its extreme."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from bursar.core.model import Account, Hold, Lot, Member, Remembered, Transaction
from bursar.store.base import Changes, Lane, Tx

BIG = 2**63 - 1
T0 = 1_767_225_600_000_000
"""2026-01-01."""
LAST = 4_102_444_799_999_999
TEXT = "Zoë 💰 \"quoted\" 'single' \\ back\nline\t{braces} NULL ''"
JSON = '{"b": 1,  "a": "💰", "b": 2, "n": 1.0}'
"""Its spaces, order and doubles must come back: the hash covers the text."""
BYTES = bytes(range(256))


def account(account_id: str = "alice", **changes: Any) -> Account:
    plain = Account(
        account_id=account_id,
        email=None,
        name=None,
        plan=None,
        status="active",
        overage="debt",
        timezone="UTC",
        metadata=None,
        posted=0,
        held=0,
        debt=0,
        spent=0,
        open_holds=0,
        holds_opened=0,
        seq=0,
        head=b"",
        last_reset=None,
        next_reset=None,
        due_at=None,
        created_at=T0,
        recorded_at=T0,
        profile_digest=b"p",
    )
    return replace(plain, **changes)


def full_account(account_id: str = "💰") -> Account:
    return Account(
        account_id=account_id,
        email=TEXT,
        name=TEXT,
        plan=TEXT,
        status="frozen",
        overage="cap",
        timezone="Europe/Kyiv",
        metadata=JSON,
        posted=-BIG - 1,
        held=BIG,
        debt=BIG,
        spent=BIG,
        open_holds=BIG,
        holds_opened=BIG,
        seq=BIG,
        head=BYTES,
        last_reset=T0 + 1,
        next_reset=T0 + 2,
        due_at=LAST,
        created_at=0,
        recorded_at=LAST,
        profile_digest=BYTES,
        limits='["",0,false,  []]',
    )


def lot(account_id: str = "alice", lot_id: str = "g1", **changes: Any) -> Lot:
    plain = Lot(
        account_id=account_id,
        lot_id=lot_id,
        source="admin",
        plan=None,
        priority=1,
        amount=100,
        remaining=100,
        held=0,
        effective_at=T0,
        expires_at=None,
        ended_at=None,
        paid=None,
        currency=None,
        seq=1,
        started=True,
        live=True,
    )
    return replace(plain, **changes)


def full_lot(account_id: str = "💰", lot_id: str = "ĺöt") -> Lot:
    return Lot(
        account_id=account_id,
        lot_id=lot_id,
        source=TEXT,
        plan=TEXT,
        priority=-BIG,
        amount=BIG,
        remaining=BIG,
        held=BIG,
        effective_at=T0,
        expires_at=LAST,
        ended_at=T0 + 3,
        paid="19.99",
        currency="EUR",
        seq=BIG,
        started=False,
        live=False,
    )


def hold(account_id: str = "alice", hold_id: str = "h1", **changes: Any) -> Hold:
    plain = Hold(
        account_id=account_id,
        hold_id=hold_id,
        state="open",
        amount=10,
        captured=0,
        measured=None,
        slices='[["g1",10]]',
        skill=None,
        model=None,
        price_version=None,
        usage=None,
        member=None,
        overage="debt",
        on_expiry="capture_held",
        actor="service",
        description=None,
        metadata=None,
        idempotency_key=None,
        expires_at=T0 + 60,
        created_at=T0,
        settled_at=None,
        settled_seq=0,
        settlement=None,
        digest=b"d",
    )
    return replace(plain, **changes)


def full_hold(account_id: str = "💰", hold_id: str = "höld") -> Hold:
    return Hold(
        account_id=account_id,
        hold_id=hold_id,
        state="captured",
        amount=BIG,
        captured=BIG,
        measured=BIG,
        slices='[["g", 1],  ["💰", 2]]',
        skill=TEXT,
        model=TEXT,
        price_version=BIG,
        usage=JSON,
        member=TEXT,
        overage="reject",
        on_expiry="release",
        actor=TEXT,
        description=TEXT,
        metadata=JSON,
        idempotency_key=TEXT,
        expires_at=LAST,
        created_at=T0,
        settled_at=T0 + 5,
        settled_seq=BIG,
        settlement=BYTES,
        digest=BYTES,
        run=TEXT,
        budget=BIG,
        counted_at=LAST,
    )


def transaction(account_id: str = "alice", seq: int = 1, **changes: Any) -> Transaction:
    plain = Transaction(
        account_id=account_id,
        seq=seq,
        id=f"tx_{seq}_x",
        type="CONSUMPTION",
        amount=-5,
        posted_after=95,
        held_after=0,
        entries='[["g1",-5]]',
        skill=None,
        model=None,
        plan=None,
        price_version=None,
        usage=None,
        provider_cost_usd=None,
        actor="service",
        counterparty="skill:TEXT",
        hold=None,
        refund_of=None,
        member=None,
        detail=None,
        effective_at=T0,
        recorded_at=T0,
        description=None,
        metadata=None,
        idempotency_key=None,
        salt=None,
        text_digest=None,
        hash=b"h",
    )
    return replace(plain, **changes)


def full_transaction(account_id: str = "💰", seq: int = BIG) -> Transaction:
    return Transaction(
        account_id=account_id,
        seq=seq,
        id="tx_💰",
        type="REFUND",
        amount=-BIG - 1,
        posted_after=-BIG - 1,
        held_after=BIG,
        entries='[["💰", -9223372036854775808],  [null, 1]]',
        skill=TEXT,
        model=TEXT,
        plan=TEXT,
        price_version=BIG,
        usage=JSON,
        provider_cost_usd="0.000000000000000001",
        actor=TEXT,
        counterparty=TEXT,
        hold=TEXT,
        refund_of="tx_💰",
        member=TEXT,
        detail=JSON,
        effective_at=0,
        recorded_at=LAST,
        description=TEXT,
        metadata=JSON,
        idempotency_key=TEXT,
        salt=BYTES,
        text_digest=BYTES,
        hash=BYTES,
        run=TEXT,
    )


def member(account_id: str = "alice", name: str = "mia", **changes: Any) -> Member:
    plain = Member(account_id=account_id, member=name, status="added", created_at=T0, limits=None, digest=b"d")
    return replace(plain, **changes)


def full_member(account_id: str = "💰", name: str = "mïa") -> Member:
    return Member(account_id=account_id, member=name, status="removed", created_at=LAST, limits='["", 7]', digest=BYTES)


def key(account_id: str = "alice", name: str = "k1") -> Remembered:
    return Remembered(account_id=account_id, key=name, verb="charge", fingerprint=BYTES, reference="tx_1_x")


async def write(lane: Lane, **lists: Any) -> None:
    """Write these changes in a tx of their own."""

    async def work(tx: Tx) -> None:
        await tx.write(Changes(**lists))

    await lane.run(work)
