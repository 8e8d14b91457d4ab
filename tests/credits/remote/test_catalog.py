"""`tests/credits/test_catalog.py`, over HTTP."""

from __future__ import annotations

from bursar.credits import AsyncCredits
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
            "test_a_long_prompt_may_cost_more_and_older_processes_read_the_rest": BELOW + ": the next one has the rest",
            "test_the_catalogue_of_a_bursar_of_before_is_read_as_it_was_meant": BELOW,
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


async def test_a_long_prompt_may_cost_more_over_http_too(credits: AsyncCredits) -> None:
    parts = [
        {"unit": "input_token", "credits": 1, "per": 1_000},
        {"unit": "input_token", "credits": 2, "per": 1_000, "above": 10_000},
    ]
    made = await credits.skills.add("CHAT", components=parts)
    assert [(part.credits, part.above) for part in made.price.components] == [(1, 0), (2, 10_000)]
    await credits.open_account("alice")
    for tokens, cost in ((10_000, 10), (11_000, 22)):
        assert (await credits.quote("alice", skill="CHAT", usage={"input_tokens": tokens})).credits == cost
