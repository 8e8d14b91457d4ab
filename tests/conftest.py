"""Fixtures that every test may ask for."""

from collections.abc import Iterator

import pytest

from tests.support.postgres import PostgresServer
from tests.support.postgres_install import Flavour, available_flavours, find_bin_folder, reason_absent


def pytest_report_header() -> list[str]:
    """Say at the top which PostgreSQL servers the tests will use, and which are absent and why."""
    there = available_flavours()
    used = [f"postgres: {flavour} from {find_bin_folder(flavour)}" for flavour in there]
    absent = [
        f"postgres: {flavour} is skipped: {reason_absent(flavour)}" for flavour in Flavour if flavour not in there
    ]
    return used + absent


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session", params=list(Flavour), ids=str)
def postgres_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A running PostgreSQL, once per flavour and session. A test that crashes it starts it again."""
    flavour = Flavour(request.param)
    if find_bin_folder(flavour) is None:
        pytest.skip(reason_absent(flavour))
    with PostgresServer(flavour) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a database that is this test's own, empty."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)
