"""Failed sign-ins, counted by e-mail address and by network address: who fails too often waits.

Each one fills a bucket that empties in `WINDOW_SECONDS`; a full bucket refuses before a password is looked at, and says
how long. A sign-in is counted before it is tried and given back when it succeeds, so that a hundred at once are no way
around. An IPv6 address counts by its /64.

Each process counts by itself: behind N processes there are N times as many attempts. Memory is bounded: of more than
`MAX_BUCKETS` the one that was used least recently is forgotten.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bursar import clock
from bursar.core.errors import AlreadyExists
from bursar.service.problems import SignInFailed, TooManyAttempts, Unauthenticated

WINDOW_SECONDS: Final = 900.0
MAX_BUCKETS: Final = 10_000
FAILURES: Final = (Unauthenticated, SignInFailed, AlreadyExists)
"""What counts. An address that is taken does: it would tell who is registered here."""


class Buckets:
    """How full each key's bucket is. `most` attempts fit in; 0: there is no limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, key: str) -> int:
        """How long until one more fits in: 0 is now."""
        over = self._level(key) + 1 - self._most
        return math.ceil(over * WINDOW_SECONDS / self._most) if self._most and over > 0 else 0

    def add(self, key: str, attempts: int) -> None:
        """Count one more, or give one back (-1)."""
        if not self._most:
            return
        level = self._level(key) + attempts
        self._levels.pop(key, None)
        if level > 0:
            self._levels[key] = level, clock.monotonic()
        if len(self._levels) > MAX_BUCKETS:
            self._levels.popitem(last=False)

    def __len__(self) -> int:
        return len(self._levels)

    def _level(self, key: str) -> float:
        level, at = self._levels.get(key, (0.0, 0.0))
        return max(0.0, level - (clock.monotonic() - at) * self._most / WINDOW_SECONDS) if level else 0.0


class Attempts:
    """The failed sign-ins of this process."""

    def __init__(self, per_email: int, per_address: int) -> None:
        self.emails = Buckets(per_email)
        self.addresses = Buckets(per_address)

    @contextmanager
    def attempt(self, address: str | None, email: str | None = None) -> Iterator[None]:
        """Around one sign-in: it stays counted where it fails. Raises `TooManyAttempts`."""
        counted = [(self.addresses, network_of(address))] if address else []
        counted += [(self.emails, email)] if email else []
        wait_seconds = max((buckets.wait_seconds(key) for buckets, key in counted), default=0)
        if wait_seconds:
            raise TooManyAttempts(wait_seconds)
        for buckets, key in counted:
            buckets.add(key, 1)
        try:
            yield
        except Exception as error:
            if not isinstance(error, FAILURES):
                _give_back(counted)
            raise
        _give_back(counted)


def network_of(address: str) -> str:
    """What counts as one: an IPv4 address, or the /64 that one line has of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed.packed[:8] + bytes(8), 64)))
    return str(parsed)


def _give_back(counted: list[tuple[Buckets, str]]) -> None:
    for buckets, key in counted:
        buckets.add(key, -1)
