"""Presets: what comes with Bursar, and files of one's own, strictly read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bursar.core.errors import Invalid
from bursar.core.money import NANOS
from bursar.core.pricing import explain
from bursar.presets import load_preset, parse_preset, preset_names


def test_ai_credits_is_what_its_document_says() -> None:
    preset = load_preset("ai-credits")
    assert (preset.name, preset.unit, preset.default_plan) == ("ai-credits", "credits", "free")
    allowances = {plan.name: plan.allowance // NANOS for plan in preset.plans}
    assert allowances == {"free": 100, "pro": 500, "team": 2_000, "enterprise": 10_000}
    assert {plan.name: plan.after for plan in preset.plans if plan.after is not None} == dict.fromkeys(
        ("pro", "team", "enterprise"), "free"
    )
    assert {(plan.period, plan.anchor, plan.renewal) for plan in preset.plans} == {("month", "calendar", "reset")}
    costs = {skill.name: skill.price.flat for skill in preset.skills}
    assert costs == {"TEXT_GENERATION": NANOS, "IMAGE_GENERATION": 5 * NANOS}


def test_the_other_systems_are_what_their_documents_say() -> None:
    skills, api_calls, tokens = load_preset("skills"), load_preset("api-calls"), load_preset("tokens")
    assert (skills.default_plan, skills.skills) == ("free", ())
    assert [(plan.allowance, plan.period) for plan in skills.plans] == [(0, "none")]
    assert api_calls.default_plan == "Basic"
    assert [(plan.allowance, plan.period) for plan in api_calls.plans] == [(5_000 * NANOS, "none")]
    assert tokens.default_plan == "free"
    credits = {plan.name: (plan.allowance // NANOS, plan.period, plan.after) for plan in tokens.plans}
    assert credits["free"] == (5, "none", None)
    assert credits["pro"] == (100, "none", "free")
    assert {skill.name: skill.price.flat for skill in tokens.skills} == {
        "CODE_GENERATION": NANOS,
        "CODE_REVIEW": NANOS,
        "MONTHLY_TOKEN_RESET": 0,
    }


def test_a_dollar_is_a_dollar() -> None:
    usd = load_preset("usd")
    assert (usd.unit, usd.usd_per_credit, usd.model_markup, usd.skills) == ("USD", "1", "1", ())
    assert [(plan.allowance, plan.period) for plan in usd.plans] == [(10 * NANOS, "none")]


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_can_be_read(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    assert preset.plans or preset.skills


WHOLE = """
unit = "tokens"
default_plan = "basic"
usd_per_credit = 0.010
model_markup = "1.20"

[plans.basic]
display_name = "Basic"
allowance = 0.1
period = "week"
anchor = "anniversary"
renewal = "rollover"
rollover_cap = "300.000000001"
priority = 3

[plans.other]

[skills.CHAT]
description = "One answer"
active = false
rounding = "0.01"
minimum = 0.1
markup = 1.2

[[skills.CHAT.components]]
unit = "input_token"
credits = 0.15
per = 1_000_000

[[skills.CHAT.components]]
unit = "input_token"
credits = 0.3
per = 1_000_000
above = 200_000

