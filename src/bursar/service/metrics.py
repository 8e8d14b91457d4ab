"""Numbers for Prometheus: counted in this process, written as text when somebody asks.

Only what an operator watches: what was done, what was refused and why, how long it took, and how the engine is doing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram, in seconds."""


Metric = tuple[str, str, str, float]
"""Name, kind (counter or gauge), what it counts, value."""


class Histogram:
    """Counts by upper bound, cumulative only when shown."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> list[str]:
        total = 0
        shown = []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            shown.append(f'{name}_bucket{{{labels},le="{bound}"}} {total}')
        return [*shown, f"{name}_sum{{{labels}}} {self._sum:.6f}", f"{name}_count{{{labels}}} {total}"]


class Metrics:
    """What this process did since it started."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.replayed: Counter[str] = Counter()
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.latency: dict[str, Histogram] = {}

    def did(self, verb: str, *, replayed: bool, seconds: float) -> None:
        """A command was carried out, or found to have been carried out before."""
        if replayed:
            self.replayed[verb] += 1
        else:
            self.done[verb] += 1
        self.took(verb, seconds)

    def refused(self, verb: str, code: str) -> None:
        self.rejected[verb, code] += 1

    def took(self, verb: str, seconds: float) -> None:
        histogram = self.latency.get(verb)
        if histogram is None:
            histogram = self.latency[verb] = Histogram(BUCKETS)
        histogram.add(seconds)

    def text(self, others: Iterable[Metric]) -> str:
        """The exposition format, with what others know right now."""
        lines = [
            *_head("bursar_commands_total", "counter", "Commands carried out."),
            *(f'bursar_commands_total{{verb="{verb}"}} {count}' for verb, count in sorted(self.done.items())),
            *_head("bursar_replays_total", "counter", "Commands answered from their first outcome."),
            *(f'bursar_replays_total{{verb="{verb}"}} {count}' for verb, count in sorted(self.replayed.items())),
            *_head("bursar_rejections_total", "counter", "Commands refused, by code."),
        ]
        for (verb, code), count in sorted(self.rejected.items()):
            lines.append(f'bursar_rejections_total{{verb="{verb}",code="{code}"}} {count}')
        lines += _head("bursar_command_seconds", "histogram", "From the request's first byte to its answer.")
        for verb, histogram in sorted(self.latency.items()):
            lines += histogram.lines("bursar_command_seconds", f'verb="{verb}"')
        for name, kind, help_text, value in others:
            lines += [*_head(name, kind, help_text), f"{name} {value}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, help_text: str) -> list[str]:
    return [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
