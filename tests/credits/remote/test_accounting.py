"""`tests/accounting/test_reports.py`, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bursar.credits import AsyncCredits, Credits
from tests.accounting import test_reports
from tests.credits.remote.adopting import adopt


@pytest.fixture
async def credits(url: str) -> AsyncIterator[AsyncCredits]:
    async with AsyncCredits.open(url) as credits:
        await credits.open_account("alice", plan=None)
        yield credits


globals().update(
    adopt(
        test_reports,
        leaving={
            "test_by_member_and_actor": "over HTTP who asked is the key",
            "test_the_blocking_face_has_them_too": "it opens a database; the next one opens the service",
        },
    )
)


def test_the_blocking_face_has_them_over_http_too(blocking: Credits) -> None:
    blocking.open_account("alice")
    blocking.charge("alice", 3)
    [row] = blocking.reports.usage("alice", by=["actor"]).data
    assert (row.used, str(row.actor)[:4]) == (3, "key:")
    assert blocking.reports.rate("alice").account == "alice"
