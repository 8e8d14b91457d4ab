"""JWTs of an outside issuer as tokens: an app's own users come with what its identity provider gave them.

The issuer names accounts (`jwt_account_claim`), so it is trusted as far as a role account reaches, for every account:
set it to your app's own. An account that it names and that is not there yet is opened with the opening credits.
"""

from __future__ import annotations

from bursar import clock
from bursar.core.errors import Invalid
from bursar.core.periods import MAX_INSTANT
from bursar.credits import AsyncCredits
from bursar.service.auth import Caller, Credentials, Role, Way
from bursar.service.identity.claims import BadToken, check_claims, read_token
from bursar.service.identity.discovery import Discovery
from bursar.service.identity.fetching import Fetcher
from bursar.service.identity.keys import IssuerKeys
from bursar.service.identity.people import Person, account_named, person_of
from bursar.settings import Settings


class OutsideTokens:
    """The tokens of the issuer that the settings name."""

    def __init__(self, credits: AsyncCredits, settings: Settings, fetcher: Fetcher) -> None:
        self._credits = credits
        self._issuer = settings.jwt_issuer
        self._audiences = [part.strip() for part in settings.jwt_audience.split(",") if part.strip()]
        self._claim = settings.jwt_account_claim
        self._discovery = Discovery(fetcher, self._issuer)
        self._keys_url = settings.jwt_jwks_url
        self._keys = IssuerKeys(fetcher, self._find_keys_url)

    async def find(self, secret: str) -> tuple[Caller, float | None] | None:
        """The caller behind a token that is good, and how long it stays good.

        Raises `IdentityProviderUnreachable`, `IdentityProviderFailed` where no key is known to verify it with.
        """
        try:
            _, claims = await read_token(secret, self._keys)
            check_claims(claims, self._issuer, self._audiences)
            account = account_named(claims, self._claim)
            await self._open(account, person_of(claims))
        except (BadToken, Invalid):
            return None
        ends = min(int(claims["exp"]) * 1_000_000, MAX_INSTANT)
        caller = Caller(Role.ACCOUNT, f"account:{account}", account, way=Way.OUTSIDE, signed_in_until=ends)
        return caller, max(0.0, (ends - clock.now()) / 1e6)

    async def close(self) -> None:
        await self._keys.close()
        await self._discovery.close()

    async def _find_keys_url(self) -> str:
        return self._keys_url or await self._discovery.keys_url()

    async def _open(self, account: str, person: Person) -> None:
        if not await self._credits.store.read(lambda tx: tx.accounts([account])):
            await self._credits.open_account(account, email=person.email, name=person.name, actor=f"account:{account}")


class EitherTokens:
    """Bursar's own tokens, and those of the outside issuer."""

    def __init__(self, own: Credentials, outside: Credentials) -> None:
        self._sources = (own, outside)

    async def find(self, secret: str) -> tuple[Caller, float | None] | None:
        for source in self._sources:
            found = await source.find(secret)
            if found is not None:
                return found
        return None
