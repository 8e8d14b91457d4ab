"""Bodies: read within their bound, decoded exactly, refused by name."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import fields

from bursar.core.errors import Invalid
from bursar.core.model import Usage
from bursar.service.api.bodies import ChargeBody, UsageBody
from bursar.service.problems import InvalidFields, TooLarge
from bursar.service.wire import Gone, decode_body, read_body, segment

LIMIT = 10


def receiver(*messages: dict[str, Any]) -> Any:
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    return receive


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_parts() -> None:
    receive = receiver(part(b"12", more=True), part(b"34", more=True), part(b"567890"))
    assert await read_body({"headers": []}, receive, LIMIT) == b"1234567890"


@pytest.mark.parametrize(
    "messages",
    [
        [part(b"12345678901")],
        [part(b"12345678", more=True), part(b"901")],
        [part(b"12345678", more=True), part(b"901", more=True)],
    ],
    ids=range(3),
)
async def test_a_body_that_is_too_large(messages: list[dict[str, Any]]) -> None:
    with pytest.raises(TooLarge):
        await read_body({"headers": []}, receiver(*messages), LIMIT)


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    with pytest.raises(TooLarge):
        await read_body({"headers": [(b"content-length", b"11")]}, receiver(part(b"1", more=True)), LIMIT)


async def test_a_caller_who_leaves() -> None:
    for messages in ([{"type": "http.disconnect"}], [part(b"1", more=True), {"type": "http.disconnect"}]):
        with pytest.raises(Gone):
            await read_body({"headers": []}, receiver(*messages), LIMIT)


def test_amounts_never_pass_through_a_float() -> None:
    for text in ("0.1", "1e-9", "9007199254740993", "123456789.123456789"):
        for raw in (f'{{"amount": {text}}}', f'{{"amount": "{text}"}}'):
            amount = decode_body(raw.encode(), ChargeBody).amount
            assert amount == Decimal(text)
            assert not isinstance(amount, float)


def test_the_usage_over_http_is_the_usage_of_the_ledger() -> None:
    ours = {field.name: field.default for field in fields(UsageBody) if field.name not in ("seconds", "custom")}
    theirs = {field.name: field.default for field in fields(Usage) if field.name not in ("seconds", "custom")}
    assert ours == theirs
    assert set(UsageBody.__struct_fields__) == set(Usage.__struct_fields__)


def test_a_field_that_is_there_twice() -> None:
    for body in (b'{"amount": 1, "amount": 2}', b'{"amount":1,"usage":{"images":1,"images":2},"amount" :1}'):
        with pytest.raises(Invalid, match="is there twice"):
            decode_body(body, ChargeBody)
    inside = decode_body(b'{"amount": 1, "metadata": {"amount": 2, "skill": 3}, "skill": null}', ChargeBody)
    assert inside.metadata == {"amount": 2, "skill": 3}


def test_what_is_wrong_inside_is_named_by_its_path() -> None:
    with pytest.raises(InvalidFields) as refused:
        decode_body(b'{"usage": {"input_tokens": "x"}, "quantity": null}', ChargeBody)
    assert [error.field for error in refused.value.errors] == ["usage.input_tokens", "quantity"]


def test_a_segment_is_decoded_once() -> None:
    assert segment("account", "a%2520b%2Fc%C3%A9") == "a%20b/cé"
    with pytest.raises(Invalid, match="account"):
        segment("account", "%ff")
