"""Money in and out is exact or refused, and a cost is rounded up to its step."""

import tracemalloc
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core.money import (
    MAX_NANOS,
    NANOS,
    STEPS,
    BadAmount,
    Rounding,
    format_credits,
    parse_billionths,
    parse_credits,
    round_up,
    to_number,
)

whole = st.integers(-MAX_NANOS // NANOS + 1, MAX_NANOS // NANOS).map(lambda count: count * NANOS)
amounts = st.integers(-MAX_NANOS, MAX_NANOS) | whole


@pytest.mark.parametrize(
    ("value", "nanos"),
    [
        (0, 0),
        (95, 95_000_000_000),
        (9_223_372_036, 9_223_372_036_000_000_000),
        ("95", 95_000_000_000),
        ("+95", 95_000_000_000),
        ("0095", 95_000_000_000),
        ("9.99735", 9_997_350_000),
        ("0.000000001", 1),
        ("1.000000000", NANOS),
        ("1e-9", 1),
        ("1E9", 10**18),
        ("1.5e+3", 1_500_000_000_000),
        ("1.25e-7", 125),
        ("0e999999999", 0),
        ("-0", 0),
        ("9223372036.854775807", MAX_NANOS),
        (Decimal("0.5"), 500_000_000),
        (Decimal("1E+3"), 1_000_000_000_000),
        (Decimal("1E-9"), 1),
        (Decimal("-0.0"), 0),
    ],
    ids=repr,
)
def test_amounts_that_are_understood(value: int | str | Decimal, nanos: int) -> None:
    assert parse_credits(value) == nanos
    assert type(parse_credits(value)) is int


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, "integer"),
        (None, "integer"),
        (b"1", "integer"),
        (1.0, "float"),
        (0.1, "float"),
        (float("nan"), "float"),
        (float("inf"), "float"),
        (Decimal("NaN"), "finite"),
        (Decimal("sNaN"), "finite"),
        (Decimal("Infinity"), "finite"),
        (Decimal("-Infinity"), "finite"),
        ("NaN", "decimal number"),
        ("inf", "decimal number"),
        ("", "decimal number"),
        ("-", "decimal number"),
        (".5", "decimal number"),
        ("5.", "decimal number"),
        (" 5", "decimal number"),
        ("5\n", "decimal number"),
        ("1_000", "decimal number"),
        ("1,5", "decimal number"),
        ("0x10", "decimal number"),
        ("1e", "decimal number"),
        ("1e1.5", "decimal number"),
        ("--1", "decimal number"),
        ("٣", "decimal number"),
        ("\uff11", "decimal number"),
        ("²", "decimal number"),
        ("1\x00", "decimal number"),
        ("1" * 41, "decimal number"),
        ("0" * 41, "decimal number"),
        ("0.1234567890", "at most 9 decimals"),
        ("1.0000000000", "at most 9 decimals"),
        ("1e-10", "at most 9 decimals"),
        ("10e-10", "at most 9 decimals"),
        ("1e-999999999", "at most 9 decimals"),
        ("0e-999999999", "at most 9 decimals"),
        (Decimal("1E-10"), "at most 9 decimals"),
        (Decimal("1.0000000000"), "at most 9 decimals"),
        (Decimal("1E-999999999"), "at most 9 decimals"),
        (9_223_372_037, "at most 9223372036.854775807"),
        (10**5_000, "at most 9223372036.854775807"),
        ("9223372036.854775808", "at most 9223372036.854775807"),
        ("1e999999999", "at most 9223372036.854775807"),
        ("1e99999999999999999999999999999999999999", "at most 9223372036.854775807"),
        (Decimal("1E+999999999"), "at most 9223372036.854775807"),
        (-1, "negative"),
        ("-0.000000001", "negative"),
        (Decimal(-1), "negative"),
    ],
    ids=lambda value: repr(value) if not isinstance(value, int) or value < 10**20 else "huge",
)
def test_amounts_that_are_refused(value: object, reason: str) -> None:
    with pytest.raises(BadAmount, match=reason):
        parse_credits(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["1e999999999", "1e-999999999", Decimal("1E+999999999"), Decimal("-1E-999999999")])
def test_an_exponent_is_never_expanded(value: str | Decimal) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadAmount):
            parse_credits(value, allow_negative=True)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("value", "nanos"), [(-1, -NANOS), ("-0.5", -500_000_000), (Decimal("-1E-9"), -1)])
