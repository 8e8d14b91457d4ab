"""The service in this process, over real stores; and what a caller of it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from bursar.service.app import App, create_app
from bursar.service.context import Context
from bursar.settings import Settings
from tests.support.postgres import PostgresServer
from tests.support.postgres_install import Flavour, available_flavours

Servers = Callable[[Flavour], PostgresServer]
POSTGRES = [pytest.param(flavour, id=f"postgres-{flavour}") for flavour in available_flavours()]

NEVER_SECONDS = 3_600.0


class Service:
    """An open service and clients of it."""

    def __init__(self, app: App, context: Context, stack: AsyncExitStack) -> None:
        self.app = app
        self.context = context
        self._stack = stack
        self.admin: httpx.AsyncClient

    async def client(self, secret: str | None = None) -> httpx.AsyncClient:
        """Someone who sends this key or token; None sends nothing."""
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://bursar", headers=headers)
        return await self._stack.enter_async_context(client)

    async def key(self, role: str, account: str | None = None, *, may_grant: bool = False) -> httpx.AsyncClient:
        """Someone with a new key of that role."""
        _, secret = await self.context.keys.create(role, account=account, may_grant=may_grant)
        return await self.client(secret)

    async def user(self, email: str = "user@example.com") -> tuple[httpx.AsyncClient, str]:
        """Someone who registered, and their account."""
        answer = await self.admin.post("/api/auth/register", json={"email": email, "password": "correct horse"})
        assert answer.status_code == 201, answer.text
        return await self.client(answer.json()["token"]), answer.json()["user"]["id"]

    async def account(self, name: str, credits: int | str = 100) -> str:
        """An account with these credits and no plan."""
        opened = await self.admin.post("/api/v1/accounts", json={"id": name, "plan": None})
        assert opened.status_code == 201, opened.text
        if credits:
            await self.grant(name, credits)
        return name

    async def grant(self, name: str, credits: int | str) -> None:
        granted = await self.admin.post(f"/api/v1/accounts/{name}/grants", json={"amount": credits})
        assert granted.status_code == 201, granted.text

    async def balance(self, name: str) -> dict[str, Any]:
        answer = await self.admin.get(f"/api/v1/accounts/{name}/balance")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Starts each PostgreSQL when it is first asked for."""
    with ExitStack() as stack:
        yield cache(lambda flavour: stack.enter_context(PostgresServer(flavour)))


@pytest.fixture(params=["sqlite", *POSTGRES])
def database_url(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[str]:
    """An empty database, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'bursar.db'}"
        return
    server = servers(request.param)
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a service on a SQLite file, whose jobs run when a test says so."""
    return Settings(data_dir=tmp_path, dev=True, job_seconds=NEVER_SECONDS)


@pytest.fixture
def open_service() -> Callable[[Settings], Any]:
    return opened


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with opened(settings) as service:
        yield service


@pytest.fixture
async def each_service(database_url: str, settings: Settings) -> AsyncIterator[Service]:
    """The service on each kind of database."""
    async with opened(with_settings(settings, database_url=database_url)) as service:
        yield service


def with_settings(settings: Settings, **changed: Any) -> Settings:
    return Settings(**{name: getattr(settings, name) for name in settings.__struct_fields__} | changed)


class opened:  # noqa: N801 - used like a function
    """A service that is open while the block runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Service:
        app = create_app(self._settings)
        context = await self._stack.enter_async_context(app.opened())
        service = Service(app, context, self._stack)
        service.admin = await service.key("admin")
        return service

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()
