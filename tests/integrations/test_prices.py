"""Routes and prices, as an app writes them down."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bursar.core.errors import Invalid
from bursar.integrations.prices import Tariff, route_of, terms_of


@pytest.mark.parametrize(
    ("price", "terms"),
    [
        (None, None),
        (0, None),
        ("0.0", None),
        (5, {"amount": 5}),
        ("0.5", {"amount": "0.5"}),
        (Decimal("2.5"), {"amount": Decimal("2.5")}),
        ("TEXT_GENERATION", {"skill": "TEXT_GENERATION"}),
        ({"skill": "CHAT", "quantity": 2}, {"skill": "CHAT", "quantity": 2}),
    ],
)
def test_what_a_price_stands_for(price: Any, terms: Any) -> None:
    assert terms_of(price) == terms


@pytest.mark.parametrize("price", [0.5, -1, "text", "1e99", True])
def test_a_price_that_makes_no_sense_is_refused_when_the_app_is_put_together(price: Any) -> None:
    with pytest.raises(Invalid, match="price"):
        Tariff(price, None, ())
    with pytest.raises(Invalid, match="price"):
        Tariff(1, {"/a": price}, ())


@pytest.mark.parametrize(
    ("pattern", "method", "path", "fits"),
    [
        ("/api/text", "GET", "/api/text", True),
        ("/api/text", "POST", "/api/text/", True),
        ("/api/text", "GET", "/api/text/x", False),
        ("/api/text", "GET", "/api/texts", False),
        ("/api/text", "GET", "/API/text", False),
        ("POST /api/text", "GET", "/api/text", False),
        ("GET /api/text", "HEAD", "/api/text", True),
        ("/projects/{id}/review", "GET", "/projects/7/review", True),
        ("/projects/{id}/review", "GET", "/projects//review", False),
        ("/projects/{id}/review", "GET", "/projects/7/8/review", False),
        ("/tools/*", "GET", "/tools/a/b", True),
        ("/tools/*", "GET", "/tools", True),
        ("/tools/*", "GET", "/toolsmith", False),
        ("/tool*", "GET", "/toolsmith", True),
        ("/", "GET", "/", True),
        ("/", "GET", "/a", False),
        ("/*", "GET", "/a", True),
        ("/a.b", "GET", "/axb", False),
        ("/a", "GET", "/a\n", False),
    ],
)
def test_which_requests_fit_a_route(pattern: str, method: str, path: str, fits: bool) -> None:
    assert route_of(pattern).fits(method, path) is fits


@pytest.mark.parametrize("pattern", ["", "api", "get /api", "/a/*/b", "POST api"])
def test_a_route_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(Invalid, match="routes"):
        route_of(pattern)


def test_the_first_route_that_fits_wins_and_what_is_excluded_is_free() -> None:
    tariff = Tariff(9, {"POST /a/*": 1, "/a/b": 2}, ["/a/free", "GET /health"])
    found = [tariff.find(method, path) for method, path in (("POST", "/a/b"), ("GET", "/a/b"), ("GET", "/c"))]
    assert found == [1, 2, 9]
    assert [tariff.find("POST", "/a/free"), tariff.find("GET", "/health"), tariff.find("OPTIONS", "/c")] == [None] * 3
    assert tariff.find("POST", "/health") == 9


def test_a_tariff_without_a_price_is_refused() -> None:
    with pytest.raises(Invalid, match="price"):
        Tariff(None, None, ["/health"])
