"""An OpenID provider in a process of its own: discovery, authorization, token endpoint, user info, JWKS, signed tokens.

    with IdentityProvider() as provider:
        provider.tell(user={"sub": "u1", "email": "a@example.com", "email_verified": True})
        provider.tell(fault="nonce")                   # the next answers are wrong in this way
        provider.count("/jwks")                        # how often it was asked

It keeps to the protocol where it is not told otherwise: a code is good once and for one client, PKCE (S256) and the
client's secret are checked. Its own page asks nobody: whoever comes is the user that it was told.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from tests.support.ports import HOST
from tests.support.watchdog import Watchdog

CLIENT_ID = "bursar"
CLIENT_SECRET = "client-secret~that.nobody_may-log"
REPOSITORY = Path(__file__).resolve().parents[2]
ACCESS_TOKEN = "access-token-that-nobody-may-log"
HANGS_SECONDS = 5.0
Answer = tuple[int, dict[str, str], bytes]

BROKEN: dict[str, Answer] = {
    "broken": (500, {}, b"<h1>Sorry</h1>"),
    "html": (200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>"),
    "huge": (200, {}, b'{"keys": [' + b" " * 2_000_000 + b"]}"),
    "elsewhere": (302, {"Location": "http://127.0.0.1:9/"}, b""),
    "empty": (200, {}, b"{}"),
    "hanging": (200, {}, b"{}"),
}
"""What "html at /token" and its like answer."""


class IdentityProvider:
    """The process, from the tests' side. Started again, it has the same port and new keys."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def issuer(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.identity_provider", str(self.port)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        Watchdog.of_this_process().watch_process(self._process.pid)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            Watchdog.of_this_process().forget_process(self._process.pid)
            self._process = None

    def tell(self, **orders: Any) -> None:
        """`user`, `fault` (None: none), `rotate` (new keys; True: the old ones are gone, "add": they stay)."""
        httpx.post(f"{self.issuer}/control", json=orders).raise_for_status()

    def mint(self, claims: dict[str, Any], **header: Any) -> str:
        """A token with these claims, signed by the issuer's key, with a fault if it was told one."""
        answer = httpx.post(f"{self.issuer}/mint", json={"claims": claims, "header": header})
        token: str = answer.raise_for_status().json()["token"]
        return token

    def count(self, path: str) -> int:
        """How often that path was asked for."""
        found: dict[str, int] = httpx.get(f"{self.issuer}/control").raise_for_status().json()
        return found.get(path, 0)


# The process itself


class _State:
    """What the provider knows, and how it is to misbehave."""

    def __init__(self) -> None:
        self.issuer = ""
        self.user: dict[str, Any] = {"sub": "nobody"}
        self.fault: str | None = None
        self.counts: Counter[str] = Counter()
        self.codes: dict[str, dict[str, str]] = {}
        self.keys: list[RSAKey | ECKey] = []
        self.stranger = RSAKey.generate_key(2048)
        self.rotate()

    def rotate(self, *, keep: bool = False) -> None:
        fresh: list[RSAKey | ECKey] = [
            RSAKey.generate_key(2048, {"kid": f"rsa-{secrets.token_hex(4)}", "use": "sig"}),
            ECKey.generate_key("P-256", {"kid": f"ec-{secrets.token_hex(4)}", "use": "sig"}),
        ]
        self.keys = [*fresh, *(self.keys if keep else [])]

    def jwks(self) -> dict[str, Any]:
        unfit = [{"kty": "oct", "kid": "oct", "k": "c2VjcmV0"}, {"kty": "AKP", "kid": "later"}, {"kty": "RSA"}]
        public = KeySet(list(self.keys)).as_dict(private=False)["keys"]
        return {"keys": [*unfit, *({**key, "alg": "RS256"} if key["kty"] == "RSA" else key for key in public)]}

    def sign(self, claims: dict[str, Any], header: dict[str, Any]) -> str:
        key = self.keys[1] if header.get("alg") == "ES256" else self.keys[0]
        header = {"alg": "RS256", "kid": key.kid, **header}
        match self.fault:
            case "none":
                return f"{_part({'alg': 'none', 'kid': key.kid})}.{_part(claims)}."
            case "hs256":
                head = f"{_part({'alg': 'HS256', 'kid': key.kid})}.{_part(claims)}"
                signature = hmac.digest(self.keys[0].as_pem(private=False), head.encode(), "sha256")
                return f"{head}.{_b64(signature)}"
            case "unknown key":
                return jwt.encode({**header, "kid": "nobody-knows-it"}, claims, self.stranger, algorithms=["RS256"])
            case "signature":
                return jwt.encode(header, claims, self.stranger, algorithms=["RS256"])
            case "no key id":
                header.pop("kid")
        return jwt.encode(header, claims, key, algorithms=["RS256", "ES256", "PS256"])

    def id_token(self, grant: dict[str, str]) -> str:
        now = int(time.time())
        ours = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": grant["nonce"]}
        half = hashlib.sha256(ACCESS_TOKEN.encode()).digest()[:16]
        wrong: dict[str | None, dict[str, Any]] = {
            "nonce": {"nonce": "another"},
            "no nonce": {"nonce": None},
            "audience": {"aud": "somebody-else"},
            "no audience": {"aud": None},
            "authorized party": {"aud": [CLIENT_ID, "another"], "azp": "another"},
            "issuer": {"iss": "https://evil.example.com"},
            "expired": {"iat": now - 7_200, "exp": now - 3_600},
            "no end": {"exp": None},
            "future": {"iat": now + 3_600, "nbf": now + 3_600},
            "access token": {"at_hash": "AAAA"},
            "no subject": {"sub": None},
            "odd subject": {"sub": "a\x00b"},
        }
        told_apart = self.fault in ("user info only", "user info of another")
        user = {"sub": self.user["sub"]} if told_apart else self.user
        claims = {**ours, "at_hash": _b64(half), **user, **wrong.get(self.fault, {})}
        return self.sign({name: value for name, value in claims.items() if value is not None}, {})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("content-length", 0))))

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""

    def _answer(self, body: bytes) -> None:
        state: _State = self.server.state  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path not in ("/control", "/mint"):
            state.counts[parts.path] += 1
        status, headers, content = self._route(state, parts.path, query, body)
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(content)

    def _route(self, state: _State, path: str, query: dict[str, str], body: bytes) -> Answer:
        if path == "/control":
            return _control(state, self.command, body)
        if path == "/mint":
            asked = json.loads(body)
            return _json({"token": state.sign(asked["claims"], asked["header"])})
        fault, _, where = (state.fault or "").partition(" at ")
        if where == path:
            if fault == "hanging":
                time.sleep(HANGS_SECONDS)
            return BROKEN[fault]
        authorization = self.headers.get("authorization", "")
        endpoints: dict[str, Callable[[], Answer]] = {
            "/.well-known/openid-configuration": lambda: _json(_description(state)),
            "/jwks": lambda: _json(state.jwks()),
            "/authorize": lambda: _authorize(state, query),
            "/token": lambda: _exchange(state, authorization, body),
            "/userinfo": lambda: _describe_user(state, authorization),
        }
        return endpoints[path]() if path in endpoints else (404, {}, b"{}")


