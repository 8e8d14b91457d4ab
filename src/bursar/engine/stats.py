"""What the engine did since it started, for metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bursar.core.book import Outcome
from bursar.engine.batch import Decided


class Stats:
    """Counters; a process has one set for each engine."""

    def __init__(self) -> None:
        self.batches = 0
        self.commands = 0
        self.retries = 0
        self.in_doubt = 0
        self.largest_batch = 0
        self.commit_seconds = 0.0
        self.outcomes: Counter[str] = Counter()
        self.rejections: Counter[str] = Counter()

    def count(self, decided: Sequence[Decided], seconds: float) -> None:
        """Add one committed batch."""
        self.batches += 1
        self.commands += len(decided)
        self.largest_batch = max(self.largest_batch, len(decided))
        self.commit_seconds += seconds
        for result in decided:
            if type(result) is Outcome:
                self.outcomes[result.verb] += 1
            else:
                self.rejections[getattr(result, "code", "error")] += 1
