"""Tokens from signing in: JWTs (HS256) that name an account, signed with one of several secrets.

Secrets are `{id: secret}`. The first one signs, all of them verify, and a token names the one that signed it
(`kid`): so a new secret can be added before the old one goes. A token says how its owner signed in (`amr`). Secrets
come from BURSAR_SECRETS, or from `secrets.json` in the data folder, which the first process makes and all share. The
file is looked at again when it changes: no process needs a restart.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jwt

from bursar import clock, entropy
from bursar.service.auth import Caller, Role, Way
from bursar.settings import BadSettings, Settings

ALGORITHM: Final = "HS256"
ISSUER: Final = "bursar"
FILE: Final = "secrets.json"
LEAST_SECRET: Final = 32
LOOK_SECONDS: Final = 1.0
MAX_TOKEN: Final = 4_096


class Secrets:
    """The signing secrets of this process, by id, the one that signs first."""

    def __init__(self, by_id: Mapping[str, str], path: Path | None = None) -> None:
        self._by_id = dict(by_id)
        self._path = path
        self._looked_at = clock.monotonic()
        self._changed_at = 0

    @classmethod
    def of(cls, settings: Settings) -> Secrets:
        """From BURSAR_SECRETS, else from the data folder, made there if need be. Raises `BadSettings`."""
        if settings.secrets:
            return cls(_parse(settings.secrets))
        path = settings.data_dir / FILE
        _create(path)
        return cls(_read(path), path)

    def signing(self) -> tuple[str, str]:
        """The id and secret that sign."""
        self._refresh()
        return next(iter(self._by_id.items()))

    def find(self, key_id: str) -> str | None:
        """The secret of that id; an unknown one may be new in the file."""
        self._refresh(at_once=key_id not in self._by_id)
        return self._by_id.get(key_id)

    def _refresh(self, *, at_once: bool = False) -> None:
        """Read the file again if it was changed: a secret may have come or gone. Looks once a second."""
        now = clock.monotonic()
        if self._path is None or not (at_once or now - self._looked_at > LOOK_SECONDS):
            return
        self._looked_at = now
        # The file may be away for a moment, or a mount may be; what is known stays good.
        with contextlib.suppress(OSError, BadSettings):
            changed_at = self._path.stat().st_mtime_ns
            if changed_at != self._changed_at:
                self._by_id, self._changed_at = _read(self._path), changed_at


class Tokens:
    """Issues and verifies."""

    def __init__(self, secrets: Secrets, ttl_seconds: int) -> None:
        self._secrets = secrets
        self._ttl_seconds = ttl_seconds

    def issue(self, account: str, way: Way) -> str:
        key_id, secret = self._secrets.signing()
        now = clock.now() // 1_000_000
        claims = {"iss": ISSUER, "sub": account, "iat": now, "exp": now + self._ttl_seconds, "amr": [way]}
        return jwt.encode(claims, secret, ALGORITHM, headers={"kid": key_id})

    async def find(self, secret: str) -> tuple[Caller, float | None] | None:
        """The caller behind a token that is good, and how long it stays good."""
        claims = self._verify(secret)
        if claims is None:
            return None
        account, ends = str(claims["sub"]), int(claims["exp"])
        way = Way.PROVIDER if claims.get("amr") == [Way.PROVIDER] else Way.PASSWORD
        caller = Caller(Role.ACCOUNT, f"account:{account}", account, way=way, signed_in_until=ends * 1_000_000)
        return caller, ends - clock.now() / 1e6

    def _verify(self, token: str) -> dict[str, Any] | None:
        if len(token) > MAX_TOKEN:
            return None
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            secret = self._secrets.find(key_id) if isinstance(key_id, str) else None
            if secret is None:
                return None
            # The algorithm is ours to choose, never the token's.
            options: jwt.types.Options = {"require": ["exp", "iat", "sub", "iss"]}
            return jwt.decode(token, secret, algorithms=[ALGORITHM], issuer=ISSUER, options=options)
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError):
            return None


def add_secret(path: Path) -> str:
    """Add a new secret, which signs from now on, beside those that are there; its id."""
    key_id = _new_id()
    _replace(path, {key_id: entropy.secret(48)} | _read(path))
    return key_id


def drop_secret(path: Path, key_id: str) -> None:
    """Forget a secret, and with it the tokens that it signed. Raises `BadSettings` for the one that signs."""
    known = _read(path)
    if key_id == next(iter(known)):
        raise BadSettings(f"{key_id} is the secret that signs: add another one first")
    _replace(path, {name: secret for name, secret in known.items() if name != key_id})


def _new_id() -> str:
    return f"s_{entropy.token()}"


def _parse(setting: str) -> dict[str, str]:
    pairs = [part.strip().partition(":") for part in setting.split(",") if part.strip()]
    return _checked({name: secret for name, _, secret in pairs}, "BURSAR_SECRETS")


def _read(path: Path) -> dict[str, str]:
    try:
        return _checked(json.loads(path.read_text()), str(path))
    except (OSError, ValueError) as error:
        raise BadSettings(f"{path}: {error}") from None


def _checked(by_id: object, origin: str) -> dict[str, str]:
    """Refuse what would sign badly, without showing it."""
    if not isinstance(by_id, dict) or not by_id:
        raise BadSettings(f"{origin}: must be secrets by id")
    for name, secret in by_id.items():
        if not name or not isinstance(secret, str) or len(secret) < LEAST_SECRET:
            raise BadSettings(f"{origin}: the secret {name!r} must have at least {LEAST_SECRET} characters")
    return by_id


def _create(path: Path) -> None:
    """Make the file with one secret, unless it is there. Of many processes at once exactly one makes it."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path, {_new_id(): entropy.secret(48)})
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _replace(path: Path, by_id: Mapping[str, str]) -> None:
    _draft(path, by_id).replace(path)


def _draft(path: Path, by_id: Mapping[str, str]) -> Path:
    """A file beside `path` with these secrets, which only its owner may read."""
    draft = path.with_name(f".{path.name}.{entropy.token()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(dict(by_id), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    return draft
