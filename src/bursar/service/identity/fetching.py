"""One request to an identity provider: bounded in time and size, without redirects, and JSON or nothing.

Whatever goes wrong becomes `IdentityProviderUnreachable` or `IdentityProviderFailed`, with a line for the operator
that names the host and the reason, never what was sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import httpx
import msgspec

from bursar.service.problems import IdentityProviderFailed, IdentityProviderUnreachable

MAX_ANSWER_BYTES: Final = 512 * 1024
JSON: Final = {"Accept": "application/json"}

logger = logging.getLogger("bursar.identity")


class Fetched(NamedTuple):
    """A status, and the JSON object that came with it; empty where none did."""

    status: int
    members: dict[str, Any]


class Fetcher:
    """The HTTP client for identity providers."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._made: httpx.AsyncClient | None = None

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON object at a URL. Raises `IdentityProviderUnreachable`, `IdentityProviderFailed`."""
        status, members = await self._send("GET", url, {**JSON, **(headers or {})}, None)
        if status != httpx.codes.OK or not members:
            raise failed(url, f"status {status}" if status != httpx.codes.OK else "no JSON object")
        return members

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> Fetched:
        """The answer to a form, whatever its status. Raises `IdentityProviderUnreachable`, `IdentityProviderFailed`."""
        return await self._send("POST", url, headers, body.encode())

    async def close(self) -> None:
        if self._made is not None:
            await self._made.aclose()

    @property
    def _client(self) -> httpx.AsyncClient:
        """Made when first needed: it costs memory and time, and most servers have no provider."""
        if self._made is None:
            self._made = httpx.AsyncClient(timeout=self._timeout_seconds, follow_redirects=False)
        return self._made

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Fetched:
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._client.stream(method, url, headers=headers, content=body) as response,
            ):
                content = await _read(response)
        except (httpx.TimeoutException, TimeoutError):
            raise _unreachable(url, "it took too long") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise _unreachable(url, type(error).__name__) from None
        if content is None:
            raise failed(url, "answer too large")
        return Fetched(response.status_code, _members(content))


def failed(url: str, reason: str) -> IdentityProviderFailed:
    """An answer that makes no sense, with a line for the operator."""
    return IdentityProviderFailed(
        _told(url, reason, f"The identity provider {_host(url)} did not answer as it should.")
    )


def _unreachable(url: str, reason: str) -> IdentityProviderUnreachable:
    return IdentityProviderUnreachable(_told(url, reason, f"The identity provider {_host(url)} cannot be reached."))


def _told(url: str, reason: str, shown: str) -> str:
    facts = {"host": _host(url), "path": urlsplit(url).path, "reason": reason}
    logger.warning("identity provider %s failed: %s (%s)", facts["host"], reason, facts["path"], extra=facts)
    return shown


def _host(url: str) -> str:
    return urlsplit(url).hostname or "?"


async def _read(response: httpx.Response) -> bytes | None:
    """The body; None where it is larger than the bound."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            return None
    return bytes(body)


def _members(content: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
