"""Forgetting a person: every text of an account goes, its amounts and its hash chain stay.

What goes: the account's email, name and metadata; descriptions, metadata, idempotency keys and salts of its
transactions and holds; its remembered idempotency keys, logins, identities at providers, API keys and what was
generated for it. What stays: ids (those of members too), amounts, times, skills, and the digests of the text, which say
nothing without their salts: the chain still verifies.

A request that is repeated under an erased key is a new intent, and a repeated capture of an erased hold is refused:
nothing is left by which they could be known again. What older backups hold is theirs to forget.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bursar.core import text
from bursar.core.chain import digest_hold, digest_profile
from bursar.core.errors import AccountNotFound
from bursar.core.model import Account, Hold
from bursar.store.base import Changes, Store, Tx

PAGE: Final = 1_000
FORGOTTEN: Final = bytes(16)
"""Stands where the fingerprint of a capture stood, which was made of its description too."""


class Erased(Struct, frozen=True):
    """What was forgotten of an account: how many rows of each kind, and the ids of the pictures."""

    account: str
    transactions: int
    holds: int
    idempotency_keys: int
    logins: int
    identities: int
    api_keys: int
    media: list[str]


async def erase_account(store: Store, account: str) -> Erased:
    """Forget it in one tx, under the account's lock. Raises `AccountNotFound`. Again: there is nothing left to
    forget.
    """
    text.check_id("account", account)

    async def work(tx: Tx) -> Erased:
        rows = await tx.lock([account])
        if not rows:
            raise AccountNotFound(account)
        await tx.write(Changes(accounts=[_without_text(rows[0])]))
        return Erased(
            account,
            transactions=await tx.execute("erase_transactions", account),
            holds=await _erase_holds(tx, account),
            idempotency_keys=await tx.execute("erase_keys", account),
            logins=await tx.execute("erase_logins", account),
            identities=await tx.execute("erase_identities", account),
            api_keys=await tx.execute("erase_api_keys", account),
            media=await _erase_media(tx, account),
        )

    return await store.write(work)


def remove_pictures(data_dir: Path, erased: Erased) -> None:
    """The copies of the erased pictures that lie in the data folder for people to look at."""
    for medium_id in erased.media:
        with suppress(FileNotFoundError):
            (data_dir / "media" / f"{medium_id}.png").unlink()


def _without_text(account: Account) -> Account:
    bare = replace(account, email=None, name=None, metadata=None)
    return replace(bare, profile_digest=digest_profile(bare))


async def _erase_holds(tx: Tx, account: str) -> int:
    """Page by page: an account may have had a million of them."""
    erased, after = 0, None
    while rows := await tx.fetch("list_holds", account, None, after, PAGE):
        holds = [_hold_without_text(Hold(*row)) for row in rows]
        await tx.write(Changes(holds=holds))
        erased += len(holds)
        after = holds[-1].hold_id
    return erased


def _hold_without_text(hold: Hold) -> Hold:
    settlement = None if hold.settlement is None else FORGOTTEN
    bare = replace(hold, description=None, metadata=None, idempotency_key=None, settlement=settlement)
    return replace(bare, digest=digest_hold(bare))


async def _erase_media(tx: Tx, account: str) -> list[str]:
    ids = [row[0] for row in await tx.fetch("list_media", account)]
    await tx.execute("erase_media", account)
    return ids
