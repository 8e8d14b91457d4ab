"""Whether a JWT of an outside issuer is good: its signature first, then every claim that we rely on.

Time comes from `bursar.clock`; a minute of difference between the clocks is forgiven. `BadToken` says which check
failed, for logs and answers, and never shows what was in the token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jws import JWSRegistry, extract_compact

from bursar import clock
from bursar.service.identity.keys import KEY_TYPES, IssuerKeys

LEEWAY_SECONDS: Final = 60
MAX_TOKEN: Final = 16_384

Claims = dict[str, Any]
T = TypeVar("T")


class BadToken(Exception):
    """A token that is not good; the message says which check failed."""


async def read_token(token: str, keys: IssuerKeys) -> tuple[dict[str, Any], Claims]:
    """The header and claims of a token whose signature is the issuer's. Raises `BadToken`, and what `keys` does."""
    if len(token) > MAX_TOKEN or not token.isascii():
        raise BadToken("is no token")
    header = _checked(lambda: extract_compact(token.encode()).headers())
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in KEY_TYPES:
        raise BadToken("is signed with an algorithm that is not taken")
    key = await keys.find(algorithm, key_id if isinstance(key_id, str) else None)
    if key is None:
        raise BadToken("is signed with an unknown key")
    # Only this algorithm, with a key of its type: see `keys`.
    registry = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    read = _checked(lambda: jwt.decode(token, key, algorithms=[algorithm], registry=registry))
    return header, read.claims


def check_claims(claims: Claims, issuer: str, audiences: Sequence[str]) -> None:
    """Raise `BadToken` unless the token is of this issuer, for one of these audiences, and good now."""
    options = _options(issuer, audiences)
    registry = jwt.JWTClaimsRegistry(now=_now(), leeway=LEEWAY_SECONDS, **options)
    _checked(lambda: registry.validate(claims))


def check_id_token(
    header: dict[str, Any], claims: Claims, *, issuer: str, client_id: str, nonce: str, access_token: str | None
) -> None:
    """Raise `BadToken` unless this ID token answers the very request with that nonce (OpenID Connect Core, 3.1.3.7)."""
    check_claims(claims, issuer, [client_id])
    params = {"nonce": nonce, "client_id": client_id, "access_token": access_token}
    id_token = CodeIDToken(claims, header, params=params)
    _checked(lambda: id_token.validate(now=_now(), leeway=LEEWAY_SECONDS))


def _options(issuer: str, audiences: Sequence[str]) -> dict[str, jwt.ClaimsOption]:
    return {
        "iss": {"essential": True, "value": issuer},
        "aud": {"essential": True, "values": list(audiences)},
        "sub": {"essential": True},
        "exp": {"essential": True},
    }


def _now() -> int:
    return clock.now() // 1_000_000


def _checked(check: Callable[[], T]) -> T:
    """What the check returns; whatever a stranger's text makes it raise is a `BadToken`."""
    try:
        return check()
    except ExpiredTokenError:
        raise BadToken("has expired") from None
    except (InvalidClaimError, MissingClaimError) as error:
        raise BadToken(f"has a wrong claim: {_claim(error)}") from None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise BadToken("is no token, or not signed by its issuer") from None


def _claim(error: InvalidClaimError | MissingClaimError) -> str:
    return str(error.claim)
