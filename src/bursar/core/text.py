"""What text the ledger takes: nothing that a database would refuse, nothing without an end.

Each check raises `Invalid` naming the field. Plain ASCII without control characters takes the fast way out.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import DecodeError
from msgspec.json import Decoder

from bursar.core.errors import Invalid
from bursar.core.periods import MAX_INSTANT, find_zone

MAX_ID = 128
MAX_KEY = 255
MAX_NAME = 200
MAX_TEXT = 1_000
MAX_JSON = 4_096

_SAFE_ID = re.compile(r"[A-Za-z0-9_.:@|+~-]{1,128}")
_SAFE_KEY = re.compile(r"[!-~]{1,255}")
_FORBIDDEN_IN_ID = re.compile(r"""[\x00-\x1f\x7f-\x9f/\\"'`<>\u2028\u2029]""")
_SKILL = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_decode_object = Decoder(dict[str, Any]).decode
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,190}")


def check_id(field: str, value: str) -> None:
    """An account's or member's id: 1 to 128 characters, none of them a control, quote, slash, backslash or angle
    bracket.
    """
    if type(value) is str and _SAFE_ID.fullmatch(value):
        return
    _check(field, value, MAX_ID)
    if _FORBIDDEN_IN_ID.search(value):
        raise Invalid(field, "must not contain control characters, quotes, slashes, backslashes or angle brackets")
    if value != value.strip():
        raise Invalid(field, "must not begin or end with a space")


def check_key(field: str, value: str) -> None:
    """An idempotency key: 1 to 255 characters without control characters."""
    if type(value) is str and _SAFE_KEY.fullmatch(value):
        return
    _check(field, value, MAX_KEY)


def check_skill(field: str, value: str) -> None:
    """A skill's system name."""
    if type(value) is not str or not _SKILL.fullmatch(value):
        raise Invalid(field, "must be upper case letters, digits and underscores, beginning with a letter, at most 64")


def check_name(field: str, value: str) -> None:
    """A short single line."""
    _check(field, value, MAX_NAME)


def check_text(field: str, value: str) -> None:
    """Free text; line breaks and tabs are fine."""
    _check(field, value, MAX_TEXT, controls="\t\n\r")


def check_json(field: str, value: str) -> None:
    """A JSON object already encoded by `model.encode_json`."""
    if type(value) is not str:
        raise Invalid(field, "must be text")
    _encodable(field, value)
    if len(value) > MAX_JSON:
        raise Invalid(field, f"must be at most {MAX_JSON} characters of JSON")
    if "\\u0000" in value:
        raise Invalid(field, "must not contain NUL characters")
    try:
        _decode_object(value)
    except (DecodeError, RecursionError):
        raise Invalid(field, "must be a JSON object") from None


def check_email(field: str, value: str) -> None:
    """Something with one @ in it; whether it can be written to is not asked."""
    if type(value) is not str or not _EMAIL.fullmatch(value):
        raise Invalid(field, "must be an e-mail address")
    _encodable(field, value)


def check_timezone(field: str, value: str) -> None:
    """The name of a time zone that the installed data knows."""
    if type(value) is not str:
        raise Invalid(field, "must be text")
    try:
        find_zone(value)
    except Invalid as refusal:
        raise Invalid(field, refusal.reason) from None


def check_instant(field: str, value: int) -> None:
    """A time between 1970 and the end of 9999."""
    if type(value) is not int or not 0 <= value <= MAX_INSTANT:
        raise Invalid(field, "must be a time from 1970 to 9999")


def check_decimal(field: str, value: str) -> None:
    """A plain decimal text, zero or more."""
    if type(value) is not str or not _DECIMAL.fullmatch(value):
        raise Invalid(field, "must be a decimal number, zero or more, with at most 12 digits on each side")


def check_currency(field: str, value: str) -> None:
    """Three capital letters."""
    if type(value) is not str or not _CURRENCY.fullmatch(value):
        raise Invalid(field, "must be a currency code such as USD")


def _check(field: str, value: str, longest: int, controls: str = "") -> None:
    if type(value) is not str:
        raise Invalid(field, "must be text")
    if not 1 <= len(value) <= longest:
        raise Invalid(field, f"must be 1 to {longest} characters")
    if not value.isprintable() and any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value if c not in controls):
        raise Invalid(field, "must not contain control characters")
    _encodable(field, value)


def _encodable(field: str, value: str) -> None:
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid(field, "must be valid Unicode without lone surrogates") from None