def _description(state: _State) -> dict[str, Any]:
    described: dict[str, Any] = {
        "issuer": "https://evil.example.com" if state.fault == "another name" else state.issuer,
        "authorization_endpoint": f"{state.issuer}/authorize",
        "token_endpoint": f"{state.issuer}/token",
        "userinfo_endpoint": f"{state.issuer}/userinfo",
        "jwks_uri": f"{state.issuer}/jwks",
        "response_types_supported": ["code"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
    }
    if state.fault == "plain http":
        described["token_endpoint"] = "http://example.com/token"
    if state.fault == "secret in the form":
        described["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    return described


def _authorize(state: _State, query: dict[str, str]) -> Answer:
    back = query["redirect_uri"]
    if state.fault == "denied":
        return _redirect(back, {"error": "access_denied", "state": query["state"]})
    right = query["client_id"] == CLIENT_ID and query["response_type"] == "code"
    if not right or query["code_challenge_method"] != "S256" or "openid" not in query["scope"].split():
        return 400, {}, b"{}"
    code = secrets.token_urlsafe(24)
    state.codes[code] = query
    return _redirect(back, {"code": code, "state": "another" if state.fault == "state" else query["state"]})


def _exchange(state: _State, authorization: str, body: bytes) -> Answer:
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    if state.fault == "secret in the form":
        client = (form.get("client_id"), form.get("client_secret"))
    else:
        name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        client = (name, secret)
    if client != (CLIENT_ID, CLIENT_SECRET):
        return _json({"error": "invalid_client"}, 401)
    grant = state.codes.pop(form.get("code", ""), None)
    challenge = _b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
    if grant is None or grant["code_challenge"] != challenge or grant["redirect_uri"] != form["redirect_uri"]:
        return _json({"error": "invalid_grant"}, 400)
    tokens = {"access_token": ACCESS_TOKEN, "token_type": "Bearer", "id_token": state.id_token(grant)}
    if state.fault == "no ID token":
        del tokens["id_token"]
    return _json(tokens)


def _describe_user(state: _State, authorization: str) -> Answer:
    somebody = {"sub": "somebody else"} if state.fault == "user info of another" else {}
    return _json({**state.user, **somebody}) if authorization == f"Bearer {ACCESS_TOKEN}" else (401, {}, b"{}")


def _control(state: _State, method: str, body: bytes) -> Answer:
    if method == "GET":
        return _json(state.counts)
    orders = json.loads(body)
    if "rotate" in orders:
        state.rotate(keep=orders.pop("rotate") == "add")
    for name, value in orders.items():
        setattr(state, name, value)
    return _json({})


def _json(value: Any, status: int = 200) -> Answer:
    return status, {}, json.dumps(value).encode()


def _redirect(to: str, query: dict[str, str]) -> Answer:
    return 302, {"Location": f"{to}?{urlencode(query)}"}, b""


def _part(value: Any) -> str:
    return _b64(json.dumps(value).encode())


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def main() -> None:
    server = ThreadingHTTPServer((HOST, int(sys.argv[1])), _Handler)
    server.daemon_threads = True
    state = _State()
    state.issuer = f"http://{HOST}:{server.server_port}"
    server.state = state  # type: ignore[attr-defined]
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
