"""Skills, models, prices and plans as they stand now.

One write path: every change moves the catalogue's version in its own tx, first of all, so that writers follow one
another and every process sees with its next batch that something changed. A price is never changed: a new one is a new
version. Whoever decides asks `fresh` inside the deciding tx; whoever only shows may use `current`. What changes models
stands in `bursar.models`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bursar.core import text
from bursar.core.commands import MAX_DAYS
from bursar.core.errors import (
    AlreadyExists,
    DatabaseUnavailable,
    Invalid,
    Overloaded,
    PlanNotFound,
    SkillNotFound,
)
from bursar.core.model import Catalogue, Component, Instant, Plan, Price, Skill
from bursar.core.money import MAX_NANOS, Nanos, Rounding
from bursar.core.pricing import check_markup, check_worth, make_price
from bursar.core.timeline import dated
from bursar.pricebook import add_price, read_models, read_skills, skill_versions
from bursar.store.base import CommitInDoubt, Contention, LockTimeout, Store, Tx

ATTEMPTS = 5

PERIODS = ("month", "week", "day", "year", "none")
ANCHORS = ("calendar", "anniversary")
RENEWALS = ("reset", "rollover", "accumulate")
MAX_PRIORITY = 1_000

EMPTY = Catalogue(0, {}, {}, {})

USD_PER_CREDIT = "usd_per_credit"
MODEL_MARKUP = "model_markup"
"""Settings of the catalogue: what a credit is worth where a model's price is in US dollars, and the factor on it."""

Change = Callable[[Tx, Catalogue], Awaitable[None]]


class Preset(Struct, frozen=True):
    """What a new catalogue begins with. `unit` is what credits are called, `default_plan` what a new account gets;
    `usd_per_credit` and `model_markup` turn what providers take for their models into credits.
    """

    name: str
    unit: str = "credits"
    default_plan: str | None = None
    plans: tuple[Plan, ...] = ()
    skills: tuple[Skill, ...] = ()
    usd_per_credit: str | None = None
    model_markup: str = "1"


