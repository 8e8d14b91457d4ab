"""What a request costs: a price for each route, for all, or as a function of the request says.

A price is an amount (`5`, `"0.5"`, `Decimal`), a skill's name (`"TEXT_GENERATION"`: its price of this moment), a
mapping with the arguments of `credits.hold`, or None: free. A route is a path, with a method before it where that
matters; `{name}` stands for one part of it, a `*` at the end for any rest:

    "/api/text"    "POST /api/projects/{id}/review"    "/api/tools/*"

The first route that fits wins. A slash more or less at the end is the same route, and what GET costs, HEAD costs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from msgspec import Struct

from bursar.core.errors import Invalid
from bursar.credits.arguments import amount_of

Price: TypeAlias = int | str | Decimal | Mapping[str, Any] | None

FREE_METHODS: Final = frozenset({"OPTIONS"})
"""A browser asks beforehand whether it may ask, without saying who is asking."""

_SKILL = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_METHOD = re.compile(r"([A-Z]+) +(/.*)")
_PART = re.compile(r"\{[^{}/]*\}")


class Request(Struct, frozen=True):
    """A request as prices and accounts see it, on either kind of server. Header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    native: Mapping[str, Any]
    """The ASGI scope, or the WSGI environ."""


PriceOf: TypeAlias = Price | Callable[[Request], Any]
"""A price, or what finds one for a request; it may be awaited for on an event loop."""


def terms_of(price: Price) -> dict[str, Any] | None:
    """The arguments of `hold` that a price stands for; None where it is free. Raises `Invalid`."""
    if price is None:
        return None
    if isinstance(price, Mapping):
        return dict(price)
    if isinstance(price, str) and _SKILL.fullmatch(price):
        return {"skill": price}
    return {"amount": price} if amount_of("price", price) else None


class Route(Struct, frozen=True):
    """One pattern."""

    method: str | None
    path: re.Pattern[str]

    def fits(self, method: str, path: str) -> bool:
        same = self.method is None or self.method == ("GET" if method == "HEAD" else method)
        return same and self.path.fullmatch(path) is not None


def route_of(pattern: str) -> Route:
    """Raises `Invalid`."""
    found = _METHOD.fullmatch(pattern)
    method, path = found.groups() if found else (None, pattern)
    if not path.startswith("/") or "*" in path[:-1]:
        raise Invalid("routes", f"{pattern!r} must be like '/path', 'POST /path/{{id}}' or '/path/*'")
    rest = "(/.*)?" if path.endswith("/*") else ".*" if path.endswith("*") else "/?"
    parts = _PART.split(path.removesuffix("/*").removesuffix("*").rstrip("/"))
    return Route(method, re.compile("[^/]+".join(map(re.escape, parts)) + rest, re.DOTALL))


class Tariff:
    """Every route's price."""

    def __init__(self, price: PriceOf, routes: Mapping[str, PriceOf] | None, exclude: Iterable[str]) -> None:
        if price is None and not routes:
            raise Invalid("price", "give a price, or routes with theirs")
        self._price = _checked(price)
        self._routes = [(route_of(pattern), _checked(cost)) for pattern, cost in (routes or {}).items()]
        self._exclude = [route_of(pattern) for pattern in exclude]

    def find(self, method: str, path: str) -> PriceOf:
        """The price of that route, or what finds it."""
        if method in FREE_METHODS or any(route.fits(method, path) for route in self._exclude):
            return None
        return next((price for route, price in self._routes if route.fits(method, path)), self._price)


def _checked(price: PriceOf) -> PriceOf:
    """A price that makes no sense is refused when the app is put together."""
    if not callable(price):
        terms_of(price)
    return price
