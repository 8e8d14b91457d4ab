"""What a report was asked for: which days, grouped by what, of what."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Final

from msgspec import DecodeError, Struct
from msgspec.json import Decoder, encode

from bursar.core import text
from bursar.core.errors import Invalid
from bursar.core.model import Instant
from bursar.core.periods import DAY, utc_day
from bursar.core.tally import NEVER

GROUPS: Final = ("day", "skill", "model", "plan")
"""What everybody's usage can be grouped by."""

ACCOUNT_GROUPS: Final = (*GROUPS, "member", "actor")
"""And one account's: a key is the actor `key:ID`."""

DEFAULT_DAYS: Final = 30
DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1_000
MAX_CURSOR: Final = 4_000

EPOCH: Final = date(1970, 1, 1)
_DAY_TEXT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_decode: Final = Decoder(tuple[str, list[int | str]]).decode


class Period(Struct, frozen=True):
    """Days since 1970-01-01, half-open."""

    since: int
    until: int

    @property
    def since_at(self) -> Instant:
        return self.since * DAY

    @property
    def until_at(self) -> Instant:
        return self.until * DAY


def period_of(since: date | None, until: date | None, now: Instant) -> Period:
    """The days asked for; without an end today is the last, without a beginning there are 30. Raises `Invalid`."""
    last = utc_day(now) + 1 if until is None else day_number("until", until)
    first = max(last - DEFAULT_DAYS, 0) if since is None else day_number("since", since)
    if first >= last:
        raise Invalid("until", "must be after since")
    return Period(first, last)


def day_number(field: str, day: date) -> int:
    """Days since 1970-01-01. Raises `Invalid`."""
    if type(day) is not date:
        raise Invalid(field, "must be a day")
    number = (day - EPOCH).days
    if number < 0:
        raise Invalid(field, "must not be before 1970")
    return number


def parse_day(field: str, value: str) -> date:
    """A day such as 2026-01-31. Raises `Invalid`."""
    try:
        if _DAY_TEXT.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise Invalid(field, "must be a day such as 2026-01-31")


def to_day(number: int) -> date | None:
    """The day of that number; None for never, and for what lies beyond the calendar."""
    try:
        return None if number == NEVER else EPOCH + timedelta(days=number)
    except OverflowError:
        return None


def check_groups(by: Iterable[str], known: Sequence[str]) -> list[str]:
    """What to group by, in the order of the rows. Raises `Invalid`."""
    wanted = set([by] if isinstance(by, str) else by)
    if wanted - set(known):
        raise Invalid("by", f"must be of {', '.join(known)}")
    return [name for name in known if name in wanted]


def check_filters(skill: str | None, model: str | None, plan: str | None) -> None:
    """Refuse what names nothing."""
    if skill is not None:
        text.check_skill("skill", skill)
    for field, value in (("model", model), ("plan", plan)):
        if value is not None:
            text.check_name(field, value)


def check_limit(limit: int) -> None:
    """Refuse what is no size of a page."""
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise Invalid("limit", f"must be a whole number from 1 to {MAX_LIMIT}")


def encode_cursor(report: str, key: Sequence[int | str]) -> str:
    """Where the next page of this report begins: after this row."""
    return urlsafe_b64encode(encode((report, list(key)))).decode().rstrip("=")


def decode_cursor(report: str, first: Sequence[int | str], cursor: str | None) -> list[Any]:
    """The key of the last row of the page before; its parts are of the kinds of `first`, which is before all."""
    if cursor is None:
        return list(first)
    try:
        if len(cursor) > MAX_CURSOR:
            raise ValueError
        found, key = _decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        for part in key:
            if isinstance(part, str):
                _check_part(part)
            elif not -(2**63) < part < 2**63:
                raise ValueError
    except (ValueError, TypeError, DecodeError, Invalid):
        found, key = "", []
    if found != report or [*map(type, key)] != [*map(type, first)]:
        raise Invalid("cursor", "is none that this list gave")
    return key


def _check_part(part: str) -> None:
    if "\0" in part:
        raise ValueError
    part.encode()
