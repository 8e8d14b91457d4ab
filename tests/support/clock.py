"""A clock that stands where a test put it."""

from bursar.clock import TestClock
from bursar.core.model import Instant
from tests.support.ledger import START


class SetClock(TestClock):
    """`clock.instant = ...` moves it."""

    def __init__(self, instant: Instant = START) -> None:
        self.instant = instant

    def now(self) -> Instant:
        return self.instant
