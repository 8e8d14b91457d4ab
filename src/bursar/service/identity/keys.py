"""The public keys of an issuer (JWKS, RFC 7517), and which of them a token may be verified with.

Only the algorithms of `KEY_TYPES`, each with a key of its own type: a token chooses neither `none`, nor to be verified
by a shared secret, nor one algorithm with the key of another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, RSAKey

from bursar.service.identity.fetching import Fetcher, failed
from bursar.service.identity.refreshing import Refreshed

KEY_TYPES: Final = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
}
"""The type of key, and its curve, that each algorithm takes. What is absent is refused."""

MAX_KEYS: Final = 100

Keys = tuple[Key, ...]


class IssuerKeys:
    """The keys at one address, which is asked for when they are."""

    def __init__(self, fetcher: Fetcher, find_url: Callable[[], Awaitable[str]]) -> None:
        self._fetcher = fetcher
        self._find_url = find_url
        self._keys = Refreshed(self._load)

    async def find(self, algorithm: str, key_id: str | None) -> Key | None:
        """The key that a token names; an unknown one may be new, so it is looked for once more."""
        keys = await self._keys.get(lambda known: choose(known, algorithm, key_id) is not None)
        return choose(keys, algorithm, key_id)

    async def close(self) -> None:
        await self._keys.close()

    async def _load(self) -> Keys:
        url = await self._find_url()
        keys = usable(await self._fetcher.get(url))
        if not keys:
            raise failed(url, "no keys")
        return keys


def usable(members: dict[str, Any]) -> Keys:
    """The keys of a set that can verify signatures; the others are somebody else's business."""
    found = members.get("keys")
    keys = []
    for member in found[:MAX_KEYS] if isinstance(found, list) else ():
        if not isinstance(member, dict) or member.get("kty") not in ("RSA", "EC"):
            continue
        try:
            key = JWKRegistry.import_key(member)
            key.check_use("sig")
            key.check_key_op("verify")
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            continue
        keys.append(key)
    return tuple(keys)


def choose(keys: Keys, algorithm: str, key_id: str | None) -> Key | None:
    """The one key that fits; a token that names none is verified only where there is no choice."""
    if algorithm not in KEY_TYPES:
        return None
    fitting = [key for key in keys if _fits(key, algorithm) and key_id in (None, key.kid)]
    return fitting[0] if fitting and (key_id is not None or len(fitting) == 1) else None


def _fits(key: Key, algorithm: str) -> bool:
    key_type, curve = KEY_TYPES[algorithm]
    is_of_type = isinstance(key, RSAKey) if key_type == "RSA" else isinstance(key, ECKey) and key.curve_name == curve
    return is_of_type and key.get("alg") in (None, algorithm)
