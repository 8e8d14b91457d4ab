"""Python's garbage collector in a process that serves.

A batch makes thousands of objects that live for some milliseconds and no cycles; at its default thresholds the
collector walks all that lives a hundred times a second and finds nothing. Only a process that is ours is told so: the
server and the benchmark, never an app that uses the library.
"""

from __future__ import annotations

import gc

THRESHOLDS = (50_000, 20, 50)


def calm() -> None:
    """Leave out what start-up made, and look less often. Call it once everything is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
