"""Commands: what is malformed is refused by the name of its field; a fingerprint is what was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bursar.core import commands
from bursar.core.commands import (
    AddMember,
    Adjust,
    CancelPlan,
    Capture,
    ChangePlan,
    Charge,
    Close,
    CloseRun,
    Command,
    Dispatch,
    Extend,
    Freeze,
    Grant,
    OpenAccount,
    OpenRun,
    PlaceHold,
    Refund,
    Release,
    RemoveLimit,
    RemoveMember,
    Renew,
    SetLimit,
    Spend,
    Touch,
    Transfer,
    Unfreeze,
    UpdateAccount,
    Void,
    check,
    fingerprint,
)
from bursar.core.errors import Invalid
from bursar.core.model import Usage
from bursar.core.money import MAX_NANOS

VALID: dict[type[Command], Command] = {
    OpenAccount: OpenAccount(account="a", email="a@b.c", name="A", plan="free", timezone="Europe/Kyiv", metadata="{}"),
    UpdateAccount: UpdateAccount(account="a", email="", name="", metadata="", overage="cap"),
    Grant: Grant(
        account="a", amount=1, source="stripe", priority=0, effective_at=1, expires_at=2, paid="1.50", currency="EUR"
    ),
    Charge: Charge(account="a", skill="TEXT", usage=Usage(images=1), provider_cost_usd="0.1", member="m", model="gpt"),
    PlaceHold: PlaceHold(account="a", amount=2, at_least=1, ttl_seconds=86_400, overage="cap", on_expiry="release"),
    Dispatch: Dispatch(account="a", hold="h", measured=0),
    Extend: Extend(account="a", hold="h", amount=1, ttl_seconds=1, measured=0),
    Capture: Capture(account="a", hold="h", amount=0, description="d", metadata="{}"),
    Release: Release(account="a", hold="h"),
    Refund: Refund(account="a", transaction="tx_1_a", amount=1, reason="r"),
    Void: Void(account="a", grant="g", reason="r"),
    Adjust: Adjust(account="a", by=-1, reason="r"),
    Transfer: Transfer(account="a", to="b", amount=1, description="d"),
    SetLimit: SetLimit(account="a", limit="l", window="day", amount=1, scope="skill", value="TEXT", timezone="UTC"),
    RemoveLimit: RemoveLimit(account="a", limit="l"),
    AddMember: AddMember(account="a", member="m"),
    RemoveMember: RemoveMember(account="a", member="m"),
    OpenRun: OpenRun(account="a", budget=1, run="r", member="m", description="d", metadata="{}"),
    CloseRun: CloseRun(account="a", run="r"),
    Freeze: Freeze(account="a", reason="r"),
    Unfreeze: Unfreeze(account="a", reason="r"),
    Close: Close(account="a", reason="r"),
    ChangePlan: ChangePlan(account="a", plan="pro", days=30, at="period_end"),
    CancelPlan: CancelPlan(account="a", at="now"),
    Renew: Renew(account="a"),
    Touch: Touch(account="a"),
}
"""One of each that is fine."""

LONG = "x" * 10_000
ID = ("", LONG, "a/b", "a\0b", "\ud800", " a", None, 1)
NAME = ("", LONG, "a\0b", "a\nb", "\ud800", 1)
TEXT = ("", LONG, "a\0b", "\ud800", 1)
JSON = (LONG, '{"a":"\\u0000"}', "no json", '{"\ud800":1}', 1)
AMOUNT = (0, -1, MAX_NANOS + 1, 10**30, 1.5, "1", True)
MEASURE = (-1, MAX_NANOS + 1, 1.5, "1", True)
INSTANT = (-1, 10**18, 1.5, "2026-01-01")
TTL = (0, -1, 86_401, 1.5, "60", True)
WHEN = ("", "later", None, 1)
DECIMAL = ("", "-1", "1e3", "x", 1.5, LONG)

BAD: dict[type[Command], dict[str, tuple[Any, ...]]] = {
    Command: {"account": ID, "key": NAME, "actor": NAME},
    OpenAccount: {
        "email": ("no", LONG, "a@\0", 1),
        "name": (LONG, "a\0b", "a\nb", 1),
        "plan": NAME,
        "timezone": ("", "Mars/Base", "../x", 1),
        "overage": ("", "never", None, 1),
        "metadata": JSON,
    },
    UpdateAccount: {"email": ("no", 1), "name": (LONG, 1), "overage": ("", "never", 1), "metadata": JSON},
    Grant: {
        "amount": AMOUNT,
        "source": (*NAME, "plan"),
        "priority": (-1, 1_001, 1.5, "1", None, True),
        "effective_at": INSTANT,
        "expires_at": (*INSTANT, 0, 1),
        "description": TEXT,
        "metadata": JSON,
    },
    Spend: {
        "quantity": (0, -1, 10**9, 1.5, "1", None, True),
        "model": NAME,
        "member": ("", LONG, "a/b", 1),
        "description": TEXT,
        "metadata": JSON,
    },
    Charge: {"skill": ("", "text", "A" * 65, "A\0", 1), "provider_cost_usd": DECIMAL, "run": NAME},
    PlaceHold: {
        "amount": AMOUNT,
        "at_least": (*AMOUNT, 3),
        "ttl_seconds": TTL,
        "overage": ("", "never", 1),
        "on_expiry": ("", "never", None, 1),
        "dispatched": (0, 1, "yes", None),
        "run": NAME,
    },
    Dispatch: {"hold": NAME, "measured": MEASURE},
    Extend: {"hold": NAME, "amount": AMOUNT, "ttl_seconds": TTL, "measured": MEASURE},
    Capture: {
        "hold": NAME,
        "amount": MEASURE,
        "provider_cost_usd": DECIMAL,
        "description": TEXT,
        "metadata": JSON,
    },
    Release: {"hold": NAME},
    Refund: {"transaction": NAME, "amount": AMOUNT, "reason": TEXT},
    Void: {"grant": NAME, "reason": TEXT},
    Adjust: {"by": (0, MAX_NANOS + 1, -MAX_NANOS - 1, 1.5, "1", True), "reason": (*TEXT, " ", None)},
    Transfer: {"to": (*ID, "a"), "amount": AMOUNT, "description": TEXT},
    SetLimit: {
        "limit": ID,
        "window": ("", "year", "hour", None, 1),
        "amount": MEASURE,
        "scope": ("", "team", None, 1),
        "value": ("text", "", LONG, None, 1),
        "timezone": ("", "Mars/Base", "../x", "localtime", 1),
    },
    OpenRun: {
        "budget": AMOUNT,
        "ttl_seconds": TTL,
        "run": NAME,
        "member": ("", LONG, "a/b", 1),
        "description": TEXT,
        "metadata": JSON,
    },
    CloseRun: {"run": (*NAME, None)},
    RemoveLimit: {"limit": ID},
    AddMember: {"member": ID},
    RemoveMember: {"member": ID},
    Freeze: {"reason": TEXT},
    Unfreeze: {"reason": TEXT},
    Close: {"reason": TEXT},
    ChangePlan: {"plan": (*ID,), "days": (0, -1, 36_526, 1.5, "1", True), "at": WHEN},
    CancelPlan: {"at": WHEN},
}
"""For each field of each command, values that are refused."""

NAMES = {"key": "idempotency_key"}
UNCHECKED = {"token", "salt", "usage"}
"""Ours, not the caller's; and what `pricing.check_usage` has tests of its own for."""