def test_negative_amounts_where_they_are_allowed(value: int | str | Decimal, nanos: int) -> None:
    assert parse_credits(value, allow_negative=True) == nanos


@pytest.mark.parametrize("value", [-9_223_372_037, "-9223372036.854775808", "-1e999999999"])
def test_the_range_holds_below_zero(value: int | str) -> None:
    with pytest.raises(BadAmount, match="at most"):
        parse_credits(value, allow_negative=True)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0"),
        (95 * NANOS, "95"),
        (100 * NANOS, "100"),
        (9_997_350_000, "9.99735"),
        (-500_000_000, "-0.5"),
        (-20 * NANOS, "-20"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (MAX_NANOS, "9223372036.854775807"),
    ],
)
def test_amounts_as_people_read_them(nanos: int, text: str) -> None:
    assert format_credits(nanos) == text


@given(amounts)
def test_text_and_back(nanos: int) -> None:
    assert parse_credits(format_credits(nanos), allow_negative=True) == nanos


@pytest.mark.parametrize(
    ("nanos", "number"),
    [
        (0, "0"),
        (95 * NANOS, "95"),
        (-20 * NANOS, "-20"),
        (9_997_350_000, "Decimal('9.99735')"),
        (-500_000_000, "Decimal('-0.5')"),
        (-1_500_000_000, "Decimal('-1.5')"),
    ],
)
def test_amounts_as_numbers(nanos: int, number: str) -> None:
    assert repr(to_number(nanos)) == number


@given(amounts)
def test_number_and_back(nanos: int) -> None:
    number = to_number(nanos)
    assert parse_credits(number, allow_negative=True) == nanos
    assert isinstance(number, int) == (nanos % NANOS == 0)
    assert not (isinstance(number, Decimal) and str(number.as_tuple().digits[-1]) == "0")


@given(st.integers(-(2**70), 2**70), st.integers(0, 9))
def test_decimals_are_exact_or_out_of_range(digits: int, decimals: int) -> None:
    value = Decimal(digits).scaleb(-decimals)
    exact = Fraction(digits, 10**decimals) * NANOS
    if abs(exact) <= MAX_NANOS:
        assert parse_credits(value, allow_negative=True) == exact
    else:
        with pytest.raises(BadAmount, match="at most"):
            parse_credits(value, allow_negative=True)


@given(st.text("0123456789.eE+-_ \u0663", max_size=45))
def test_any_text_is_exact_or_refused(text: str) -> None:
    try:
        nanos = parse_credits(text, allow_negative=True)
    except BadAmount:
        return
    assert len(text) <= 40
    assert text.isascii()
    assert nanos == Fraction(text) * NANOS if "e999" not in text.lower() else nanos == 0


@pytest.mark.parametrize(
    ("numerator", "denominator", "rounding", "nanos"),
    [
        (0, 7, Rounding.WHOLE, 0),
        (1, 3, Rounding.NANO, 1),
        (3, 3, Rounding.NANO, 1),
        (4, 3, Rounding.NANO, 2),
        (1, 10**30, Rounding.CENT, 10_000_000),
        (10_000_000, 1, Rounding.CENT, 10_000_000),
        (10_000_001, 1, Rounding.CENT, 20_000_000),
        (1, 1, Rounding.WHOLE, NANOS),
        (NANOS, 1, Rounding.WHOLE, NANOS),
        (-1, 2, Rounding.NANO, 0),
        (-3, 2, Rounding.NANO, -1),
    ],
)
def test_rounding_up(numerator: int, denominator: int, rounding: Rounding, nanos: int) -> None:
    assert round_up(numerator, denominator, rounding) == nanos


@given(st.integers(-(10**40), 10**40), st.integers(1, 10**25), st.sampled_from(Rounding))
def test_rounding_is_the_next_step_up(numerator: int, denominator: int, rounding: Rounding) -> None:
    rounded, exact = round_up(numerator, denominator, rounding), Fraction(numerator, denominator)
    assert rounded % STEPS[rounding] == 0
    assert exact <= rounded < exact + STEPS[rounding]


def test_a_quantity_has_its_own_bound() -> None:
    assert parse_billionths("12.5", 1_000) == 12_500_000_000
    assert parse_billionths("1000", 1_000) == 1_000 * NANOS
    for text in ("1000.000000001", "-1", "1e5", "0.0000000001"):
        with pytest.raises(BadAmount):
            parse_billionths(text, 1_000)
