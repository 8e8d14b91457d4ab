"""Calendar and anniversary periods, time zones, and times as text.

A time is an `Instant`: whole microseconds since 1970-01-01 UTC, years 1970 to 9999, no float anywhere.
Periods are half-open, `start <= at < end`, and without gaps: every boundary is a wall clock time in the
account's zone, counted from one anchor, so that Jan 31 is followed by Feb 28 and then by Mar 31. A wall clock
time that does not exist is the first instant after the gap; one that comes twice is its first occurrence.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from bursar.core.errors import Invalid
from bursar.core.model import Instant

SECOND: Final = 1_000_000
"""Microseconds in a second."""

DAY: Final = 86_400 * SECOND
MAX_INSTANT: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}")
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)

_Wall = datetime
"""A naive wall clock time in some zone."""


class BadInstant(ValueError):
    """No time from 1970 to 9999; the message is a reason that reads well behind a field's name."""


def to_datetime(instant: Instant) -> datetime:
    """The aware UTC datetime. Raises `BadInstant`."""
    return _EPOCH + timedelta(microseconds=_within(instant))


def from_datetime(moment: datetime) -> Instant:
    """The instant of an aware datetime in any zone, exactly. Raises `BadInstant`, also for a naive one."""
    if moment.utcoffset() is None:
        raise BadInstant("must carry a time zone")
    return _within((moment - _EPOCH) // _MICROSECOND)


def format_instant(instant: Instant) -> str:
    """RFC 3339 in UTC, with microseconds only where there are any: `2025-02-01T00:00:00Z`."""
    return to_datetime(instant).replace(tzinfo=None).isoformat() + "Z"


def format_millis(instant: Instant) -> str:
    """RFC 3339 in UTC with three decimals, the rest cut off: `2025-02-01T00:00:00.000Z`."""
    return to_datetime(instant).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_instant(text: str) -> Instant:
    """The instant of an RFC 3339 text with its zone, cut off after microseconds. Raises `BadInstant`."""
    if not _RFC3339.fullmatch(text):
        raise BadInstant("must be a time with its zone, such as 2025-02-01T00:00:00Z")
    try:
        return from_datetime(datetime.fromisoformat(text.upper()))
    except BadInstant:
        raise
    except ValueError:
        raise BadInstant("must be a day of the calendar") from None


def utc_day(instant: Instant) -> int:
    """Days since 1970-01-01, in UTC."""
    return instant // DAY


def check_timezone(name: str) -> None:
    """Refuse what is no IANA time zone. Raises `Invalid`."""
    find_zone(name)


@lru_cache(maxsize=1_024)
def find_zone(name: str) -> ZoneInfo:
    """The IANA time zone of that name. Raises `Invalid`."""
    try:
        # `localtime` is whatever this machine is set to: the same ledger would mean something else elsewhere.
        if _ZONE.fullmatch(name) and name != "localtime":
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise Invalid("timezone", "must be the name of a time zone, such as UTC or Europe/Kyiv")


def period_start(kind: str, at: Instant, timezone: str, anchor_at: Instant | None = None) -> Instant:
    """The start of the period that contains `at`.

    `kind` is `month`, `week`, `day` or `year`. Without an anchor a period begins at local midnight, on the
    1st, a Monday or January 1st; with one, at its day and time of day. None begins before 1970.
    Raises `Invalid` for another kind or zone, `BadInstant` for a time out of range.
    """
    return _period(kind, at, timezone, anchor_at)[0]


def next_boundary(kind: str, at: Instant, timezone: str, anchor_at: Instant | None = None) -> Instant:
    """The end of the period that contains `at`, which begins the next one: strictly after `at`."""
    return _period(kind, at, timezone, anchor_at)[1]


def _months(anchor: _Wall, steps: int) -> _Wall:
    years, month = divmod(anchor.month - 1 + steps, 12)
    year, month = anchor.year + years, month + 1
    return anchor.replace(year=year, month=month, day=min(anchor.day, monthrange(year, month)[1]))


# How each kind counts on from its anchor, and its calendar anchor (1970-01-05 was a Monday).
_KINDS: Final[dict[str, tuple[Callable[[_Wall, int], _Wall], _Wall]]] = {
    "month": (_months, _Wall(1970, 1, 1)),
    "week": (lambda anchor, steps: anchor + timedelta(weeks=steps), _Wall(1970, 1, 5)),
    "day": (lambda anchor, steps: anchor + timedelta(days=steps), _Wall(1970, 1, 1)),
    "year": (lambda anchor, steps: _months(anchor, 12 * steps), _Wall(1970, 1, 1)),
}


@lru_cache(maxsize=4_096)
def _period(kind: str, at: Instant, timezone: str, anchor_at: Instant | None) -> tuple[Instant, Instant]:
    """Remembered: at midnight everybody asks for the same one."""
    if kind not in _KINDS:
        raise Invalid("period", f"must be one of {', '.join(_KINDS)}")
    step, anchor = _KINDS[kind]
    zone = find_zone(timezone)
    _within(at)
    try:
        if anchor_at is not None:
            anchor = _wall(anchor_at, zone)
        return _around(at, _steps(kind, anchor, _wall(at, zone)), lambda n: _resolve(step(anchor, n), zone))
    except (OverflowError, ValueError):
        raise BadInstant("is too near the end of the year 9999") from None


def _around(at: Instant, guess: int, boundary: Callable[[int], Instant]) -> tuple[Instant, Instant]:
    """The two boundaries around `at`. The guess is off by one or two at most: clocks shift by hours."""
    start, end = boundary(guess), boundary(guess + 1)
    while start > at:
        guess -= 1
        start, end = boundary(guess), start
    while end <= at:
        guess += 1
        start, end = end, boundary(guess + 1)
    return max(start, 0), end


def _steps(kind: str, anchor: _Wall, at: _Wall) -> int:
    """About how many periods lie between them."""
    if kind == "month":
        return (at.year - anchor.year) * 12 + at.month - anchor.month
    if kind == "year":
        return at.year - anchor.year
    return (at - anchor).days // (7 if kind == "week" else 1)


def _wall(instant: Instant, zone: ZoneInfo) -> _Wall:
    return to_datetime(instant).astimezone(zone).replace(tzinfo=None)


def _resolve(wall: _Wall, zone: ZoneInfo) -> Instant:
    """The instant at which the clocks of the zone first show that time, or pass over it."""
    before, after = (_microseconds(wall.replace(tzinfo=zone, fold=fold).utcoffset()) for fold in (0, 1))
    local = (wall - _EPOCH.replace(tzinfo=None)) // _MICROSECOND
    if before >= after:
        return local - before
    return _change(local - after, local - before, zone)


def _change(early: Instant, late: Instant, zone: ZoneInfo) -> Instant:
    """The moment between them at which the zone's clocks go forward. Halved, as `zoneinfo` does not tell."""
    old = _offset(early, zone)
    while late - early > 1:
        middle = (early + late) // 2
        if _offset(middle, zone) == old:
            early = middle
        else:
            late = middle
    return late


def _offset(instant: Instant, zone: ZoneInfo) -> int:
    return _microseconds((_EPOCH + timedelta(microseconds=instant)).astimezone(zone).utcoffset())


def _microseconds(span: timedelta | None) -> int:
    return (span or timedelta()) // _MICROSECOND


def _within(instant: Instant) -> Instant:
    if not 0 <= instant <= MAX_INSTANT:
        raise BadInstant("must be a time from 1970 to 9999")
    return instant
