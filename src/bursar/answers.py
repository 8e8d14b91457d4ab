"""What people and programs get back: the ledger's values in credits and aware UTC datetimes.

The same shapes for the library, the API and `--json`. An amount is an `int` where it is whole, else an exact
`Decimal`; on a receipt it is signed, like the ledger's own: a charge is negative, and `posted_before + amount ==
posted_after`. `ENCODER` writes an amount as a bare JSON number and a time as RFC 3339 with `Z`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from bursar.catalog import Catalog
from bursar.core.book import Book, plan_ends_at
from bursar.core.limits import shown
from bursar.core.model import (
    Account,
    Component,
    Entries,
    Hold,
    HoldState,
    Instant,
    Limit,
    Lot,
    Member,
    Model,
    Plan,
    Price,
    Skill,
    Slices,
    Transaction,
    Usage,
)
from bursar.core.money import Nanos, to_number
from bursar.core.periods import to_datetime
from bursar.core.pricing import explain
from bursar.core.timeline import price_at

T = TypeVar("T")

Number: TypeAlias = int | Decimal
"""Credits: an integer where whole, else exact."""

Json: TypeAlias = dict[str, Any]

ENCODER = Encoder(decimal_format="number")
"""Writes every answer: amounts are JSON numbers, digit for digit."""


class Slice(Struct, frozen=True, gc=False):
    """What one grant contributed; on a receipt signed, on a hold what is pinned of it."""

    grant_id: str
    amount: Number


class PriceRule(Struct, frozen=True, gc=False):
    """Which version of a skill's or model's price applied, the rule in words, and up to which step it rounded."""

    version: int
    rule: str | None
    rounding: str | None = None


class Receipt(Struct, frozen=True, gc=False):
    """One transaction, and why: usage x price -> credits, the grants that paid, before and after.

    `amount == sum of lots - debt`: `debt` is what went on the account's debt (negative: what was paid of it).
    `available` is what could be spent right after. Credits went from `source` to `destination`, one of which is the
    account.
    """

    id: str
    account: str
    seq: int
    type: str
    amount: Number
    posted_before: Number
    posted_after: Number
    available: Number
    skill: str | None
    model: str | None
    usage: Usage | None
    price: PriceRule | None
    lots: list[Slice]
    debt: Number
    hold: str | None
    refund_of: str | None
    member: str | None
    run: str | None
    provider_cost_usd: str | None
    description: str | None
    metadata: Json | None
    actor: str
    source: str
    destination: str
    detail: Json | None
    effective_at: datetime
    recorded_at: datetime
    hash: str


class AccountAnswer(Struct, frozen=True):
    """An account and what it has: `available = posted - held`.

    At `subscription_ends_at` its plan is over, and `next_plan` takes its place where one was settled for, else the plan
    after it.
    """

    id: str
    email: str | None
    name: str | None
    plan: str | None
    status: str
    posted: Number
    held: Number
    available: Number
    debt: Number
    last_reset: datetime | None
    next_reset: datetime | None
    subscription_ends_at: datetime | None
    next_plan: str | None
    created_at: datetime
    metadata: Json | None


class LotAnswer(Struct, frozen=True):
    """What remains of one grant; `held` of it is pinned."""

    grant_id: str
    source: str
    priority: int
    amount: Number
    remaining: Number
    held: Number
    effective_at: datetime
    expires_at: datetime | None


class BalanceAnswer(Struct, frozen=True):
    """What an account has, and the lots it is made of in the order in which they pay."""

    account: str
    unit: str
    posted: Number
    held: Number
    available: Number
    debt: Number
    lots: list[LotAnswer]
    plan: str | None
    last_reset: datetime | None
    next_reset: datetime | None


class HoldAnswer(Struct, frozen=True):
    """Credits set aside for a call in flight; in a `run`, out of its budget."""

    id: str
    account: str
    state: str
    amount: Number
    captured: Number
    slices: list[Slice]
    skill: str | None
    model: str | None
    usage: Usage | None
    price_version: int | None
    member: str | None
    run: str | None
    measured: Number | None
    overage: str
    on_expiry: str
    description: str | None
    metadata: Json | None
    expires_at: datetime
    created_at: datetime
    settled_at: datetime | None


class LimitAnswer(Struct, frozen=True):
    """A spending limit, and what it has counted since `starts_at`; `left` is below zero where a real cost exceeded it.

    `value` is the member, key, skill, model or run that it counts, None where it counts the whole account. It starts
    afresh at `resets_at`, a limit for a lifetime never.
    """

    id: str
    account: str
    scope: str
    value: str | None
    window: str
    amount: Number
    timezone: str
    spent: Number
    held: Number
    left: Number
    starts_at: datetime | None
    resets_at: datetime | None


class MemberAnswer(Struct, frozen=True):
    """Who spends from an account that is somebody else's: `added`, `removed`, or `named` by a limit alone."""

    member: str
    account: str
    status: str
    created_at: datetime


