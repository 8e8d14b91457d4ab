"""The pure stage: nothing but the rules."""

from __future__ import annotations

from collections.abc import Sequence

from bursar.core.book import Book, Outcome
from bursar.core.commands import Command
from bursar.core.model import Component, Instant, Plan
from bursar.core.money import Nanos
from tests.support.ledger import PureLedger, Rows


class PureStage:
    """Books in memory; that a rejected command changes nothing is checked at each step."""

    def __init__(self) -> None:
        self.ledger = PureLedger()

    @property
    def now(self) -> Instant:
        return self.ledger.now

    @now.setter
    def now(self, now: Instant) -> None:
        self.ledger.now = now

    async def put_plan(self, plan: Plan) -> None:
        self.ledger.put_plan(plan)

    async def put_price(
        self, skill: str, cost: Nanos, *, valid_from: Instant | None = None, valid_to: Instant | None = None
    ) -> None:
        self.ledger.put_price(skill, cost, valid_from=valid_from, valid_to=valid_to)

    async def put_model(self, model: str, components: Sequence[Component]) -> None:
        self.ledger.put_model(model, components)

    async def switch_model(self, model: str, *, active: bool) -> None:
        self.ledger.switch_model(model, active=active)

    async def switch_skill(self, skill: str, *, active: bool) -> None:
        self.ledger.switch_skill(skill, active=active)

    async def execute(self, command: Command) -> Outcome:
        return self.ledger.execute(command)

    async def view(self, account: str, *, members: bool = False) -> Book:
        return self.ledger.view(account)

    async def rows(self, account: str) -> Rows:
        return self.ledger.rows(account)
