"""The OpenAPI document: every route that there is, and references that lead somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bursar.service.app import create_app
from bursar.settings import Settings
from tests.service.test_auth import ROUTES


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).api.openapi()


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_route_is_listed(document: dict[str, Any]) -> None:
    listed = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert {(method, path) for method, path, _ in ROUTES} <= listed
    for path in ("/healthz", "/readyz", "/metrics"):
        assert ("GET", path) in listed
    for path in ("/api/auth/register", "/api/auth/login"):
        assert ("POST", path) in listed


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    found = set(references(document))
    assert len(found) > 30
    for reference in found:
        assert reference.removeprefix("#/components/schemas/") in schemas, reference


def test_every_operation_says_what_it_takes_answers_and_refuses(document: dict[str, Any]) -> None:
    names = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            names.append(operation["operationId"])
            where = f"{method} {path}"
            assert operation["responses"], where
            assert "default" in operation["responses"], where
            assert operation.get("summary"), where
            if method == "patch" and "reset" not in path:
                assert "requestBody" in operation, where
            placeholders = {part[1:-1] for part in path.split("/") if part.startswith("{")}
            in_path = {item["name"] for item in operation.get("parameters", []) if item["in"] == "path"}
            assert placeholders == in_path, where
    assert len(names) == len(set(names))


def test_amounts_are_numbers(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Receipt"]["properties"]["amount"] == {"type": "number"}
    assert schemas["GrantBody"]["properties"]["amount"]["type"] == ["number", "string"]
    assert "decimal" not in str(schemas["Receipt"])


def test_the_batch_is_described(document: dict[str, Any]) -> None:
    body = document["paths"]["/api/v1/charges/batch"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"]["$ref"].endswith("/BatchBody")
    charges = document["components"]["schemas"]["BatchBody"]["properties"]["charges"]
    assert charges["items"]["$ref"].endswith("/ItemBody")
