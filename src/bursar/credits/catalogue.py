"""The catalogue's face: `credits.skills`, `credits.plans`. A change holds for the very next call, in every process."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from bursar.answers import PlanAnswer, PriceAnswer, SkillAnswer, make_plan, make_price, make_skill
from bursar.catalog import find_plan, find_skill
from bursar.core.model import Catalogue, Instant, Plan
from bursar.credits import arguments
from bursar.credits.arguments import (
    PRESET_DEFAULT,
    AmountIn,
    AnchorIn,
    ComponentIn,
    PeriodIn,
    PresetDefault,
    RenewalIn,
    RoundingIn,
)
from bursar.credits.face import Face
from bursar.credits.runtime import Runtime
from bursar.pricebook import skill_versions

Skills = list[SkillAnswer]
Prices = list[PriceAnswer]
Plans = list[PlanAnswer]


class AsyncSkills(Face):
    """What an app sells, and for how much.

    A price is a `cost` per call, or components such as `{"unit": "input_token", "credits": "0.5", "per": 1000}`;
    times a `markup`, at least a `minimum`, rounded up to `rounding` credits.
    """

    async def list(self) -> Skills:
        """All skills in order of name, disabled ones too."""
        catalogue, now = await self._port.run(_look)
        return [make_skill(skill, now) for _, skill in sorted(catalogue.skills.items())]

    async def get(self, name: str) -> SkillAnswer:
        """One skill with the price that holds now. Raises `SkillNotFound`."""
        catalogue, now = await self._port.run(_look)
        return make_skill(find_skill(catalogue, name), now)

    async def prices(self, name: str) -> Prices:
        """Every version of a skill's price, newest first, those to come as well. Raises `SkillNotFound`."""
        catalogue = await self._catalogue()
        find_skill(catalogue, name)
        return [make_price(price) for price in reversed(skill_versions(catalogue, name))]

    async def add(
        self,
        name: str,
        cost: AmountIn | None = None,
        *,
        components: Iterable[ComponentIn] | None = None,
        display_name: str | None = None,
        description: str | None = None,
        rounding: RoundingIn = "1e-9",
        minimum: AmountIn = 0,
        markup: AmountIn = 1,
        active: bool = True,
    ) -> SkillAnswer:
        """A new skill with its first price. Raises `AlreadyExists`, `Invalid`."""
        price = arguments.price_of(cost, components, rounding, minimum, markup)

        async def work(runtime: Runtime) -> SkillAnswer:
            now = await runtime.engine.now()
            skill = await runtime.catalog.add_skill(
                name, display_name=display_name, description=description, active=active, **price, now=now
            )
            return make_skill(skill, now)

        return await self._port.run(work)

    async def set_price(
        self,
        name: str,
        cost: AmountIn | None = None,
        *,
        components: Iterable[ComponentIn] | None = None,
        rounding: RoundingIn = "1e-9",
        minimum: AmountIn = 0,
        markup: AmountIn = 1,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
    ) -> PriceAnswer:
        """A new version of a skill's price; a hold keeps the one it was quoted.

        It holds for the very next charge in every process, or from `valid_from` on; until before `valid_to`, when
        the one before it holds again. Raises `SkillNotFound`, `Invalid`, also for a time in the past.
        """
        price = arguments.price_of(cost, components, rounding, minimum, markup)
        begins = arguments.instant_of("valid_from", valid_from)
        ends = arguments.instant_of("valid_to", valid_to)

        async def work(runtime: Runtime) -> PriceAnswer:
            now = await runtime.engine.now()
            return make_price(await runtime.catalog.set_price(name, **price, valid_from=begins, valid_to=ends, now=now))

        return await self._port.run(work)

    async def update(
        self,
        name: str,
        *,
        display_name: str | None = None,
        description: str | None = None,
        active: bool | None = None,
    ) -> SkillAnswer:
        """Change what is given; an empty description removes it. Raises `SkillNotFound`, `Invalid`."""

        async def work(runtime: Runtime) -> SkillAnswer:
            skill = await runtime.catalog.update_skill(
                name, display_name=display_name, description=description, active=active
            )
            return make_skill(skill, await runtime.engine.now())

        return await self._port.run(work)

    async def enable(self, name: str) -> SkillAnswer:
        """Sell it again. Raises `SkillNotFound`."""
        return await self.update(name, active=True)

    async def disable(self, name: str) -> SkillAnswer:
        """Refuse the very next charge and hold; what is in flight may settle. Raises `SkillNotFound`."""
        return await self.update(name, active=False)

    async def _catalogue(self) -> Catalogue:
        return await self._port.run(lambda runtime: runtime.catalog.newest())


async def _look(runtime: Runtime) -> tuple[Catalogue, Instant]:
    """The catalogue and the time: which prices hold now."""
    return await runtime.catalog.newest(), await runtime.engine.now()


class AsyncPlans(Face):
    """Allowances per period."""

    async def list(self) -> Plans:
        """All plans, in order of name."""
        catalogue = await self._catalogue()
        return [make_plan(plan) for _, plan in sorted(catalogue.plans.items())]

    async def get(self, name: str) -> PlanAnswer:
        """One plan. Raises `PlanNotFound`."""
        return make_plan(find_plan(await self._catalogue(), name))

    async def put(
        self,
        name: str,
        *,
        allowance: AmountIn,
        display_name: str | None = None,
        period: PeriodIn = "month",
        anchor: AnchorIn = "calendar",
        renewal: RenewalIn = "reset",
        rollover_cap: AmountIn | None = None,
        priority: int = 10,
        timezone: str | None = None,
        duration_days: int | None = None,
        after: str | PresetDefault | None = PRESET_DEFAULT,
        trial: bool = False,
        prorated: bool = False,
    ) -> PlanAnswer:
        """A new plan, or one changed: it holds from the next renewal on.

        Periods are counted in `timezone`, without one in each account's own. When the plan is over, after
        `duration_days` or as somebody wished, `after` takes its place: without it the preset's default plan, with
        None no plan. An account may have one `trial`. A change to a plan that is `prorated` gives each plan's
        allowance for the part of the period in which it held. Raises `Invalid`, also for a loop of plans.
        """
        limit = arguments.amount_of("allowance", allowance)
        cap = arguments.some_amount("rollover_cap", rollover_cap)

        async def work(runtime: Runtime) -> PlanAnswer:
            following = after
            if isinstance(following, PresetDefault):
                following = await runtime.catalog.find_default_after(name)
            plan = Plan(
                name,
                display_name or name,
                limit,
                period,
                anchor,
                renewal,
                cap,
                priority,
                timezone=timezone,
                duration_days=duration_days,
                after=following,
                trial=trial,
                prorated=prorated,
            )
            return make_plan(await runtime.catalog.put_plan(plan, await runtime.engine.now()))

        return await self._port.run(work)

    async def _catalogue(self) -> Catalogue:
        return await self._port.run(lambda runtime: runtime.catalog.newest())
