"""The API's page at /docs: the OpenAPI document as plain HTML.

Made from the document itself, so that it says nothing else. It needs no script and loads nothing: it works where there
is no network, and runs nobody's code beside an administrator's key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final

Json = dict[str, Any]

CONTENT_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
details { border: 1px solid #8884; border-radius: .3rem; margin: .4rem 0; padding: .3rem .8rem }
summary { cursor: pointer } code, pre { font: .9em ui-monospace, monospace; overflow-wrap: anywhere }
summary b { display: inline-block; min-width: 4rem } table { border-collapse: collapse; margin: .5rem 0; width: 100% }
td, th { border-bottom: 1px solid #8884; padding: .2rem .6rem .2rem 0; text-align: left; vertical-align: top }
:root { color-scheme: light dark }
"""

METHODS: Final = ("get", "post", "put", "patch", "delete")


def page(document: Json) -> str:
    """The whole page."""
    info, schemas = document["info"], document.get("components", {}).get("schemas", {})
    parts = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        *_paragraphs(info.get("description", "")),
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>',
    ]
    for tag, operations in _by_tag(document["paths"]).items():
        parts.append(f"<h2>{escape(tag)}</h2>")
        parts += [_operation(*operation) for operation in operations]
    parts.append("<h2>What the answers and requests are made of</h2>")
    parts += [_schema(name, schema) for name, schema in schemas.items()]
    head = f'<meta charset="utf-8"><title>{escape(info["title"])}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


def _by_tag(paths: Json) -> dict[str, list[tuple[str, str, Json]]]:
    tags: dict[str, list[tuple[str, str, Json]]] = {}
    for path, methods in paths.items():
        for method in METHODS:
            if method in methods:
                tag = next(iter(methods[method].get("tags", ())), "other")
                tags.setdefault(tag, []).append((method, path, methods[method]))
    return dict(sorted(tags.items()))


def _operation(method: str, path: str, operation: Json) -> str:
    parts = [f"<summary><b>{method.upper()}</b> <code>{escape(path)}</code> {escape(operation['summary'])}</summary>"]
    parts += _paragraphs(operation.get("description", ""))
    parameters = [
        (item["name"], item["in"], _kind(item.get("schema", {})), item.get("description", ""), item.get("required"))
        for item in operation.get("parameters", [])
    ]
    parts += _table(
        (_needed(name, required), place, kind, escape(said)) for name, place, kind, said, required in parameters
    )
    if "requestBody" in operation:
        parts.append(f"<p>Takes {_content(operation['requestBody'])}.</p>")
    for status, answer in operation["responses"].items():
        what = "Refused" if status == "default" else status
        parts.append(f"<p>{escape(what)}: {_content(answer)}</p>")
    return f'<details id="{escape(operation["operationId"])}">{"".join(parts)}</details>'


def _schema(name: str, schema: Json) -> str:
    required = schema.get("required", ())
    parts = [f"<summary><code>{escape(name)}</code></summary>", *_paragraphs(schema.get("description", ""))]
    fields = schema.get("properties", {})
    parts += _table((_needed(field, field in required), _kind(kind)) for field, kind in fields.items())
    if not fields:
        parts.append(f"<p>{_kind(schema)}</p>")
    return f'<details id="{escape(name)}">{"".join(parts)}</details>'


def _needed(name: str, required: object) -> str:
    return f"<code>{escape(name)}</code>" + (" (required)" if required else "")


def _content(body: Json) -> str:
    shown = [
        f"{_kind(media['schema'])} as <code>{escape(kind)}</code>" for kind, media in body.get("content", {}).items()
    ]
    return ", ".join(shown) or escape(body.get("description", ""))


def _kind(schema: Json) -> str:
    """A type in a few words; what has a name of its own is a link to it."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for either in ("anyOf", "oneOf"):
        if either in schema:
            return " or ".join(dict.fromkeys(map(_kind, schema[either])))
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escape(schema.get("format") or (" or ".join(kind) if isinstance(kind, list) else kind))


def _table(rows: Iterable[Iterable[str]]) -> Iterator[str]:
    lines = ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    if lines:
        yield f"<table>{''.join(lines)}</table>"


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in filter(None, text.split("\n\n")):
        yield f"<p>{escape(paragraph)}</p>"
