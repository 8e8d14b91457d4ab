"""What text the ledger takes: nothing that a database would refuse, nothing without an end."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core import text
from bursar.core.errors import Invalid

Check = Callable[[str, Any], None]


def refuses(check: Check, value: Any) -> bool:
    try:
        check("field", value)
    except Invalid as refusal:
        assert refusal.field == "field"
        assert refusal.reason
        return True
    return False


@pytest.mark.parametrize(
    "value",
    ["a", "alice", "user@example.com", "a b", "日本", "💰", "a" * 128, "acct_1:team|2+x~y-z.w", "O‑K", "%", "#"],
)
def test_ids_that_are_taken(value: str) -> None:
    text.check_id("account", value)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " a",
            "a ",
            "\u00a0a",
            "a" * 129,
            "a" * 10_000,
            "a/b",
            "a\\b",
            'a"b',
            "a'b",
            "a`b",
            "<a",
            "a>",
            "a\nb",
            "a\tb",
        ),
        *("\0", "a\0b", "\x7f", "\x80", "\x9f", "\u2028", "\u2029", "\ud800", "a\udfffb", None, 1, b"a", ["a"]),
    ],
)
def test_ids_that_are_refused(value: Any) -> None:
    assert refuses(text.check_id, value)


@given(st.text(max_size=140))
def test_what_is_an_id_is_stored_and_compared_as_it_is(value: str) -> None:
    if not refuses(text.check_id, value):
        assert value == value.strip()
        assert _stored(value) == value


CHECKS: list[Check] = [
    text.check_id,
    text.check_key,
    text.check_name,
    text.check_text,
    text.check_email,
    text.check_json,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@given(value=st.text(st.characters(codec=None, exclude_categories=()), max_size=300))
def test_what_is_taken_can_be_stored(check: Check, value: str) -> None:
    if not refuses(check, value):
        assert "\0" not in value
        assert _stored(value) == value


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("value", [None, 1, b"bytes", ["a"], {"a": 1}, True], ids=repr)
def test_what_is_no_text_is_refused(check: Check, value: Any) -> None:
    assert refuses(check, value)


@pytest.mark.parametrize(
    ("check", "longest"),
    [(text.check_id, 128), (text.check_key, 255), (text.check_name, 200), (text.check_text, 1_000)],
)
@pytest.mark.parametrize("letter", ["a", "ü", "💰"])
def test_length_counts_characters(check: Check, longest: int, letter: str) -> None:
    assert not refuses(check, letter * longest)
    assert refuses(check, letter * (longest + 1))
    assert refuses(check, "")


def test_free_text_may_have_lines_and_a_key_may_not() -> None:
    assert not refuses(text.check_text, "a\tb\r\nc")
    assert refuses(text.check_text, "a\x0bb")
    assert refuses(text.check_text, "a\x00b")
    assert refuses(text.check_key, "a\nb")
    assert refuses(text.check_name, "a\nb")


def test_metadata_has_an_end_and_no_nul() -> None:
    assert not refuses(text.check_json, '{"a":1}')
    assert not refuses(text.check_json, '{"a":"' + "x" * 4_088 + '"}')
    assert refuses(text.check_json, '{"a":"' + "x" * 4_089 + '"}')
    assert refuses(text.check_json, '{"a":' + "[" * 2_000 + "]" * 2_000 + "}")
    for wrong in ("", "a", "[]", '"a"', "1", "null", '{"a":NaN}', '{"a":1e999}', "{a:1}", '{"a":1}\0'):
        assert refuses(text.check_json, wrong)
    assert refuses(text.check_json, '{"a":"\\u0000"}')
    assert refuses(text.check_json, '{"a":"\ud800"}')


@pytest.mark.parametrize("value", ["TEXT", "A", "TEXT_GENERATION_2", "A" * 64])
def test_skills_that_are_taken(value: str) -> None:
    text.check_skill("skill", value)


@pytest.mark.parametrize("value", ["", "text", "1A", "_A", "A-B", "A B", "A" * 65, "Ä", "A\n", None, 1])
def test_skills_that_are_refused(value: Any) -> None:
    assert refuses(text.check_skill, value)


@pytest.mark.parametrize("value", ["a@b", "zoë@example.com", "a+b@c.d"])
def test_emails_that_are_taken(value: str) -> None:
    text.check_email("email", value)


@pytest.mark.parametrize(
    "value", ["", "a", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\n", "\ud800@b", "a@\0", "x" * 65 + "@b"]
)
def test_emails_that_are_refused(value: str) -> None:
    assert refuses(text.check_email, value)


@pytest.mark.parametrize("value", ["0", "1", "0.0021", "123456789012.123456789012"])
def test_decimals_that_are_taken(value: str) -> None:
    text.check_decimal("cost", value)


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", "1.", ".5", "1e3", "NaN", "inf", "1" * 13, "0." + "1" * 13, "１", "1\n", 1, 0.5]
)
def test_decimals_that_are_refused(value: Any) -> None:
    assert refuses(text.check_decimal, value)


@pytest.mark.parametrize(
    ("value", "fine"), [("USD", True), ("usd", False), ("US", False), ("USDT", False), ("", False), (1, False)]
)
def test_currencies(value: Any, fine: bool) -> None:
    assert refuses(text.check_currency, value) is not fine


@pytest.mark.parametrize(
    ("value", "fine"),
    [("UTC", True), ("Europe/Kyiv", True), ("Mars/Base", False), ("../etc", False), ("", False), (1, False)],
)
def test_time_zones(value: Any, fine: bool) -> None:
    assert refuses(text.check_timezone, value) is not fine


@pytest.mark.parametrize(
    ("value", "fine"),
    [
        (0, True),
        (253_402_300_799_999_999, True),
        (-1, False),
        (253_402_300_800_000_000, False),
        (1.0, False),
        (True, False),
        ("0", False),
    ],
)
def test_instants(value: Any, fine: bool) -> None:
    assert refuses(text.check_instant, value) is not fine


def _stored(value: str) -> str:
    """What a database makes of it."""
    connection = sqlite3.connect(":memory:")
    try:
        stored: str = connection.execute("SELECT ?", [value]).fetchone()[0]
        return stored
    finally:
        connection.close()
