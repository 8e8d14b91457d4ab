"""JWTs of an app's own identity provider as tokens: verified with its keys, which nobody can make us hammer it for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import jwt
import pytest

from bursar import clock
from bursar.service.identity import refreshing
from bursar.service.identity.refreshing import GOOD_SECONDS, KEPT_SECONDS, PAUSE_SECONDS, Refreshed
from bursar.service.problems import IdentityProviderUnreachable
from bursar.settings import Settings
from tests.service.conftest import Service, opened, with_settings
from tests.service.test_oidc import ALICE, PUBLIC, browser, corp
from tests.support.identity_provider import IdentityProvider
from tests.support.ports import HOST, free_port

AUDIENCE = "https://app.example.com"
JWKS = "/jwks"


@pytest.fixture
def issuer() -> Iterator[IdentityProvider]:
    with IdentityProvider() as provider:
        yield provider


@pytest.fixture
def trusting(settings: Settings, issuer: IdentityProvider) -> Settings:
    return with_settings(
        settings,
        jwt_issuer=issuer.issuer,
        jwt_audience=f"another, {AUDIENCE}",
        key_cache_seconds=0,
        identity_timeout_seconds=20.0,
    )


@pytest.fixture
async def service(trusting: Settings) -> AsyncIterator[Service]:
    async with opened(trusting) as service:
        yield service


class Time:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Time:
    hand = Time()
    monkeypatch.setattr(clock, "monotonic", hand)
    return hand


def claims(issuer: IdentityProvider, **changed: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {"iss": issuer.issuer, "aud": AUDIENCE, "sub": "user-7", "iat": now, "exp": now + 300} | changed
    return {name: value for name, value in whole.items() if value is not None}


async def status_with(service: Service, token: str) -> int:
    return (await (await service.client(token)).get("/api/ai/credits")).status_code


async def test_a_token_stands_for_the_account_that_it_names(
    database_url: str, trusting: Settings, issuer: IdentityProvider
) -> None:
    async with opened(with_settings(trusting, database_url=database_url)) as service:
        token = issuer.mint(claims(issuer, email="U7@example.com", email_verified=True, name="Seven"))
        client = await service.client(token)
        assert (await client.get("/api/ai/credits")).json()["credits"] == 100
        session = (await client.get("/api/auth/session")).json()
        assert session["user"] == {
            "id": "user-7",
            "email": "u7@example.com",
            "name": "Seven",
            "plan": "free",
            "credits": 100,
        }
        assert (await client.get("/api/v1/accounts/user-7/balance")).status_code == 200
        assert (await client.get("/api/v1/accounts/user-8/balance")).status_code == 403
        assert (await client.post("/api/v1/accounts/user-7/charges", json={"amount": 1})).status_code == 403
        answers = await asyncio.gather(*(client.get("/api/ai/credits") for _ in range(20)))
        assert {answer.json()["credits"] for answer in answers} == {100}, "opened once"


async def test_an_account_that_is_there_already(service: Service, issuer: IdentityProvider) -> None:
    await service.account("user-7", 42)
    assert await status_with(service, issuer.mint(claims(issuer))) == 200
    assert (await service.balance("user-7"))["available"] == 42


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_algorithms_that_are_taken(service: Service, issuer: IdentityProvider, algorithm: str) -> None:
    assert await status_with(service, issuer.mint(claims(issuer), alg=algorithm)) == 200


BAD: dict[str, Callable[[IdentityProvider], dict[str, Any]]] = {
    "another issuer": lambda issuer: claims(issuer, iss="https://evil.example.com"),
    "no issuer": lambda issuer: claims(issuer, iss=None),
    "a slash more": lambda issuer: claims(issuer, iss=issuer.issuer + "/"),
    "another audience": lambda issuer: claims(issuer, aud="somebody-else"),
    "no audience": lambda issuer: claims(issuer, aud=None),
    "an odd audience": lambda issuer: claims(issuer, aud={"a": 1}),
    "expired": lambda issuer: claims(issuer, exp=int(time.time()) - 3_600),
    "never ends": lambda issuer: claims(issuer, exp=None),
    "ends as text": lambda issuer: claims(issuer, exp="soon"),
    "ends as a boolean": lambda issuer: claims(issuer, exp=True),
    "not yet": lambda issuer: claims(issuer, nbf=int(time.time()) + 3_600),
    "nobody": lambda issuer: claims(issuer, sub=None),
    "a number": lambda issuer: claims(issuer, sub=7),
    "no id": lambda issuer: claims(issuer, sub="a/b"),
    "a long id": lambda issuer: claims(issuer, sub="x" * 129),
}


@pytest.mark.parametrize("why", BAD)
async def test_a_token_that_is_not_good(service: Service, issuer: IdentityProvider, why: str) -> None:
    answer = await (await service.client(issuer.mint(BAD[why](issuer)))).get("/api/ai/credits")
    assert (answer.status_code, answer.json()) == (401, {"statusCode": 401, "message": "Unauthorized"})
    assert (await service.admin.get("/api/v1/accounts")).json()["data"] == []


@pytest.mark.parametrize("fault", ["none", "hs256", "signature", "unknown key"])
async def test_a_token_that_its_issuer_did_not_sign(service: Service, issuer: IdentityProvider, fault: str) -> None:
    issuer.tell(fault=fault)
    assert await status_with(service, issuer.mint(claims(issuer))) == 401


async def test_algorithms_that_do_not_fit_the_key(service: Service, issuer: IdentityProvider) -> None:
    """The RSA key says that it is for RS256: not for another algorithm, whoever signs."""
    good = issuer.mint(claims(issuer))
    assert await status_with(service, good) == 200
    assert await status_with(service, issuer.mint(claims(issuer), alg="PS256", kid=kid_of(good))) == 401
    assert await status_with(service, issuer.mint(claims(issuer), alg="ES256", kid=kid_of(good))) == 401


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


@pytest.mark.parametrize(
    "token",
    [
        *("", "x", "a.b", "a.b.c", "a.b.c.d.e", "...", "e30.e30.", "eyJhbGciOiJSUzI1NiJ9.e30.", "ü.ü.ü", "x" * 20_000),
        *(f"{'W' * 8_000}.e30.e30", "eyJhbGciOlsxXX0.e30.e30", "bnVsbA.bnVsbA.bnVsbA"),
    ],
)
async def test_what_is_no_token_at_all(service: Service, issuer: IdentityProvider, token: str) -> None:
    headers = [(b"Authorization", f"Bearer {token}".encode())]
    answer = await (await service.client()).get("/api/ai/credits", headers=headers)
    assert answer.status_code == 401
    assert issuer.count(JWKS) <= 1


async def test_own_tokens_stay_good(service: Service, issuer: IdentityProvider) -> None:
    client, _ = await service.user()
    assert (await client.get("/api/ai/credits")).status_code == 200
    assert issuer.count(JWKS) == 0


async def test_another_claim_may_name_the_account(trusting: Settings, issuer: IdentityProvider) -> None:
    changed = with_settings(trusting, jwt_account_claim="team", jwt_jwks_url=f"{issuer.issuer}{JWKS}")
    async with opened(changed) as service:
        client = await service.client(issuer.mint(claims(issuer, team="team-1")))
        assert (await client.get("/api/auth/session")).json()["user"]["id"] == "team-1"
        assert await status_with(service, issuer.mint(claims(issuer))) == 401
        assert issuer.count("/.well-known/openid-configuration") == 0


async def test_signing_in_at_this_issuer_opens_the_account_that_its_tokens_name(
    trusting: Settings, issuer: IdentityProvider
) -> None:
    issuer.tell(user={**ALICE, "sub": "user-7"})
    async with opened(with_settings(trusting, oidc={"corp": corp(issuer)}, public_url=PUBLIC)) as service:
        _, registered = await service.user("alice@example.com")
        answer = await (await browser(service)).sign_in()
        assert answer.json()["user"]["id"] == "user-7"
        assert registered != "user-7"
        client = await service.client(issuer.mint(claims(issuer)))
        assert (await client.get("/api/auth/session")).json()["user"]["id"] == "user-7"


@pytest.mark.parametrize("exp", [10**400, 1e300, 10**12])
async def test_a_token_that_ends_far_away(service: Service, issuer: IdentityProvider, exp: float) -> None:
    session = await (await service.client(issuer.mint(claims(issuer, exp=exp)))).get("/api/auth/session")
    assert session.json()["expires"].startswith("9999-12-31T")


# Keys


async def test_keys_are_asked_for_once(service: Service, issuer: IdentityProvider) -> None:
    clients = [await service.client(issuer.mint(claims(issuer, sub=f"user-{number}"))) for number in range(20)]
    answers = await asyncio.gather(*(client.get("/api/ai/credits") for client in clients))
    assert {answer.status_code for answer in answers} == {200}
    assert issuer.count(JWKS) == 1


async def test_a_new_key_is_found_and_a_withdrawn_one_dies(
    service: Service, issuer: IdentityProvider, moved: Time
) -> None:
    old = issuer.mint(claims(issuer))
    assert await status_with(service, old) == 200
    issuer.tell(rotate="add")
    moved.now += PAUSE_SECONDS + 1
    assert await status_with(service, issuer.mint(claims(issuer))) == 200
    assert await status_with(service, old) == 200
    issuer.tell(rotate=True)
    moved.now += PAUSE_SECONDS + 1
    assert await status_with(service, issuer.mint(claims(issuer))) == 200
    assert await status_with(service, old) == 401


async def test_a_key_that_was_withdrawn_dies_by_itself(service: Service, issuer: IdentityProvider, moved: Time) -> None:
    old = issuer.mint(claims(issuer))
    assert await status_with(service, old) == 200
    issuer.tell(rotate=True)
    moved.now += GOOD_SECONDS + 1
    assert await status_with(service, old) == 200, "asked for again in passing"
    while issuer.count(JWKS) < 2 or await status_with(service, old) == 200:
        await asyncio.sleep(0.01)
    assert await status_with(service, old) == 401


async def test_unknown_keys_do_not_hammer_the_issuer(service: Service, issuer: IdentityProvider, moved: Time) -> None:
    assert await status_with(service, issuer.mint(claims(issuer))) == 200
    issuer.tell(fault="unknown key")
    moved.now += PAUSE_SECONDS + 1
    tokens = [issuer.mint(claims(issuer, sub=f"{number}")) for number in range(50)]
    assert set(await asyncio.gather(*(status_with(service, token) for token in tokens))) == {401}
    assert issuer.count(JWKS) == 2
    moved.now += PAUSE_SECONDS - 1
    assert await status_with(service, tokens[0]) == 401
    assert issuer.count(JWKS) == 2
    issuer.tell(fault=None)
    assert await status_with(service, issuer.mint(claims(issuer))) == 200


async def test_the_issuer_is_away(trusting: Settings, moved: Time) -> None:
    with IdentityProvider() as own:
        async with opened(with_settings(trusting, jwt_issuer=own.issuer)) as service:
            token = own.mint(claims(own))
            assert await status_with(service, token) == 200
            own.stop()
            moved.now += GOOD_SECONDS + 1
            assert await status_with(service, token) == 200, "what is known stays good"
        token = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.e30.AAAA"
        async with opened(with_settings(trusting, jwt_issuer=own.issuer)) as service:
            client = await service.client(token)
            for _ in range(3):
                answer = await client.get("/api/ai/credits")
                assert (answer.status_code, answer.json()["statusCode"]) == (503, 503)
                assert int(answer.headers["retry-after"]) > 0
            assert (await client.get("/api/v1/accounts/x")).json()["code"] == "identity_provider_unreachable"
            user, _ = await service.user()
            assert (await user.get("/api/ai/credits")).status_code == 200, "nobody else is concerned"


async def test_an_issuer_that_is_not_there(trusting: Settings) -> None:
    nowhere = f"http://{HOST}:{free_port()}"
    async with opened(with_settings(trusting, jwt_issuer=nowhere)) as service:
        answer = await (await service.client("eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.e30.AAAA")).get("/api/ai/credits")
        assert answer.status_code == 503


# Refreshing


class Source:
    """Counts how often it is asked, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: int | None = 1
        self.open = asyncio.Event()
        self.open.set()

    async def load(self) -> int:
        self.asked += 1
        await self.open.wait()
        if self.answer is None:
            raise IdentityProviderUnreachable("away")
        return self.answer