class Catalog:
    """The catalogue of one store. `current` is what was loaded last, in this process."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.current = EMPTY
        self.unit = "credits"
        self.default_plan: str | None = None
        self.unpublished: set[str] = set()
        self.preset: str | None = None
        """What the catalogue began with; None where it began with no preset."""

    async def load(self) -> Catalogue:
        """Read everything, and what the first preset was and said of unit and default plan."""

        async def work(tx: Tx) -> Catalogue:
            self.unit = await get_setting(tx, "unit") or self.unit
            self.default_plan = await get_setting(tx, "default_plan")
            self.preset = await get_setting(tx, "preset")
            return await _read(tx)

        return self._keep(await self.store.read(work))

    async def newest(self) -> Catalogue:
        """`current`, loaded anew only when its version has moved: one small read otherwise."""
        return await self.store.read(self._fresh_by_itself)

    async def fresh(self, tx: Tx, version: int) -> Catalogue:
        """The catalogue at `version`, which the tx has read, or later: `current` or read through the tx."""
        if version == self.current.version:
            return self.current
        return self._keep(await _read(tx))

    async def seed(self, preset: Preset, now: Instant) -> bool:
        """Begin with this preset, unless some preset or hand was here before. Whether it was this one."""
        plans = {plan.name: plan for plan in preset.plans}
        for plan in preset.plans:
            check_plan(plan)
            check_succession(plan, plans)
        worth = None if preset.usd_per_credit is None else check_worth(USD_PER_CREDIT, preset.usd_per_credit)
        markup = check_markup(MODEL_MARKUP, preset.model_markup)
        began = False

        async def change(tx: Tx, catalogue: Catalogue) -> None:
            nonlocal began
            began = not (catalogue.skills or catalogue.plans) and await _put_setting(tx, "preset", preset.name)
            if not began:
                return
            await _put_setting(tx, "unit", preset.unit)
            if preset.default_plan is not None:
                await _put_setting(tx, "default_plan", preset.default_plan)
            if worth is not None:
                await _put_setting(tx, USD_PER_CREDIT, worth)
            await _put_setting(tx, MODEL_MARKUP, markup)
            for plan in preset.plans:
                await _put_plan(tx, plan, now)
            for skill in preset.skills:
                await _add_skill(tx, skill, now)

        await self.change(change)
        await self.load()
        return began

    async def add_skill(
        self,
        name: str,
        *,
        display_name: str | None = None,
        description: str | None = None,
        active: bool = True,
        cost: Nanos | None = None,
        components: Iterable[Component] | None = None,
        rounding: str = Rounding.NANO,
        minimum: Nanos = 0,
        markup: str = "1",
        now: Instant,
    ) -> Skill:
        """A new skill with its first price: a `cost` per call, or components. Raises `AlreadyExists`, `Invalid`."""
        parts = price_parts(cost, components)
        price = make_price(name, 1, parts, rounding=rounding, minimum=minimum, markup=markup, created_at=now)
        skill = make_skill(name, price, display_name, description, active=active)

        async def change(tx: Tx, catalogue: Catalogue) -> None:
            if name in catalogue.skills:
                raise AlreadyExists("skill", name)
            await _add_skill(tx, skill, now)

        return (await self.change(change)).skills[name]

    async def update_skill(
        self,
        name: str,
        *,
        display_name: str | None = None,
        description: str | None = None,
        active: bool | None = None,
    ) -> Skill:
        """Change what is not None; an empty description removes it. Raises `SkillNotFound`, `Invalid`."""
        _check_words(display_name, description)

        async def change(tx: Tx, catalogue: Catalogue) -> None:
            skill = find_skill(catalogue, name)
            await tx.execute(
                "update_skill",
                name,
                skill.display_name if display_name is None else display_name,
                skill.description if description is None else description or None,
                skill.active if active is None else active,
            )

        return (await self.change(change)).skills[name]

    async def set_price(
        self,
        name: str,
        *,
        cost: Nanos | None = None,
        components: Iterable[Component] | None = None,
        rounding: str = Rounding.NANO,
        minimum: Nanos = 0,
        markup: str = "1",
        valid_from: Instant | None = None,
        valid_to: Instant | None = None,
        now: Instant,
    ) -> Price:
        """A new version. It holds for the very next charge in every process, or from `valid_from` on; until before
        `valid_to`, when the one before it holds again. Raises `SkillNotFound`, `Invalid`.
        """
        parts = price_parts(cost, components)
        price = make_price(name, 1, parts, rounding=rounding, minimum=minimum, markup=markup, created_at=now)
        version = 0

        async def change(tx: Tx, catalogue: Catalogue) -> None:
            nonlocal version
            find_skill(catalogue, name)
            versions = skill_versions(catalogue, name)
            version = versions[-1].version + 1
            await add_price(tx, replace(dated(price, versions, valid_from, valid_to), version=version))

        return (await self.change(change)).prices[name, version]

    async def put_plan(self, plan: Plan, now: Instant) -> Plan:
        """A new plan, or an existing one changed; what was granted under it stays as it was. Raises `Invalid`."""
        check_plan(plan)

        async def change(tx: Tx, catalogue: Catalogue) -> None:
            check_succession(plan, {**catalogue.plans, plan.name: plan})
            await _put_plan(tx, plan, now)

        return (await self.change(change)).plans[plan.name]

    async def find_default_after(self, name: str) -> str | None:
        """What follows a plan that does not say it: what everybody has, unless that is itself on the way elsewhere."""
        default = (await self.newest()).plans.get(self.default_plan or "")
        return None if default is None or default.name == name or default.after is not None else default.name

    async def change(self, change: Change) -> Catalogue:
        """Move the version, which locks the catalogue, then make the change; again where others were in the way.

        Every change comes this way. Raises what the change raises, `Overloaded`, `DatabaseUnavailable`.
        """

        async def work(tx: Tx) -> Catalogue:
            await tx.execute("bump_catalogue")
            await change(tx, await _read(tx))
            return await _read(tx)

        for _ in range(ATTEMPTS):
            try:
                return self._keep(await self.store.write(work))
            except (Contention, LockTimeout):
                continue
            except CommitInDoubt:
                raise DatabaseUnavailable("the connection broke; look whether the change was made") from None
        raise Overloaded

    async def _fresh_by_itself(self, tx: Tx) -> Catalogue:
        return await self.fresh(tx, await _version(tx))

    def _keep(self, catalogue: Catalogue) -> Catalogue:
        """Remember what was read, unless somebody read a later one meanwhile."""
        catalogue = replace(catalogue, unpublished=self.unpublished)
        if catalogue.version >= self.current.version:
            self.current = catalogue
        return catalogue


def find_skill(catalogue: Catalogue, name: str) -> Skill:
    """The skill of that name. Raises `SkillNotFound`."""
    skill = catalogue.skills.get(name)
    if skill is None:
        raise SkillNotFound(name)
    return skill


def find_plan(catalogue: Catalogue, name: str) -> Plan:
    """The plan of that name. Raises `PlanNotFound`."""
    plan = catalogue.plans.get(name)
    if plan is None:
        raise PlanNotFound(name)
    return plan


def price_parts(cost: Nanos | None, components: Iterable[Component] | None) -> tuple[Component, ...]:
    """The components of a price given as a cost per call or as components."""
    if (cost is None) == (components is None):
        raise Invalid("cost", "give a cost or components")
    return (Component("call", cost),) if cost is not None else tuple(components or ())


def make_skill(
    name: str,
    price: Price,
    display_name: str | None = None,
    description: str | None = None,
    *,
    active: bool = True,
) -> Skill:
    """A checked skill; without a display name, `TEXT_GENERATION` is shown as `Text generation`. Raises `Invalid`."""
    text.check_skill("name", name)
    _check_words(display_name, description)
    return Skill(
        name,
        display_name or name.replace("_", " ").capitalize(),
        description or None,
        active,
        price.created_at,
        price,
    )


def check_plan(plan: Plan) -> None:
    """Refuse a plan that makes no sense. Raises `Invalid` naming the field."""
    text.check_id("name", plan.name)
    text.check_name("display_name", plan.display_name)
    _check_count("allowance", plan.allowance, MAX_NANOS, "an amount of zero or more")
    _check_choice("period", plan.period, PERIODS)
    _check_choice("anchor", plan.anchor, ANCHORS)
    _check_choice("renewal", plan.renewal, RENEWALS)
    if plan.rollover_cap is not None:
        if plan.renewal != "rollover":
            raise Invalid("rollover_cap", "only a plan with renewal = rollover has one")
        _check_count("rollover_cap", plan.rollover_cap, MAX_NANOS, "an amount of zero or more")
    _check_count("priority", plan.priority, MAX_PRIORITY, f"a whole number from 0 to {MAX_PRIORITY}")

    if plan.timezone is not None:
        text.check_timezone("timezone", plan.timezone)
    if plan.duration_days is not None and (
        type(plan.duration_days) is not int or not 1 <= plan.duration_days <= MAX_DAYS
    ):
        raise Invalid("duration_days", f"must be a whole number from 1 to {MAX_DAYS}")
    if plan.after is not None:
        text.check_id("after", plan.after)
    for field in ("trial", "prorated"):
        if type(getattr(plan, field)) is not bool:
            raise Invalid(field, "must be true or false")
    if plan.trial and plan.duration_days is None:
        raise Invalid("duration_days", "a trial needs one")


def check_succession(plan: Plan, plans: Mapping[str, Plan]) -> None:
    """Refuse a plan whose `after` leads nowhere, or round in circles. Raises `Invalid`."""
    path = [plan.name]
    while (after := plans[path[-1]].after) is not None:
        if after not in plans:
            raise Invalid("after", f"there is no plan {after!r}")
        path.append(after)
        if after in path[:-1]:
            raise Invalid("after", f"a loop of plans: {' -> '.join(path)}")


def _check_words(display_name: str | None, description: str | None) -> None:
    if display_name is not None:
        text.check_name("display_name", display_name)
    if description:
        text.check_text("description", description)


def _check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise Invalid(field, f"must be one of {', '.join(choices)}")


def _check_count(field: str, value: int, most: int, wanted: str) -> None:
    if type(value) is not int or not 0 <= value <= most:
        raise Invalid(field, f"must be {wanted}")


async def _read(tx: Tx) -> Catalogue:
    """Everything at one version: where a change lands between two statements, read again."""
    version = await _version(tx)
    for _ in range(ATTEMPTS):
        catalogue = await _read_once(tx, version)
        version = await _version(tx)
        if version == catalogue.version:
            return catalogue
    raise Contention("the catalogue changes faster than it can be read")


async def _read_once(tx: Tx, version: int) -> Catalogue:
    skills, prices = await read_skills(tx)
    models, model_prices = await read_models(tx)
    plans = {row[0]: _to_plan(row) for row in await tx.fetch("list_plans")}
    versions: dict[tuple[str | None, int], Price] = {(price.skill, price.version): price for price in prices}
    versions |= {(None, price.version): price for price in model_prices}
    return Catalogue(version, skills, versions, plans, models)


def _to_plan(row: tuple[Any, ...]) -> Plan:
    plan = Plan(*row)
    return replace(plan, trial=bool(plan.trial), prorated=bool(plan.prorated))  # SQLite has no booleans


async def _version(tx: Tx) -> int:
    version: int = (await tx.fetch("catalogue_version"))[0][0]
    return version


async def _add_skill(tx: Tx, skill: Skill, now: Instant) -> None:
    await tx.execute("insert_skill", skill.name, skill.display_name, skill.description, skill.active, now)
    await add_price(tx, replace(skill.price, created_at=now, valid_from=now))


async def _put_plan(tx: Tx, plan: Plan, now: Instant) -> None:
    await tx.execute(
        "upsert_plan",
        plan.name,
        plan.display_name,
        plan.allowance,
        plan.period,
        plan.anchor,
        plan.renewal,
        plan.rollover_cap,
        plan.priority,
        now,
        plan.timezone,
        plan.duration_days,
        plan.after,
        plan.trial,
        plan.prorated,
    )


async def get_setting(tx: Tx, name: str) -> str | None:
    """A small fact about the catalogue, kept as text."""
    rows = await tx.fetch("get_setting", name)
    return rows[0][0] if rows else None


async def _put_setting(tx: Tx, name: str, value: str) -> bool:
    return await tx.execute("put_setting", name, value) > 0
