"""A ledger with a little of everything, on a database of each test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bursar.store.base import Store
from bursar.store.url import open_store
from tests.engine.databases import either_url, migrated, one_pg_url, servers, sqlite_url, url
from tests.verify.history import write_history

__all__ = ["either_url", "migrated", "one_pg_url", "servers", "sqlite_url", "url"]


@pytest.fixture
async def history_url(either_url: str) -> str:
    """Where a ledger with a history stands, with nothing running on it."""
    await write_history(either_url)
    return either_url


@pytest.fixture
async def store(history_url: str) -> AsyncIterator[Store]:
    store = open_store(history_url)
    await store.open()
    yield store
    await store.close()
