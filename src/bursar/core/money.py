"""Integer nano-credits: the only file that rounds and divides money.

One credit is 10^9 nano-credits, in an int64. Whatever comes in is exact or refused: no float, no more than
nine decimals, nothing beyond the range, and an exponent is judged before it is expanded. Whatever goes out is
exact too. Rounding happens once, at the end of a price, and always up; only the part of a paid price that belongs to
some of its credits rounds down. Stands below everything else in `core`, the error tree included.

Money of the world outside (what was paid for credits, what a provider asks) is counted in millionths of a millionth
of its currency, as it comes with at most 12 decimals.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeAlias

Nanos: TypeAlias = int
"""An amount in nano-credits."""

NANOS: Final = 1_000_000_000
"""Nano-credits in one credit."""

MAX_NANOS: Final = 2**63 - 1
"""The largest amount that a column holds; the smallest is its negative."""

Picos: TypeAlias = int
"""An amount of money in 10^-12 of its currency; a sum may exceed 64 bits."""

PICOS: Final = 1_000_000_000_000
"""Of them in one of the currency."""

DECIMALS: Final = 9
MONEY_DECIMALS: Final = 12
MAX_TEXT: Final = 40

_MAX_WHOLE = MAX_NANOS // NANOS
_DECIMAL = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")


class Rounding(StrEnum):
    """The step, in credits, up to which a cost is rounded."""

    WHOLE = "1"
    CENT = "0.01"
    NANO = "1e-9"


STEPS: Final = {Rounding.WHOLE: NANOS, Rounding.CENT: NANOS // 100, Rounding.NANO: 1}
"""Each rounding's step in nano-credits."""


class BadAmount(ValueError):
    """No exact decimal within the range; the message is a reason that reads well behind a field's name."""


def parse_credits(value: int | str | Decimal, *, allow_negative: bool = False) -> Nanos:
    """Nano-credits from credits: `95`, `Decimal("0.5")`, `"9.99735"`, `"1.5e3"`. Raises `BadAmount`.

    Ten decimals are ten decimals even where the last is a zero.
    """
    if type(value) is int and 0 <= value <= _MAX_WHOLE:
        return value * NANOS
    nanos = _parse(value, MAX_NANOS)
    if nanos < 0 and not allow_negative:
        raise BadAmount("must not be negative")
    return nanos


def parse_billionths(value: int | str | Decimal, maximum: int) -> int:
    """Billionths from a decimal quantity of 0 to `maximum`: seconds, a factor. Raises `BadAmount`."""
    billionths = _parse(value, maximum * NANOS)
    if billionths < 0:
        raise BadAmount("must not be negative")
    return billionths


def format_credits(nanos: Nanos) -> str:
    """The exact decimal in credits, without exponent or trailing zeros: `95`, `9.99735`, `-0.5`."""
    whole, fraction = divmod(abs(nanos), NANOS)
    sign = "-" if nanos < 0 else ""
    return f"{sign}{whole}.{fraction:09d}".rstrip("0") if fraction else f"{sign}{whole}"


def to_number(nanos: Nanos) -> int | Decimal:
    """Credits as an integer where whole, else the exact `Decimal` without trailing zeros."""
    whole, fraction = divmod(nanos, NANOS)
    return Decimal(format_credits(nanos)) if fraction else whole


def round_up(numerator: int, denominator: int, rounding: Rounding) -> Nanos:
    """The smallest multiple of the step that is >= numerator/denominator nano-credits; denominator > 0."""
    step = STEPS[rounding]
    return -(-numerator // (denominator * step)) * step


@lru_cache(maxsize=4_096)
def parse_money(text: str) -> Picos:
    """Money from a plain decimal text with at most 12 decimals, as a command has checked it: `19.99`."""
    whole, _, fraction = text.partition(".")
    return int(whole) * PICOS + int(fraction[:MONEY_DECIMALS].ljust(MONEY_DECIMALS, "0"))


def format_money(picos: Picos) -> str:
    """The exact decimal, without exponent or trailing zeros: `19.99`, `-0.000000000001`."""
    whole, fraction = divmod(abs(picos), PICOS)
    sign = "-" if picos < 0 else ""
    return f"{sign}{whole}.{fraction:012d}".rstrip("0") if fraction else f"{sign}{whole}"


def portion(whole: int, part: int, of: int) -> int:
    """What `part` of `of` is of the whole, rounded down: 30 of 100 credits for 9.99 are 2.997."""
    return whole * part // of if of else 0


def format_ratio(numerator: int, denominator: int) -> str:
    """numerator/denominator (neither negative) as money: exact where 12 decimals suffice, else rounded half up."""
    return format_money((2 * numerator * PICOS + denominator) // (2 * denominator))


def share(amount: Nanos, part: int, whole: int) -> Nanos:
    """`amount` times part/whole, cut off towards zero: a share and the share of its negative cancel out."""
    return -portion(-amount, part, whole) if amount < 0 else portion(amount, part, whole)


def _parse(value: object, largest: int) -> int:
    """Signed billionths within +-`largest`."""
    if isinstance(value, str):
        return _parse_text(value, largest)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadAmount(_wrong_type(value))
    if isinstance(value, int):
        # Compared before it is multiplied or shown: an integer may have a million digits.
        return _within(value, largest, NANOS)
    if not value.is_finite():
        raise BadAmount("must be a finite number")
    return _parse_text(str(value), largest)


def _parse_text(text: str, largest: int) -> int:
    match = _DECIMAL.fullmatch(text) if len(text) <= MAX_TEXT else None
    if match is None:
        raise BadAmount(f"must be a decimal number such as 12.5, at most {MAX_TEXT} characters")
    sign, whole, fraction, exponent = match.groups(default="")
    shift = DECIMALS - len(fraction) + int(exponent or 0)
    if shift < 0:
        raise BadAmount(f"must have at most {DECIMALS} decimals")
    # The bound on the exponent comes first: 1e999999999 is eleven characters, and a gigabyte once expanded.
    return _within(int(sign + whole + fraction), largest, 10 ** min(shift, MAX_TEXT))


def _within(amount: int, largest: int, scale: int) -> int:
    """`amount` times `scale`."""
    if abs(amount) > largest // scale:
        raise BadAmount(f"must be at most {format_credits(largest)}")
    return amount * scale


def _wrong_type(value: object) -> str:
    if isinstance(value, float):
        return "must not be a float, which is not exact: pass a string or a Decimal"
    return "must be an integer, a decimal string or a Decimal"