class RunAnswer(Struct, frozen=True):
    """A budget for a whole task: `left` of it, `held` by its calls in flight, and what its `calls` `spent` so far.

    Refunds are taken off, and what the runs in it spent and hold counts with it. A real cost beyond the budget counts
    in `spent`, so that the three may come to more than the `budget`. `state`: open, closed or expired.
    """

    id: str
    account: str
    state: str
    budget: Number
    left: Number
    held: Number
    spent: Number
    calls: int
    run: str | None
    member: str | None
    description: str | None
    metadata: Json | None
    expires_at: datetime
    created_at: datetime
    ended_at: datetime | None


class Paid(Struct, frozen=True):
    """What was paid for a grant."""

    amount: str
    currency: str


class GrantAnswer(Struct, frozen=True):
    """A grant and what remains of it. `started` is False while `effective_at` lies ahead."""

    id: str
    account: str
    source: str
    plan: str | None
    priority: int
    amount: Number
    remaining: Number
    held: Number
    started: bool
    effective_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None
    voided_at: datetime | None
    paid: Paid | None


class GrantReceipt(Struct, frozen=True):
    """A grant with the transaction that gave or ended it; None where it was over already."""

    grant: GrantAnswer
    transaction: Receipt | None


class TransferReceipt(Struct, frozen=True):
    """Both sides of a transfer; a replay shows the sender's."""

    sent: Receipt
    received: Receipt | None


class QuoteAnswer(Struct, frozen=True):
    """What a call would cost now, and whether the account could pay it."""

    credits: Number
    sufficient: bool
    available: Number
    price_version: int | None
    rule: str | None


class ComponentAnswer(Struct, frozen=True, omit_defaults=True):
    """`credits` for each `per` of `unit`."""

    unit: str
    credits: Number
    per: int = 1
    size: str | None = None
    quality: str | None = None
    above: int = 0


class PriceAnswer(Struct, frozen=True):
    """One version of what a skill costs, and the rule in words."""

    skill: str
    version: int
    rule: str
    cost: Number | None
    components: list[ComponentAnswer]
    rounding: str
    minimum: Number
    markup: str
    created_at: datetime
    valid_from: datetime
    valid_to: datetime | None


class ModelComponentAnswer(Struct, frozen=True, omit_defaults=True):
    """US dollars, or credits, for each `per` of `unit`; in a call whose prompt has more than `above` tokens."""

    unit: str
    usd: Number | None = None
    credits: Number | None = None
    per: int = 1
    size: str | None = None
    quality: str | None = None
    above: int = 0


class ModelPriceAnswer(Struct, frozen=True):
    """One version of what a model costs, and the rule in words; `source` is where it comes from. Versions are counted
    for all models together.
    """

    model: str
    version: int
    rule: str
    source: str | None
    components: list[ModelComponentAnswer]
    rounding: str
    minimum: Number
    markup: str
    usd_per_credit: str | None
    created_at: datetime
    valid_from: datetime
    valid_to: datetime | None


