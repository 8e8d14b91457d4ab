"""Presets: the unit, plans, skills and prices that a new ledger begins with, one TOML file each.

    unit = "credits"
    default_plan = "free"
    usd_per_credit = 0.01               # what a credit is worth where a call is priced by its model
    model_markup = 1.2                  # times what the provider takes

    [plans.free]                        # name, then any of these
    display_name = "Free"
    allowance = 100
    period = "month"                    # month, week, day, year, none
    anchor = "calendar"                 # calendar, anniversary
    renewal = "reset"                   # reset, rollover, accumulate
    rollover_cap = 300                  # with renewal = "rollover"
    priority = 10
    timezone = "Europe/Kyiv"            # of its periods; else each account's own
    duration_days = 30                  # then the plan is over
    after = "free"                      # what takes its place; else no plan
    trial = true                        # an account has one
    prorated = true                     # a change counts each plan for its part of the period

    [skills.CHAT]
    display_name = "Chat"
    description = "One answer"
    active = true
    cost = 1                            # of one call; or components:
    rounding = "0.01"                   # 1, 0.01, 1e-9
    minimum = 0.1
    markup = 1.2

    [[skills.CHAT.components]]
    unit = "input_token"
    credits = 0.5
    per = 1000
    above = 200000                      # where the prompt has more tokens; beside one without

Amounts are credits, exact. Whatever is misspelt, missing or of the wrong type is refused by name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from decimal import Decimal
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from bursar.catalog import Preset, check_plan, check_succession, make_skill, price_parts
from bursar.core.errors import Invalid
from bursar.core.model import Component, Plan, Skill
from bursar.core.money import BadAmount, Nanos, Rounding, parse_credits
from bursar.core.pricing import check_markup, check_worth, make_price

T = TypeVar("T")

_NO_TABLES: dict[str, Any] | list[Any] = {}

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def preset_names() -> list[str]:
    """The presets that come with Bursar."""
    names = (entry.name for entry in files(__package__).iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_preset(name: str | Path) -> Preset:
    """The preset of that name, or the one in the file at that path. Raises `Invalid` naming the key."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        if name not in preset_names():
            raise Invalid("preset", f"there is no preset {name!r}{_did_you_mean(name, preset_names())}")
        source = files(__package__) / f"{name}.toml"
        return parse_preset(name, source.read_text(encoding="utf-8"))
    path = Path(name)
    try:
        return parse_preset(path.stem, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid("preset", f"{path} cannot be read: {error}") from None


def parse_preset(name: str, toml: str) -> Preset:
    """The preset that a TOML text describes. Raises `Invalid` naming the key: `plans.free.allowance`."""
    try:
        table = _Table("", tomllib.loads(toml, parse_float=Decimal))
    except tomllib.TOMLDecodeError as error:
        raise Invalid("preset", f"{name} is not TOML: {error}") from None
    preset = Preset(
        name,
        table.take("unit", _text, "credits"),
        table.take("default_plan", _optional_text, None),
        tuple(_plan(plan) for plan in table.tables("plans")),
        tuple(_skill(skill) for skill in table.tables("skills")),
        table.take("usd_per_credit", _worth, None),
        table.take("model_markup", _markup, "1"),
    )
    table.end()
    by_name = {plan.name: plan for plan in preset.plans}
    for plan in preset.plans:
        with _Within(f"plans.{plan.name}"):
            check_succession(plan, by_name)
    plans = list(by_name)
    if preset.default_plan is not None and preset.default_plan not in plans:
        raise Invalid(
            "default_plan",
            f"there is no plan {preset.default_plan!r}{_did_you_mean(preset.default_plan, plans)}",
        )
    return preset


class _Table:
    """A TOML table that knows its path. Every key is taken once; `end` refuses those that nobody took."""

    def __init__(self, path: str, values: dict[str, Any]) -> None:
        self.name = path.rpartition(".")[2]
        self._path = path
        self._values = values
        self._known: list[str] = []

    def take(self, key: str, read: Callable[[Any], T], default: T) -> T:
        """The value of a key, read and checked, or the default."""
        self._known.append(key)
        if key not in self._values:
            return default
        with _Within(f"{self._path}.{key}".lstrip(".")):
            return read(self._values[key])

    def tables(self, key: str) -> list[_Table]:
        """The tables in a table, each of which is called as its key; or those of an array."""
        value: dict[str, Any] | list[Any] = self.take(key, _tables, _NO_TABLES)
        path = f"{self._path}.{key}".lstrip(".")
        if isinstance(value, list):
            return [_Table(f"{path}[{index}]", table) for index, table in enumerate(value)]
        return [_Table(f"{path}.{name}", table) for name, table in value.items()]

    def end(self) -> None:
        for key in self._values.keys() - set(self._known):
            with _Within(f"{self._path}.{key}".lstrip(".")):
                raise Invalid("", f"unknown key{_did_you_mean(key, self._known)}")

    def made(self, make: Callable[[], T]) -> T:
        """What the table describes, all keys taken; a rule that refuses it names a key in it."""
        self.end()
        with _Within(self._path):
            return make()


class _Within:
    """Puts a path in front of the field that an `Invalid` names."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Invalid):
            separator = "." if error.field and not error.field.startswith("[") else ""
            raise Invalid(f"{self._path}{separator}{error.field}", error.reason) from None


def _plan(table: _Table) -> Plan:
    plan = Plan(
        table.name,
        table.take("display_name", _text, table.name.replace("-", " ").capitalize()),
        table.take("allowance", _amount, 0),
        table.take("period", _text, "month"),
        table.take("anchor", _text, "calendar"),
        table.take("renewal", _text, "reset"),
        table.take("rollover_cap", _optional_amount, None),
        table.take("priority", _count, 10),
        timezone=table.take("timezone", _optional_text, None),
        duration_days=table.take("duration_days", _optional_count, None),
        after=table.take("after", _optional_text, None),
        trial=table.take("trial", _flag, default=False),
        prorated=table.take("prorated", _flag, default=False),
    )
    table.made(lambda: check_plan(plan))
    return plan


def _skill(table: _Table) -> Skill:
    display_name = table.take("display_name", _optional_text, None)
    description = table.take("description", _optional_text, None)
    active = table.take("active", _flag, default=True)
    cost = table.take("cost", _optional_amount, None)
    components = [_component(part) for part in table.tables("components")] or None
    rounding = table.take("rounding", _text, Rounding.NANO.value)
    minimum = table.take("minimum", _amount, 0)
    markup = table.take("markup", _decimal, "1")

    def make() -> Skill:
        price = make_price(
            table.name, 1, price_parts(cost, components), rounding=rounding, minimum=minimum, markup=markup
        )
        return make_skill(table.name, price, display_name, description, active=active)

    return table.made(make)


def _component(table: _Table) -> Component:
    component = Component(
        table.take("unit", _text, ""),
        table.take("credits", _amount, 0),
        table.take("per", _count, 1),
        table.take("size", _optional_text, None),
        table.take("quality", _optional_text, None),
        table.take("above", _count, 0),
    )
    table.end()
    return component


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Invalid("", "must be text")
    return value


def _optional_text(value: object) -> str | None:
    return _text(value)


def _count(value: object) -> int:
    if type(value) is not int:
        raise Invalid("", "must be a whole number")
    return value


def _optional_count(value: object) -> int | None:
    return _count(value)


def _flag(value: object) -> bool:
    if type(value) is not bool:
        raise Invalid("", "must be true or false")
    return value


def _amount(value: Any) -> Nanos:
    try:
        return parse_credits(value)
    except BadAmount as bad:
        raise Invalid("", str(bad)) from None


def _optional_amount(value: Any) -> Nanos | None:
    return _amount(value)


def _decimal(value: object) -> str:
    """A factor as text: 1.2 and "1.2" alike; the price's own rules judge it."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise Invalid("", "must be a number")
    return str(value)


def _worth(value: object) -> str | None:
    return check_worth("", _decimal(value))


def _markup(value: object) -> str:
    return check_markup("", _decimal(value))


def _tables(value: Any) -> dict[str, Any] | list[Any]:
    parts = value if isinstance(value, list) else value.values() if isinstance(value, dict) else [None]
    if not all(isinstance(part, dict) for part in parts):
        raise Invalid("", "must be a table of tables")
    tables: dict[str, Any] | list[Any] = value
    return tables


def _did_you_mean(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
