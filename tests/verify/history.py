"""Histories to prove: one with a little of everything, and random ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bursar import models
from bursar.catalog import Catalog
from bursar.core import commands
from bursar.core.book import Outcome
from bursar.core.commands import Command
from bursar.core.errors import BursarError
from bursar.core.model import Component, OnExpiry
from bursar.core.money import NANOS
from bursar.engine import Engine
from bursar.models import ModelPrice
from bursar.store.url import open_store
from tests.support.clock import SetClock
from tests.support.ledger import DAY, HOUR, START
from tests.support.traffic import PLANS, SKILLS, Traffic


@asynccontextmanager
async def running(url: str) -> AsyncIterator[tuple[Engine, SetClock]]:
    """An engine on the migrated database at `url`, with plans, skills and a model."""
    store = open_store(url)
    await store.open()
    clock = SetClock()
    engine = Engine(store, Catalog(store), clock=clock)
    for plan in PLANS:
        await engine.catalog.put_plan(plan, START)
    for skill, cost in SKILLS.items():
        await engine.catalog.add_skill(skill, cost=cost, now=START)
    await models.set_price(engine.catalog, "*", ModelPrice(components=(Component("output_token", 1),)), START)
    await engine.start()
    try:
        yield engine, clock
    finally:
        await engine.close()
        await store.close()


class Scribe:
    """Gives commands to an engine, and ids back."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def __call__(self, command: Command) -> Outcome:
        return await self.engine.execute(command)

    async def grant(self, account: str, amount: int, **terms: object) -> str:
        outcome = await self(commands.Grant(account=account, amount=amount * NANOS, **terms))  # type: ignore[arg-type]
        assert outcome.lot is not None
        return outcome.lot.lot_id

    async def hold(self, account: str, amount: int, **terms: object) -> str:
        outcome = await self(commands.PlaceHold(account=account, amount=amount * NANOS, **terms))  # type: ignore[arg-type]
        assert outcome.hold is not None
        return outcome.hold.hold_id

    async def charge(self, account: str, skill: str, **terms: object) -> str:
        outcome = await self(commands.Charge(account=account, skill=skill, **terms))  # type: ignore[arg-type]
        assert outcome.transaction is not None
        return outcome.transaction.id


async def write_history(url: str, *, limits: bool = True) -> None:
    """Two accounts: lots live, spent, voided, expired and to come; holds in every state; debt paid; a transfer; a
    refund. And `limits` of both, members with limits of their own, and runs.
    """
    async with running(url) as (engine, clock):
        await _write(Scribe(engine), clock, limits=limits)


async def _write(do: Scribe, clock: SetClock, *, limits: bool) -> None:
    for account in ("alice", "bob"):
        await do(commands.OpenAccount(account=account, plan="free", email=f"{account}@example.com", key="open"))
    if limits:
        await _limit(do)
    await do.grant("alice", 20, source="purchase", paid="19.99", currency="EUR", expires_at=START + 40 * DAY, key="buy")
    await do.grant("alice", 7, effective_at=START + 90 * DAY)
    gone = await do.grant("alice", 3, priority=1)
    charge = await do.charge("alice", "TEXT", model="gpt", key="call", description="a cat", metadata='{"trace":"1"}')
    await do(commands.Void(account="alice", grant=gone, key="void", reason="by mistake"))
    await do(commands.Refund(account="alice", transaction=charge, amount=NANOS // 2, key="refund"))
    words = {"description": "words", "metadata": "{}"}
    await do.charge("alice", "TEXT", provider_cost_usd="0.0123")
    captured = await do.hold("alice", 10, key="hold", ttl_seconds=900, member="mia", **words)
    await do(commands.Capture(account="alice", hold=captured, amount=12 * NANOS, key="capture"))
    released = await do.hold("alice", 4)
    await do(commands.Release(account="alice", hold=released))
    await do.hold("alice", 5, dispatched=True, ttl_seconds=600)
    late = await do.hold(
        "alice", 6, member="noa", dispatched=True, ttl_seconds=600, on_expiry=OnExpiry.CAPTURE_MEASURED
    )
    clock.instant += HOUR
    await do(commands.Capture(account="alice", hold=late, amount=4 * NANOS))
    await do(commands.Transfer(account="alice", to="bob", amount=5 * NANOS, key="gift"))
    everything = (await do.engine.view("bob")).account.available // NANOS
    owing = await do.hold("bob", everything)
    await do(commands.Capture(account="bob", hold=owing, amount=(everything + 9) * NANOS))
    await do.grant("bob", 4)
    await do(commands.Adjust(account="bob", to=8 * NANOS, reason="a correction", key="adjust"))
    await do(commands.ChangePlan(account="bob", plan="mine", days=90, key="paid"))
    await do(commands.CancelPlan(account="bob", key="stop"))
    clock.instant += 32 * DAY
    await do.hold("alice", 30, ttl_seconds=86_400, member="mia")
    await do(commands.Dispatch(account="alice", hold=await do.hold("alice", 2, ttl_seconds=86_400), measured=NANOS))
    if limits:
        await _run(do)
    await do(commands.Touch(account="bob"))
    await do(commands.Freeze(account="bob", reason="why not"))


async def _run(do: Scribe) -> None:
    """One that is open with calls in it, one that has ended."""
    for end in (True, False):
        opened = await do(commands.OpenRun(account="alice", budget=4 * NANOS, ttl_seconds=86_400, member="noa"))
        assert opened.hold is not None
        run = opened.hold.hold_id
        await do(commands.SetLimit(account="alice", limit="run", window="day", amount=NANOS, scope="run", value=run))
        await do(commands.Charge(account="alice", amount=NANOS // 2, run=run))
        await do(commands.PlaceHold(account="alice", amount=NANOS // 4, run=run, ttl_seconds=86_400, dispatched=True))
        if end:
            await do(commands.CloseRun(account="alice", run=run))


async def _limit(do: Scribe) -> None:
    for member in ("mia", "noa", "zoe"):
        await do(commands.AddMember(account="alice", member=member))
    await do(commands.RemoveMember(account="alice", member="zoe"))
    terms = [
        ("day", "account", None),
        ("lifetime", "skill", "TEXT"),
        ("week", "model", "gpt"),
        ("day", "member", "mia"),
    ]
    for window, scope, value in (*terms, ("lifetime", "member", "noa")):
        name, most = f"{scope}-{value}", 999 * NANOS
        limit = commands.SetLimit(account="alice", limit=name, window=window, amount=most, scope=scope, value=value)
        await do(limit)
    await do(commands.SetLimit(account="bob", limit="all", window="lifetime", amount=9_999 * NANOS))


async def write_random_history(engine: Engine, clock: SetClock, seed: int, steps: int) -> None:
    """What `Traffic` makes of a seed."""
    traffic = Traffic(seed)
    for command in traffic.opening():
        await engine.execute(command)
    for _ in range(steps):
        clock.instant = traffic.advance()
        command = traffic.command()
        try:
            traffic.learn(command, await engine.execute(command))
        except BursarError:
            continue