class ModelAnswer(Struct, frozen=True):
    """A provider's model with the price that holds now. `*` stands for those that nobody knows."""

    name: str
    active: bool
    price: ModelPriceAnswer
    created_at: datetime


class TermsAnswer(Struct, frozen=True):
    """How a price in US dollars becomes credits: times `model_markup`, divided by `usd_per_credit`."""

    usd_per_credit: str | None
    model_markup: str


class SkillAnswer(Struct, frozen=True):
    """A named, priced thing that an app sells; `cost` is that of one call where usage does not matter."""

    name: str
    display_name: str
    description: str | None
    active: bool
    cost: Number | None
    price: PriceAnswer
    created_at: datetime


class PlanAnswer(Struct, frozen=True):
    """An allowance per period, and what follows when the plan is over; see `core.model.Plan`."""

    name: str
    display_name: str
    allowance: Number
    period: str
    anchor: str
    renewal: str
    rollover_cap: Number | None
    priority: int
    timezone: str | None
    duration_days: int | None
    after: str | None
    trial: bool
    prorated: bool
    created_at: datetime


class Page(Struct, Generic[T], frozen=True):
    """Part of a list; `next_cursor` asks for the next part, None at the end."""

    data: list[T]
    next_cursor: str | None


class Receipts:
    """Makes receipts. A price version never changes, so its words are found once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._rules: dict[tuple[str | None, int], PriceRule] = {}

    def of(self, transaction: Transaction) -> Receipt:
        """The receipt of a transaction."""
        if transaction.price_version is None:
            return make_receipt(transaction, None)
        key = (transaction.skill, transaction.price_version)
        return make_receipt(transaction, self._rules.get(key) or self._find_rule(*key))

    def of_all(self, transactions: list[Transaction]) -> list[Receipt]:
        """The receipts of these, in their order."""
        return [self.of(transaction) for transaction in transactions]

    def _find_rule(self, skill: str | None, version: int) -> PriceRule:
        price = self._catalog.current.prices.get((skill, version))
        if price is None:
            # Made by another process this very moment: right, but not known here in words yet.
            return PriceRule(version, None)
        rule = self._rules[skill, version] = PriceRule(version, explain(price), price.rounding.value)
        return rule


_decode_entries = Decoder(Entries).decode
_decode_slices = Decoder(Slices).decode
_decode_usage = Decoder(Usage).decode
_decode_object = Decoder(Json).decode


def make_receipt(transaction: Transaction, price: PriceRule | None) -> Receipt:
    """One flat function, positional: it runs for every charge."""
    t = transaction
    amount, posted_after = t.amount, t.posted_after
    effective_at = to_datetime(t.effective_at)
    own, other = f"account:{t.account_id}", t.counterparty
    debt = 0
    lots = []
    for lot_id, part in _decode_entries(t.entries):
        if lot_id is None:
            debt -= part
        else:
            lots.append(Slice(lot_id, to_number(part)))
    return Receipt(
        t.id,
        t.account_id,
        t.seq,
        str(t.type),
        to_number(amount),
        to_number(posted_after - amount),
        to_number(posted_after),
        to_number(posted_after - t.held_after),
        t.skill,
        t.model,
        None if t.usage is None else _decode_usage(t.usage),
        price,
        lots,
        to_number(debt),
        t.hold,
        t.refund_of,
        t.member,
        t.run,
        t.provider_cost_usd,
        t.description,
        None if t.metadata is None else _decode_object(t.metadata),
        t.actor,
        other if amount > 0 else own,
        own if amount > 0 else other,
        None if t.detail is None else _show(_decode_object(t.detail)),
        effective_at,
        effective_at if t.recorded_at == t.effective_at else to_datetime(t.recorded_at),
        t.hash.hex(),
    )


def make_account(account: Account) -> AccountAnswer:
    """An account's row, shown."""
    return AccountAnswer(
        account.account_id,
        account.email,
        account.name,
        account.plan,
        str(account.status),
        to_number(account.posted),
        to_number(account.held),
        to_number(account.available),
        to_number(account.debt),
        _moment(account.last_reset),
        _moment(account.next_reset),
        _moment(plan_ends_at(account)),
        account.next_plan,
        to_datetime(account.created_at),
        _object(account.metadata),
    )


