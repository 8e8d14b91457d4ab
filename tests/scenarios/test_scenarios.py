"""Every scenario on every stage: the pure machine, SQLite, PostgreSQL."""

from __future__ import annotations

import pytest

from tests.scenarios.engine import engine_stage
from tests.scenarios.language import Scenario, load_all
from tests.scenarios.play import Player
from tests.scenarios.pure import PureStage

each_scenario = pytest.mark.parametrize("scenario", load_all(), ids=lambda scenario: scenario.id)


@each_scenario
async def test_pure(scenario: Scenario) -> None:
    await Player(PureStage(), scenario).play()


@each_scenario
async def test_engine(scenario: Scenario, url: str) -> None:
    async with engine_stage(url) as stage:
        await Player(stage, scenario).play()
