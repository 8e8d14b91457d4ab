"""Providers: the sandbox, and an OpenAI-compatible server that misbehaves in every way we know."""

from __future__ import annotations

import base64
import io
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from bursar.service.problems import ProviderFailed
from bursar.service.providers import make_provider
from bursar.service.providers.openai import OpenAI
from bursar.service.providers.sandbox import Sandbox
from bursar.settings import Settings
from tests.service.conftest import opened, with_settings

SECRET = "sk-very-secret"

Answer = tuple[int, dict[str, str], bytes]
Script = Callable[[str, dict[str, Any]], Answer]


class Quiet(ThreadingHTTPServer):
    """Says nothing about callers who hang up."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """That is what some tests are about."""


class Upstream:
    """A server at the edge: it answers what `script` says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], str | None]] = []
        self.script: Script = texts
        self.released = threading.Event()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                upstream.asked.append((self.path, body, self.headers["Authorization"]))
                status, headers, content = upstream.script(self.path, body)
                if status == 0:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def answered(value: object, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


def texts(path: str, body: dict[str, Any]) -> Answer:
    return answered({"choices": [{"index": n, "message": {"content": f" text {n} "}} for n in range(body["n"])]})


def png(width: int, height: int, form: str = "PNG", mode: str = "RGB") -> str:
    file = io.BytesIO()
    Image.new(mode, (width, height), "red").save(file, form)
    return base64.b64encode(file.getvalue()).decode()


def picture(encoded: str) -> Script:
    return lambda _path, _body: answered({"data": [{"b64_json": encoded}]})


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
async def provider(upstream: Upstream) -> AsyncIterator[OpenAI]:
    provider = OpenAI(Settings(openai_base_url=upstream.url, openai_api_key=SECRET, provider_timeout_seconds=5.0))
    yield provider
    await provider.close()


def test_the_settings_choose() -> None:
    assert isinstance(make_provider(Settings()), Sandbox)
    assert isinstance(make_provider(Settings(openai_api_key=SECRET)), OpenAI)
    assert isinstance(make_provider(Settings(openai_api_key=SECRET, provider="sandbox")), Sandbox)


async def test_three_texts_in_one_call(provider: OpenAI, upstream: Upstream) -> None:
    assert await provider.write("Cats", "friendly", "short") == ["text 0", "text 1", "text 2"]
    [(path, body, authorization)] = upstream.asked
    assert (path, authorization) == ("/v1/chat/completions", f"Bearer {SECRET}")
    assert (body["n"], body["model"]) == (3, "gpt-4o-mini")
    assert "friendly" in body["messages"][0]["content"]
    assert body["messages"][1] == {"role": "user", "content": "Cats"}


async def test_a_server_that_makes_one_text_at_a_time(provider: OpenAI, upstream: Upstream) -> None:
    upstream.script = lambda path, body: texts(path, {"n": 1})
    assert await provider.write("Cats", "formal", "long") == ["text 0"] * 3
    assert [body["n"] for _, body, _ in upstream.asked] == [3, 1, 1]


@pytest.mark.parametrize(
    ("model", "asked", "wanted"),
    [
        ("gpt-image-1", "1024x1024", (512, 512)),
        ("gpt-image-1", "1536x1024", (1800, 1100)),
        ("dall-e-3", "1024x1792", (100, 400)),
        ("dall-e-2", "512x512", (500, 500)),
        ("some-other", "300x200", (300, 200)),
    ],
    ids=range(5),
)
async def test_a_picture_has_the_size_that_was_asked_for(
    upstream: Upstream, model: str, asked: str, wanted: tuple[int, int]
) -> None:
    def as_asked(_: str, body: dict[str, Any]) -> Answer:
        width, height = map(int, body["size"].split("x"))
        return answered({"data": [{"b64_json": png(width, height, "WEBP")}]})

    upstream.script = as_asked
    provider = OpenAI(Settings(openai_base_url=upstream.url, openai_api_key=SECRET, image_model=model))
    made = await provider.draw("Cats", *wanted)
    await provider.close()
    [(path, body, _)] = upstream.asked
    assert (path, body["size"]) == ("/v1/images/generations", asked)
    assert ("response_format" in body) is model.startswith("dall-e")
    with Image.open(io.BytesIO(made)) as image:
        assert (image.format, image.size) == ("PNG", wanted)


BAD_TEXTS: dict[str, Script] = {
    "refused": lambda *_: answered({"error": {"message": f"bad key {SECRET}"}}, 401),
    "limited": lambda *_: answered({"error": "slow down"}, 429),
    "broken": lambda *_: answered({}, 500),
    "redirected": lambda *_: (302, {"Location": "http://169.254.169.254/"}, b""),
    "no json": lambda *_: (200, {}, b"<html>"),
    "no utf-8": lambda *_: (200, {}, b'{"choices": "\xff"}'),
    "other json": lambda *_: answered({"choices": "none"}),
    "no texts": lambda *_: answered({"choices": []}),
    "empty texts": lambda *_: answered({"choices": [{"message": {"content": " "}}] * 3}),
    "null texts": lambda *_: answered({"choices": [{"message": {"content": None}}] * 3}),
    "nested": lambda *_: (200, {}, b"[" * 100_000),
    "hung up": lambda *_: (0, {}, b""),
    "endless": lambda *_: (200, {}, b" " * (49 * 1024 * 1024)),
}


@pytest.mark.parametrize("script", BAD_TEXTS.values(), ids=BAD_TEXTS)
async def test_texts_that_fail(
    provider: OpenAI, upstream: Upstream, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script = script
    with pytest.raises(ProviderFailed) as failed:
        await provider.write("Cats", "formal", "short")
    assert SECRET not in failed.value.detail + caplog.text
    assert all(path.startswith("/v1/chat") for path, _, _ in upstream.asked)


BAD_PICTURES: dict[str, Script] = {
    "an address": lambda *_: answered({"data": [{"url": "http://169.254.169.254/latest"}]}),
    "nothing": lambda *_: answered({"data": []}),
    "no base64": picture("###"),
    "no picture": picture(base64.b64encode(b"hello").decode()),
    "half a picture": picture(png(64, 64)[:40]),
    "a bomb": picture(png(5_000, 5_000, mode="1")),
}


@pytest.mark.parametrize("script", BAD_PICTURES.values(), ids=BAD_PICTURES)
async def test_pictures_that_fail(provider: OpenAI, upstream: Upstream, script: Script) -> None:
    upstream.script = script
    with pytest.raises(ProviderFailed):
        await provider.draw("Cats", 64, 64)
    assert len(upstream.asked) == 1


async def test_a_server_that_never_answers(upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    def hang(*_: object) -> Answer:
        upstream.released.wait()
        return 0, {}, b""

    upstream.script = hang
    provider = OpenAI(Settings(openai_base_url=upstream.url, openai_api_key=SECRET, provider_timeout_seconds=0.05))
    with pytest.raises(ProviderFailed, match="too long"):
        await provider.write("Cats", "formal", "short")
    await provider.close()


async def test_a_server_that_is_not_there(upstream: Upstream) -> None:
    settings = Settings(openai_base_url="http://127.0.0.1:1/v1", openai_api_key=SECRET)
    provider = OpenAI(settings)
    with pytest.raises(ProviderFailed, match="cannot be reached"):
        await provider.draw("Cats", 64, 64)
    await provider.close()


async def test_the_service_over_a_real_provider(
    upstream: Upstream, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    changed = with_settings(settings, openai_base_url=upstream.url, openai_api_key=SECRET)
    async with opened(changed) as service:
        client, user = await service.user()
        body = {"prompt": "Cats", "tone": "formal", "length": "short"}
        made = await client.post("/api/ai/generate-text", json=body)
        assert made.json()["variants"] == ["text 0", "text 1", "text 2"]
        assert made.headers["x-bursar-provider"] == "openai"
        upstream.script = BAD_TEXTS["refused"]
        failed = await client.post("/api/ai/generate-text", json=body)
        assert (failed.status_code, failed.json()["statusCode"]) == (502, 502)
        assert (await service.balance(user))["available"] == 99
        assert SECRET not in failed.text + caplog.text + repr(changed)
