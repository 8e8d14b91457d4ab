"""What people and programs get back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bursar import answers
from bursar.answers import ENCODER, Page, PriceRule, Receipt, Receipts, Slice, make_receipt
from bursar.core.model import Catalogue, Component, Hold, Lot, Plan, Price, Skill, Transaction, Usage
from bursar.core.money import MAX_NANOS, NANOS, to_number
from bursar.core.pricing import make_price

NOON = 1_768_046_400_000_000
CHARGE = Transaction(
    account_id="alice",
    seq=3,
    id="tx_3_f0478c7f4a488998da3a",
    type="CONSUMPTION",
    amount=-1_500_000_000,
    posted_after=98_500_000_000,
    held_after=10_000_000_000,
    entries='[["g_1",-1000000000],["g_2",-300000000],[null,-200000000]]',
    skill="CHAT",
    model="gpt-x",
    plan="free",
    price_version=2,
    usage='{"output_tokens":12}',
    provider_cost_usd="0.002",
    actor="app",
    counterparty="skill:CHAT",
    hold="h_1",
    refund_of=None,
    member="bob",
    detail='{"shortfall":500000000,"corrects":"tx_2_a"}',
    effective_at=NOON,
    recorded_at=NOON + 1_500_000,
    description="A poem",
    metadata='{"about":["the","sea"]}',
    idempotency_key="req-1",
    salt=b"s" * 16,
    text_digest=b"d" * 32,
    hash=b"\x01\xff" * 16,
    run="r_1",
)


def test_a_receipt_is_the_transaction_in_credits() -> None:
    rule = PriceRule(2, "1.5 per call")
    assert make_receipt(CHARGE, rule) == Receipt(
        id="tx_3_f0478c7f4a488998da3a",
        account="alice",
        seq=3,
        type="CONSUMPTION",
        amount=Decimal("-1.5"),
        posted_before=100,
        posted_after=Decimal("98.5"),
        available=Decimal("88.5"),
        skill="CHAT",
        model="gpt-x",
        usage=Usage(output_tokens=12),
        price=rule,
        lots=[Slice("g_1", -1), Slice("g_2", Decimal("-0.3"))],
        debt=Decimal("0.2"),
        hold="h_1",
        refund_of=None,
        member="bob",
        run="r_1",
        provider_cost_usd="0.002",
        description="A poem",
        metadata={"about": ["the", "sea"]},
        actor="app",
        source="account:alice",
        destination="skill:CHAT",
        detail={"shortfall": Decimal("0.5"), "corrects": "tx_2_a"},
        effective_at=datetime(2026, 1, 10, 12, tzinfo=UTC),
        recorded_at=datetime(2026, 1, 10, 12, 0, 1, 500_000, tzinfo=UTC),
        hash="01ff" * 16,
    )


def test_a_receipt_as_json_has_the_documented_fields_in_order() -> None:
    text = ENCODER.encode(make_receipt(CHARGE, PriceRule(2, "1.5 per call", "1e-9"))).decode()
    assert text == (
        '{"id":"tx_3_f0478c7f4a488998da3a","account":"alice","seq":3,"type":"CONSUMPTION","amount":-1.5,'
        '"posted_before":100,"posted_after":98.5,"available":88.5,"skill":"CHAT","model":"gpt-x",'
        '"usage":{"output_tokens":12},"price":{"version":2,"rule":"1.5 per call","rounding":"1e-9"},'
        '"lots":[{"grant_id":"g_1","amount":-1},{"grant_id":"g_2","amount":-0.3}],"debt":0.2,"hold":"h_1",'
        '"refund_of":null,"member":"bob","run":"r_1","provider_cost_usd":"0.002","description":"A poem",'
        '"metadata":{"about":["the","sea"]},"actor":"app","source":"account:alice","destination":"skill:CHAT",'
        '"detail":{"shortfall":0.5,"corrects":"tx_2_a"},"effective_at":"2026-01-10T12:00:00Z",'
        '"recorded_at":"2026-01-10T12:00:01.500000Z","hash":"' + "01ff" * 16 + '"}'
    )


@pytest.mark.parametrize(
    ("amount", "source", "destination"),
    [(5, "skill:CHAT", "account:alice"), (-5, "account:alice", "skill:CHAT"), (0, "account:alice", "skill:CHAT")],
)
def test_credits_flow_where_the_amount_points(amount: int, source: str, destination: str) -> None:
    receipt = make_receipt(replace(CHARGE, amount=amount), None)
    assert (receipt.source, receipt.destination) == (source, destination)


def test_what_is_not_there_is_null() -> None:
    bare = replace(CHARGE, usage=None, metadata=None, detail=None, skill=None, price_version=None, entries="[]")
    receipt = make_receipt(bare, None)
    assert (receipt.usage, receipt.metadata, receipt.detail, receipt.price, receipt.lots) == (
        None,
        None,
        None,
        None,
        [],
    )


def test_the_terms_of_new_lots_are_shown_in_credits_and_times() -> None:
    detail = (
        '{"lots":[{"grant":"g_1","amount":2500000000,"effective_at":1768046400000000,"expires_at":null,"priority":7}]}'
    )
    receipt = make_receipt(replace(CHARGE, detail=detail), None)
    assert receipt.detail == {
        "lots": [
            {
                "grant": "g_1",
                "amount": Decimal("2.5"),
                "effective_at": datetime(2026, 1, 10, 12, tzinfo=UTC),
                "expires_at": None,
                "priority": 7,
            }
        ]
    }


@given(st.integers(-MAX_NANOS, MAX_NANOS))
def test_an_amount_survives_json_digit_for_digit(nanos: int) -> None:
    written = ENCODER.encode(to_number(nanos))
    assert json.loads(written, parse_int=Decimal, parse_float=Decimal) * NANOS == nanos
    assert msgspec.json.decode(written, type=Decimal) * NANOS == nanos


def test_a_page_as_json() -> None:
    assert (
        ENCODER.encode(Page([Slice("g_1", 5)], None)) == b'{"data":[{"grant_id":"g_1","amount":5}],"next_cursor":null}'
    )


# Rules


class Shelf:
    """A catalogue that is counted."""

    def __init__(self, *prices: Price) -> None:
        self.asked = 0
        self._catalogue = Catalogue(1, {}, {(price.skill, price.version): price for price in prices}, {})

    @property
    def current(self) -> Catalogue:
        self.asked += 1
        return self._catalogue


def receipts(shelf: Shelf) -> Receipts:
    return Receipts(shelf)  # type: ignore[arg-type]


def test_the_rule_of_a_price_version_is_put_into_words_once() -> None:
    shelf = Shelf(make_price("CHAT", 2, [Component("call", 1_500_000_000)]))
    shown = receipts(shelf)
    first, second = shown.of_all([CHARGE, CHARGE])
    assert first.price == second.price == PriceRule(2, "1.5 per call", "1e-9")
    assert shelf.asked == 1


def test_a_price_that_is_not_known_yet_has_no_words_and_is_asked_for_again() -> None:
    shelf = Shelf()
    shown = receipts(shelf)
    assert shown.of(CHARGE).price == PriceRule(2, None)
    assert shown.of(CHARGE).price == PriceRule(2, None)
    assert shelf.asked == 2


def test_a_bare_amount_has_no_price() -> None:
    shelf = Shelf()
    assert receipts(shelf).of(replace(CHARGE, skill=None, price_version=None)).price is None
    assert shelf.asked == 0


# Lots, holds, catalogue


def lot(**changes: Any) -> Lot:
    values: dict[str, Any] = {
        "account_id": "alice",
        "lot_id": "g_1",
        "source": "purchase",
        "plan": None,
        "priority": 100,
        "amount": 10 * NANOS,
        "remaining": 4 * NANOS,
        "held": 1 * NANOS,
        "effective_at": NOON,
        "expires_at": NOON + 60_000_000,
        "ended_at": None,
        "paid": "9.99",
        "currency": "USD",
        "seq": 2,
        "started": True,
        "live": True,
    }
    return Lot(**values | changes)


def test_a_grant_shows_what_remains_of_it() -> None:
    grant = answers.make_grant(lot())
    assert (grant.amount, grant.remaining, grant.held) == (10, 4, 1)
    assert grant.paid is not None
    assert (grant.paid.amount, grant.paid.currency) == ("9.99", "USD")
    assert (grant.ended_at, grant.voided_at) == (None, None)


def test_a_grant_that_expired_is_not_voided() -> None:
    expired = answers.make_grant(lot(ended_at=NOON + 60_000_000))
    assert expired.ended_at is not None
    assert expired.voided_at is None
    voided = answers.make_grant(lot(ended_at=NOON + 1))
    assert voided.voided_at == voided.ended_at


def test_a_hold_as_json_has_the_documented_fields() -> None:
    hold = Hold(
        account_id="alice",
        hold_id="h_1",
        state="dispatched",
        amount=5 * NANOS,
        captured=0,
        measured=0,
        slices='[["g_1",5000000000]]',
        skill="CHAT",
        model=None,
        price_version=1,
        usage=None,
        member=None,
        overage="debt",
        on_expiry="release",
        actor="app",
        description=None,
        metadata=None,
        idempotency_key=None,
        expires_at=NOON,
        created_at=NOON,
        settled_at=None,
        settled_seq=0,
        settlement=None,
        digest=b"",
        run="r_1",
    )
    assert json.loads(ENCODER.encode(answers.make_hold(hold))) == {
        "id": "h_1",
        "account": "alice",
        "state": "dispatched",
        "amount": 5,
        "captured": 0,
        "slices": [{"grant_id": "g_1", "amount": 5}],
        "skill": "CHAT",
        "model": None,
        "usage": None,
        "price_version": 1,
        "member": None,
        "run": "r_1",
        "measured": 0,
        "overage": "debt",
        "on_expiry": "release",
        "description": None,
        "metadata": None,
        "expires_at": "2026-01-10T12:00:00Z",
        "created_at": "2026-01-10T12:00:00Z",
        "settled_at": None,
    }


def test_a_skill_shows_its_price_in_credits_and_in_words() -> None:
    parts = [Component("image", 5 * NANOS, size="1024x1024"), Component("image", 2 * NANOS)]
    price = make_price("DRAW", 3, parts, rounding="1", minimum=NANOS, markup="1.2", created_at=NOON)
    shown = answers.make_skill(Skill("DRAW", "Draw", None, active=True, created_at=NOON, price=price), NOON)
    assert (shown.cost, shown.price.version, shown.price.minimum, shown.price.markup) == (None, 3, 1, "1.2")
    assert json.loads(ENCODER.encode(shown.price.components)) == [
        {"unit": "image", "credits": 5, "size": "1024x1024"},
        {"unit": "image", "credits": 2},
    ]
    assert shown.price.rule == "5 per image (1024x1024) + 2 per image, x 1.2, at least 1, up to 1"


def test_a_plan_shows_its_allowance_in_credits() -> None:
    plan = answers.make_plan(Plan("gold", "Gold", 500_000_000, renewal="rollover", rollover_cap=3 * NANOS))
    assert (plan.allowance, plan.rollover_cap) == (Decimal("0.5"), 3)
