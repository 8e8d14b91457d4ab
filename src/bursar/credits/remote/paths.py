"""Paths and queries of requests, refused by name where no service could read them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from bursar.core import text


def escaped(segment: str) -> str:
    """One segment of a path. Dots too: `..` must not lead anywhere."""
    return quote(segment, safe="").replace(".", "%2E")


def account_path(account: str) -> str:
    """Where an account is. Raises `Invalid`."""
    text.check_id("account", account)
    return f"accounts/{escaped(account)}"


def skill_path(name: str) -> str:
    """Where a skill is. Raises `Invalid`."""
    text.check_skill("skill", name)
    return f"skills/{escaped(name)}"


def model_path(name: str) -> str:
    """Where a model is. Raises `Invalid`."""
    return f"models/{named('model', name)}"


def named(field: str, name: str) -> str:
    """Another name as a segment. Raises `Invalid`."""
    text.check_name(field, name)
    return escaped(name)


def checked(query: dict[str, Any]) -> dict[str, Any]:
    """The same, its texts such that a query can carry them. Raises `Invalid`."""
    for field, value in query.items():
        if isinstance(value, str):
            text.check_name(field, value)
    return query
