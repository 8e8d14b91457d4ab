"""Signing in with an e-mail address and a password.

Passwords are kept as Argon2id (19 MiB, two rounds: OWASP's floor), made and checked in a few threads, so that a
crowd of sign-ins costs memory for `MAX_HASHING` of them and never stalls the event loop. An address that nobody has
takes as long as a wrong password. The account is opened after the login is stored, and again, as a no-op, at each
sign-in: a crash between the two heals itself.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from msgspec import Struct

from bursar import clock, entropy
from bursar.core import text
from bursar.core.errors import AlreadyExists, Invalid
from bursar.core.model import Instant
from bursar.credits import AsyncCredits
from bursar.service.auth import Caller, Credentials, Role
from bursar.service.problems import Busy, Unauthenticated
from bursar.service.writing import write
from bursar.store.base import Duplicate, Refused, Store, Tx

SHORTEST_PASSWORD: Final = 8
LONGEST_PASSWORD: Final = 1_024
LONGEST_EMAIL: Final = 254
MAX_HASHING: Final = 2
MAX_WAITING: Final = 500

_DECOY: Final = "$argon2id$v=19$m=19456,t=2,p=1$0kQhfw/qYiHCb2rCndGHOg$4qChAXQowy4MJjzVPG1mX3F70Ni3Kj4sUbwigrGluR0"
"""The hash that a password is checked against where there is no login: it costs the same and never fits."""

NO_PASSWORD: Final = ""
"""Stands in a login that a provider has proven: only by a provider does one sign in with its address."""

HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)

T = TypeVar("T")


class Login(Struct, frozen=True):
    """A row of `logins`, in the order of its columns."""

    email: str
    password_hash: str
    account_id: str
    role: str
    created_at: Instant


class PresentTokens:
    """Tokens of those whose way in is still there: a person who was erased has none, whoever registered an address that
    a provider then proved to be somebody else's has no password any more, however long the token is good.
    """

    def __init__(self, tokens: Credentials, store: Store) -> None:
        self._tokens = tokens
        self._store = store

    async def find(self, secret: str) -> tuple[Caller, float | None] | None:
        """The caller behind a token that is good, and how long it stays good."""
        found = await self._tokens.find(secret)
        if found is None:
            return None
        account = found[0].account
        rows = await self._store.read(lambda tx: tx.fetch("ways_into_account", account))
        return found if (found[0].way,) in [tuple(row) for row in rows] else None


class Logins:
    """The logins of one database."""

    def __init__(self, credits: AsyncCredits) -> None:
        self._credits = credits
        self._hashing = asyncio.Semaphore(MAX_HASHING)
        self._waiting = 0

    async def register(self, email: str, password: str, name: str | None = None) -> Login:
        """A new login and its account with the opening credits. Raises `Invalid`, `AlreadyExists`."""
        email = normal_email(email)
        secret = _checked_password(password)
        if name is not None:
            text.check_name("name", name)
        if await self._find(email) is not None:
            raise AlreadyExists("login", email)
        password_hash = await self._in_thread(lambda: HASHER.hash(secret))
        login = Login(email, password_hash, entropy.unique_id(), Role.ACCOUNT, clock.now())
        await self._insert(login)
        await self._credits.open_account(login.account_id, email=email, name=name, actor=f"account:{login.account_id}")
        return login

    async def login(self, email: str, password: str) -> Login:
        """The login that these belong to. Raises `Unauthenticated`, which does not say what was wrong."""
        try:
            found, secret = await self._find(normal_email(email)), _checked_password(password)
        except Invalid:
            raise Unauthenticated from None
        if found is not None and found.password_hash == NO_PASSWORD:
            found = None
        stored = _DECOY if found is None else found.password_hash
        fits = await self._in_thread(lambda: _fits(stored, secret))
        if found is None or not fits:
            raise Unauthenticated
        await self._credits.open_account(found.account_id, email=found.email, actor=f"account:{found.account_id}")
        return found

    async def _find(self, email: str) -> Login | None:
        rows = await self._credits.store.read(lambda tx: tx.fetch("find_login", email))
        return Login(*rows[0]) if rows else None

    async def _insert(self, login: Login) -> None:
        async def insert(tx: Tx) -> None:
            await tx.execute("insert_login", *(getattr(login, name) for name in login.__struct_fields__))

        try:
            await write(self._credits.store, insert)
        except Duplicate:
            raise AlreadyExists("login", login.email) from None
        except Refused:
            raise Invalid("email", "must be an e-mail address") from None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise Busy("Too many people are signing in at once; try again in a moment.")
        self._waiting += 1
        try:
            async with self._hashing:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def normal_email(email: str) -> str:
    """The one spelling of an address under which it is known. Raises `Invalid`."""
    try:
        email = unicodedata.normalize("NFC", email.strip()).lower()
    except (UnicodeError, AttributeError):
        raise Invalid("email", "must be an e-mail address") from None
    text.check_email("email", email)
    if len(email) > LONGEST_EMAIL:
        raise Invalid("email", f"must be at most {LONGEST_EMAIL} characters")
    return email


def _checked_password(password: str) -> bytes:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise Invalid("password", f"must be {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    try:
        # The same password, however a keyboard composes its accents.
        return unicodedata.normalize("NFKC", password).encode()
    except UnicodeError:
        raise Invalid("password", "must be valid Unicode") from None


def _fits(stored: str, secret: bytes) -> bool:
    try:
        return HASHER.verify(stored, secret)
    except (Argon2Error, InvalidHashError):
        return False
