"""What was asked for."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct


class Options(Struct, frozen=True, kw_only=True):
    """How long and how much to measure."""

    url: str
    """The database; the bench makes schemas or files of its own beside what is there."""
    folder: Path
    """Where temporary files go: a disk such as a ledger would live on."""
    seconds: float = 3.0
    """How long one round takes."""
    rounds: int = 3
    """How often both sides take turns; the median counts."""
    accounts: int = 10_000
    callers: int = 2_000
    """Coroutines that each wait for one charge at a time."""
    connections: tuple[int, ...] = (2, 4, 8, 16, 32)
    """How many connections the naive side tries; the best count is used."""
    only: frozenset[str] = frozenset()
    """Names of figures; empty: all."""
    deep: bool = False
    """Also measure with 2 million transactions stored, which takes minutes to fill."""
    deep_transactions: int = 2_000_000
    due: int = 50_000
    """How many accounts renew at one midnight."""
