"""Who may do what, on every route there is; and secrets that are good, bad, old or revoked."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from fastapi.routing import iter_route_contexts

from bursar import clock
from bursar.service.api import batch
from bursar.service.api.verbs import VERBS
from bursar.service.app import App, create_app
from bursar.service.auth import WHO_MAY, Authenticator, Caller, Permission, Reach, Role, Way, require
from bursar.service.depends import Allowed
from bursar.service.problems import Forbidden, Unauthenticated
from bursar.service.tokens import FILE, Secrets, Tokens, add_secret, drop_secret
from bursar.settings import Settings
from tests.service.conftest import Service, opened, with_settings

V1 = "/api/v1"
PUBLIC = {"/openapi.json", "/docs", "/api/auth/register", "/api/auth/login"}
PUBLIC |= {f"/api/auth/{path}" for path in ("providers", "signin/{provider}", "callback/{provider}", "signout")}
PUBLIC |= {f"{prefix}{path}" for prefix in ("", V1) for path in ("/healthz", "/readyz", "/metrics")}

Route = tuple[str, str, Permission]


def framework_routes(app: App) -> Iterator[tuple[str, str, set[Permission]]]:
    for route in iter_route_contexts(app.api.routes):
        dependant = getattr(route, "dependant", None)
        calls = [] if dependant is None else [dependency.call for dependency in dependant.dependencies]
        permissions = {call.permission for call in calls if isinstance(call, Allowed)}
        for method in (route.methods or set()) - {"HEAD"}:
            yield method, route.path or "", permissions


def all_routes() -> list[Route]:
    framework = framework_routes(create_app(Settings()))
    found = [(method, path, permission) for method, path, some in framework for permission in some]
    found += [("POST", f"{V1}/{verb.path}", verb.permission) for verb in VERBS]
    found.append(("POST", batch.PATH.decode(), batch.PERMISSION))
    return found


ROUTES = all_routes()


def test_every_route_has_exactly_one_rule() -> None:
    for method, path, permissions in framework_routes(create_app(Settings())):
        assert len(permissions) == (0 if path in PUBLIC else 1), (method, path, permissions)
    assert len(ROUTES) == len({(method, path) for method, path, _ in ROUTES}) > 35


def test_every_permission_is_in_the_table() -> None:
    assert set(WHO_MAY) == set(Permission)
    assert {permission for _, _, permission in ROUTES} == set(Permission)
    for permission, roles in WHO_MAY.items():
        assert roles.get(Role.ADMIN) is Reach.ANY, permission
        assert roles.get(Role.SERVICE) is not Reach.OWN, permission
        assert roles.get(Role.ACCOUNT) in (None, Reach.OWN), permission


def may(caller: Caller, permission: Permission, account: str) -> bool:
    try:
        require(caller, permission, account)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize(
    ("permission", "service", "trusted", "own", "another"),
    [
        (Permission.READ, True, True, True, False),
        (Permission.LIST, True, True, False, False),
        (Permission.OPEN, True, True, False, False),
        (Permission.SPEND, True, True, False, False),
        (Permission.GENERATE, True, True, True, False),
        (Permission.GIVE, False, True, False, False),
        (Permission.ADMINISTER, False, False, False, False),
        (Permission.READ_CATALOGUE, True, True, False, False),
        (Permission.CHANGE_CATALOGUE, False, False, False, False),
        (Permission.KEYS, False, False, True, False),
        (Permission.REPORT, False, False, False, False),
        (Permission.PROVE, False, False, False, False),
    ],
)
def test_the_table_says_what_the_ledgers_decisions_say(
    permission: Permission, service: bool, trusted: bool, own: bool, another: bool
) -> None:
    """`ledger.md`, "Who may"."""
    alice = Caller(Role.ACCOUNT, "account:alice", "alice")
    assert may(Caller(Role.ADMIN, "key:a"), permission, "anybody")
    assert may(Caller(Role.SERVICE, "key:s"), permission, "anybody") is service
    assert may(Caller(Role.SERVICE, "key:t", may_grant=True), permission, "anybody") is trusted
    assert may(alice, permission, "alice") is own
    assert may(alice, permission, "bob") is another


async def send(client: httpx.AsyncClient, method: str, path: str, account: str) -> int:
    """The status of an empty request to a route, about this account."""
    path = path.replace("{account}", account)
    for name in ("hold", "grant", "transaction", "name", "key", "media", "project", "review"):
        path = path.replace(f"{{{name}}}", "X")
    body = None if method == "GET" else b"{}"
    answer = await client.request(method, path, content=body)
    assert answer.status_code < 500, answer.text
    if answer.status_code in (401, 403):
        shown = answer.json()
        shapes = ({"statusCode", "message"}, {"error", "detail", "status"})
        assert set(shown) in shapes or {"code", "detail"} <= set(shown)
    return answer.status_code


async def test_every_route_with_every_role(service: Service) -> None:
    await service.account("alice")
    await service.account("bob")
    nobody = await service.client()
    callers = {
        Role.ADMIN: service.admin,
        Role.SERVICE: await service.key("service"),
        Role.ACCOUNT: await service.key("account", "alice"),
    }
    trusted = await service.key("service", may_grant=True)
    for method, path, permission in ROUTES:
        where = f"{method} {path}"
        assert await send(nobody, method, path, "alice") == 401, where
        for role, client in callers.items():
            reach = WHO_MAY[permission].get(role)
            status = await send(client, method, path, "alice")
            if reach in (None, Reach.IF_TRUSTED):
                assert status == 403, (where, role)
            else:
                assert status not in (401, 403), (where, role)
        if WHO_MAY[permission].get(Role.SERVICE) is Reach.IF_TRUSTED:
            assert await send(trusted, method, path, "alice") != 403, where
        if "{account}" in path:
            assert await send(callers[Role.ACCOUNT], method, path, "bob") == 403, where


async def test_nobody_reads_or_spends_from_an_account_that_is_not_theirs(each_service: Service) -> None:
    await each_service.account("bob", 50)
    mallory, _ = await each_service.user("mallory@example.com")
    for method, path, body in (
        ("GET", f"{V1}/accounts/bob/balance", None),
        ("GET", f"{V1}/accounts/bob/transactions.csv", None),
        ("POST", f"{V1}/accounts/bob/charges", {"amount": 1}),
        ("POST", f"{V1}/charges/batch", {"charges": [{"account": "bob", "amount": 1}]}),
        ("POST", f"{V1}/transfers", {"from": "bob", "to": "x", "amount": 1}),
        ("GET", "/api/ai/credits?account=bob", None),
        ("PATCH", "/api/ai/credits/reset?account=bob", None),
        (
            "POST",
            "/api/ai/generate-text?account=bob",
            {"prompt": "x", "tone": "formal", "length": "short"},
        ),
        ("POST", f"{V1}/keys", {"role": "account", "account": "bob"}),
        ("POST", f"{V1}/keys", {"role": "admin"}),
    ):
        answer = await mallory.request(method, path, json=body)
        assert answer.status_code == 403, (path, answer.text)
    assert (await each_service.balance("bob"))["available"] == 50


async def test_a_plan_of_ones_choice_is_an_administrators_to_give(service: Service) -> None:
    client = await service.key("service")
    for plan, status in (("free", 201), ("team", 403), (None, 403)):
        answer = await client.post(f"{V1}/accounts", json={"id": f"with-{plan}", "plan": plan})
        assert answer.status_code == status, answer.text
    assert (await client.post(f"{V1}/accounts", json={"id": "without"})).status_code == 201


# Keys


async def test_a_key_is_shown_once_and_stored_as_a_digest(each_service: Service) -> None:
    made = await each_service.admin.post(f"{V1}/keys", json={"role": "service", "name": "worker"})
    secret = made.json()["key"]
    assert made.status_code == 201
    assert secret.startswith("bk_")
    assert len(secret) >= 40
    listed = await each_service.admin.get(f"{V1}/keys")
    assert secret not in listed.text
    assert made.json()["prefix"] == secret[:7]
    rows = await each_service.context.credits.store.read(lambda tx: tx.fetch("list_api_keys", None, None, 10))
    assert secret not in repr(rows)
    client = await each_service.client(secret)
    assert (await client.get(f"{V1}/skills")).status_code == 200


async def test_a_revoked_key_is_dead_at_once(each_service: Service) -> None:
    made = (await each_service.admin.post(f"{V1}/keys", json={"role": "service"})).json()
    client = await each_service.client(made["key"])
    assert (await client.get(f"{V1}/skills")).status_code == 200
    assert (await each_service.admin.delete(f"{V1}/keys/{made['id']}")).status_code == 204
    assert (await client.get(f"{V1}/skills")).status_code == 401
    again = await each_service.admin.delete(f"{V1}/keys/{made['id']}")
    assert (again.status_code, again.json()["code"]) == (404, "key_not_found")


async def test_a_key_revoked_elsewhere_dies_when_memory_ends(service: Service, settings: Settings) -> None:
    """Two processes on one database; the second remembers nothing."""
    made = (await service.admin.post(f"{V1}/keys", json={"role": "service"})).json()
    async with opened(with_settings(settings, key_cache_seconds=0)) as other:
        client = await other.client(made["key"])
        assert (await client.get(f"{V1}/skills")).status_code == 200
        await service.admin.delete(f"{V1}/keys/{made['id']}")
        assert (await client.get(f"{V1}/skills")).status_code == 401


async def test_memory_of_a_caller_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    asked: list[str] = []
    monkeypatch.setattr(clock, "monotonic", lambda: now)

    class Known:
        async def find(self, secret: str) -> tuple[Caller, float | None] | None:
            asked.append(secret)
            left = {"bk_good": None, "bk_ends": 1.0}
            return (Caller(Role.SERVICE, secret), left[secret]) if secret in left else None

    authenticator = Authenticator(Known(), Known(), 2.0)
    for _ in range(3):
        assert (await authenticator.identify(b"Bearer bk_good")).actor == "bk_good"
        assert (await authenticator.identify(b"bearer  bk_ends")).actor == "bk_ends"
        with pytest.raises(Unauthenticated):
            await authenticator.identify(b"Bearer bk_bad")
    assert asked == ["bk_good", "bk_ends", "bk_bad"]
    assert authenticator.remembered(b"Bearer bk_good") is not None
    assert authenticator.remembered(b"Bearer bk_bad") is None
    now = 1.5
    assert authenticator.remembered(b"bearer  bk_ends") is None
    now = 2.5
    assert authenticator.remembered(b"Bearer bk_good") is None


async def test_an_accounts_own_keys(each_service: Service) -> None:
    client, account = await each_service.user()
    await each_service.account("bob")
    made = await client.post(f"{V1}/keys", json={"role": "account", "name": "phone"})
    assert made.json()["account"] == account
    phone = await each_service.client(made.json()["key"])
    assert (await phone.get(f"{V1}/accounts/{account}/balance")).status_code == 200
    assert (await phone.get("/api/ai/credits")).json()["credits"] == 100
    others = (await each_service.admin.post(f"{V1}/keys", json={"role": "account", "account": "bob"})).json()
    assert [key["id"] for key in (await client.get(f"{V1}/keys")).json()["data"]] == [made.json()["id"]]
    assert (await client.delete(f"{V1}/keys/{others['id']}")).status_code == 404
    assert (await client.delete(f"{V1}/keys/{made.json()['id']}")).status_code == 204
    assert (await phone.get(f"{V1}/accounts/{account}/balance")).status_code == 401


async def test_the_first_key_is_made_once_whoever_asks(each_service: Service) -> None:
    keys = each_service.context.keys
    made = await asyncio.gather(*(keys.create_first() for _ in range(5)))
    secrets = [secret for secret in made if secret is not None]
    assert len(secrets) == 1
    admin = await each_service.client(secrets[0])
    assert (await admin.get(f"{V1}/keys")).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YWRtaW46YWRtaW4=",
        "Bearer bk_",
        "Bearer bk_" + "x" * 43,
        "Bearer bk_" + "x" * 10_000,
        "Bearer not-a-token",
        "Bearer a.b.c",
        "Bearer " + "x" * 10_000,
        "Bearer é",
        "bk_without_scheme",
    ],
    ids=range(12),
)
async def test_headers_that_are_no_good(service: Service, header: str) -> None:
    await service.account("alice")
    client = await service.client()
    headers = {b"Authorization": header.encode()}
    for answer in (
        await client.get(f"{V1}/accounts/alice", headers=headers),
        await client.post(f"{V1}/accounts/alice/charges", json={"amount": 1}, headers=headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    contract = await client.get("/api/ai/credits", headers=headers)
    assert (contract.status_code, contract.content) == (401, b'{"statusCode":401,"message":"Unauthorized"}')


# Tokens


def forged(claims: dict[str, Any], secret: str, **header: Any) -> str:
    return jwt.encode(claims, secret, "HS256", headers=header)


async def test_tokens_that_are_no_good(service: Service) -> None:
    client, account = await service.user()
    good = client.headers["authorization"].removeprefix("Bearer ")
    key_id, secret = service.context.tokens._secrets.signing()
    now = clock.now() // 1_000_000
    claims = {"iss": "bursar", "sub": account, "iat": now, "exp": now + 60}

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    head, _, signature = good.split(".")
    admin_claims = part({**claims, "role": "admin"})
    bad = {
        "expired": forged({**claims, "exp": now - 1}, secret, kid=key_id),
        "without an end": forged({k: v for k, v in claims.items() if k != "exp"}, secret, kid=key_id),
        "without an account": forged({k: v for k, v in claims.items() if k != "sub"}, secret, kid=key_id),
        "of another issuer": forged({**claims, "iss": "other"}, secret, kid=key_id),
        "of another secret": forged(claims, "x" * 48, kid=key_id),
        "of an unknown id": forged(claims, secret, kid="other"),
        "without an id": forged(claims, secret),
        "with an odd id": forged(claims, secret, kid="../secrets.json"),
        "from the future": forged({**claims, "iat": now + 600, "nbf": now + 600}, secret, kid=key_id),
        "unsigned": f"{part({'alg': 'none', 'kid': key_id})}.{part(claims)}.",
        "of no algorithm": f"{part({'kid': key_id})}.{part(claims)}.{signature}",
        "with other claims": f"{head}.{admin_claims}.{signature}",
        "cut": good[:-2],
        "a text as its end": forged({**claims, "exp": "soon"}, secret, kid=key_id),
        "a number as account": forged({**claims, "sub": 7}, secret, kid=key_id),
        "nested deeply": f"{part({'kid': key_id})}." + "W" * 4_000 + ".x",
    }
    assert (await client.get("/api/ai/credits")).status_code == 200
    for why, token in bad.items():
        answer = await (await service.client(token)).get("/api/ai/credits")
        assert (answer.status_code, answer.json()) == (
            401,
            {"statusCode": 401, "message": "Unauthorized"},
        ), why


async def test_a_token_ends(settings: Settings) -> None:
    async with opened(with_settings(settings, token_ttl_seconds=1)) as service:
        client, _ = await service.user()
        assert (await client.get("/api/ai/credits")).status_code == 200
        known = service.context.authenticator
        remembered = known.remembered(client.headers["authorization"].encode())
        assert remembered is not None
        [(_, until)] = [entry for entry in known._remembered.values() if entry[0] == remembered]
        assert until <= clock.monotonic() + 1.0


async def test_a_new_secret_joins_before_the_old_one_goes(service: Service, settings: Settings) -> None:
    path = settings.data_dir / FILE
    old_client, account = await service.user("old@example.com")
    old_id = service.context.tokens._secrets.signing()[0]
    new_id = add_secret(path)
    tokens = Tokens(Secrets.of(settings), 60)
    new_token = tokens.issue(account, Way.PASSWORD)
    assert jwt.get_unverified_header(new_token)["kid"] == new_id
    new_client = await service.client(new_token)
    assert (await new_client.get(f"{V1}/accounts/{account}")).status_code == 200
    assert (await old_client.get("/api/ai/credits")).status_code == 200
    drop_secret(path, old_id)
    assert (
        await Tokens(Secrets.of(settings), 60).find(old_client.headers["authorization"].removeprefix("Bearer ")) is None
    )
    assert list(json.loads(path.read_text())) == [new_id]


async def test_many_processes_make_one_file_of_secrets(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    made = await asyncio.gather(*(asyncio.to_thread(Secrets.of, settings) for _ in range(16)))
    assert len({secrets.signing() for secrets in made}) == 1
    assert (tmp_path / "data" / FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == [FILE]


# Signing in


async def test_register_and_login(each_service: Service) -> None:
    client = await each_service.client()
    body = {"email": "  Some.One@Example.COM ", "password": "correct horse", "name": "Some One"}
    made = await client.post("/api/auth/register", json=body)
    assert made.status_code == 201
    assert list(made.json()) == ["token", "user"]
    assert list(made.json()["user"]) == ["id", "email"]
    assert made.json()["user"]["email"] == "some.one@example.com"
    account = (await each_service.admin.get(f"{V1}/accounts/{made.json()['user']['id']}")).json()
    assert (account["email"], account["name"], account["available"]) == (
        "some.one@example.com",
        "Some One",
        100,
    )
    again = await client.post("/api/auth/register", json=body)
    assert again.status_code == 409
    login = await client.post("/api/auth/login", json={"email": "some.one@EXAMPLE.com", "password": "correct horse"})
    assert (login.status_code, login.json()["user"]) == (200, made.json()["user"])
    signed_in = await each_service.client(login.json()["token"])
    assert (await signed_in.get("/api/ai/credits")).json()["credits"] == 100


async def test_one_address_registers_once_however_many_try(each_service: Service) -> None:
    client = await each_service.client()
    body = {"email": "one@example.com", "password": "correct horse"}
    answers = await asyncio.gather(*(client.post("/api/auth/register", json=body) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    accounts = (await each_service.admin.get(f"{V1}/accounts", params={"query": "one@example.com"})).json()
    assert len(accounts["data"]) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"email": "a@b.c"}, "password"),
        ({"email": "a@b.c", "password": "short"}, "password"),
        ({"email": "a@b.c", "password": "x" * 1_025}, "password"),
        ({"email": "a@b.c", "password": 12345678}, "password"),
        ({"email": "nobody", "password": "12345678"}, "email"),
        ({"email": "a@b.c\x00", "password": "12345678"}, "email"),
        ({"email": "a" * 300 + "@b.c", "password": "12345678"}, "email"),
        ({"email": ["a@b.c"], "password": "12345678"}, "email"),
        ({"email": "a@b.c", "password": "12345678", "name": "x" * 300}, "name"),
        ({"email": "a@b.c", "password": "12345678", "role": "admin"}, "role"),
    ],
    ids=range(11),
)
async def test_registrations_that_make_no_sense(service: Service, body: dict[str, Any], field: str) -> None:
    answer = await (await service.client()).post("/api/auth/register", json=body)
    assert (answer.status_code, answer.json()["statusCode"]) == (400, 400)
    assert field in answer.json()["message"]
    assert (await service.admin.get(f"{V1}/accounts")).json()["data"] == []


async def test_a_lone_surrogate_as_password(service: Service) -> None:
    body = b'{"email": "a@b.c", "password": "\\ud800\\ud800\\ud800\\ud800\\ud800\\ud800\\ud800\\ud800"}'
    for path in ("register", "login"):
        answer = await (await service.client()).post(f"/api/auth/{path}", content=body)
        assert (answer.status_code, "password" in answer.json()["message"]) == (400, True)


async def test_a_failed_login_does_not_say_why(service: Service) -> None:
    await service.user("known@example.com")
    client = await service.client()
    for body in (
        {"email": "known@example.com", "password": "wrong horse"},
        {"email": "unknown@example.com", "password": "correct horse"},
        {"email": "no address", "password": "correct horse"},
        {"email": "known@example.com", "password": ""},
    ):
        answer = await client.post("/api/auth/login", json=body)
        assert (answer.status_code, answer.json()) == (401, {"statusCode": 401, "message": "Unauthorized"})


async def test_a_password_is_kept_as_argon2id(each_service: Service) -> None:
    await each_service.user("user@example.com")
    rows = await each_service.context.credits.store.read(lambda tx: tx.fetch("find_login", "user@example.com"))
    assert "correct horse" not in repr(rows)
    assert rows[0][1].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_a_login_whose_account_was_never_opened_heals(service: Service) -> None:
    _, account = await service.user("half@example.com")
    store = service.context.credits.store
    other = {"email": "half2@example.com", "password": "correct horse"}
    password_hash = (await store.read(lambda tx: tx.fetch("find_login", "half@example.com")))[0][1]
    await store.write(
        lambda tx: tx.execute("insert_login", other["email"], password_hash, "never-opened", "account", 0)
    )
    answer = await (await service.client()).post("/api/auth/login", json=other)
    assert (answer.status_code, answer.json()["user"]["id"]) == (200, "never-opened")
    assert (await service.balance("never-opened"))["available"] == 100
    assert account != "never-opened"
