"""Writes of the service's own rows (keys, logins, media): tried again where somebody was in the way."""

from __future__ import annotations

from typing import Final, TypeVar

from bursar.core.errors import DatabaseUnavailable, Overloaded
from bursar.store.base import CommitInDoubt, Contention, Duplicate, LockTimeout, Store, Work

ATTEMPTS: Final = 5

T = TypeVar("T")


async def write(store: Store, work: Work[T]) -> T:
    """What the work returns, once committed. Raises `Duplicate`, `Refused`, `Overloaded`, `DatabaseUnavailable`."""
    for _ in range(ATTEMPTS):
        try:
            return await store.write(work)
        except Duplicate:
            raise
        except (Contention, LockTimeout):
            continue
        except CommitInDoubt:
            raise DatabaseUnavailable("the connection broke; look whether the change was made") from None
    raise Overloaded
