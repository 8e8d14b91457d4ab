"""What the ledger is made of, as plain values.

`Account`, `Lot` and `Hold` change (a `Book` holds working copies of them); everything else is immutable. The fields
of the row types stand in the order of their table's columns, so that a row becomes a value, and a value a row,
without naming a field. Amounts are nano-credits (`Nanos`), times are microseconds since 1970-01-01 UTC (`Instant`).
Nested facts (`entries`, `slices`, `usage`, `metadata`, `detail`) are kept as the JSON text that is stored, because
that text is what the hash chain covers.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct, field
from msgspec.json import Decoder, Encoder, encode
from msgspec.structs import replace

from bursar.core.money import Nanos, Rounding

Instant: TypeAlias = int
"""Microseconds since 1970-01-01T00:00:00Z."""

Slices: TypeAlias = list[tuple[str, Nanos]]
"""What each lot contributes, in burn-down order."""

Entries: TypeAlias = list[tuple[str | None, Nanos]]
"""Signed movements, one per lot touched; the lot `None` is the account's debt."""

_decode_slices = Decoder(Slices).decode
_decode_entries = Decoder(Entries).decode


class Word(StrEnum):
    """A word of a column: hashes as its text does, so that a row's text finds it in a table, and fast."""

    __hash__ = str.__hash__


class AccountStatus(Word):
    """Frozen: nothing new is spent. Closed: nothing new at all."""

    ACTIVE = "active"
    FROZEN = "frozen"
    CLOSED = "closed"


class HoldState(Word):
    """`open -> dispatched -> captured / released / expired`; the moves stand in `core.holds`."""

    OPEN = "open"
    DISPATCHED = "dispatched"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


class Overage(Word):
    """What a capture does when the real cost exceeds everything there is."""

    DEBT = "debt"
    CAP = "cap"
    REJECT = "reject"


class OnExpiry(Word):
    """What a dispatched hold costs when nobody settled it in time."""

    CAPTURE_HELD = "capture_held"
    CAPTURE_MEASURED = "capture_measured"
    RELEASE = "release"


class When(Word):
    """When a plan changes: at once, or when the period that is paid for or under way has ended."""

    NOW = "now"
    PERIOD_END = "period_end"


class LimitScope(Word):
    """Whose spending a limit counts: everybody's, or that of one member, key, skill, model or run."""

    ACCOUNT = "account"
    MEMBER = "member"
    KEY = "key"
    SKILL = "skill"
    MODEL = "model"
    RUN = "run"


