"""Failed sign-ins are counted, by address and by e-mail; who succeeds is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bursar import clock
from bursar.core.errors import DatabaseUnavailable
from bursar.service import attempts
from bursar.service.attempts import WINDOW_SECONDS, Attempts, Buckets, network_of
from bursar.service.problems import TooManyAttempts, Unauthenticated
from bursar.settings import Settings
from tests.service.conftest import Service, opened, with_settings
from tests.support.process import BursarServer

LOGIN = "/api/auth/login"


class Time:
    now = 1_000.0


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Time:
    hand = Time()
    monkeypatch.setattr(clock, "monotonic", lambda: hand.now)
    return hand


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    limited = with_settings(settings, sign_in_attempts_per_email=3, sign_in_attempts_per_address=6)
    async with opened(limited) as service:
        yield service


def from_address(service: Service, address: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(service.app, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://bursar")


async def try_to(service: Service, email: str, password: str = "wrong horse", address: str = "192.0.2.1") -> int:
    async with from_address(service, address) as client:
        return (await client.post(LOGIN, json={"email": email, "password": password})).status_code


async def test_one_address_cannot_be_guessed_at_from_many_places(service: Service) -> None:
    await service.user("alice@example.com")
    for number in range(3):
        spelled = " ALICE@example.com" if number else "alice@example.com"
        assert await try_to(service, spelled, address=f"192.0.2.{number}") == 401
    async with from_address(service, "192.0.2.9") as client:
        answer = await client.post(LOGIN, json={"email": "alice@example.com", "password": "correct horse"})
    assert (answer.status_code, answer.json()["statusCode"]) == (429, 429)
    assert 0 < int(answer.headers["retry-after"]) <= WINDOW_SECONDS / 3
    assert await try_to(service, "bob@example.com", address="192.0.2.9") == 401, "others are not concerned"


async def test_one_place_cannot_try_many_addresses(service: Service) -> None:
    statuses = [await try_to(service, f"user-{number}@example.com") for number in range(8)]
    assert statuses == [401] * 6 + [429] * 2
    assert await try_to(service, "user-9@example.com", address="192.0.2.2") == 401


async def test_a_hundred_at_once_are_no_way_around(service: Service) -> None:
    await service.user("alice@example.com")
    statuses = await asyncio.gather(
        *(try_to(service, "alice@example.com", address=f"192.0.2.{number}") for number in range(100))
    )
    assert sorted(statuses) == [401] * 3 + [429] * 97


async def test_who_succeeds_is_not_counted(service: Service) -> None:
    await service.user("alice@example.com")
    for _ in range(10):
        assert await try_to(service, "alice@example.com", "correct horse") == 200
    assert len(service.context.attempts.emails) == 0


async def test_asking_who_is_registered_is_counted(service: Service) -> None:
    await service.user("alice@example.com")
    body = {"email": "alice@example.com", "password": "correct horse"}
    async with from_address(service, "192.0.2.1") as client:
        statuses = [(await client.post("/api/auth/register", json=body)).status_code for _ in range(8)]
    assert statuses == [409] * 6 + [429] * 2


async def test_who_waits_may_try_again(service: Service, moved: Time) -> None:
    for _ in range(3):
        assert await try_to(service, "alice@example.com") == 401
    assert await try_to(service, "alice@example.com") == 429
    moved.now += WINDOW_SECONDS / 3 + 1
    assert await try_to(service, "alice@example.com") == 401
    assert await try_to(service, "alice@example.com") == 429


async def test_zero_is_no_limit(settings: Settings) -> None:
    free = with_settings(settings, sign_in_attempts_per_email=0, sign_in_attempts_per_address=0)
    async with opened(free) as service:
        assert {await try_to(service, "alice@example.com") for _ in range(12)} == {401}


# The counting itself


def test_only_failures_stay_counted(moved: Time) -> None:
    counted = Attempts(2, 100)
    with pytest.raises(DatabaseUnavailable), counted.attempt("192.0.2.1", "a@b.c"):
        raise DatabaseUnavailable("away")
    assert len(counted.emails) == len(counted.addresses) == 0
    for _ in range(2):
        with pytest.raises(Unauthenticated), counted.attempt("192.0.2.1", "a@b.c"):
            raise Unauthenticated
    with pytest.raises(TooManyAttempts), counted.attempt("192.0.2.2", "a@b.c"):
        pytest.fail("the password must not even be looked at")
    assert len(counted.addresses) == 1, "what was refused is not counted"


def test_the_wait_that_is_told_is_long_enough_and_not_too_long(moved: Time) -> None:
    buckets = Buckets(10)
    for _ in range(10):
        buckets.add("x", 1)
    wait = buckets.wait_seconds("x")
    assert wait == WINDOW_SECONDS / 10
    moved.now += wait - 1
    assert buckets.wait_seconds("x") == 1
    moved.now += 1
    assert buckets.wait_seconds("x") == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, moved: Time) -> None:
    monkeypatch.setattr(attempts, "MAX_BUCKETS", 100)
    buckets = Buckets(1)
    for number in range(1_000):
        buckets.add(f"{number}", 1)
    assert len(buckets) == 100
    assert buckets.wait_seconds("999") > 0
    assert buckets.wait_seconds("0") == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
    ],
)
def test_what_counts_as_one_place(address: str, network: str) -> None:
    assert network_of(address) == network


# Behind a proxy


@pytest.mark.parametrize(("trusted", "counts_as"), [("127.0.0.1", "the caller"), ("192.0.2.1", "the proxy")])
def test_who_is_counted_behind_a_proxy(tmp_path: Path, trusted: str, counts_as: str) -> None:
    environment = {"BURSAR_SIGN_IN_ATTEMPTS_PER_ADDRESS": "1", "BURSAR_TRUSTED_PROXIES": trusted}
    server = BursarServer(database_url=f"sqlite:///{tmp_path / 'b.db'}", data_dir=tmp_path, environment=environment)
    with server, httpx.Client(base_url=server.url) as client:
        statuses = []
        for number in (1, 2, 2):
            body = {"email": f"user-{number}@example.com", "password": "wrong horse"}
            headers = {"X-Forwarded-For": f"198.51.100.{number}"}
            statuses.append(client.post(LOGIN, json=body, headers=headers).status_code)
    assert statuses == ([401, 401, 429] if counts_as == "the caller" else [401, 429, 429])
