"""Who may do what: the table, and who is asking.

`WHO_MAY` is the whole of it. Every route names one permission; a test requires it. A caller is known by an API key
(`bk_...`) or by a token from signing in; either way the answer is remembered for a moment (`key_cache_seconds`), so
that a request costs no look into the database. A key revoked in this process is dead at once, in the others when
their memory of it ends.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from hashlib import sha256
from typing import Final, Protocol

from msgspec import Struct

from bursar import clock
from bursar.core.model import Instant
from bursar.service.problems import Forbidden, Unauthenticated

MAX_REMEMBERED: Final = 10_000
KEY_PREFIX: Final = "bk_"


class Role(StrEnum):
    """What a key was made for; a token from signing in has the role account."""

    ADMIN = "admin"
    SERVICE = "service"
    ACCOUNT = "account"


class Way(StrEnum):
    """How somebody signed in: what must still be there for their token to count. Password and provider: RFC 8176's
    `amr`.
    """

    PASSWORD = "pwd"  # noqa: S105 - a name
    PROVIDER = "fed"
    OUTSIDE = "outside"


class Permission(StrEnum):
    """What a route does, as far as who may is concerned."""

    READ = "read"
    """Balance, history, receipts, holds, quotes."""
    LIST = "list"
    """Search all accounts."""
    OPEN = "open"
    SPEND = "spend"
    """Charge, hold, dispatch, extend, capture, release."""
    GENERATE = "generate"
    """Spend through a published contract."""
    GIVE = "give"
    """Grant and refund."""
    ADMINISTER = "administer"
    """Adjust, void, transfer, freeze, change an account."""
    READ_CATALOGUE = "read_catalogue"
    CHANGE_CATALOGUE = "change_catalogue"
    KEYS = "keys"
    REPORT = "report"
    """What everybody together used, earned and is owed."""
    PROVE = "prove"
    """Verify, and the server's own numbers."""


class Reach(Enum):
    """Whose accounts."""

    ANY = "any"
    OWN = "own"
    IF_TRUSTED = "any, if the key says may_grant"


WHO_MAY: Final[dict[Permission, dict[Role, Reach]]] = {
    Permission.READ: {Role.ADMIN: Reach.ANY, Role.SERVICE: Reach.ANY, Role.ACCOUNT: Reach.OWN},
    Permission.LIST: {Role.ADMIN: Reach.ANY, Role.SERVICE: Reach.ANY},
    Permission.OPEN: {Role.ADMIN: Reach.ANY, Role.SERVICE: Reach.ANY},
    Permission.SPEND: {Role.ADMIN: Reach.ANY, Role.SERVICE: Reach.ANY},
    Permission.GENERATE: {Role.ADMIN: Reach.ANY, Role.SERVICE: Reach.ANY, Role.ACCOUNT: Reach.OWN},
    Permission.GIVE: {Role.ADMIN: Reach.ANY, Role.SERVICE: Reach.IF_TRUSTED},
    Permission.ADMINISTER: {Role.ADMIN: Reach.ANY},
    Permission.READ_CATALOGUE: {Role.ADMIN: Reach.ANY, Role.SERVICE: Reach.ANY},
    Permission.CHANGE_CATALOGUE: {Role.ADMIN: Reach.ANY},
    Permission.KEYS: {Role.ADMIN: Reach.ANY, Role.ACCOUNT: Reach.OWN},
    Permission.REPORT: {Role.ADMIN: Reach.ANY},
    Permission.PROVE: {Role.ADMIN: Reach.ANY},
}
"""A role that is absent may not."""


class Caller(Struct, frozen=True):
    """Who is asking. `account` is set for the role account, and only for it; `actor` is what the ledger records."""

    role: Role
    actor: str
    account: str | None = None
    may_grant: bool = False
    expires_at: Instant | None = None
    """When the key ends: no key that it makes outlives it."""
    way: Way | None = None
    """For a token from signing in."""
    signed_in_until: Instant | None = None
    """When that token ends."""


def require(caller: Caller, permission: Permission, account: str | None = None) -> None:
    """Raise `Forbidden` unless the caller may, on that account where one is named."""
    reach = WHO_MAY[permission].get(caller.role)
    if reach is Reach.ANY:
        return
    if reach is None:
        raise Forbidden(f"A key of the role {caller.role} may not do this.")
    if reach is Reach.IF_TRUSTED and not caller.may_grant:
        raise Forbidden("This key was made without may_grant.")
    if reach is Reach.OWN and account is not None and account != caller.account:
        raise Forbidden("This key is bound to another account.")


class Credentials(Protocol):
    """Something that knows callers by what they send."""

    async def find(self, secret: str) -> tuple[Caller, float | None] | None:
        """The caller, and for how many more seconds the secret is good (None: no end); None if it is not good."""


class Authenticator:
    """Callers by the header that they send, remembered for a moment."""

    def __init__(self, keys: Credentials, tokens: Credentials, remember_seconds: float) -> None:
        self._keys = keys
        self._tokens = tokens
        self._seconds = remember_seconds
        self._remembered: dict[bytes, tuple[Caller | None, float]] = {}

    def remembered(self, authorization: bytes | None) -> Caller | None:
        """The caller, where a moment ago this very header was good; None says nothing."""
        if authorization is None:
            return None
        known = self._remembered.get(sha256(authorization).digest())
        return known[0] if known is not None and known[1] > clock.monotonic() else None

    async def identify(self, authorization: bytes | None) -> Caller:
        """The caller behind the header. Raises `Unauthenticated`."""
        if not authorization:
            raise Unauthenticated
        digest = sha256(authorization).digest()
        known = self._remembered.get(digest)
        if known is None or known[1] <= clock.monotonic():
            known = await self._look_up(authorization)
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[digest] = known
        if known[0] is None:
            raise Unauthenticated
        return known[0]

    def forget(self) -> None:
        """Look everything up again: a key was revoked."""
        self._remembered.clear()

    async def _look_up(self, authorization: bytes) -> tuple[Caller | None, float]:
        scheme, _, secret = authorization.decode("latin-1").partition(" ")
        secret, found = secret.strip(), None
        if scheme.lower() == "bearer" and secret:
            source = self._keys if secret.startswith(KEY_PREFIX) else self._tokens
            found = await source.find(secret)
        if found is None:
            return None, clock.monotonic() + self._seconds
        caller, left = found
        return caller, clock.monotonic() + (self._seconds if left is None else min(self._seconds, left))