class LimitWindow(Word):
    """How long a limit counts before it starts afresh, by the calendar of its time zone."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    LIFETIME = "lifetime"


class MemberStatus(Word):
    """Added: may spend. Removed: may not. Named: only a limit names it; it may as long as nobody was added."""

    ADDED = "added"
    REMOVED = "removed"
    NAMED = "named"


class TransactionType(Word):
    """What a transaction is for; public, in upper case."""

    PLAN = "PLAN"
    PURCHASE = "PURCHASE"
    BONUS = "BONUS"
    PROMO = "PROMO"
    REFERRAL = "REFERRAL"
    ADMIN = "ADMIN"
    CONSUMPTION = "CONSUMPTION"
    REFUND = "REFUND"
    EXPIRY = "EXPIRY"
    VOID = "VOID"
    ADJUSTMENT = "ADJUSTMENT"
    TRANSFER_IN = "TRANSFER_IN"
    TRANSFER_OUT = "TRANSFER_OUT"
    DEBT_PAYMENT = "DEBT_PAYMENT"


class Account(Struct, gc=False):
    """A holder of credits. posted = lots - debt; available = posted - held.

    `open_holds` counts holds that have not ended, `holds_opened` all there ever were; `spent` is net consumption since
    `last_reset`; `due_at` is the first moment at which a lot starts, ends or the plan renews or ends.

    The plan: `allowance` is what its lots come to in this period (None: as the plan says), `overused` how much more
    than that was spent or held when the plan changed; `ends_at` is when it is over, `anchored_at` what its
    anniversaries are counted from (None: the account's opening); `next_plan` takes its place at `next_plan_at`, paid
    for `next_plan_days` days; `trialed_at` is when the one trial began.

    `limits` is the JSON of its `Limits`, None where it has neither limits nor members.
    """

    account_id: str
    email: str | None
    name: str | None
    plan: str | None
    status: str
    overage: str
    timezone: str
    metadata: str | None
    posted: Nanos
    held: Nanos
    debt: Nanos
    spent: Nanos
    open_holds: int
    holds_opened: int
    seq: int
    head: bytes
    last_reset: Instant | None
    next_reset: Instant | None
    due_at: Instant | None
    created_at: Instant
    recorded_at: Instant
    profile_digest: bytes
    allowance: Nanos | None = None
    overused: Nanos = 0
    ends_at: Instant | None = None
    anchored_at: Instant | None = None
    next_plan: str | None = None
    next_plan_at: Instant | None = None
    next_plan_days: int | None = None
    trialed_at: Instant | None = None
    limits: str | None = None

    def copy(self) -> Account:
        return replace(self)

    @property
    def available(self) -> Nanos:
        return self.posted - self.held


class Limit(Struct, array_like=True, gc=False):
    """A spending cap and its counters in the window from `starts_at` to before `resets_at` (None: for ever).

    `spent` and `held` count what was charged and set aside in that window, whatever window it is now: they are those
    of an earlier one until something is counted in a later. `value` is the member, key, skill, model or run; None for
    the whole account.
    """

    limit_id: str
    scope: str
    value: str | None
    window: str
    amount: Nanos
    timezone: str
    starts_at: Instant | None = None
    resets_at: Instant | None = None
    spent: Nanos = 0
    held: Nanos = 0

    @property
    def definition(self) -> tuple[str, str, str | None, str, Nanos, str]:
        """What somebody set, as opposed to what was counted."""
        return (self.limit_id, self.scope, self.value, self.window, self.amount, self.timezone)


class Limits(Struct, array_like=True, gc=False):
    """The limits of an account or of one of its members, as they are kept in its row: definitions and counters.

    `seal` binds everything but the counters to the row. `members` counts an account's rows of members; `listed` says
    that somebody was added to them once: from then on only members may spend in a member's name.
    """

    seal: str = ""
    members: int = 0
    listed: bool = False
    limits: list[Limit] = field(default_factory=list)


class Member(Struct, gc=False):
    """Who may spend from an account that is somebody else's. `limits` is the JSON of its own `Limits`."""

    account_id: str
    member: str
    status: str
    created_at: Instant
    limits: str | None
    digest: bytes

    def copy(self) -> Member:
        return replace(self)


class Lot(Struct, gc=False):
    """A grant and what remains of it. `held` is the pinned part of `remaining`.

    A lot whose `effective_at` lies ahead is not `started`: it counts nowhere yet. `ended_at` is when it expired or
    was ended early (what is held of it stays until it is settled); `live` is False once nothing remains. `seq` is the
    grant's transaction.
    """

    account_id: str
    lot_id: str
    source: str
    plan: str | None
    priority: int
    amount: Nanos
    remaining: Nanos
    held: Nanos
    effective_at: Instant
    expires_at: Instant | None
    ended_at: Instant | None
    paid: str | None
    currency: str | None
    seq: int
    started: bool
    live: bool

    @property
    def free(self) -> Nanos:
        return self.remaining - self.held

    def copy(self) -> Lot:
        return replace(self)

    @property
    def voided(self) -> bool:
        """Whether it was ended early by hand; a plan's lot that a renewal ended has expired instead."""
        if self.plan is not None or self.ended_at is None:
            return False
        return self.expires_at is None or self.ended_at < self.expires_at

    def ended(self, now: Instant) -> bool:
        """Whether credits that return to this lot are gone: it has expired or was voided."""
        return self.ended_at is not None or (self.expires_at is not None and self.expires_at <= now)


class Hold(Struct, gc=False):
    """Credits set aside for a call in flight; `slices` are the lots that are pinned.

    `settled_seq` is the transaction that settled it (0: none), `settlement` the fingerprint of the capture that did.
    A run is a hold with a `budget`: `amount` and `slices` are what is left of it. `run` is the one that a hold draws
    from, and `counted_at` when the outermost began, whose windows limits of the account and of members count it in.
    """

    account_id: str
    hold_id: str
    state: str
    amount: Nanos
    captured: Nanos
    measured: Nanos | None
    slices: str
    skill: str | None
    model: str | None
    price_version: int | None
    usage: str | None
    member: str | None
    overage: str
    on_expiry: str
    actor: str
    description: str | None
    metadata: str | None
    idempotency_key: str | None
    expires_at: Instant
    created_at: Instant
    settled_at: Instant | None
    settled_seq: int
    settlement: bytes | None
    digest: bytes
    run: str | None = None
    budget: Nanos | None = None
    counted_at: Instant | None = None

    @property
    def unsettled(self) -> bool:
        return self.state in ("open", "dispatched")

    def copy(self) -> Hold:
        return replace(self)

    def slice_list(self) -> Slices:
        return _decode_slices(self.slices)


class Transaction(Struct, frozen=True, gc=False):
    """The immutable record of one ledger event. `amount` is signed; `posted_after - amount` was posted before.

    `counterparty` is the other side (`world:stripe`, `skill:TEXT_GENERATION`, `account:bob`, `bursar:expiry`):
    credits flow from it to the account where `amount` is positive and to it where it is negative. `detail` holds the
    facts of the type: a grant's terms, a shortfall, what a correction corrects. `run` is the run that a call was part
    of.
    """

    account_id: str
    seq: int
    id: str
    type: str
    amount: Nanos
    posted_after: Nanos
    held_after: Nanos
    entries: str
    skill: str | None
    model: str | None
    plan: str | None
    price_version: int | None
    usage: str | None
    provider_cost_usd: str | None
    actor: str
    counterparty: str
    hold: str | None
    refund_of: str | None
    member: str | None
    detail: str | None
    effective_at: Instant
    recorded_at: Instant
    description: str | None
    metadata: str | None
    idempotency_key: str | None
    salt: bytes | None
    text_digest: bytes | None
    hash: bytes
    run: str | None = None

    @property
    def posted_before(self) -> Nanos:
        return self.posted_after - self.amount

    @property
    def available_after(self) -> Nanos:
        return self.posted_after - self.held_after

    def entry_list(self) -> Entries:
        return _decode_entries(self.entries)


class Remembered(Struct, frozen=True, gc=False):
    """One idempotency key of an account and the first outcome under it; `reference` is the id of what it made."""

    account_id: str
    key: str
    verb: str
    fingerprint: bytes
    reference: str


class Usage(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Measured quantities of one call, each a count >= 0; `seconds` and `custom` are decimal strings.

    Token kinds are disjoint: `input_tokens` does not include cached or cache-write tokens. Kinds without a field, such
    as `cache_write_1h_token` and `input_audio_token` (`pricing.KIN`), stand in `custom`. A usage is one call unless it
    says otherwise, so that a price per call is never free by accident.
    """

    calls: int = 1
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    images: int = 0
    characters: int = 0
    seconds: str = "0"
    image_size: str | None = None
    image_quality: str | None = None
    custom: dict[str, str] = field(default_factory=dict)


class Component(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """`credits` nano-credits for each `per` of `unit`; an image component may name a `size` and `quality`. One with
    `above` takes the place of the unit's others in a call whose prompt has more tokens than that.
    """

    unit: str
    credits: Nanos
    per: int = 1
    size: str | None = None
    quality: str | None = None
    above: int = 0


class Price(Struct, frozen=True):
    """One version of what a skill or model costs. `markup` is a decimal factor; `flat` is the cost of one call where
    that is all. It holds from `valid_from` until before `valid_to`, where no later one does (`core.timeline`).

    With `usd_per_credit` the components are in US dollars: `credits` is nano-dollars, divided by what a credit is
    worth. `source` is where a model's price comes from (`own`, `genai-prices 0.2.3`); a skill's has none.
    """

    skill: str
    version: int
    components: tuple[Component, ...]
    rounding: Rounding = Rounding.NANO
    minimum: Nanos = 0
    markup: str = "1"
    created_at: Instant = 0
    flat: Nanos | None = None
    valid_from: Instant = 0
    valid_to: Instant | None = None
    usd_per_credit: str | None = None
    source: str | None = None


Later: TypeAlias = tuple[tuple[Instant, Price], ...]
"""The prices that take over at these instants, in their order."""


class Skill(Struct, frozen=True):
    """A named, priced thing that an app sells. `price` holds until the first of `later` takes over."""

    name: str
    display_name: str
    description: str | None
    active: bool
    created_at: Instant
    price: Price
    later: Later = ()


class Model(Struct, frozen=True):
    """A provider's model, whose calls may be priced by its name. The model `*` prices those that nobody knows.

    `usd` is the price in US dollars, where there is one: what the provider takes, whatever the call is sold for.
    """

    name: str
    active: bool
    created_at: Instant
    price: Price
    later: Later = ()
    usd: Price | None = None
    usd_later: Later = ()


class Plan(Struct, frozen=True):
    """An allowance per period. `renewal`: `reset`, `rollover` (up to `rollover_cap`) or `accumulate`; `period` may be
    `none`.

    Periods are counted in `timezone` (None: the account's). After `duration_days` the plan is over, and `after` takes
    its place (None: no plan). An account may have one `trial`. A change to a plan that is `prorated` counts each
    plan's allowance for the part of the period in which it held.
    """

    name: str
    display_name: str
    allowance: Nanos
    period: str = "month"
    anchor: str = "calendar"
    renewal: str = "reset"
    rollover_cap: Nanos | None = None
    priority: int = 10
    created_at: Instant = 0
    timezone: str | None = None
    duration_days: int | None = None
    after: str | None = None
    trial: bool = False
    prorated: bool = False


class Catalogue(Struct, frozen=True):
    """Skills, models, prices and plans as they stand at one version.

    `prices` holds every version ever, by skill and version; a model's by None and version, for models share one
    count of versions. `unpublished` are the models that this process has found no published price for.
    """

    version: int
    skills: dict[str, Skill]
    prices: dict[tuple[str | None, int], Price]
    plans: dict[str, Plan]
    models: dict[str, Model] = field(default_factory=dict)
    unpublished: set[str] = field(default_factory=set)


def encode_json(value: object) -> str:
    """The one canonical JSON text of nested facts: UTF-8, no spaces, the order given."""
    return encode(value).decode()


decode_limits = Decoder(Limits).decode
_encode = Encoder().encode


def encode_limits(limits: Limits) -> str:
    """As they stand in their row."""
    return _encode(limits).decode()
