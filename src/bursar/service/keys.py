"""API keys: `bk_` and 43 random characters. Only the SHA-256 of a key is stored; the key itself is shown once.

A plain digest is enough, and fast: 256 random bits cannot be guessed, so there is nothing for a slow hash to slow
down.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from msgspec import Struct

from bursar import clock, entropy
from bursar.core import text
from bursar.core.errors import Invalid, NotFound
from bursar.core.model import Instant
from bursar.service.auth import KEY_PREFIX, Caller, Role
from bursar.service.writing import write
from bursar.store.base import Store, Tx

FIRST_KEY: Final = "first_admin_key"
SHOWN_CHARACTERS: Final = 7
MAX_SECRET: Final = 200


class KeyNotFound(NotFound):
    """There is no key {key!r}."""

    code = "key_not_found"
    key: str

    def __init__(self, key: str) -> None:
        super().__init__(key=key)


class ApiKey(Struct, frozen=True):
    """A row of `api_keys`, in the order of its columns."""

    id: str
    digest: bytes
    prefix: str
    role: str
    account_id: str | None
    name: str | None
    may_grant: bool
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None

    def good(self, now: Instant) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    def caller(self) -> Caller:
        return Caller(Role(self.role), f"key:{self.id}", self.account_id, bool(self.may_grant), self.expires_at)


class Keys:
    """The keys of one database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(
        self,
        role: str,
        *,
        account: str | None = None,
        name: str | None = None,
        may_grant: bool = False,
        expires_at: Instant | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its secret, which nobody can see again. Raises `Invalid`."""
        now = clock.now()
        _check(role, account, name, may_grant=may_grant, expires_at=expires_at, now=now)
        key, secret = _mint(role, account, name, now, may_grant=may_grant, expires_at=expires_at)
        await write(self._store, lambda tx: _insert(tx, key))
        return key, secret

    async def create_first(self) -> str | None:
        """The administrator's key of a new database; None where it was made already. Many processes may ask at once."""
        key, secret = _mint(Role.ADMIN, None, "first", clock.now())

        async def claim_and_insert(tx: Tx) -> bool:
            if not await tx.execute("put_setting", FIRST_KEY, key.id):
                return False
            await _insert(tx, key)
            return True

        return secret if await write(self._store, claim_and_insert) else None

    async def find(self, secret: str) -> tuple[Caller, float | None] | None:
        """The caller behind a key that is good, and how long it stays good."""
        if len(secret) > MAX_SECRET:
            return None
        digest = _digest(secret)
        rows = await self._store.read(lambda tx: tx.fetch("find_api_key", digest))
        key = ApiKey(*rows[0]) if rows else None
        now = clock.now()
        if key is None or not key.good(now):
            return None
        return key.caller(), None if key.expires_at is None else (key.expires_at - now) / 1e6

    async def list_keys(self, account: str | None, after: str | None, limit: int) -> list[ApiKey]:
        """A page of keys, by id; of one account where it is named."""
        rows = await self._store.read(lambda tx: tx.fetch("list_api_keys", account, after, limit))
        return [ApiKey(*row) for row in rows]

    async def revoke(self, key_id: str, account: str | None) -> None:
        """End a key (of that account, where one is named). Raises `KeyNotFound`, also when it has ended already."""

        async def revoke(tx: Tx) -> bool:
            rows = await tx.fetch("get_api_key", key_id)
            if not rows or (account is not None and ApiKey(*rows[0]).account_id != account):
                return False
            return bool(await tx.execute("revoke_api_key", key_id, clock.now()))

        if not await write(self._store, revoke):
            raise KeyNotFound(key_id)


async def _insert(tx: Tx, key: ApiKey) -> None:
    await tx.execute("insert_api_key", *(getattr(key, name) for name in key.__struct_fields__))


def _mint(
    role: str,
    account: str | None,
    name: str | None,
    now: Instant,
    *,
    may_grant: bool = False,
    expires_at: Instant | None = None,
) -> tuple[ApiKey, str]:
    secret = KEY_PREFIX + entropy.secret(32)
    prefix = secret[:SHOWN_CHARACTERS]
    key_id = f"k_{entropy.token()}"
    return ApiKey(key_id, _digest(secret), prefix, str(role), account, name, may_grant, now, expires_at, None), secret


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _check(
    role: str,
    account: str | None,
    name: str | None,
    *,
    may_grant: bool,
    expires_at: Instant | None,
    now: Instant,
) -> None:
    if role not in list(Role):
        raise Invalid("role", f"must be one of {', '.join(Role)}")
    if (role == Role.ACCOUNT) != (account is not None):
        raise Invalid("account", "is needed for the role account, and only for it")
    if account is not None:
        text.check_id("account", account)
    if name is not None:
        text.check_name("name", name)
    if may_grant and role != Role.SERVICE:
        raise Invalid("may_grant", "is for keys of the role service only")
    if expires_at is not None and expires_at <= now:
        raise Invalid("expires_at", "must lie ahead")
