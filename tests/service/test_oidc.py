"""Sign-in by OpenID Connect, against a real provider in a process of its own that can be told to misbehave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from bursar import clock
from bursar.service.auth import Way
from bursar.service.identity import flow as flows
from bursar.settings import OidcProvider, Settings
from tests.service.conftest import Service, opened, with_settings
from tests.support.identity_provider import ACCESS_TOKEN, CLIENT_ID, CLIENT_SECRET, IdentityProvider
from tests.support.ports import HOST, free_port
from tests.support.process import BursarServer

V1 = "/api/v1"
PUBLIC = "http://localhost:5050"
ALICE = {"sub": "alice-at-corp", "email": "Alice@Example.com", "email_verified": True, "name": "Alice"}


@pytest.fixture(scope="module")
def running() -> Iterator[IdentityProvider]:
    with IdentityProvider() as provider:
        yield provider


@pytest.fixture
def provider(running: IdentityProvider) -> IdentityProvider:
    running.tell(user=ALICE, fault=None)
    return running


def corp(provider: IdentityProvider, **changed: Any) -> OidcProvider:
    return OidcProvider(**{"issuer": provider.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET} | changed)


@pytest.fixture
def signing_in(settings: Settings, provider: IdentityProvider) -> Settings:
    return with_settings(settings, oidc={"corp": corp(provider)}, public_url=PUBLIC, identity_timeout_seconds=20.0)


@pytest.fixture
async def service(signing_in: Settings) -> AsyncIterator[Service]:
    async with opened(signing_in) as service:
        yield service


@pytest.fixture
async def each(database_url: str, signing_in: Settings) -> AsyncIterator[Service]:
    """The service on each kind of database."""
    async with opened(with_settings(signing_in, database_url=database_url)) as service:
        yield service


class Browser:
    """Keeps cookies, and goes where it is sent."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def leave(self, name: str = "corp", **query: str) -> str:
        """Begin; the address at the provider."""
        answer = await self.client.get(f"/api/auth/signin/{name}", params=query)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    async def come_back(self, address: str) -> httpx.Response:
        """Be at the provider, and come back from it."""
        async with httpx.AsyncClient() as outside:
            there = await outside.get(address)
        assert there.status_code == 302, there.text
        back = there.headers["location"]
        assert back.startswith(f"{PUBLIC}/api/auth/callback/")
        return await self.client.get(back.removeprefix(PUBLIC))

    async def sign_in(self, name: str = "corp", **query: str) -> httpx.Response:
        return await self.come_back(await self.leave(name, **query))


async def browser(service: Service) -> Browser:
    return Browser(await service.client())


async def rows(service: Service, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
    return await service.context.credits.store.read(lambda tx: tx.fetch(statement, *arguments))


async def failed(service: Service, status: int, *words: str) -> httpx.Response:
    """One sign-in, which must fail so, in the contract's shape, and open nothing."""
    answer = await (await browser(service)).sign_in()
    assert (answer.status_code, answer.json()["statusCode"]) == (status, status), answer.text
    assert all(word in answer.json()["message"] for word in words), answer.text
    assert (await service.admin.get(f"{V1}/accounts")).json()["data"] == []
    return answer


# Signing in


async def test_the_first_sign_in_opens_an_account_and_the_second_finds_it(each: Service) -> None:
    first = await (await browser(each)).sign_in()
    assert first.status_code == 200, first.text
    assert list(first.json()) == ["token", "user"]
    assert first.json()["user"]["email"] == "alice@example.com"
    assert first.headers["cache-control"] == "no-store"
    client = await each.client(first.json()["token"])
    assert (await client.get("/api/ai/credits")).json()["credits"] == 100
    account = first.json()["user"]["id"]
    shown = (await each.admin.get(f"{V1}/accounts/{account}")).json()
    assert (shown["name"], shown["email"], shown["available"]) == ("Alice", "alice@example.com", 100)
    await each.admin.post(f"{V1}/accounts/{account}/charges", json={"amount": 30})
    second = await (await browser(each)).sign_in()
    assert second.json()["user"] == first.json()["user"]
    assert (await (await each.client(second.json()["token"])).get("/api/ai/credits")).json()["credits"] == 70
    assert len((await each.admin.get(f"{V1}/accounts")).json()["data"]) == 1


async def test_two_first_sign_ins_at_once_open_one_account(each: Service) -> None:
    browsers = [await browser(each) for _ in range(8)]
    answers = await asyncio.gather(*(one.sign_in() for one in browsers))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["user"]["id"] for answer in answers}) == 1
    [account] = (await each.admin.get(f"{V1}/accounts")).json()["data"]
    assert account["available"] == 100


