"""The table for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bursar.bench.results import Figure, Results, Side


def print_report(results: Results) -> None:
    """Every figure with what it must reach, and its sides below it."""
    console = Console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for column in ("per second", "p50 ms", "p99 ms", "figure", "bound", "wrong"):
        table.add_column(column, justify="right", no_wrap=True)
    for figure in results.figures:
        _add(table, figure)
    console.print(table)
    console.print(", ".join(f"{name} {value}" for name, value in results.machine.items()), style="dim")
    console.print(f"mismatches: {results.mismatches}", style="red" if results.mismatches else "green")


def _add(table: Table, figure: Figure) -> None:
    value = Text(f"{figure.value:g} {figure.unit}", "green" if figure.met else "red")
    bound = f"{'<=' if figure.at_most else '>='} {figure.bound:g} {figure.unit}"
    table.add_row(figure.title, "", "", "", value, bound, str(figure.mismatches))
    for side in figure.sides:
        table.add_row(*_cells(side), style="dim")


def _cells(side: Side) -> tuple[str, ...]:
    name = side.name if side.connections is None else f"{side.name} ({side.connections})"
    return (f"  {name}", f"{side.per_second:,.0f}", f"{side.p50_ms:g}", f"{side.p99_ms:g}", "", "", "")
