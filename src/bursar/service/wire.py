"""Bodies in and answers out: JSON by msgspec, exact amounts, and every wrong field named.

Numbers that are amounts become `Decimal` without passing through a float; a decimal string does as well. A body is
read within its bound, whatever its headers promise, and decoded straight into the Struct that describes it. Only a
body that is refused is looked at a second time, field by field, to say everything that is wrong with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import chain, islice
from typing import Any, Final, NoReturn, TypeAlias, TypeVar, get_args
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Struct, ValidationError
from msgspec.structs import FieldInfo, fields

from bursar.core.errors import Invalid
from bursar.core.model import Instant
from bursar.core.periods import BadInstant, parse_instant, to_datetime
from bursar.service.problems import FieldError, InvalidFields, TooLarge

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

JSON: Final = b"application/json"
REPLAYED: Final = (b"idempotency-replayed", b"true")
MAX_ERRORS: Final = 20
NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
"""What a number in a string may look like; what is no finite number is refused by name later."""

B = TypeVar("B", bound=Struct)


class Body(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a request may carry; each subclass is one body."""


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body. Raises `TooLarge` as soon as it must be larger than the bound, and `Gone` if the caller left."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body") and message["type"] == "http.request":
        if len(body) > limit_bytes:
            raise TooLarge(limit_bytes)
        return body
    if int(header(scope, b"content-length") or 0) > limit_bytes:
        raise TooLarge(limit_bytes)
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit_bytes:
            raise TooLarge(limit_bytes)
    if message["type"] != "http.request":
        raise Gone
    return b"".join(parts)


class Gone(Exception):
    """The caller went away before the request was whole: nobody is left to answer."""


