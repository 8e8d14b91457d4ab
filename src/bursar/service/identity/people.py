"""Whose account a person is: known by issuer and subject, never by an e-mail address alone.

An address opens an account that has it already only where the provider says that it is verified and the operator
takes its word (`link_emails`). Then, in this order:

    a login that was proven by a provider  ->  its account
    a login with a password                ->  its account, from now on without that password, its tokens and its keys:
                                               whoever registered it never proved that the address was theirs
    an account that nobody signs in to     ->  this account: an operator opened or imported it for this address
    none of them                           ->  a new account, and the address is taken

An address that is not verified opens and takes nothing; it is not even kept. Decision 18 says why.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from msgspec import Struct

from bursar import clock, entropy
from bursar.core import text
from bursar.core.errors import Invalid, Overloaded
from bursar.credits import AsyncCredits
from bursar.service.auth import Role
from bursar.service.identity.claims import Claims
from bursar.service.logins import NO_PASSWORD, Login, normal_email
from bursar.service.writing import write
from bursar.store.base import Duplicate, Tx

ATTEMPTS: Final = 5
LONGEST_SUBJECT: Final = 255

logger = logging.getLogger("bursar.identity")


class Person(Struct, frozen=True):
    """Somebody as an issuer describes them. `email` is set where it is verified."""

    issuer: str
    subject: str
    email: str | None
    spelled: str | None
    """The address as the issuer writes it."""
    name: str | None
    account: str | None = None
    """The id of their account, where the issuer is the one that names accounts (`outside`)."""


class Found(Struct, frozen=True):
    """Whose account it is, and what became of those who had it without proof."""

    account: str
    disowned: bool = False
    keys_revoked: int = 0


def person_of(claims: Claims, account_claim: str | None = None) -> Person:
    """The person behind claims that were checked. Raises `Invalid` for a subject or an id that cannot be kept."""
    subject = claims["sub"]
    text.check_key("sub", subject)
    spelled, email = _verified_email(claims)
    account = None if account_claim is None else account_named(claims, account_claim)
    return Person(claims["iss"], subject, email, spelled, _name(claims.get("name")), account)


def account_named(claims: Claims, claim: str) -> str:
    """The account that claims name. Raises `Invalid`."""
    account = claims.get(claim)
    if not isinstance(account, str):
        raise Invalid(claim, "must be text")
    text.check_id(claim, account)
    return account


class People:
    """Everybody who signs in by a provider."""

    def __init__(self, credits: AsyncCredits) -> None:
        self._credits = credits

    async def sign_in(self, person: Person, *, link: bool) -> Found:
        """The account of a person, opened on their first sign-in; `link`: whether their address is taken as proof."""
        found = await self._find(person, link)
        if found.disowned:
            facts = {"user": found.account, "keys": found.keys_revoked}
            logger.info("%s was proven by a provider: its password and %d keys ended", *facts.values(), extra=facts)
        # Here, and at each sign-in, as a no-op: a crash between the two heals itself.
        await self._credits.open_account(
            found.account, email=person.email, name=person.name, actor=f"account:{found.account}"
        )
        return found

    async def _find(self, person: Person, link: bool) -> Found:  # noqa: FBT001 - see sign_in
        for _ in range(ATTEMPTS):
            try:
                return await write(self._credits.store, lambda tx: _claim(tx, person, link))
            except Duplicate:
                continue  # the same person, or the same address, at the same time: look again
        raise Overloaded


async def _claim(tx: Tx, person: Person, link: bool) -> Found:  # noqa: FBT001 - see sign_in
    rows = await tx.fetch("find_identity", person.issuer, person.subject)
    if rows:
        return Found(rows[0][0])
    if person.account is not None:
        found = Found(person.account)
    elif person.email is None or not link:
        found = Found(entropy.unique_id())
    else:
        found = await _claim_email(tx, person.email, person.spelled)
    await tx.execute("insert_identity", person.issuer, person.subject, found.account, clock.now())
    return found


async def _claim_email(tx: Tx, email: str, spelled: str | None) -> Found:
    rows = await tx.fetch("find_login", email)
    if not rows:
        unclaimed = await tx.fetch("find_unclaimed_account", email, spelled)
        account = unclaimed[0][0] if unclaimed else entropy.unique_id()
        await tx.execute("insert_login", email, NO_PASSWORD, account, Role.ACCOUNT, clock.now())
        return Found(account)
    login = Login(*rows[0])
    if login.password_hash == NO_PASSWORD:
        return Found(login.account_id)
    await tx.execute("disown_login", email, NO_PASSWORD)
    revoked = await tx.execute("revoke_account_keys", login.account_id, clock.now())
    return Found(login.account_id, disowned=True, keys_revoked=revoked)


def _verified_email(claims: Claims) -> tuple[str | None, str | None]:
    """The address as it is written and as it is known; neither where nobody vouches for it."""
    spelled = claims.get("email")
    word = claims.get("email_verified")
    # Some providers send every claim as text. A 1 equals True, and is none.
    if not isinstance(spelled, str) or not (word is True or word == "true"):
        return None, None
    try:
        return spelled.strip(), normal_email(spelled)
    except Invalid:
        return None, None


def _name(value: Any) -> str | None:
    """A name that can be kept; a stranger's text that cannot is left out."""
    try:
        text.check_name("name", value)
    except Invalid:
        return None
    return str(value)
