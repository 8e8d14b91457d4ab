"""The one place that reads time.

`BURSAR_TEST_CLOCK` replaces it for tests and demos: an RFC 3339 instant (time stands still there) or the path of a
file that holds one (write another instant into the file, and that is the time). The server says loudly that it runs
on such a clock, and refuses to in production.
"""

from __future__ import annotations

import time
from pathlib import Path

from bursar.core.errors import Invalid
from bursar.core.model import Instant
from bursar.core.periods import parse_instant


def now() -> Instant:
    """Microseconds since 1970-01-01 UTC, by this process's clock."""
    return time.time_ns() // 1000


def monotonic() -> float:
    """Seconds since some moment, never going back: for durations, never for the ledger."""
    return time.monotonic()


class TestClock:
    """A clock that stands where it was put."""

    __test__ = False

    def __init__(self, setting: str) -> None:
        self.setting = setting
        self._fixed = _instant(setting)
        if self._fixed is None and not Path(setting).is_file():
            raise Invalid("BURSAR_TEST_CLOCK", f"{setting!r} is neither an RFC 3339 time nor a file that holds one")
        self._last = self.now()

    def now(self) -> Instant:
        """The instant of the setting, or what the file says now. A file in the middle of being written: as before."""
        if self._fixed is not None:
            return self._fixed
        found = _instant(Path(self.setting).read_text(encoding="utf-8").strip())
        if found is not None:
            self._last = found
        elif not hasattr(self, "_last"):
            raise Invalid("BURSAR_TEST_CLOCK", f"the file {self.setting!r} does not hold an RFC 3339 time")
        return self._last


def test_clock_from(setting: str | None) -> TestClock | None:
    """The test clock that a setting asks for; None without one."""
    return TestClock(setting) if setting else None


def _instant(text: str) -> Instant | None:
    try:
        return parse_instant(text)
    except ValueError:
        return None