def make_balance(book: Book, unit: str) -> BalanceAnswer:
    """Of a book in which everything due is done."""
    account = book.account
    return BalanceAnswer(
        account.account_id,
        unit,
        to_number(account.posted),
        to_number(account.held),
        to_number(account.available),
        to_number(account.debt),
        [_make_lot(lot) for lot in book.live_lots()],
        account.plan,
        _moment(account.last_reset),
        _moment(account.next_reset),
    )


def make_hold(hold: Hold) -> HoldAnswer:
    """A hold's row, shown."""
    return HoldAnswer(
        hold.hold_id,
        hold.account_id,
        str(hold.state),
        to_number(hold.amount),
        to_number(hold.captured),
        [Slice(lot_id, to_number(part)) for lot_id, part in _decode_slices(hold.slices)],
        hold.skill,
        hold.model,
        None if hold.usage is None else _decode_usage(hold.usage),
        hold.price_version,
        hold.member,
        hold.run,
        None if hold.measured is None else to_number(hold.measured),
        str(hold.overage),
        str(hold.on_expiry),
        hold.description,
        _object(hold.metadata),
        to_datetime(hold.expires_at),
        to_datetime(hold.created_at),
        _moment(hold.settled_at),
    )


def make_run(run: Hold, *, held: Nanos, spent: Nanos, calls: int) -> RunAnswer:
    """A run's row, shown with what its calls came to."""
    assert run.budget is not None, "a run has a budget"
    states = {HoldState.OPEN: "open", HoldState.RELEASED: "closed"}
    return RunAnswer(
        run.hold_id,
        run.account_id,
        states.get(HoldState(run.state), "expired"),
        to_number(run.budget),
        to_number(run.amount if run.unsettled else 0),
        to_number(held),
        to_number(spent),
        calls,
        run.run,
        run.member,
        run.description,
        _object(run.metadata),
        to_datetime(run.expires_at),
        to_datetime(run.created_at),
        _moment(run.settled_at),
    )


def make_limit(account: str, limit: Limit, now: Instant) -> LimitAnswer:
    """A limit as it stands now, shown."""
    limit = shown(limit, now)
    return LimitAnswer(
        limit.limit_id,
        account,
        str(limit.scope),
        limit.value,
        str(limit.window),
        to_number(limit.amount),
        limit.timezone,
        to_number(limit.spent),
        to_number(limit.held),
        to_number(limit.amount - limit.spent - limit.held),
        _moment(limit.starts_at),
        _moment(limit.resets_at),
    )


def make_member(member: Member) -> MemberAnswer:
    """A member's row, shown."""
    return MemberAnswer(member.member, member.account_id, str(member.status), to_datetime(member.created_at))


def make_grant(lot: Lot) -> GrantAnswer:
    """A lot's row, shown as the grant that it remains of."""
    return GrantAnswer(
        lot.lot_id,
        lot.account_id,
        lot.source,
        lot.plan,
        lot.priority,
        to_number(lot.amount),
        to_number(lot.remaining),
        to_number(lot.held),
        bool(lot.started),  # SQLite has no booleans
        to_datetime(lot.effective_at),
        _moment(lot.expires_at),
        _moment(lot.ended_at),
        _moment(lot.ended_at) if lot.voided else None,
        None if lot.paid is None or lot.currency is None else Paid(lot.paid, lot.currency),
    )


