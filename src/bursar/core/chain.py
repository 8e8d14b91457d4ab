"""The hash chain of an account's transactions, and the digests of rows that change.

Canonical form, version 1: the UTF-8 JSON array, without spaces, of the first 22 fields of a `Transaction` in their
order and its text digest (base64). hash = SHA-256(previous hash, 0x01, canonical form); before the first transaction
the previous hash is empty. Version 2, of a transaction that is part of a run: 0x02, and the run before the text digest.
Description, metadata and idempotency key enter by a salted digest only, so that they can
be erased and the chain still verifies.

Holds, accounts, members and idempotency keys are not chained: each carries a digest of its own row, so that an edit by
hand is seen. What limits have counted is in none: it follows from transactions and holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from msgspec import DecodeError
from msgspec.json import Encoder
from msgspec.structs import astuple

from bursar.core.model import Account, Hold, Limits, Member, Remembered, Transaction, decode_limits

CANONICAL_FIELDS = 22
HOLD_FIELDS = 23
"""Those before the digest; later ones are covered where any of them is set, so that older rows keep their digest."""

_VERSION = b"\x01"
_VERSION_2 = b"\x02"
_NO_RUN = (None, None, None)
_encode = Encoder().encode


def seal(head: bytes, canonical: Sequence[object], text: bytes | None) -> bytes:
    """The hash of a transaction: `canonical` its first 22 fields, `text` its text digest, `head` the hash before it."""
    return sha256(head + _VERSION + _encode((*canonical, text))).digest()


def seal_in_run(head: bytes, canonical: Sequence[object], text: bytes | None, run: str) -> bytes:
    """The same of a transaction that is part of a run."""
    return sha256(head + _VERSION_2 + _encode((*canonical, run, text))).digest()


def digest_text(salt: bytes, description: str | None, metadata: str | None, key: str | None) -> bytes:
    """The salted digest of a transaction's erasable text."""
    return sha256(salt + _encode((description, metadata, key))).digest()


def rehash(head: bytes, transaction: Transaction) -> bytes:
    """What the transaction's hash must be, given the hash before it."""
    canonical = astuple(transaction)[:CANONICAL_FIELDS]
    if transaction.run is None:
        return seal(head, canonical, transaction.text_digest)
    return seal_in_run(head, canonical, transaction.text_digest, transaction.run)


def text_holds(transaction: Transaction) -> bool:
    """Whether the text is what its digest says, or was erased whole (its salt is gone with it)."""
    text = (transaction.description, transaction.metadata, transaction.idempotency_key)
    if transaction.salt is None:
        return text == (None, None, None)
    return digest_text(transaction.salt, *text) == transaction.text_digest


def digest_hold(hold: Hold) -> bytes:
    """The digest of a hold's row but for the digest itself."""
    fields = astuple(hold)
    covered, later = fields[:HOLD_FIELDS], fields[HOLD_FIELDS + 1 :]
    return sha256(_encode(covered if later == _NO_RUN else covered + later)).digest()[:16]


def digest_profile(account: Account) -> bytes:
    """The digest of what no transaction tells of an account."""
    fields = (
        account.account_id,
        account.email,
        account.name,
        account.plan,
        account.status,
        account.overage,
        account.timezone,
        account.metadata,
        account.last_reset,
        account.next_reset,
        account.created_at,
    )
    return sha256(_encode((*fields, *_defined_in(account.limits)))).digest()[:16]


def digest_member(member: Member) -> bytes:
    """The digest of a member's row but for what its limits have counted."""
    fields = (member.account_id, member.member, member.status, member.created_at)
    return sha256(_encode((*fields, *_defined_in(member.limits)))).digest()[:16]


def seal_limits(account: str, member: str | None, limits: Limits) -> str:
    """What binds limits and their windows to the row they stand in; the counters follow from transactions and holds."""
    windows = [(limit.starts_at, limit.resets_at) for limit in limits.limits]
    return sha256(_encode((account, member, *_definitions(limits), windows))).hexdigest()[:16]


def _defined_in(text: str | None) -> tuple[object, ...]:
    """What the text of a row defines; nothing where there is none, so that older rows keep their digest."""
    if text is None:
        return ()
    try:
        return _definitions(decode_limits(text))
    except DecodeError:
        return (text,)


def _definitions(limits: Limits) -> tuple[object, ...]:
    return (limits.members, limits.listed, [limit.definition for limit in limits.limits])


def seal_key(account: str, key: str, verb: str, fingerprint: bytes, reference: str) -> Remembered:
    """A remembered key whose fingerprint (16 bytes) is followed by 8 bytes that bind it to its row."""
    binding = sha256(_encode((account, key, verb, fingerprint, reference))).digest()[:8]
    return Remembered(account, key, verb, fingerprint + binding, reference)


def key_holds(row: Remembered) -> bool:
    """Whether the row of an idempotency key is as it was written."""
    return seal_key(row.account_id, row.key, row.verb, row.fingerprint[:16], row.reference) == row
