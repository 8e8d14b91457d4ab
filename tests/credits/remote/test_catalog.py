"""`tests/credits/test_catalog.py`, over HTTP."""

from __future__ import annotations

from tests.credits import test_catalog
from tests.credits.remote.adopting import adopt
from tests.credits.test_catalog import other

__all__ = ["other"]

BELOW = "it looks at the store or the catalogue below the face"
PRESET = "the preset is the service's affair"

globals().update(
    adopt(
        test_catalog,
        leaving={
            "test_reading_what_has_not_changed_reads_the_version_only": BELOW,
            "test_what_was_read_late_does_not_replace_what_is_newer": BELOW,
            "test_a_plan_that_makes_no_sense_is_refused_by_name": BELOW,
            "test_an_empty_catalogue_is_seeded_once": BELOW,
            "test_several_processes_that_seed_at_once_seed_once": BELOW,
            "test_a_bad_preset_seeds_nothing": BELOW,
            "test_a_change_is_tried_again_when_others_are_in_the_way": BELOW,
            "test_a_change_is_given_up_when_others_stay_in_the_way": BELOW,
            "test_a_catalogue_that_somebody_made_is_left_alone": PRESET,
            "test_a_preset_of_ones_own": PRESET,
        },
    )
)
