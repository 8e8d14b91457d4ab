"""The one place that reads randomness: the system's, in blocks, for the ledger's tokens and salts; singly for
secrets.
"""

from __future__ import annotations

import os
import secrets
import threading
import uuid

TOKEN_BYTES = 10
SALT_BYTES = 16
_BLOCK = 256


class _Pool(threading.local):
    """A thread's identities, made in blocks; thrown away in a forked child, so that no two processes share one."""

    def __init__(self) -> None:
        self.identities: list[tuple[str, bytes]] = []

    def refill(self) -> None:
        tokens = os.urandom(TOKEN_BYTES * _BLOCK).hex()
        salts = os.urandom(SALT_BYTES * _BLOCK)
        digits = 2 * TOKEN_BYTES
        self.identities = [
            (tokens[n * digits : (n + 1) * digits], salts[n * SALT_BYTES : (n + 1) * SALT_BYTES]) for n in range(_BLOCK)
        ]


_pool = _Pool()


def _forget() -> None:
    _pool.identities = []


os.register_at_fork(after_in_child=_forget)


def identity() -> tuple[str, bytes]:
    """A command's token (20 hex digits) and salt (16 bytes)."""
    if not _pool.identities:
        _pool.refill()
    return _pool.identities.pop()


def token() -> str:
    """20 hex digits."""
    return identity()[0]


def salt() -> bytes:
    """16 bytes."""
    return identity()[1]


def secret(nbytes: int = 32) -> str:
    """A URL-safe secret with `nbytes` of entropy."""
    return secrets.token_urlsafe(nbytes)


def unique_id() -> str:
    """A random UUID."""
    return str(uuid.uuid4())
