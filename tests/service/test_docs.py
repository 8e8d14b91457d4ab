"""The page at /docs: all of the document, and nothing from anywhere else."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from bursar.service.docs import page
from tests.service.conftest import Service


class Seen(HTMLParser):
    """What a browser would find on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        found = dict(attributes)
        self.ids += filter(None, [found.get("id")])
        self.links += [value for name in ("href", "src", "action") if (value := found.get(name)) is not None]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_page_shows_every_operation_and_shape_and_loads_nothing(service: Service) -> None:
    nobody = await service.client()
    answer = await nobody.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    document: dict[str, Any] = (await nobody.get("/openapi.json")).json()
    seen = Seen(answer.text)
    assert seen.open == []
    assert not {"script", "link", "img", "iframe"} & set(seen.tags)
    assert "http" not in answer.text.replace("http_", "").split("<body>")[0]
    for link in seen.links:
        assert link == "openapi.json" or link.removeprefix("#") in seen.ids, link
    operations = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert sorted(seen.ids) == sorted([*operations, *document["components"]["schemas"]])
    for path in document["paths"]:
        assert f"<code>{path}</code>" in answer.text


def test_what_the_document_says_is_text() -> None:
    evil = "<script>alert('1')</script>"
    operation = {"operationId": "x", "summary": evil, "description": evil, "responses": {"200": {"description": evil}}}
    shown = page(
        {"info": {"title": evil, "version": evil, "description": evil}, "paths": {f"/{evil}": {"get": operation}}}
    )
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") >= 6