def make_price(price: Price) -> PriceAnswer:
    """A price, shown."""
    return PriceAnswer(
        price.skill,
        price.version,
        explain(price),
        None if price.flat is None else to_number(price.flat),
        [ComponentAnswer(c.unit, to_number(c.credits), c.per, c.size, c.quality, c.above) for c in price.components],
        price.rounding.value,
        to_number(price.minimum),
        price.markup,
        to_datetime(price.created_at),
        to_datetime(price.valid_from),
        _moment(price.valid_to),
    )


def make_model_price(price: Price) -> ModelPriceAnswer:
    """A model's price, shown."""
    return ModelPriceAnswer(
        price.skill,
        price.version,
        explain(price),
        price.source,
        [_make_model_component(component, usd=price.usd_per_credit is not None) for component in price.components],
        price.rounding.value,
        to_number(price.minimum),
        price.markup,
        price.usd_per_credit,
        to_datetime(price.created_at),
        to_datetime(price.valid_from),
        _moment(price.valid_to),
    )


def _make_model_component(component: Component, *, usd: bool) -> ModelComponentAnswer:
    amount = to_number(component.credits)
    return ModelComponentAnswer(
        component.unit,
        amount if usd else None,
        None if usd else amount,
        component.per,
        component.size,
        component.quality,
        component.above,
    )


def make_model(model: Model, now: Instant) -> ModelAnswer:
    """A model with the price that holds now, shown."""
    return ModelAnswer(model.name, model.active, make_model_price(price_at(model, now)), to_datetime(model.created_at))


def make_skill(skill: Skill, now: Instant) -> SkillAnswer:
    """A skill with the price that holds now, shown."""
    price = make_price(price_at(skill, now))
    return SkillAnswer(
        skill.name,
        skill.display_name,
        skill.description,
        skill.active,
        price.cost,
        price,
        to_datetime(skill.created_at),
    )


def make_plan(plan: Plan) -> PlanAnswer:
    """A plan, shown."""
    return PlanAnswer(
        plan.name,
        plan.display_name,
        to_number(plan.allowance),
        plan.period,
        plan.anchor,
        plan.renewal,
        None if plan.rollover_cap is None else to_number(plan.rollover_cap),
        plan.priority,
        plan.timezone,
        plan.duration_days,
        plan.after,
        plan.trial,
        plan.prorated,
        to_datetime(plan.created_at),
    )


def make_quote(cost: Nanos, available: Nanos, price: Price | None, *, sufficient: bool) -> QuoteAnswer:
    """What something would cost."""
    return QuoteAnswer(
        to_number(cost),
        sufficient,
        to_number(available),
        None if price is None else price.version,
        None if price is None else explain(price),
    )


def _make_lot(lot: Lot) -> LotAnswer:
    return LotAnswer(
        lot.lot_id,
        lot.source,
        lot.priority,
        to_number(lot.amount),
        to_number(lot.remaining),
        to_number(lot.held),
        to_datetime(lot.effective_at),
        _moment(lot.expires_at),
    )


_SHOWN: dict[str, Callable[[int], Any]] = {
    "amount": to_number,
    "shortfall": to_number,
    "rollover_cap": to_number,
    "allowance": to_number,
    "overused": to_number,
    "effective_at": to_datetime,
    "expires_at": to_datetime,
    "next_reset": to_datetime,
    "ends_at": to_datetime,
    "anchored_at": to_datetime,
    "next_plan_at": to_datetime,
    "trialed_at": to_datetime,
}
"""The facts in a transaction's detail that are amounts or times; the others are shown as they are."""


def _show(facts: Any) -> Any:
    if isinstance(facts, dict):
        return {name: _SHOWN[name](fact) if _is_count(name, fact) else _show(fact) for name, fact in facts.items()}
    return [_show(fact) for fact in facts] if isinstance(facts, list) else facts


def _is_count(name: str, fact: object) -> bool:
    return name in _SHOWN and isinstance(fact, int)


def _moment(instant: Instant | None) -> datetime | None:
    return None if instant is None else to_datetime(instant)


def _object(text: str | None) -> Json | None:
    return None if text is None else _decode_object(text)
