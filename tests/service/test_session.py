"""`GET /api/auth/session`: who is signed in, and what they have left."""

from __future__ import annotations

from bursar.core.periods import parse_instant
from tests.service.conftest import Service

SESSION = "/api/auth/session"


async def test_the_session_has_the_balance(each_service: Service) -> None:
    client, account = await each_service.user("alice@example.com")
    session = await client.get(SESSION)
    assert session.status_code == 200
    assert session.headers["cache-control"] == "no-store"
    shown = session.json()
    user = {"id": account, "email": "alice@example.com", "name": None, "plan": "free", "credits": 100}
    assert {**shown, "expires": None} == {"user": user, "credits": 100, "expires": None}
    ttl = each_service.context.settings.token_ttl_seconds * 1_000_000
    now = await each_service.context.engine.now()
    assert abs(parse_instant(shown["expires"]) - now - ttl) < 60_000_000
    charged = await each_service.admin.post(f"/api/v1/accounts/{account}/charges", json={"amount": "0.5"})
    assert charged.status_code == 201
    assert (await client.get(SESSION)).json()["user"]["credits"] == 99.5


async def test_a_key_of_an_account_has_a_session_too(service: Service) -> None:
    await service.account("alice", 7)
    shown = (await (await service.key("account", "alice")).get(SESSION)).json()
    assert (shown["user"]["id"], shown["credits"], shown["expires"]) == ("alice", 7, None)
    assert "token" not in shown


async def test_whoever_is_nobody_has_none(service: Service) -> None:
    nobody = await (await service.client()).get(SESSION)
    assert (nobody.status_code, nobody.json()) == (401, {"statusCode": 401, "message": "Unauthorized"})
    for cookie in (b"", b"x", b"bk_x", "ü".encode(), b"\xff"):
        headers = [(b"cookie", b"bursar_session=" + cookie)]
        assert (await (await service.client()).get(SESSION, headers=headers)).status_code == 401
    assert (await service.admin.get(SESSION)).status_code == 400


async def test_a_header_comes_before_a_cookie(service: Service) -> None:
    client, account = await service.user("alice@example.com")
    other, _ = await service.user("bob@example.com")
    client.cookies.set("bursar_session", other.headers["authorization"].removeprefix("Bearer "))
    assert (await client.get(SESSION)).json()["user"]["id"] == account
    client.headers["authorization"] = "Bearer nonsense"
    assert (await client.get(SESSION)).status_code == 401
