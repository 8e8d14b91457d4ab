"""What a browser keeps while it is away at a provider: a cookie that only it has, signed by us, good for ten minutes.

So any process can finish what another one began, nothing is stored, and nobody can finish a sign-in in somebody
else's browser. It is signed with the secrets of the tokens, but is no token: its issuer is another one.
"""

from __future__ import annotations

import re
from typing import Final

import jwt
import msgspec
from msgspec import Struct

from bursar import clock, entropy
from bursar.core.errors import Invalid
from bursar.service.tokens import ALGORITHM, MAX_TOKEN, Secrets

COOKIE: Final = "bursar_sign_in"
ISSUER: Final = "bursar-sign-in"
TTL_SECONDS: Final = 600
LONGEST_PATH: Final = 1_000

_PATH: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""One slash, no second one, no backslash (browsers take it for a slash), nothing but printable ASCII."""


class Flow(Struct, frozen=True):
    """One sign-in under way."""

    provider: str
    state: str
    nonce: str
    verifier: str
    redirect: str | None
    """The path of this server to which the browser goes in the end; None: the answer is JSON."""


def begin(provider: str, redirect: str | None) -> Flow:
    """A new one, with secrets of its own. Raises `Invalid` for a redirect that leaves this server."""
    if redirect is not None and not (len(redirect) <= LONGEST_PATH and _PATH.fullmatch(redirect)):
        raise Invalid("redirect", "must be a path of this server, such as /welcome")
    return Flow(provider, entropy.secret(), entropy.secret(), entropy.secret(48), redirect)


def seal(flow: Flow, secrets: Secrets) -> str:
    """The cookie."""
    key_id, secret = secrets.signing()
    ends = clock.now() // 1_000_000 + TTL_SECONDS
    return jwt.encode({**msgspec.structs.asdict(flow), "iss": ISSUER, "exp": ends}, secret, ALGORITHM, {"kid": key_id})


def unseal(cookie: str, secrets: Secrets) -> Flow | None:
    """What is under way, where the cookie is ours and not too old."""
    if len(cookie) > MAX_TOKEN:
        return None
    try:
        key_id = jwt.get_unverified_header(cookie).get("kid")
        secret = secrets.find(key_id) if isinstance(key_id, str) else None
        if secret is None:
            return None
        options: jwt.types.Options = {"require": ["exp", "iss"]}
        claims = jwt.decode(cookie, secret, algorithms=[ALGORITHM], issuer=ISSUER, options=options)
        return msgspec.convert(claims, Flow)
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError, OverflowError, RecursionError):
        return None
