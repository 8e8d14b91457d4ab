"""Whose account somebody is who comes by a provider: never another's, whatever address they claim to have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from bursar.erase import erase_account
from bursar.settings import Settings
from tests.service.conftest import Service, opened, with_settings
from tests.service.test_oidc import ALICE, PUBLIC, browser, corp, rows
from tests.support.identity_provider import IdentityProvider

V1 = "/api/v1"
REGISTERED = {"email": "alice@example.com", "password": "correct horse"}


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[IdentityProvider, IdentityProvider]]:
    with IdentityProvider() as one, IdentityProvider() as other:
        yield one, other


@pytest.fixture
def provider(running: tuple[IdentityProvider, IdentityProvider]) -> IdentityProvider:
    running[0].tell(user=ALICE, fault=None)
    return running[0]


@pytest.fixture
def second(running: tuple[IdentityProvider, IdentityProvider]) -> IdentityProvider:
    running[1].tell(user={**ALICE, "sub": "alice-elsewhere"}, fault=None)
    return running[1]


@pytest.fixture
def signing_in(settings: Settings, provider: IdentityProvider, second: IdentityProvider) -> Settings:
    """Two providers, and a third name for the second one, whose word on addresses is not taken."""
    providers = {"corp": corp(provider), "second": corp(second), "wary": corp(second, link_emails=False)}
    return with_settings(settings, oidc=providers, public_url=PUBLIC, key_cache_seconds=0)


@pytest.fixture
async def service(signing_in: Settings) -> AsyncIterator[Service]:
    async with opened(signing_in) as service:
        yield service


@pytest.fixture
async def each(database_url: str, signing_in: Settings) -> AsyncIterator[Service]:
    """The service on each kind of database."""
    async with opened(with_settings(signing_in, database_url=database_url)) as service:
        yield service


async def arrive(service: Service, name: str = "corp") -> dict[str, Any]:
    """The user that a sign-in answers with."""
    answer = await (await browser(service)).sign_in(name)
    assert answer.status_code == 200, answer.text
    user: dict[str, Any] = answer.json()["user"]
    return user


async def status_of(client: httpx.AsyncClient) -> int:
    return (await client.get("/api/ai/credits")).status_code


@pytest.mark.parametrize("verified", [False, None, "false", "yes", 1, 0, {}, ["true"]])
async def test_an_unverified_address_takes_over_nothing(
    service: Service, provider: IdentityProvider, verified: Any
) -> None:
    client, account = await service.user("alice@example.com")
    provider.tell(user={**ALICE, "email_verified": verified})
    user = await arrive(service)
    assert user["id"] != account
    assert user["email"] is None
    assert await status_of(client) == 200
    shown = (await service.admin.get(f"{V1}/accounts/{user['id']}")).json()
    assert (shown["email"], shown["available"]) == (None, 100)
    assert await arrive(service) == user, "the same account the second time"


async def test_an_unverified_address_reserves_nothing(each: Service, provider: IdentityProvider) -> None:
    """Mallory comes first, with Alice's address; Alice, who has proven it, gets an account of her own."""
    provider.tell(user={**ALICE, "sub": "mallory", "email_verified": False})
    mallory = await arrive(each)
    provider.tell(user=ALICE)
    alice = await arrive(each)
    assert alice["id"] != mallory["id"]
    assert alice["email"] == "alice@example.com"


async def test_an_unverified_address_does_not_reach_an_account_that_an_operator_opened(
    service: Service, provider: IdentityProvider
) -> None:
    await service.admin.post(f"{V1}/accounts", json={"id": "u77", "email": "alice@example.com"})
    provider.tell(user={**ALICE, "email_verified": False})
    assert (await arrive(service))["id"] != "u77"


async def test_whoever_proves_an_address_has_its_login_alone(each: Service) -> None:
    """Whoever registered it never proved anything: their password, tokens and keys end."""
    squatter, account = await each.user("alice@example.com")
    key = (await squatter.post(f"{V1}/keys", json={"role": "account"})).json()["key"]
    by_key = await each.client(key)
    assert (await status_of(squatter), await status_of(by_key)) == (200, 200)
    alice = await (await browser(each)).sign_in()
    assert alice.json()["user"] == {"id": account, "email": "alice@example.com"}
    assert (await status_of(squatter), await status_of(by_key)) == (401, 401)
    nobody = await each.client()
    assert (await nobody.post("/api/auth/login", json=REGISTERED)).status_code == 401
    assert (await nobody.post("/api/auth/register", json=REGISTERED)).status_code == 409
    signed_in = await each.client(alice.json()["token"])
    assert await status_of(signed_in) == 200
    assert (await signed_in.post(f"{V1}/keys", json={"role": "account"})).status_code == 201


async def test_a_proven_address_joins_two_providers_and_ends_nothing(service: Service) -> None:
    first = await (await browser(service)).sign_in("corp")
    client = await service.client(first.json()["token"])
    key = (await client.post(f"{V1}/keys", json={"role": "account"})).json()["key"]
    assert await arrive(service, "second") == first.json()["user"]
    assert (await status_of(client), await status_of(await service.client(key))) == (200, 200)


