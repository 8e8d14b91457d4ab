"""From an answer's JSON to the very value that the library gives: exact amounts, aware times, metadata as it was.

JSON decodes straight into the Structs. Two fields have no type to go by: a receipt's `detail`, whose amounts are exact
and whose times are times; and `metadata`, which is the caller's own JSON, where a fraction is a float.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, Generic, TypeVar, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bursar.answers import AccountAnswer, GrantReceipt, HoldAnswer, Page, Receipt, TransferReceipt
from bursar.credits.remote.refusals import ServiceUnavailable
from bursar.verify import Verdict

T = TypeVar("T")


class Rows(Struct, Generic[T], frozen=True):
    """A whole list."""

    data: list[T]


class Verified(Struct, frozen=True):
    """The proof, as the API answers it."""

    verdict: Verdict


TIMES: Final = frozenset({"effective_at", "expires_at"})
"""The facts in a receipt's detail that are times."""


def decode(body: bytes, shape: type[T]) -> T:
    """The answer of that shape. Raises `ServiceUnavailable` where it is something else."""
    try:
        decoder: msgspec.json.Decoder[T] = _decoder(cast("Any", shape))
        answer = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServiceUnavailable(f"an answer that is no {getattr(shape, '__name__', shape)}: {error}") from None
    mended: T = _mend(answer)
    return mended


@cache
def _decoder(shape: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape, float_hook=Decimal)


def _mend(answer: Any) -> Any:
    """The same, with the fields that have no type put right."""
    if isinstance(answer, Receipt):
        if answer.metadata is None and answer.detail is None:
            return answer
        return replace(answer, metadata=_plain(answer.metadata), detail=_timed(answer.detail))
    if isinstance(answer, AccountAnswer | HoldAnswer):
        return answer if answer.metadata is None else replace(answer, metadata=_plain(answer.metadata))
    if isinstance(answer, GrantReceipt):
        return GrantReceipt(answer.grant, _mend(answer.transaction))
    if isinstance(answer, TransferReceipt):
        return TransferReceipt(_mend(answer.sent), _mend(answer.received))
    if isinstance(answer, Page):
        return Page([_mend(item) for item in answer.data], answer.next_cursor)
    return answer


def _plain(value: Any) -> Any:
    """JSON as Python reads it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _timed(facts: Any, name: str = "") -> Any:
    """Facts with their times as times."""
    if isinstance(facts, str) and name in TIMES:
        return datetime.fromisoformat(facts)
    if isinstance(facts, dict):
        return {name: _timed(fact, name) for name, fact in facts.items()}
    return [_timed(fact) for fact in facts] if isinstance(facts, list) else facts