[[skills.CHAT.components]]
unit = "image"
credits = 2
size = "1024x1024"
quality = "hd"
"""


def test_everything_that_can_be_said_is_read_exactly() -> None:
    preset = parse_preset("mine", WHOLE)
    basic, other = preset.plans
    assert (basic.display_name, basic.allowance, basic.rollover_cap) == ("Basic", 100_000_000, 300_000_000_001)
    assert (basic.period, basic.anchor, basic.renewal, basic.priority) == ("week", "anniversary", "rollover", 3)
    assert (other.display_name, other.allowance, other.period) == ("Other", 0, "month")
    (chat,) = preset.skills
    assert (chat.display_name, chat.description, chat.active) == ("Chat", "One answer", False)
    assert explain(chat.price) == (
        "0.15 per 1000000 input_token + 0.3 per 1000000 input_token (above 200000) + 2 per image (1024x1024, hd),"
        " x 1.2, at least 0.1, up to 0.01"
    )
    assert (preset.usd_per_credit, preset.model_markup) == ("0.01", "1.2")


def test_an_empty_file_is_an_empty_preset() -> None:
    preset = parse_preset("empty", "")
    assert (preset.unit, preset.default_plan, preset.plans, preset.skills) == ("credits", None, (), ())
    assert (preset.usd_per_credit, preset.model_markup) == (None, "1")


@pytest.mark.parametrize(
    ("toml", "field", "reason"),
    [
        ("unti = 'x'", "unti", "did you mean unit?"),
        ("[plan.free]", "plan", "did you mean plans?"),
        ("[plans.free]\nallowence = 5", "plans.free.allowence", "did you mean allowance?"),
        ("[skills.CHAT]\ncost = 1\nactve = true", "skills.CHAT.actve", "did you mean active?"),
        ("[skills.CHAT]\nxyzzy = 1\ncost = 1", "skills.CHAT.xyzzy", "known: display_name"),
        (
            "[[skills.CHAT.components]]\nunit = 'call'\ncredit = 1",
            "skills.CHAT.components[0].credit",
            "did you mean credits?",
        ),
        ("unit = 5", "unit", "must be text"),
        ("unit = ''", "unit", "must be text"),
        ("usd_per_credit = 0", "usd_per_credit", "must be more than 0"),
        ("usd_per_credit = -0.01", "usd_per_credit", "must not be negative"),
        ("usd_per_credit = true", "usd_per_credit", "must be a number"),
        ("model_markup = 'twice'", "model_markup", "must be a decimal number"),
        ("plans = 5", "plans", "must be a table of tables"),
        ("[plans]\nfree = 5", "plans", "must be a table of tables"),
        ("[plans.free]\nallowance = true", "plans.free.allowance", "must be an integer"),
        ("[plans.free]\nallowance = nan", "plans.free.allowance", "must be a finite number"),
        ("[plans.free]\nallowance = 0.0000000001", "plans.free.allowance", "at most 9 decimals"),
        ("[plans.free]\nallowance = -1", "plans.free.allowance", "must not be negative"),
        ("[plans.free]\npriority = 1.5", "plans.free.priority", "must be a whole number"),
        ("[plans.free]\nperiod = 'hour'", "plans.free.period", "must be one of month"),
        ("[plans.free]\nrollover_cap = 5", "plans.free.rollover_cap", "only a plan with"),
        ("[plans.'a/b']", "plans.a/b.name", "must not contain"),
        ("[skills.CHAT]", "skills.CHAT.cost", "give a cost or components"),
        ("[skills.CHAT]\ncost = 1\nactive = 1", "skills.CHAT.active", "must be true or false"),
        ("[skills.CHAT]\ncost = 1\nmarkup = true", "skills.CHAT.markup", "must be a number"),
        ("[skills.CHAT]\ncost = 1\nrounding = '0.5'", "skills.CHAT.rounding", "must be one of"),
        ("[skills.chat]\ncost = 1", "skills.chat.name", "must be upper case"),
        (
            "[[skills.CHAT.components]]\nunit = 'calls'\ncredits = 1",
            "skills.CHAT.components[0].unit",
            "stands in the singular",
        ),
        ("default_plan = 'fre'\n[plans.free]", "default_plan", "did you mean free?"),
        ("unit = ", "preset", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(toml: str, field: str, reason: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_preset("mine", toml)
    assert refusal.value.field == field
    assert reason in refusal.value.reason


def test_a_preset_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[skills.CHAT]\ncost = 2\n")
    for named in (path, str(path)):
        preset = load_preset(named)
        assert (preset.name, [skill.name for skill in preset.skills]) == ("mine", ["CHAT"])


def test_an_unknown_preset_is_refused_with_a_guess(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="did you mean ai-credits"):
        load_preset("ai-credit")
    with pytest.raises(Invalid, match="cannot be read"):
        load_preset(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xff")
    with pytest.raises(Invalid, match="cannot be read"):
        load_preset(tmp_path / "latin.toml")
