"""What comes out of a bench: figures, the two sides of each, and the rounds that they are the medians of."""

from __future__ import annotations

from statistics import median

from msgspec import Struct


class Round(Struct):
    """One side's load for some seconds: how many were acknowledged, how long each waited."""

    done: int
    seconds: float
    waits: list[float]

    @property
    def per_second(self) -> float:
        return self.done / self.seconds


class Side(Struct, frozen=True, kw_only=True):
    """One way of doing it: the median of its rounds, per second."""

    name: str
    per_second: float
    rounds: list[float]
    p50_ms: float
    p99_ms: float
    connections: int | None = None


class Figure(Struct, frozen=True, kw_only=True):
    """One line of the table. `value` is a ratio (`unit` is "x") or a measure; `bound` is what it must reach, or must
    not exceed.
    """

    name: str
    title: str
    value: float
    unit: str
    bound: float
    at_most: bool = False
    met: bool
    mismatches: int
    sides: list[Side]


class Results(Struct, frozen=True, kw_only=True):
    """A whole run."""

    machine: dict[str, str | int]
    settings: dict[str, float]
    figures: list[Figure]
    mismatches: int


def make_side(name: str, rounds: list[Round], connections: int | None = None) -> Side:
    """The median of some rounds; waits are taken over all of them."""
    rates = [part.per_second for part in rounds]
    waits = sorted(wait for part in rounds for wait in part.waits)
    return Side(
        name=name,
        per_second=round(median(rates), 1),
        rounds=[round(rate, 1) for rate in rates],
        p50_ms=_percentile(waits, 50),
        p99_ms=_percentile(waits, 99),
        connections=connections,
    )


def compare(name: str, title: str, bound: float, ours: Side, theirs: Side, mismatches: int, *more: Side) -> Figure:
    """How many times as fast our side is."""
    ratio = ours.per_second / theirs.per_second if theirs.per_second else 0.0
    return Figure(
        name=name,
        title=title,
        value=round(ratio, 2),
        unit="x",
        bound=bound,
        met=ratio >= bound,
        mismatches=mismatches,
        sides=[ours, theirs, *more],
    )


def measure(name: str, title: str, value: float, unit: str, bound: float) -> Figure:
    """A measure that must not exceed its bound."""
    return Figure(
        name=name,
        title=title,
        value=round(value, 2),
        unit=unit,
        bound=bound,
        at_most=True,
        met=value <= bound,
        mismatches=0,
        sides=[],
    )


def _percentile(waits: list[float], percent: int) -> float:
    """Of sorted seconds, in milliseconds."""
    return round(waits[(len(waits) - 1) * percent // 100] * 1000, 3) if waits else 0.0
