"""`tests/credits/test_sync.py`, over HTTP."""

from __future__ import annotations

from tests.credits import test_sync
from tests.credits.remote.adopting import adopt
from tests.credits.test_sync import alice

__all__ = ["alice"]

ROOM = "it is about the engine's own thread, and there is none"
TWINS = "it looks at the classes only"
AGAIN = "it stops the engine's own thread: test_interrupted.py stops the service's"

globals().update(
    adopt(
        test_sync,
        leaving={
            "test_a_generator_that_is_dropped_in_the_ledgers_own_thread_settles_too": ROOM,
            "test_the_ledgers_own_thread_cannot_wait_for_itself": ROOM,
            "test_closing_waits_for_what_is_being_read": ROOM,
            "test_closing_leaves_no_thread_behind": ROOM,
            "test_when_it_is_closed_the_system_too_has_ended_its_threads": ROOM,
            "test_dropping_it_unclosed_ends_its_thread": ROOM,
            "test_what_is_wrong_is_known_when_it_is_opened": "test_connection.py has its like",
            "test_both_faces_have_the_same_methods": TWINS,
            "test_each_method_looks_like_its_twin_and_does_not_have_to_be_awaited": TWINS,
            "test_opening_takes_the_same_arguments": TWINS,
            "test_a_coroutine_that_suspends_is_refused": TWINS,
            "test_interrupted_while_a_hold_is_placed_it_is_given_back": AGAIN,
            "test_interrupted_while_a_capture_waits_it_is_carried_out": AGAIN,
            "test_interrupted_while_it_waits_to_be_refused_there_is_nothing_to_give_back": AGAIN,
        },
    )
)