async def test_one_asks_for_all_even_if_it_goes_away(moved: Time) -> None:
    source = Source()
    source.open.clear()
    value = Refreshed(source.load)
    tasks = [asyncio.create_task(value.get()) for _ in range(10)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    source.open.set()
    assert await asyncio.gather(*tasks[1:]) == [1] * 9
    assert source.asked == 1


async def test_failures_are_not_repeated_at_once(moved: Time) -> None:
    source = Source()
    source.answer = None
    value = Refreshed(source.load)
    for _ in range(5):
        with pytest.raises(IdentityProviderUnreachable):
            await value.get()
    assert source.asked == 1
    moved.now += PAUSE_SECONDS
    source.answer = 2
    assert await value.get() == 2


async def test_what_is_known_ends_after_a_day_of_silence(moved: Time) -> None:
    source = Source()
    value = Refreshed(source.load)
    assert await value.get() == 1
    source.answer = None
    moved.now += KEPT_SECONDS
    assert await value.get() == 1
    moved.now += 1
    with pytest.raises(IdentityProviderUnreachable):
        await value.get()
    await value.close()


def test_the_pause_is_shorter_than_what_is_good() -> None:
    assert 0 < refreshing.PAUSE_SECONDS < refreshing.GOOD_SECONDS < refreshing.KEPT_SECONDS