CASES = [
    pytest.param(kind, field, values, id=f"{kind.verb}-{field}")
    for owner, fields in BAD.items()
    for kind in VALID
    if issubclass(kind, owner)
    for field, values in fields.items()
]


@pytest.mark.parametrize("command", VALID.values(), ids=lambda command: command.verb)
def test_what_is_well_formed_is_taken(command: Command) -> None:
    check(command)


@pytest.mark.parametrize(("kind", "field", "values"), CASES)
def test_what_is_malformed_is_refused_by_the_name_of_its_field(
    kind: type[Command], field: str, values: tuple[Any, ...]
) -> None:
    for value in values:
        with pytest.raises(Invalid) as refusal:
            check(replace(VALID[kind], **{field: value}))
        assert refusal.value.field == NAMES.get(field, field), value
        assert len(str(refusal.value)) < 300


def test_every_field_of_every_command_has_values_that_are_refused() -> None:
    for kind in VALID:
        listed = {field for owner, fields in BAD.items() if issubclass(kind, owner) for field in fields}
        alone = {"skill", "amount"} if issubclass(kind, Spend) else {"to"} if kind is Adjust else set()
        paid = {"paid", "currency"} if kind is Grant else set()
        assert set(kind.__struct_fields__) - UNCHECKED - alone - paid <= listed, kind


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (Charge(account="a"), "skill"),
        (Charge(account="a", skill="TEXT", amount=1), "amount"),
        (Charge(account="a", amount=1, usage=Usage()), "usage"),
        (Charge(account="a", skill="TEXT", usage=Usage(calls=-1)), "usage.calls"),
        (PlaceHold(account="a"), "skill"),
        (Extend(account="a", hold="h"), "amount"),
        (Capture(account="a", hold="h", amount=1, usage=Usage()), "usage"),
        (Capture(account="a", hold="h", usage=Usage(images=-1)), "usage.images"),
        (Adjust(account="a", reason="r"), "to"),
        (Adjust(account="a", to=1, by=1, reason="r"), "to"),
        (Adjust(account="a", to=-1, reason="r"), "to"),
        (Grant(account="a", amount=1, paid="1"), "paid"),
        (Grant(account="a", amount=1, currency="EUR"), "paid"),
        (Grant(account="a", amount=1, paid="-1", currency="EUR"), "paid.amount"),
        (Grant(account="a", amount=1, paid="１", currency="EUR"), "paid.amount"),
        (Grant(account="a", amount=1, paid="1", currency="euro"), "paid.currency"),
        (Grant(account="a", amount=1, effective_at=5, expires_at=5), "expires_at"),
        (SetLimit(account="a", limit="l", window="day", amount=1, value="x"), "value"),
        (SetLimit(account="a", limit="l", window="day", amount=1, scope="member"), "value"),
        (SetLimit(account="a", limit="l", window="day", amount=1, scope="member", value="a/b"), "value"),
        (SetLimit(account="a", limit="l", window="day", amount=1, scope="model", value="a\nb"), "value"),
        (SetLimit(account="a", limit="l", window="day", amount=-1), "amount"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(command: Command, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check(command)
    assert refusal.value.field == field


def test_every_command_has_its_check_and_a_verb_of_its_own() -> None:
    kinds = _leaves(Command)
    assert set(VALID) == kinds == set(commands._CHECKS)
    assert len({kind.verb for kind in kinds}) == len(kinds)
    assert all(kind.__doc__ for kind in kinds)


@pytest.mark.parametrize("command", VALID.values(), ids=lambda command: command.verb)
def test_a_fingerprint_is_of_what_was_asked(command: Command) -> None:
    same = replace(command, token="t", key="k", salt=b"s", actor="somebody")
    assert fingerprint(same) == fingerprint(command)
    assert len(fingerprint(command)) == 16
    for field in command.__struct_fields__:
        if field in ("token", "key", "salt", "actor"):
            continue
        changed = replace(command, **{field: "changed"})
        assert fingerprint(changed) != fingerprint(command), field


def test_a_run_is_part_of_what_was_asked_and_its_absence_is_not() -> None:
    """Keys that were remembered before there were runs still know their intent."""
    charge = Charge(account="a", amount=5, member="m")
    assert fingerprint(charge).hex() == "1404a678d979d9c526e23602e9c9c470"
    hold = PlaceHold(account="a", skill="TEXT", ttl_seconds=60)
    assert fingerprint(hold).hex() == "33d854c59a3253d9bad7f4ca443ed2ed"
    for command in (charge, hold):
        assert len({fingerprint(command), *(fingerprint(replace(command, run=run)) for run in ("r_1", "r_2"))}) == 3


def test_no_two_verbs_share_a_fingerprint() -> None:
    prints = [fingerprint(command) for command in VALID.values()]
    alike = [fingerprint(kind(account="a")) for kind in (Freeze, Unfreeze, Close, Renew, Touch)]
    assert len(set(prints + alike)) == len(prints) + len(alike) - 2, "only Renew and Touch stand in both"


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "2"]), min_size=2))
def test_the_order_of_a_usage_makes_no_difference(custom: dict[str, str]) -> None:
    backwards = dict(reversed(custom.items()))
    one = Charge(account="a", skill="TEXT", usage=Usage(custom=custom))
    other = Charge(account="a", skill="TEXT", usage=Usage(custom=backwards))
    assert fingerprint(one) == fingerprint(other)


def _leaves(kind: type[Command]) -> set[type[Command]]:
    children = kind.__subclasses__()
    return {leaf for child in children for leaf in _leaves(child)} if children else {kind}
