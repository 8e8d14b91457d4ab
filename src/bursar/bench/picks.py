"""Which account is charged next."""

from __future__ import annotations

from collections.abc import Iterator


def pick_uniformly(accounts: list[str], seed: int) -> Iterator[str]:
    """Accounts without end, each as likely as any other; the same for the same seed (Knuth's generator)."""
    state = seed * 2_654_435_761 + 1
    while True:
        state = (state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        yield accounts[(state >> 33) % len(accounts)]
