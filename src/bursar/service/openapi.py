"""The OpenAPI document: what FastAPI knows of its routes, the ones that it does not see, and the Structs of both.

Schemas come from the Structs that decode the bodies and encode the answers, so that the document cannot say anything
else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from msgspec import Struct

from bursar.service.problems import PROBLEM_JSON, Problem

TEMPLATE: Final = "#/components/schemas/{name}"
DECIMAL: Final = {"type": "string", "format": "decimal"}
INTEGER: Final = {"type": "integer"}
ANSWERED: Final = {"type": "number"}
TAKEN: Final = {"type": ["number", "string"], "format": "decimal"}
"""What an amount is, in an answer and in a request."""

DESCRIPTION: Final = """A credit ledger for AI products: may this call start, what did it cost, what is left.

Send `Authorization: Bearer KEY`. Amounts are JSON numbers, exact; strings are taken as well. Times are RFC 3339 in UTC.
A POST takes an `Idempotency-Key` header or `idempotency_key` in its body; a repeat answers as the first time, with
`Idempotency-Replayed: true`. Whatever is refused answers `application/problem+json` with a stable `code`."""

Responses = dict[int | str, dict[str, Any]]

_schemas: dict[str, Any] = {}
"""Of every Struct that was referred to, by name."""


class Operation(Struct, frozen=True):
    """A POST that FastAPI does not see."""

    path: str
    name: str
    summary: str
    body: type[Struct]
    answer: type[Struct]
    statuses: tuple[int, ...]


def content(shape: Any, content_type: str = "application/json") -> dict[str, Any]:
    """An answer of that shape."""
    return {content_type: {"schema": _reference(shape, ANSWERED)}}


def request_body(shape: type[Struct]) -> dict[str, Any]:
    """A request of that shape."""
    return {"required": True, "content": {"application/json": {"schema": _reference(shape, TAKEN)}}}


def refusals(shape: type[Struct], content_type: str = "application/json") -> Responses:
    """How everything that is refused is answered."""
    return {"default": {"description": "Refused", "content": content(shape, content_type)}}


def document(app: FastAPI, operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document."""
    described = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    for operation in operations:
        described["paths"].setdefault(operation.path, {})["post"] = _describe(operation)
    described["paths"] = dict(sorted(described["paths"].items()))
    components = described.setdefault("components", {})
    components["schemas"] = components.get("schemas", {}) | dict(sorted(_schemas.items()))
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    described["security"] = [{"bearer": []}]
    return described


def _describe(operation: Operation) -> dict[str, Any]:
    done = {"description": "Done", "content": content(operation.answer)}
    header = {"name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string"}}
    ids = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    return {
        "tags": [operation.path.split("/")[3]],
        "summary": operation.summary,
        "operationId": operation.name,
        "parameters": [*ids, header],
        "requestBody": request_body(operation.body),
        "responses": {**{str(status): done for status in operation.statuses}, **PROBLEMS},
    }


def _reference(shape: Any, amount: dict[str, Any]) -> dict[str, Any]:
    """The schema of a Struct, as a reference into the document, with what an amount is there."""
    (schema,), components = msgspec.json.schema_components([shape], ref_template=TEMPLATE)
    _schemas.update({name: _with_amounts(component, amount) for name, component in components.items()})
    return schema


def _with_amounts(schema: Any, amount: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_with_amounts(item, amount) for item in schema]
    if not isinstance(schema, dict):
        return schema
    either = schema.get("anyOf", [])
    if DECIMAL in either:
        others = [item for item in either if item not in (INTEGER, DECIMAL)]
        return {**schema, "anyOf": [amount, *others]} if others else amount
    if schema == DECIMAL:
        return amount
    return {name: _with_amounts(item, amount) for name, item in schema.items()}


PROBLEMS: Final = refusals(Problem, PROBLEM_JSON.decode())
