"""Everything at once, from a seed: many callers and servers, lost answers, deaths between any two steps, a jumping
clock.

At the end every answer is true, nothing was done twice, the books are sound, and they are the very books that the
pure machine makes of the same commands, one after the other.

    BURSAR_SIM_SEED=7 pytest tests/sim      the one run again
    BURSAR_SIM_RUNS=500 pytest tests/sim    more of them

On SQLite a run with the same seed is the same run. On PostgreSQL the script and the fates are the same; who comes
first is the machine's choice.
"""

from __future__ import annotations

import hashlib
import os
from random import Random

import pytest

from bursar import entropy
from bursar.catalog import Catalog
from bursar.engine import engine as engine_module
from bursar.store.url import open_store
from bursar.verify import verify
from tests.engine.audit import audit
from tests.engine.rig import PRESET, T0
from tests.sim.fates import Fate
from tests.sim.inline import without_threads
from tests.sim.journal import compare
from tests.sim.world import World

RUNS = int(os.environ.get("BURSAR_SIM_RUNS", "6"))
CHOSEN = os.environ.get("BURSAR_SIM_SEED")
SEEDS = [int(CHOSEN)] if CHOSEN else list(range(1, RUNS + 1))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pauses before trying again."""
    monkeypatch.setattr(engine_module, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(engine_module, "PATIENT_PAUSE_SECONDS", 0.0)


async def play(world: World) -> str:
    """One run, judged; its digest."""
    print(f"BURSAR_SIM_SEED={world.seed}")
    store = open_store(world.url)
    await store.open()
    try:
        await Catalog(store).seed(PRESET, T0)
        await world.run()
        ledgers = await audit(store)
        fates = sum((server.fates for server in world.servers), start=type(world.answers)())
        print(f"{sum(server.commits for server in world.servers)} commits, {len(world.script.intents)} intents")
        print(f"fates: {dict(fates)}")
        print(f"answers: {dict(world.answers)}")
        world.judge(ledgers)
        compare(world.journal.replay(), ledgers)
        assert [str(finding) for finding in (await verify(store)).findings] == []
        assert fates[Fate.LOST] + fates[Fate.LOST_IN_VAIN] + fates[Fate.DIES], "nothing happened at all"
        return hashlib.sha256(repr(sorted(ledgers.items())).encode()).hexdigest()
    finally:
        await store.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_on_sqlite(seed: int, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(f"{seed} entropy")
    monkeypatch.setattr(entropy, "identity", lambda: (random.randbytes(10).hex(), random.randbytes(16)))
    without_threads(monkeypatch)
    await play(World(sqlite_url, seed, servers=3, callers=6, steps=60, risk=0.25, threads=False))


@pytest.mark.parametrize("seed", SEEDS[: max(RUNS // 2, 1)])
async def test_on_sqlite_with_its_threads(seed: int, sqlite_url: str) -> None:
    await play(World(sqlite_url, seed, servers=2, callers=6, steps=40, risk=0.2, threads=True))


@pytest.mark.parametrize("seed", SEEDS)
async def test_on_postgresql(seed: int, one_pg_url: str) -> None:
    await play(World(one_pg_url, seed, servers=3, callers=8, steps=40, risk=0.25, threads=seed % 2 == 0))