async def test_a_provider_whose_word_is_not_taken(service: Service) -> None:
    client, account = await service.user("alice@example.com")
    assert (await arrive(service, "wary"))["id"] != account
    assert await status_of(client) == 200


async def test_a_proven_address_cannot_be_registered(service: Service) -> None:
    await arrive(service)
    answer = await (await service.client()).post("/api/auth/register", json=REGISTERED)
    assert answer.status_code == 409
    answer = await (await service.client()).post("/api/auth/login", json={**REGISTERED, "password": "12345678"})
    assert answer.status_code == 401


@pytest.mark.parametrize("written", ["alice@example.com", "Alice@Example.com"])
async def test_an_account_that_an_operator_opened_waits_for_its_owner(each: Service, written: str) -> None:
    """How the users of another system move in: with their id, address and credits."""
    await each.admin.post(f"{V1}/accounts", json={"id": "u77", "email": written, "plan": None})
    await each.grant("u77", 4_321)
    answer = await (await browser(each)).sign_in()
    assert answer.json()["user"]["id"] == "u77"
    session = await (await each.client(answer.json()["token"])).get("/api/auth/session")
    assert session.json()["credits"] == 4_321


async def test_an_account_that_somebody_signs_in_to_is_not_waiting(
    service: Service, provider: IdentityProvider
) -> None:
    """An administrator gave Bob's account Alice's address."""
    provider.tell(user={"sub": "bob"})
    bob = await arrive(service)
    changed = await service.admin.patch(f"{V1}/accounts/{bob['id']}", json={"email": "alice@example.com"})
    assert changed.status_code == 200
    provider.tell(user=ALICE)
    assert (await arrive(service))["id"] != bob["id"]


async def test_the_same_subject_of_another_issuer_is_somebody_else(
    service: Service, provider: IdentityProvider, second: IdentityProvider
) -> None:
    for each in (provider, second):
        each.tell(user={"sub": "1"})
    assert await arrive(service, "corp") != await arrive(service, "second")


async def test_somebody_registers_while_the_address_is_proven(each: Service) -> None:
    """Whoever is first: one login, and whoever proved the address is in it."""
    nobody = await each.client()
    browsers = [await browser(each) for _ in range(4)]
    signing_in = [one.sign_in() for one in browsers]
    registering = [nobody.post("/api/auth/register", json=REGISTERED) for _ in range(4)]
    answers = await asyncio.gather(*signing_in, *registering)
    by_provider, by_password = answers[:4], answers[4:]
    assert {answer.status_code for answer in by_provider} == {200}
    assert {answer.status_code for answer in by_password} <= {201, 409}
    accounts = {answer.json()["user"]["id"] for answer in by_provider}
    assert len(accounts) == 1
    assert await rows(each, "ways_into_account", *accounts) == [("fed",)]
    for answer in by_password:
        if answer.status_code == 201:
            assert await status_of(await each.client(answer.json()["token"])) == 401


async def test_two_people_with_one_address_at_two_providers_at_once(each: Service) -> None:
    browsers = [(await browser(each), name) for name in ("corp", "second") * 3]
    answers = await asyncio.gather(*(one.sign_in(name) for one, name in browsers))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["user"]["id"] for answer in answers}) == 1


async def test_whoever_was_erased_is_a_stranger(each: Service) -> None:
    first = await (await browser(each)).sign_in()
    account = first.json()["user"]["id"]
    erased = await erase_account(each.context.credits.store, account)
    assert (erased.logins, erased.identities) == (1, 1)
    assert await status_of(await each.client(first.json()["token"])) == 401
    assert (await arrive(each))["id"] != account


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"name": "Alice \x00"}, (None, "alice@example.com")),
        ({"name": ["Alice"]}, (None, "alice@example.com")),
        ({"name": "x" * 1_000}, (None, "alice@example.com")),
        ({"name": "Zoë ü"}, ("Zoë ü", "alice@example.com")),
        ({"email": "nobody"}, ("Alice", None)),
        ({"email": 7}, ("Alice", None)),
        ({"email": "a\x00@example.com"}, ("Alice", None)),
        ({"email_verified": "true"}, ("Alice", "alice@example.com")),
    ],
)
async def test_texts_that_cannot_be_kept_are_left_out(
    service: Service, provider: IdentityProvider, changed: dict[str, Any], shown: tuple[str | None, str | None]
) -> None:
    provider.tell(user={**ALICE, **changed})
    account = (await service.admin.get(f"{V1}/accounts/{(await arrive(service))['id']}")).json()
    assert (account["name"], account["email"]) == shown


async def test_a_sign_in_whose_account_was_never_opened_heals(service: Service) -> None:
    await service.context.credits.store.write(
        lambda tx: tx.execute("insert_identity", service_issuer(service), ALICE["sub"], "never-opened", 0)
    )
    assert (await arrive(service))["id"] == "never-opened"
    assert (await service.balance("never-opened"))["available"] == 100


def service_issuer(service: Service) -> str:
    providers = service.context.settings.oidc
    assert providers is not None
    return providers["corp"].issuer
