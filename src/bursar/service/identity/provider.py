"""Sign-in by OpenID Connect at one provider: authorization code with PKCE (S256), state and nonce.

    begin    ->  the address to send the browser to
    redeem   <-  the code that it comes back with, for an ID token, which is checked, and so a person

Authlib speaks the protocol; requests go out by `fetching`. The access token is used at most once, to ask for the
address where the ID token has none, and forgotten.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Final

import msgspec
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from msgspec import Struct

from bursar.core.errors import Invalid
from bursar.service.identity.claims import BadToken, Claims, check_id_token, read_token
from bursar.service.identity.discovery import Discovery, Metadata
from bursar.service.identity.fetching import Fetched, Fetcher, failed
from bursar.service.identity.flow import Flow
from bursar.service.identity.keys import IssuerKeys
from bursar.service.identity.people import Person, person_of
from bursar.service.problems import SignInFailed
from bursar.settings import OidcProvider, Settings

FORM: Final = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
REFUSED_CODE: Final = "invalid_grant"
ERROR_CODE: Final = re.compile(r"[a-z_]{1,64}")

logger = logging.getLogger("bursar.identity")


class _Tokens(Struct):
    """What the token endpoint answers, as far as we use it."""

    id_token: str
    access_token: str | None = None


class Provider:
    """One provider, which is first asked for when somebody signs in."""

    def __init__(
        self, name: str, config: OidcProvider, callback_url: str, fetcher: Fetcher, account_claim: str | None = None
    ) -> None:
        self.name = name
        self.config = config
        self.callback_url = callback_url
        self._fetcher = fetcher
        self._account_claim = account_claim
        self._discovery = Discovery(fetcher, config.issuer)
        self._keys = IssuerKeys(fetcher, self._discovery.keys_url)

    async def begin(self, flow: Flow) -> str:
        """Where the browser goes to sign in."""
        endpoint = _endpoint(await self._discovery.get(), "authorization_endpoint")
        return str(
            prepare_grant_uri(
                endpoint,
                client_id=self.config.client_id,
                response_type="code",
                redirect_uri=self.callback_url,
                scope=self.config.scopes,
                state=flow.state,
                nonce=flow.nonce,
                code_challenge=create_s256_code_challenge(flow.verifier),  # type: ignore[no-untyped-call]
                code_challenge_method="S256",
            )
        )

    async def redeem(self, code: str, flow: Flow) -> Person:
        """Who came back with this code. Raises `SignInFailed`, and what an identity provider may fail with."""
        metadata = await self._discovery.get()
        tokens = await self._exchange(metadata, code, flow)
        try:
            header, claims = await read_token(tokens.id_token, self._keys)
            check_id_token(
                header,
                claims,
                issuer=self.config.issuer,
                client_id=self.config.client_id,
                nonce=flow.nonce,
                access_token=tokens.access_token,
            )
            return person_of(await self._with_email(metadata, claims, tokens.access_token), self._account_claim)
        except BadToken as bad:
            logger.warning("a sign-in by %s failed: its ID token %s", self.name, bad, extra={"provider": self.name})
            raise SignInFailed(f"The ID token {bad}.") from None
        except Invalid as wrong:
            raise SignInFailed(f"The provider names nobody whom we can know: {wrong}") from None

    async def close(self) -> None:
        await self._keys.close()
        await self._discovery.close()

    async def _exchange(self, metadata: Metadata, code: str, flow: Flow) -> _Tokens:
        endpoint = _endpoint(metadata, "token_endpoint")
        secret = self.config.client_secret
        form = prepare_token_request(
            "authorization_code", redirect_uri=self.callback_url, code=code, code_verifier=flow.verifier
        )
        authentication = ClientAuth(self.config.client_id, secret, metadata.secret_goes_by if secret else "none")
        address, headers, body = authentication.prepare(  # type: ignore[no-untyped-call]
            "POST", endpoint, dict(FORM), form
        )
        answer = await self._fetcher.post(address, headers, body)
        if answer.status != 200:
            raise self._refused(endpoint, answer)
        try:
            return msgspec.convert(answer.members, _Tokens)
        except msgspec.ValidationError:
            raise failed(endpoint, "no ID token") from None

    def _refused(self, endpoint: str, answer: Fetched) -> Exception:
        """A code that is not good is the browser's; anything else is between the provider and us."""
        error = error_code(answer.members.get("error"))
        if answer.status < 500 and error == REFUSED_CODE:
            return SignInFailed("The provider did not take the code: begin again.")
        return failed(endpoint, f"status {answer.status}, {error}")

    async def _with_email(self, metadata: Metadata, claims: Claims, access_token: str | None) -> Claims:
        """The claims with what the provider only tells on request: the address, and a name."""
        endpoint = metadata.userinfo_endpoint
        if "email" in claims or endpoint is None or access_token is None or "email" not in self.config.scopes.split():
            return claims
        told = await self._fetcher.get(endpoint, {"Authorization": f"Bearer {access_token}"})
        if told.get("sub") != claims["sub"]:
            raise failed(endpoint, "it speaks of somebody else")
        return {**told, **claims}


def make_providers(settings: Settings, fetcher: Fetcher) -> dict[str, Provider]:
    """The providers of the settings, by name. The issuer that names accounts in its tokens does so here as well."""
    public = settings.public_url.rstrip("/")
    return {
        name: Provider(
            name,
            config,
            f"{public}/api/auth/callback/{name}",
            fetcher,
            settings.jwt_account_claim if config.issuer == settings.jwt_issuer else None,
        )
        for name, config in (settings.oidc or {}).items()
    }


def error_code(value: Any) -> str:
    """An error code of OAuth 2.0 as it may be shown: a stranger's text is not."""
    return value if isinstance(value, str) and ERROR_CODE.fullmatch(value) else "an error without a code"


def _endpoint(metadata: Metadata, name: str) -> str:
    found: str | None = getattr(metadata, name)
    if found is None:
        raise failed(metadata.issuer, f"it has no {name}")
    return found
