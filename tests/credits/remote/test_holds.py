"""`tests/credits/test_holds.py`, over HTTP."""

from __future__ import annotations

from tests.credits import test_holds
from tests.credits.remote.adopting import adopt
from tests.credits.test_holds import alice

__all__ = ["alice"]

AGAIN = "it looks afterwards with a clock of its own: test_interrupted.py has it with the service's"

globals().update(
    adopt(
        test_holds,
        leaving={
            "test_cancelled_while_it_is_placed_it_is_given_back_before_closing": AGAIN,
            "test_cancelled_while_it_is_refused_there_is_nothing_to_give_back": AGAIN,
        },
    )
)
