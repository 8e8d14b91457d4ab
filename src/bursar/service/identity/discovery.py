"""Where an issuer's endpoints are (OpenID Connect Discovery): it must call itself by the name that we know it by."""

from __future__ import annotations

from typing import Final

import msgspec
from authlib.oidc.discovery import get_well_known_url
from msgspec import Struct

from bursar.service.identity.fetching import Fetcher, failed
from bursar.service.identity.refreshing import Refreshed
from bursar.settings import is_safe_url

BASIC: Final = "client_secret_basic"
POST: Final = "client_secret_post"


class Metadata(Struct, frozen=True):
    """What we use of an issuer's own description."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None

    @property
    def secret_goes_by(self) -> str:
        """How a client shows its secret: in a header, unless the issuer only takes it in the form."""
        methods = self.token_endpoint_auth_methods_supported
        return POST if methods is not None and BASIC not in methods and POST in methods else BASIC

    @property
    def addresses(self) -> list[str]:
        endpoints = (self.jwks_uri, self.authorization_endpoint, self.token_endpoint, self.userinfo_endpoint)
        return [address for address in endpoints if address is not None]


class Discovery:
    """The description of one issuer."""

    def __init__(self, fetcher: Fetcher, issuer: str) -> None:
        self._fetcher = fetcher
        self._issuer = issuer
        self._metadata = Refreshed(self._load)

    async def get(self) -> Metadata:
        """Raises `IdentityProviderUnreachable`, `IdentityProviderFailed`."""
        return await self._metadata.get()

    async def keys_url(self) -> str:
        return (await self.get()).jwks_uri

    async def close(self) -> None:
        await self._metadata.close()

    async def _load(self) -> Metadata:
        url = get_well_known_url(self._issuer, external=True)
        try:
            metadata = msgspec.convert(await self._fetcher.get(url), Metadata)
        except msgspec.ValidationError:
            raise failed(url, "its description lacks what we need") from None
        if metadata.issuer != self._issuer:
            raise failed(url, "it calls itself by another name")
        if not all(map(is_safe_url, metadata.addresses)):
            raise failed(url, "an endpoint is not https")
        return metadata