async def send_answer(
    send: Send, status: int, body: bytes, content_type: bytes = JSON, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """A whole answer at once."""
    length = b"%d" % len(body)
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", content_type), (b"content-length", length), *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that lower-case name, as it came."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return None


def segment(field: str, raw: str) -> str:
    """One segment of a path, percent-decoded once. Raises `Invalid` where it is no UTF-8."""
    if "%" not in raw:
        return raw
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise Invalid(field, "must be valid UTF-8") from None


@cache
def _decoder(body: type[Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(body)


@cache
def _names(body: type[Struct]) -> re.Pattern[bytes]:
    """Finds the fields of a body in its text, and perhaps more of that name inside them."""
    names = (re.escape(field.encode_name.encode()) for field in fields(body))
    return re.compile(rb'"(%b)"\s*:' % b"|".join(names))


def decode_body(raw: bytes, body: type[B]) -> B:
    """The body as its Struct; none at all counts as `{}`. Raises `Invalid` naming every field that is wrong."""
    try:
        decoded: B = _decoder(body).decode(raw or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise_refused(raw or b"{}", body, error)
    if _quoted_number(body).search(raw):
        _check_numbers(json.loads(raw, parse_int=_Number, parse_float=_Number), body)
    names = _names(body).findall(raw)
    if len(names) > len(set(names)):
        _refuse_twice(raw)
    return decoded


@cache
def _quoted_number(body: type[Struct]) -> re.Pattern[bytes]:
    """Where a number of this body stands as a string, which is looked at again: a `Decimal` takes more than we do."""
    return re.compile(rb'"(?:%s)"\s*:\s*["{]' % b"|".join(sorted(_number_names(body)) or [b"(?!)"]))


def _number_names(body: type[Struct]) -> Iterator[bytes]:
    for field in fields(body):
        if Decimal in _types(field.type):
            yield re.escape(field.encode_name.encode())
        for inner in _types(field.type):
            if isinstance(inner, type) and issubclass(inner, Struct):
                yield from _number_names(inner)


def _types(annotation: object) -> set[object]:
    """A type, and all that it is made of: `dict[str, Decimal] | None` holds a `Decimal`."""
    return {annotation}.union(*(_types(part) for part in get_args(annotation)))


def _check_numbers(value: object, body: type[Struct]) -> None:
    """Refuse strings that are no plain decimal number (`1_0`, full-width digits, blanks). Raises `Invalid`."""
    if not isinstance(value, dict):
        return
    for field in fields(body):
        found = value.get(field.encode_name)
        parts = [found, *found.values()] if isinstance(found, dict) else found if isinstance(found, list) else [found]
        types = _types(field.type)
        for part in parts:
            if Decimal in types and type(part) is str and not NUMBER.fullmatch(part):
                raise Invalid(field.encode_name, "must be a decimal number such as 12.5")
            for inner in types:
                if isinstance(inner, type) and issubclass(inner, Struct):
                    _check_numbers(part, inner)


def _refuse_twice(raw: bytes) -> None:
    """Raise `Invalid` for a field that is there twice: which of the two was meant is anybody's guess."""

    def pairs(found: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for name, _ in found:
            if name in seen:
                raise Invalid(_printable(name), "is there twice")
            seen.add(name)

    try:
        json.loads(raw, object_pairs_hook=pairs, parse_int=_Number, parse_float=_Number)
    except RecursionError:
        raise Invalid("body", "is nested too deeply") from None


def some_instant(field: str, value: str | None) -> Instant | None:
    """An instant from RFC 3339 text. Raises `Invalid`."""
    if value is None:
        return None
    try:
        return parse_instant(value)
    except BadInstant as bad:
        raise Invalid(field, str(bad)) from None


def some_datetime(field: str, value: str | None) -> datetime | None:
    """The same as a datetime in UTC. Raises `Invalid`."""
    instant = some_instant(field, value)
    return None if instant is None else to_datetime(instant)


def split_list(raw: bytes, body: type[B], field: str) -> list[bytes]:
    """The items of the one list of a body, each as JSON text to be decoded by itself. Raises `Invalid`.

    Where the whole cannot be decoded because of what stands in one item, the items are told apart leniently.
    """
    try:
        return [bytes(item) for item in getattr(_decoder(body).decode(raw or b"{}"), field)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        value = _parse(raw, error)
        items = value.get(field) if isinstance(value, dict) else None
        if not isinstance(items, list) or len(value) > 1:  # type: ignore[arg-type]
            raise_refused(raw or b"{}", body, error)
        return [_rewrite(item).encode() for item in items]


def raise_refused(raw: bytes, body: type[Struct], error: Exception) -> NoReturn:
    """Look again at a body that was refused, and say what is wrong with it, field by field."""
    value = _parse(raw, error)
    if not isinstance(value, dict):
        raise Invalid("body", "must be a JSON object")
    surrogates = _unencodable(value) if b"\\ud" in raw.lower() else ()
    errors = list(islice(chain(surrogates, _field_errors(value, body)), MAX_ERRORS))
    raise InvalidFields(errors or [FieldError("body", "must be valid JSON of the documented form")])


def _parse(raw: bytes, error: Exception) -> object:
    """The same JSON, parsed leniently: numbers stay text, so that none of them costs time or becomes infinite."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as bad:
        raise Invalid("body", f"must be valid UTF-8 (byte {bad.start})") from None
    try:
        return json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_no_constant)
    except RecursionError:
        raise Invalid("body", "is nested too deeply") from None
    except ValueError:
        raise Invalid("body", _reason(error)) from None


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _reason(error: Exception) -> str:
    text = str(error)
    return f"must be valid JSON: {text.removeprefix('JSON is malformed: ')}" if text else "must be valid JSON"


def _unencodable(value: dict[str, object]) -> Iterator[FieldError]:
    """Fields with a lone surrogate anywhere inside."""
    for name, item in value.items():
        try:
            json.dumps({name: item}, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            yield FieldError(_printable(name), "must be valid Unicode without lone surrogates")
        except RecursionError:
            yield FieldError(_printable(name), "is nested too deeply")


def _field_errors(value: dict[str, object], body: type[Struct]) -> Iterator[FieldError]:
    known = {field.encode_name: field for field in fields(body)}
    for name in value:
        if name not in known:
            yield FieldError(_printable(name), "is not a field of this request")
    for name, field in known.items():
        if name not in value:
            if field.required:
                yield FieldError(name, "is required")
            continue
        reason = _wrong(value[name], field)
        if reason:
            yield reason


def _wrong(value: object, field: FieldInfo) -> FieldError | None:
    """What msgspec says about this one field, by itself."""
    try:
        raw = _rewrite(value).encode()
        msgspec.json.decode(raw, type=field.type)
    except ValidationError as bad:
        reason, _, path = str(bad).partition(" - at `$")
        return FieldError(field.encode_name + path.rstrip("`"), reason[:1].lower() + reason[1:])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None  # said already, by `_unencodable`
    return None


def _rewrite(value: object) -> str:
    """The JSON text of a leniently parsed value, with its numbers as they were written."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_rewrite(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_rewrite, value)) + "]"
    return json.dumps(value)


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()[:64]
