"""`tests/credits/test_face.py`, over HTTP."""

from __future__ import annotations

from tests.credits import test_face
from tests.credits.remote.adopting import adopt

DATABASE = "it opens a database, which is the service's affair"

globals().update(
    adopt(
        test_face,
        leaving={
            "test_who_asked_is_recorded": "over HTTP that is the key: see test_connection.py",
            "test_an_empty_database_is_made_ready": DATABASE,
            "test_an_empty_database_is_left_alone_where_that_is_asked_for": DATABASE,
            "test_which_schemas_are_brought_up_unasked": DATABASE,
            "test_a_bad_preset_leaves_nothing_open": DATABASE,
            "test_the_environment_may_set_the_clock": "the clock is the service's",
            "test_an_unknown_database_is_refused": DATABASE,
        },
    )
)
