"""Puts measured figures into docs/benchmarks.md.

bursar bench --deep --json | python -m bursar.bench.page docs/benchmarks.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from bursar.bench.results import Figure, Results

BEGIN: Final = "<!-- figures: written by bursar.bench.page -->\n"
END: Final = "<!-- end of figures -->\n"


def put_figures(page: str, results: Results) -> str:
    """The page with these figures between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n".join(_lines(results)) + "\n" + END + after


def _lines(results: Results) -> Iterator[str]:
    yield f"On {', '.join(f'{name} {value}' for name, value in results.machine.items())}:"
    yield ""
    yield "| | per second | p50 ms | p99 ms | figure | bound | mismatches |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for figure in results.figures:
        yield from _rows(figure)


def _rows(figure: Figure) -> Iterator[str]:
    bound = f"{'at most' if figure.at_most else 'at least'} {figure.bound:g} {figure.unit}"
    yield f"| **{figure.title}** | | | | **{figure.value:g} {figure.unit}** | {bound} | {figure.mismatches} |"
    for side in figure.sides:
        name = side.name if side.connections is None else f"{side.name} ({side.connections})"
        yield f"| {name} | {side.per_second:,.0f} | {side.p50_ms:.1f} | {side.p99_ms:.1f} | | | |"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Results)
    path.write_text(put_figures(path.read_text(), given))
