"""Ledgers with a history, on a database of each test's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from bursar.core.model import Instant
from bursar.store.base import Tx
from bursar.store.migrate import migrate
from bursar.store.url import open_store
from tests.engine.databases import Servers, servers
from tests.support.ledger import START
from tests.support.postgres_install import Flavour, available_flavours
from tests.verify.history import write_history

__all__ = ["servers"]

KINDS = ["sqlite", *available_flavours()[:1]]

NewUrl = Callable[[str], str]
WrittenUrl = Callable[[str], Awaitable[str]]


@pytest.fixture
def new_url(servers: Servers, tmp_path: Path) -> Iterator[NewUrl]:
    """The URL of a database that holds nothing, of that kind."""
    made: list[tuple[Flavour, str]] = []
    numbers = count(1)

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / f'ledger-{next(numbers)}.db'}"
        url = servers(Flavour(kind)).create_database()
        made.append((Flavour(kind), url))
        return url

    yield make
    for flavour, url in made:
        servers(flavour).drop_database(url)


@pytest.fixture
def written_url(new_url: NewUrl) -> WrittenUrl:
    """The URL of a ledger with a little of everything, logins, keys and pictures included."""

    async def write(kind: str) -> str:
        url = new_url(kind)
        migrate(url)
        await write_history(url)
        store = open_store(url)
        await store.open()
        await store.write(lambda tx: add_people(tx, START))
        await store.close()
        return url

    return write


@pytest.fixture
def early_url(new_url: NewUrl) -> WrittenUrl:
    """The URL of a ledger that knows nothing of limits, members and runs yet."""

    async def write(kind: str) -> str:
        url = new_url(kind)
        migrate(url)
        await write_history(url, limits=False)
        return url

    return write


async def add_people(tx: Tx, now: Instant) -> None:
    """What belongs to alice beside the ledger: a login, an identity at a provider, an API key, a picture."""
    await tx.execute("insert_login", "alice@example.com", "$argon2id$hash", "alice", "account", now)
    await tx.execute("insert_identity", "https://issuer.example.com", "alice@corp", "alice", now)
    await tx.execute(
        "insert_api_key", "k_1", b"\x00digest", "bk_abcd", "account", "alice", "Alice's", False, now, now + 1, None
    )
    await tx.execute("insert_media", "m1", "alice", "image/png", bytes(range(256)) * 8, now)
    await tx.execute("insert_media", "m2", "bob", "image/png", b"", now)
