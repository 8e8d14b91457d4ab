"""Where a service is, checked before it is spoken to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from bursar.core.errors import Invalid
from bursar.settings import load_settings

DEFAULT_TIMEOUT_SECONDS: Final = 30.0
SCHEMES: Final = ("http://", "https://")


class Place(Struct, frozen=True):
    """Where the service is, what opens its door, and how long a call may take, repeats included."""

    url: str
    api_key: str | None
    timeout_seconds: float


def is_service(url: str) -> bool:
    """Whether this is the address of a service, not of a database."""
    return url.lower().startswith(SCHEMES)


def place_of(url: str, api_key: str | None, timeout_seconds: float, database_only: Mapping[str, object]) -> Place:
    """The service that the arguments of `open` mean. Raises `Invalid`."""
    for name, value in database_only.items():
        if value is not None:
            raise Invalid(name, "is the service's own affair: it is for a ledger in a database")
    try:
        parts = urlsplit(url)
        complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        complete = False
        parts = urlsplit("")
    if not complete or parts.query or parts.fragment or parts.username is not None:
        raise Invalid("url", "must be a service's address such as https://bursar.example.com; its key is `api_key`")
    api_key = api_key or load_settings().api_key
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise Invalid("api_key", "must be a key such as bk_...")
    if not timeout_seconds > 0:
        raise Invalid("timeout_seconds", "must be more than zero")
    return Place(url.rstrip("/"), api_key, timeout_seconds)