async def test_what_is_asked_of_the_provider(service: Service, provider: IdentityProvider) -> None:
    address = await (await browser(service)).leave()
    assert address.startswith(f"{provider.issuer}/authorize?")
    asked = {name: value for name, [value] in parse_qs(urlsplit(address).query).items()}
    assert asked["response_type"] == "code"
    assert asked["client_id"] == CLIENT_ID
    assert asked["redirect_uri"] == f"{PUBLIC}/api/auth/callback/corp"
    assert asked["scope"] == "openid email profile"
    assert asked["code_challenge_method"] == "S256"
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 43
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3


async def test_the_providers_that_there_are(service: Service) -> None:
    answer = await (await service.client()).get("/api/auth/providers")
    assert answer.json() == {
        "corp": {
            "id": "corp",
            "type": "oidc",
            "signinUrl": f"{PUBLIC}/api/auth/signin/corp",
            "callbackUrl": f"{PUBLIC}/api/auth/callback/corp",
        }
    }
    for path in ("signin", "callback"):
        assert (await (await service.client()).get(f"/api/auth/{path}/other")).status_code == 404


async def test_a_provider_that_wants_the_secret_in_the_form(service: Service, provider: IdentityProvider) -> None:
    provider.tell(fault="secret in the form")
    assert (await (await browser(service)).sign_in()).status_code == 200


async def test_a_provider_that_tells_the_address_on_request(service: Service, provider: IdentityProvider) -> None:
    provider.tell(fault="user info only")
    assert (await (await browser(service)).sign_in()).json()["user"]["email"] == "alice@example.com"


async def test_a_token_signed_by_the_only_key_of_its_kind_needs_no_key_id(
    service: Service, provider: IdentityProvider
) -> None:
    provider.tell(fault="no key id")
    assert (await (await browser(service)).sign_in()).status_code == 200


# What is refused


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("nonce", "nonce"),
        ("no nonce", "nonce"),
        ("audience", "aud"),
        ("no audience", "aud"),
        ("authorized party", "azp"),
        ("issuer", "iss"),
        ("expired", "expired"),
        ("no end", "exp"),
        ("future", "claim"),
        ("access token", "at_hash"),
        ("no subject", "sub"),
        ("odd subject", "sub"),
        ("unknown key", "unknown key"),
        ("signature", "not signed by its issuer"),
        ("none", "algorithm"),
        ("hs256", "algorithm"),
        ("state", "state"),
        ("denied", "access_denied"),
    ],
)
async def test_an_answer_that_is_wrong(service: Service, provider: IdentityProvider, fault: str, word: str) -> None:
    provider.tell(fault=fault)
    await failed(service, 401, word)


async def test_a_code_is_good_once_and_in_one_browser(service: Service) -> None:
    mallory, alice = await browser(service), await browser(service)
    address = await alice.leave()
    async with httpx.AsyncClient() as outside:
        back = (await outside.get(address)).headers["location"].removeprefix(PUBLIC)
    assert (await mallory.client.get(back)).status_code == 401
    await mallory.leave()
    assert "state" in (await mallory.client.get(back)).json()["message"]
    cookies = dict(alice.client.cookies)
    assert (await alice.client.get(back)).status_code == 200
    assert flows.COOKIE not in alice.client.cookies
    once_more = await service.client()
    once_more.cookies.update(cookies)
    again = await once_more.get(back)
    assert (again.status_code, "code" in again.json()["message"]) == (401, True)


async def test_a_callback_out_of_nowhere(service: Service) -> None:
    client = await service.client()
    for query in ("", "?code=x&state=y", "?error=access_denied", "?code=x&state=%ff%ed%a0%80"):
        answer = await client.get(f"/api/auth/callback/corp{query}")
        assert (answer.status_code, answer.json()["statusCode"]) == (401, 401), query


