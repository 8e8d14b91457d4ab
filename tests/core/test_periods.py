"""Periods meet without gaps in every zone, and times are exact."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core.errors import Invalid
from bursar.core.periods import (
    DAY,
    MAX_INSTANT,
    SECOND,
    BadInstant,
    check_timezone,
    find_zone,
    format_instant,
    format_millis,
    from_datetime,
    next_boundary,
    parse_instant,
    period_start,
    to_datetime,
    utc_day,
)

KINDS = ("month", "week", "day", "year")
ZONES = (
    "UTC",
    "America/Havana",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Europe/Kyiv",
    "Pacific/Apia",
)
FIRST, LAST = parse_instant("1970-02-01T00:00:00Z"), parse_instant("2100-01-01T00:00:00Z")
instants = st.integers(FIRST, LAST)


def at(text: str) -> int:
    """`2025-01-31 12:00` in UTC."""
    return parse_instant(text + (":00Z" if ":" in text else " 00:00:00Z"))


def around(kind: str, moment: str, zone: str = "UTC", anchor: str | None = None) -> tuple[str, str]:
    """The period that contains the moment, in UTC."""
    anchor_at = None if anchor is None else at(anchor)
    bounds = (f(kind, at(moment), zone, anchor_at) for f in (period_start, next_boundary))
    start, end = (to_datetime(bound).strftime("%Y-%m-%d %H:%M") for bound in bounds)
    return start, end


@pytest.mark.parametrize(
    ("kind", "moment", "zone", "start", "end"),
    [
        ("month", "2025-01-15 10:00", "UTC", "2025-01-01 00:00", "2025-02-01 00:00"),
        ("month", "2025-02-01 00:00", "UTC", "2025-02-01 00:00", "2025-03-01 00:00"),
        ("month", "2024-02-29 23:59", "UTC", "2024-02-01 00:00", "2024-03-01 00:00"),
        ("month", "2025-12-31 23:59", "UTC", "2025-12-01 00:00", "2026-01-01 00:00"),
        ("year", "2024-12-31 23:59", "UTC", "2024-01-01 00:00", "2025-01-01 00:00"),
        ("day", "2024-02-28 12:00", "UTC", "2024-02-28 00:00", "2024-02-29 00:00"),
        ("week", "2025-01-01 12:00", "UTC", "2024-12-30 00:00", "2025-01-06 00:00"),
        ("week", "2025-01-06 00:00", "UTC", "2025-01-06 00:00", "2025-01-13 00:00"),
        ("week", "2025-01-05 23:59", "UTC", "2024-12-30 00:00", "2025-01-06 00:00"),
        # Japan is nine hours ahead, all year.
        ("month", "2025-01-31 14:59", "Asia/Tokyo", "2024-12-31 15:00", "2025-01-31 15:00"),
        ("month", "2025-01-31 15:00", "Asia/Tokyo", "2025-01-31 15:00", "2025-02-28 15:00"),
        ("year", "2025-06-01 00:00", "Asia/Tokyo", "2024-12-31 15:00", "2025-12-31 15:00"),
        ("week", "2025-01-05 15:00", "Asia/Tokyo", "2025-01-05 15:00", "2025-01-12 15:00"),
        # Kyiv: forward on 2021-03-28 at 01:00Z, back on 2021-10-31 at 01:00Z.
        ("month", "2021-03-31 20:59", "Europe/Kyiv", "2021-02-28 22:00", "2021-03-31 21:00"),
        ("day", "2021-03-28 12:00", "Europe/Kyiv", "2021-03-27 22:00", "2021-03-28 21:00"),
        ("day", "2021-10-31 12:00", "Europe/Kyiv", "2021-10-30 21:00", "2021-10-31 22:00"),
        # Sao Paulo: no midnight on 2018-11-04, which begins at 01:00; 2019-02-16 has 25 hours.
        ("day", "2018-11-04 02:59", "America/Sao_Paulo", "2018-11-03 03:00", "2018-11-04 03:00"),
        ("day", "2018-11-04 03:00", "America/Sao_Paulo", "2018-11-04 03:00", "2018-11-05 02:00"),
        ("day", "2019-02-17 02:30", "America/Sao_Paulo", "2019-02-16 02:00", "2019-02-17 03:00"),
        # Havana: midnight comes twice on 2022-11-06, and the first one counts.
        ("day", "2022-11-06 04:30", "America/Havana", "2022-11-06 04:00", "2022-11-07 05:00"),
        ("day", "2022-11-06 05:30", "America/Havana", "2022-11-06 04:00", "2022-11-07 05:00"),
        # St John's: on 2010-11-07 the clocks went from 00:01 back to 23:01 of the day before.
        ("day", "2010-11-07 02:30", "America/St_Johns", "2010-11-07 02:30", "2010-11-08 03:30"),
        ("day", "2010-11-07 03:00", "America/St_Johns", "2010-11-07 02:30", "2010-11-08 03:30"),
        # Samoa had no 2011-12-30.
        ("day", "2011-12-30 09:59", "Pacific/Apia", "2011-12-29 10:00", "2011-12-30 10:00"),
        ("day", "2011-12-30 10:00", "Pacific/Apia", "2011-12-30 10:00", "2011-12-31 10:00"),
    ],
)
def test_calendar_periods(kind: str, moment: str, zone: str, start: str, end: str) -> None:
    assert around(kind, moment, zone) == (start, end)


@pytest.mark.parametrize(
    ("kind", "anchor", "moment", "zone", "start", "end"),
    [
        ("month", "2025-01-15 10:30", "2025-01-15 10:30", "UTC", "2025-01-15 10:30", "2025-02-15 10:30"),
        ("month", "2025-01-15 10:30", "2025-03-15 10:29", "UTC", "2025-02-15 10:30", "2025-03-15 10:30"),
        ("month", "2025-01-15 10:30", "2024-11-15 10:29", "UTC", "2024-10-15 10:30", "2024-11-15 10:30"),
        ("year", "2024-02-29 00:00", "2025-02-28 00:00", "UTC", "2025-02-28 00:00", "2026-02-28 00:00"),
        ("year", "2024-02-29 00:00", "2028-02-28 23:59", "UTC", "2027-02-28 00:00", "2028-02-29 00:00"),
        ("week", "2025-01-01 18:00", "2025-01-15 17:59", "UTC", "2025-01-08 18:00", "2025-01-15 18:00"),
        ("day", "2025-01-01 18:00", "2025-01-15 17:59", "UTC", "2025-01-14 18:00", "2025-01-15 18:00"),
        # 03:30 in Kyiv: passed over on 2021-03-28, twice on 2021-10-31.
        (
            "day",
            "2021-01-01 01:30",
            "2021-03-28 00:59",
            "Europe/Kyiv",
            "2021-03-27 01:30",
            "2021-03-28 01:00",
        ),
        (
            "day",
            "2021-01-01 01:30",
            "2021-03-28 01:00",
            "Europe/Kyiv",
            "2021-03-28 01:00",
            "2021-03-29 00:30",
        ),
        (
            "day",
            "2021-01-01 01:30",
            "2021-10-31 01:30",
            "Europe/Kyiv",
            "2021-10-31 00:30",
            "2021-11-01 01:30",
        ),
        # The anchor's local day: 20:00Z on the 31st is the 1st in Tokyo.
        (
            "month",
            "2025-01-31 20:00",
            "2025-02-10 00:00",
            "Asia/Tokyo",
            "2025-01-31 20:00",
            "2025-02-28 20:00",
        ),
        # An anchor at the second 00:30 of a night that has two.
        (
            "day",
            "2022-11-06 05:30",
            "2022-11-06 05:30",
            "America/Havana",
            "2022-11-06 04:30",
            "2022-11-07 05:30",
        ),
    ],
)
def test_anniversary_periods(*, kind: str, anchor: str, moment: str, zone: str, start: str, end: str) -> None:
    assert around(kind, moment, zone, anchor) == (start, end)


@pytest.mark.parametrize(
    ("first", "days"),
    [
        ("2025-01-31", ["02-28", "03-31", "04-30", "05-31", "06-30", "07-31", "08-31", "09-30", "10-31"]),
        ("2024-01-31", ["02-29", "03-31", "04-30", "05-31", "06-30", "07-31", "08-31", "09-30", "10-31"]),
        ("2025-01-30", ["02-28", "03-30", "04-30", "05-30", "06-30", "07-30", "08-30", "09-30", "10-30"]),
        ("2025-01-28", ["02-28", "03-28", "04-28", "05-28", "06-28", "07-28", "08-28", "09-28", "10-28"]),
    ],
)
def test_the_end_of_a_month_does_not_drift(first: str, days: list[str]) -> None:
    moment, seen = at(first), []
    for _ in days:
        moment = next_boundary("month", moment, "UTC", at(first))
        seen.append(format_instant(moment)[5:10])
    assert seen == days


@given(st.sampled_from(KINDS), instants, st.sampled_from(ZONES), st.none() | instants)
def test_periods_are_half_open_and_meet(kind: str, moment: int, zone: str, anchor: int | None) -> None:
    start, end = period_start(kind, moment, zone, anchor), next_boundary(kind, moment, zone, anchor)
    assert start <= moment < end
    assert period_start(kind, start, zone, anchor) == start
    assert next_boundary(kind, start, zone, anchor) == end
    assert period_start(kind, end - 1, zone, anchor) == start
    assert next_boundary(kind, end - 1, zone, anchor) == end
    assert period_start(kind, end, zone, anchor) == end


@given(st.sampled_from(KINDS), instants, st.sampled_from(ZONES), st.none() | instants)
def test_a_boundary_is_its_wall_clock_time_or_the_end_of_a_gap(
    kind: str, moment: int, zone: str, anchor: int | None
) -> None:
    end = next_boundary(kind, moment, zone, anchor)
    wall, before = local(end, zone), local(end - 1, zone)
    midnight = datetime(1970, 1, 1)  # noqa: DTZ001  # a wall clock time
    wanted = (midnight if anchor is None else local(anchor, zone)).time()
    if wall - before == timedelta(microseconds=1):
        assert wall.time() == wanted
        assert anchor is not None or kind != "month" or wall.day == 1
        assert anchor is not None or kind != "week" or wall.weekday() == 0
        assert anchor is not None or kind != "year" or (wall.month, wall.day) == (1, 1)
    else:
        # The clocks go forward at this very moment, over the time wanted or up to it.
        unchanged = before + timedelta(microseconds=1)
        candidates = [datetime.combine(day, wanted) for day in (unchanged.date(), wall.date())]
        assert any(unchanged <= candidate <= wall for candidate in candidates)


@pytest.mark.parametrize(
    ("zone", "year"),
    [
        ("America/Sao_Paulo", 2018),
        ("America/Havana", 2022),
        ("Asia/Tokyo", 2025),
        ("Australia/Lord_Howe", 2025),
        ("Europe/Kyiv", 2021),
        ("Pacific/Apia", 2011),
    ],
)
def test_days_against_a_clock_that_is_read_every_quarter_of_an_hour(zone: str, year: int) -> None:
    """A day begins when the clock first shows its midnight or later."""
    moment, end = at(f"{year}-01-01"), at(f"{year + 1}-01-10")
    latest, begun = local(moment, zone), period_start("day", moment, zone)
    while moment < end:
        moment += 900 * SECOND
        now = local(moment, zone)
        if now.date() > latest.date():
            begun = moment
        latest = max(now, latest)
        assert period_start("day", moment, zone) == begun, format_instant(moment)


def local(moment: int, zone: str) -> datetime:
    return to_datetime(moment).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def test_the_edges_of_time() -> None:
    assert period_start("month", 0, "America/Sao_Paulo") == 0
    assert next_boundary("month", 0, "America/Sao_Paulo") == at("1970-01-01 03:00")
    assert around("month", "9999-11-30 23:59") == ("9999-11-01 00:00", "9999-12-01 00:00")
    with pytest.raises(BadInstant, match="end of the year 9999"):
        next_boundary("month", MAX_INSTANT, "Asia/Tokyo")
    for outside in (-1, MAX_INSTANT + 1):
        with pytest.raises(BadInstant, match="from 1970 to 9999"):
            period_start("month", outside, "UTC")


@pytest.mark.parametrize("kind", ["none", "", "Month", "hour"])
def test_other_periods_are_refused(kind: str) -> None:
    with pytest.raises(Invalid, match="month, week, day, year"):
        period_start(kind, 0, "UTC")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Nowhere",
        "Europe",
        "Europe/",
        "/etc/localtime",
        "../UTC",
        "UTC\x00",
        "UTC\n",
        "localtime",
        "a" * 200,
        "Ünit",
    ],
)
def test_what_is_no_time_zone(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_timezone(name)
    assert refused.value.field == "timezone"
    with pytest.raises(Invalid):
        next_boundary("day", 0, name)


@pytest.mark.parametrize("name", [*ZONES, "Etc/GMT+5", "America/Argentina/Buenos_Aires", "EST5EDT"])
def test_time_zones(name: str) -> None:
    check_timezone(name)
    assert find_zone(name).key == name


# ---------------------------------------------------------------------------------------------- times as text


@pytest.mark.parametrize(
    ("text", "instant", "canonical"),
    [
        ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
        ("1970-01-01T00:00:00.000001Z", 1, "1970-01-01T00:00:00.000001Z"),
        ("1970-01-01T00:00:00.5z", 500_000, "1970-01-01T00:00:00.500000Z"),
        ("1970-01-01t00:00:00.123456999Z", 123_456, "1970-01-01T00:00:00.123456Z"),
        ("1970-01-01 02:00:00+02:00", 0, "1970-01-01T00:00:00Z"),
        ("1969-12-31T19:00:00-05:00", 0, "1970-01-01T00:00:00Z"),
        ("1970-01-02T00:00:00-00:00", DAY, "1970-01-02T00:00:00Z"),
        ("2025-02-01T00:00:00.000Z", 1_738_368_000_000_000, "2025-02-01T00:00:00Z"),
        ("2024-02-29T12:00:00Z", 1_709_208_000_000_000, "2024-02-29T12:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", MAX_INSTANT, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_as_text(text: str, instant: int, canonical: str) -> None:
    assert parse_instant(text) == instant
    assert format_instant(instant) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-02-01",
        "2025-02-01T00:00:00",
        "2025-02-01T00:00Z",
        "2025-02-30T00:00:00Z",
        "2025-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2025-02-01T24:00:00Z",
        "2025-02-01T23:59:60Z",
        "2025-02-01T00:00:00+24:00",
        "2025-02-01T00:00:00+0200",
        "2025-02-01T00:00:00.Z",
        "2025-02-01T00:00:00.1234567890Z",
        "2025-02-01T00:00:00Z\n",
        "\uff12025-02-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "1738368000",
    ],
)
def test_texts_that_are_no_time(text: str) -> None:
    with pytest.raises(BadInstant, match="must be"):
        parse_instant(text)


def test_milliseconds_are_cut_off() -> None:
    assert format_millis(at("2025-02-01")) == "2025-02-01T00:00:00.000Z"
    assert format_millis(1_999) == "1970-01-01T00:00:00.001Z"
    assert format_millis(MAX_INSTANT) == "9999-12-31T23:59:59.999Z"


@given(st.integers(0, MAX_INSTANT), st.integers(-1_439, 1_439))
def test_there_and_back(instant: int, offset_minutes: int) -> None:
    moment = to_datetime(instant)
    assert moment.tzinfo is UTC
    assert from_datetime(moment) == instant
    assert parse_instant(format_instant(instant)) == instant
    assert instant - 999 <= parse_instant(format_millis(instant)) <= instant
    if DAY <= instant <= MAX_INSTANT - DAY:
        elsewhere = moment.astimezone(timezone(timedelta(minutes=offset_minutes)))
        assert from_datetime(elsewhere) == parse_instant(elsewhere.isoformat()) == instant


@given(st.integers(0, MAX_INSTANT))
def test_the_day_of_a_total(instant: int) -> None:
    day = utc_day(instant)
    assert day * DAY <= instant < (day + 1) * DAY
    assert day == (to_datetime(instant).date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days


def test_times_that_are_refused() -> None:
    with pytest.raises(BadInstant, match="time zone"):
        from_datetime(datetime(2025, 1, 1))  # noqa: DTZ001  # that is what is refused
    for outside in (
        datetime(1969, 12, 31, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    ):
        with pytest.raises(BadInstant, match="from 1970"):
            from_datetime(outside)
    for instant in (-1, MAX_INSTANT + 1, 10**30):
        with pytest.raises(BadInstant, match="from 1970"):
            to_datetime(instant)
