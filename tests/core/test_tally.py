"""What transactions add up to, and the cost basis behind it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from bursar.core.basis import basis, basis_moved, paid_for
from bursar.core.money import MAX_NANOS, PICOS, format_money, parse_money, portion
from bursar.core.tally import Backed, Counted, LotKey, PaidKey, Recount, Total, TotalKey


class Lot(Struct):
    amount: int
    paid: str | None


MONEY = st.decimals(min_value=0, max_value=Decimal(10) ** 12 - 1, places=12).map(lambda value: f"{value:f}")


@given(MONEY)
def test_money_comes_back_as_it_went_in(text: str) -> None:
    picos = parse_money(text)
    assert Fraction(picos, PICOS) == Fraction(text)
    assert Fraction(format_money(picos)) == Fraction(text)
    assert Fraction(format_money(-picos)) == -Fraction(text)


@pytest.mark.parametrize(
    ("picos", "shown"),
    [(0, "0"), (1, "0.000000000001"), (-1, "-0.000000000001"), (PICOS, "1"), (-15 * PICOS // 10, "-1.5")],
)
def test_money_is_shown_without_exponent_or_zeros(picos: int, shown: str) -> None:
    assert format_money(picos) == shown


def test_a_portion_rounds_down_and_of_nothing_is_nothing() -> None:
    assert portion(10, 1, 3) == 3
    assert portion(10, 0, 0) == 0


@given(MONEY, st.integers(1, MAX_NANOS), st.lists(st.integers(0, MAX_NANOS), max_size=8))
def test_parts_of_a_price_come_to_the_price(paid: str, amount: int, cuts: list[int]) -> None:
    """However a lot is divided, and in whatever order it is used up."""
    lot = Lot(amount, paid)
    left, carried = amount, 0
    for cut in sorted((cut % (amount + 1) for cut in cuts), reverse=True):
        part, left = left - min(cut, left), min(cut, left)
        price = paid_for(lot, part, left)
        assert price is not None
        carried += parse_money(price)
        assert basis(lot, left) + carried == parse_money(paid)
    assert -basis_moved(lot, -left, 0) + carried == parse_money(paid)


def test_what_nobody_paid_for_has_no_basis() -> None:
    assert basis(Lot(5, None), 5) == basis_moved(Lot(5, None), -5, 0) == 0
    assert paid_for(Lot(5, None), 5, 0) is None


TERMS = '{"lots":[{"grant":"g","source":"stripe","amount":10,"expires_at":86400000000,"paid":"3","currency":"USD"}]}'


def row(seq: int, amount: int, entries: str, **changes: object) -> Counted:
    plain: dict[str, object] = {"type": "CONSUMPTION", "skill": None, "model": None, "plan": None}
    plain |= {"provider_cost_usd": None, "effective_at": 5, "detail": None}
    return Counted(account_id="a", seq=seq, amount=amount, entries=entries, **{**plain, **changes})  # type: ignore[arg-type]


def test_a_recount_needs_nothing_but_the_transactions() -> None:
    counting = Recount()
    counting.add(row(1, 10, '[["g",10]]', type="PURCHASE", detail=TERMS))
    counting.add(row(2, -4, '[["g",-3],[null,-1]]', provider_cost_usd="0.5"))
    counting.add(row(3, 1, '[["g",1]]', type="REFUND", detail='{"cost_known":true}'))
    tally = counting.tally
    consumption = TotalKey(0, "CONSUMPTION", "", "", "")
    assert tally.totals[consumption] == Total(1, -4, -1, 1, -4, PICOS // 2)
    assert tally.totals[TotalKey(0, "REFUND", "", "", "")] == Total(1, 1, 0, 0, 1, 0)
    assert tally.paid == {
        PaidKey(0, "PURCHASE", "", "", "", "USD", 0): Backed(10, 3 * PICOS),
        PaidKey(*consumption, "USD", 1): Backed(-3, -9 * PICOS // 10),
        PaidKey(0, "REFUND", "", "", "", "USD", 1): Backed(1, 3 * PICOS // 10),
    }
    assert tally.lots[LotKey("stripe", 1, "USD")] == Backed(8, 24 * PICOS // 10)
    assert tally.lots[LotKey("", 2**31 - 1, "")] == Backed(-1)


@pytest.mark.parametrize(
    "changes",
    [
        {"entries": "not json"},
        {"entries": '[["g","ten"]]'},
        {"provider_cost_usd": "made up"},
        {"provider_cost_usd": "-1"},
        {"detail": TERMS.replace('"3"', '"three"')},
        {"detail": TERMS.replace("10", '"x"')},
        {"detail": "[" + TERMS},
    ],
)
def test_what_was_altered_by_hand_stops_no_recount(changes: dict[str, object]) -> None:
    """It counts as far as it can be read; that it was altered is for others to say."""
    counting = Recount()
    altered = row(1, 10, '[["g",10]]', type="PURCHASE", detail=TERMS)
    for name, value in changes.items():
        setattr(altered, name, value)
    counting.add(altered)
    assert counting.tally.totals[TotalKey(0, "PURCHASE", "", "", "")].amount == 10


def test_a_text_that_looks_like_the_fact_is_none() -> None:
    counting = Recount()
    counting.add(row(1, 1, "[]", type="REFUND", detail='{"x":"\\"cost_known\\":true"}'))
    assert counting.tally.totals[TotalKey(0, "REFUND", "", "", "")].costed_amount == 0