async def test_an_answer_for_another_issuer(service: Service) -> None:
    here = await browser(service)
    async with httpx.AsyncClient() as outside:
        back = (await outside.get(await here.leave())).headers["location"].removeprefix(PUBLIC)
    assert (await here.client.get(f"{back}&iss=https://evil.example.com")).status_code == 401


async def test_the_cookie_is_no_token_and_a_token_no_cookie(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    here = await browser(service)
    await here.leave()
    cookie = here.client.cookies[flows.COOKIE]
    assert (await (await service.client(cookie)).get("/api/ai/credits")).status_code == 401
    secrets = service.context.secrets
    assert flows.unseal(cookie, secrets) is not None
    _, account = await service.user()
    token = service.context.tokens.issue(account, Way.PASSWORD)
    for bad in ("", "x", cookie[:-2], token, "x" * 10_000, jwt.encode({"iss": flows.ISSUER}, "x" * 32, "HS256")):
        assert flows.unseal(bad, secrets) is None
    key_id, secret = secrets.signing()
    claims = jwt.decode(cookie, secret, algorithms=["HS256"])
    old = jwt.encode({**claims, "exp": clock.now() // 1_000_000 - 1}, secret, "HS256", {"kid": key_id})
    assert flows.unseal(old, secrets) is None


# When the provider is away, or makes no sense


async def test_the_provider_is_down_before_the_sign_in(service: Service, signing_in: Settings) -> None:
    away = corp_at(f"http://{HOST}:{free_port()}")
    async with opened(with_settings(signing_in, oidc={"corp": away})) as other:
        for _ in range(3):
            answer = await (await other.client()).get("/api/auth/signin/corp")
            assert (answer.status_code, answer.json()["statusCode"]) == (503, 503)
            assert "cannot be reached" in answer.json()["message"]
            assert int(answer.headers["retry-after"]) > 0


def corp_at(issuer: str) -> OidcProvider:
    return OidcProvider(issuer=issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)


async def test_the_provider_goes_down_in_the_middle_and_comes_back(signing_in: Settings) -> None:
    with IdentityProvider() as own:
        own.tell(user=ALICE)
        async with opened(with_settings(signing_in, oidc={"corp": corp(own)})) as service:
            here = await browser(service)
            async with httpx.AsyncClient() as outside:
                back = (await outside.get(await here.leave())).headers["location"].removeprefix(PUBLIC)
            own.stop()
            answer = await here.client.get(back)
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
            own.start()
            own.tell(user=ALICE)
            assert (await here.sign_in()).status_code == 200


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks", "/token", "/userinfo"])
@pytest.mark.parametrize(
    ("fault", "status"),
    [("broken", 502), ("html", 502), ("huge", 502), ("elsewhere", 502), ("empty", 502), ("hanging", 503)],
)
async def test_an_endpoint_that_fails(
    signing_in: Settings, provider: IdentityProvider, path: str, fault: str, status: int
) -> None:
    provider.tell(fault=f"{fault} at {path}", user={"sub": "alice-at-corp"})
    patience = 0.5 if fault == "hanging" else 20.0
    async with opened(with_settings(signing_in, identity_timeout_seconds=patience)) as service:
        answer = await (await service.client()).get("/api/auth/signin/corp")
        if answer.status_code == 303 and not path.startswith("/.well-known"):
            answer = await (await browser(service)).sign_in()
        assert (answer.status_code, answer.json()["statusCode"]) == (status, status), answer.text
        assert (await service.admin.get(f"{V1}/accounts")).json()["data"] == []


@pytest.mark.parametrize("fault", ["another name", "plain http"])
async def test_a_description_that_is_not_to_be_trusted(
    service: Service, provider: IdentityProvider, fault: str
) -> None:
    provider.tell(fault=fault)
    assert (await (await service.client()).get("/api/auth/signin/corp")).status_code == 502


@pytest.mark.parametrize("fault", ["no ID token", "user info of another"])
async def test_an_answer_that_says_too_little(service: Service, provider: IdentityProvider, fault: str) -> None:
    provider.tell(fault=fault)
    await failed(service, 502)


async def test_a_client_that_the_provider_does_not_know(signing_in: Settings, provider: IdentityProvider) -> None:
    async with opened(with_settings(signing_in, oidc={"corp": corp(provider, client_secret="wrong")})) as service:
        await failed(service, 502, "did not answer as it should")


async def test_secrets_are_in_no_log(
    service: Service, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await (await browser(service)).sign_in(redirect="/x")
    token = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
    for fault in ("nonce", "signature", "broken at /token", "no ID token", "hs256"):
        provider.tell(fault=fault)
        await (await browser(service)).sign_in()
    ours = [record for record in caplog.records if record.name.startswith("bursar")]
    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in ours)
    assert "identity provider 127.0.0.1 failed" in logged
    secret, verifier_like = CLIENT_SECRET, "code="
    for hidden in (secret, token, ACCESS_TOKEN, verifier_like, "eyJ"):
        assert hidden not in logged
    assert CLIENT_SECRET not in repr(service.context.settings)


# Where it ends


@pytest.mark.parametrize(
    "redirect",
    [
        *(
            "//evil.example.com",
            "https://evil.example.com",
            "/\\evil.example.com",
            "\\\\evil",
            "evil",
            "",
            "/a\r\nX: y",
        ),
        *("javascript:alert(1)", "/\t/evil.example.com", "/ü", "/" + "x" * 2_000, " /", "/x\\y", "///evil.example.com"),
    ],
)
async def test_no_redirect_leaves_this_server(service: Service, redirect: str) -> None:
    answer = await (await service.client()).get("/api/auth/signin/corp", params={"redirect": redirect})
    assert (answer.status_code, "redirect" in answer.json()["message"]) == (400, True)
    assert "set-cookie" not in answer.headers


async def test_a_page_of_this_server_learns_who_it_is_by_cookie(service: Service) -> None:
    here = await browser(service)
    answer = await here.sign_in(redirect="/welcome?from=corp#top")
    assert (answer.status_code, answer.headers["location"]) == (303, "/welcome?from=corp#top")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=lax" in answer.headers["set-cookie"]
    session = await here.client.get("/api/auth/session")
    assert (session.status_code, session.json()["credits"]) == (200, 100)
    token = session.json()["token"]
    assert (await (await service.client(token)).get("/api/ai/credits")).status_code == 200
    for path in ("/api/ai/credits", f"{V1}/keys"):
        assert (await here.client.get(path)).status_code == 401, "a cookie is good for the session only"
    signed_out = await here.client.post("/api/auth/signout")
    assert signed_out.status_code == 200
    assert (await here.client.get("/api/auth/session")).status_code == 401


async def test_cookies_go_by_https_only_where_browsers_come_by_it(
    signing_in: Settings, provider: IdentityProvider
) -> None:
    async with opened(with_settings(signing_in, public_url="https://credits.example.com/")) as service:
        answer = await (await service.client()).get("/api/auth/signin/corp")
        assert "Secure" in answer.headers["set-cookie"]
        asked = parse_qs(urlsplit(answer.headers["location"]).query)
        assert asked["redirect_uri"] == ["https://credits.example.com/api/auth/callback/corp"]


async def test_one_process_finishes_what_another_began(
    provider: IdentityProvider, database_url: str, tmp_path: Any
) -> None:
    """Two real servers behind one address, as a load balancer has them."""
    environment = {
        "BURSAR_PUBLIC_URL": PUBLIC,
        "BURSAR_OIDC_CORP_ISSUER": provider.issuer,
        "BURSAR_OIDC_CORP_CLIENT_ID": CLIENT_ID,
        "BURSAR_OIDC_CORP_CLIENT_SECRET": CLIENT_SECRET,
    }
    one = BursarServer(database_url=database_url, data_dir=tmp_path, environment=environment)
    two = BursarServer(database_url=database_url, data_dir=tmp_path, environment=environment)
    with one, two:
        async with httpx.AsyncClient() as client:
            began = await client.get(f"{one.url}/api/auth/signin/corp")
            there = await client.get(began.headers["location"])
            back = there.headers["location"].replace(PUBLIC, two.url)
            answer = await client.get(back)
            assert answer.status_code == 200, answer.text
            bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
            session = await client.get(f"{one.url}/api/auth/session", headers=bearer)
            assert session.json()["user"]["credits"] == 100
        for hidden in (CLIENT_SECRET, answer.json()["token"], back.partition("code=")[2][:20]):
            assert hidden not in one.output + two.output
