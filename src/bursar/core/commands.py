"""One frozen value per verb: what a caller wants, checked before it is queued.

Every command names its `account`, carries a `token` (random, fixed at submission: the ids of what it makes are
derived from it, so that a commit whose answer was lost can be looked up) and may carry an idempotency `key`.
`check(command)` refuses what no database would store and no rule would accept; it needs nothing but the command.
Amounts are nano-credits.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.json import Encoder
from msgspec.structs import astuple

from bursar.core import text
from bursar.core.errors import Invalid
from bursar.core.model import Instant, LimitScope, LimitWindow, OnExpiry, Overage, Usage, When, Word
from bursar.core.money import MAX_NANOS, Nanos
from bursar.core.pricing import check_usage

MAX_TTL_SECONDS = 86_400
DEFAULT_TTL_SECONDS = 900
MAX_DAYS = 36_525
MAX_QUANTITY = 1_000_000
DEFAULT_PRIORITY = 100
SOURCES = ("purchase", "bonus", "promo", "referral", "activity", "review", "admin")


_encode = Encoder(order="deterministic").encode


class Command(Struct, frozen=True, kw_only=True, gc=False):
    """What every command has. The engine fills in `token` and `salt` where they are missing; `actor` is who asked."""

    verb: ClassVar[str] = ""
    account: str
    token: str = ""
    key: str | None = None
    salt: bytes | None = None
    actor: str = "library"


class OpenAccount(Command, frozen=True, kw_only=True, gc=False):
    """Create the account with its plan's first allowance. On an account that exists: no-op."""

    verb: ClassVar[str] = "open"
    email: str | None = None
    name: str | None = None
    plan: str | None = None
    timezone: str = "UTC"
    overage: str = Overage.DEBT
    metadata: str | None = None


class UpdateAccount(Command, frozen=True, kw_only=True, gc=False):
    """Change the fields that are not None; an empty text removes it."""

    verb: ClassVar[str] = "update"
    email: str | None = None
    name: str | None = None
    overage: str | None = None
    metadata: str | None = None


class Grant(Command, frozen=True, kw_only=True, gc=False):
    """Give credits: a new lot. `paid` is what was paid for them, a decimal text in `currency`."""

    verb: ClassVar[str] = "grant"
    amount: Nanos
    source: str = "admin"
    priority: int = DEFAULT_PRIORITY
    effective_at: Instant | None = None
    expires_at: Instant | None = None
    paid: str | None = None
    currency: str | None = None
    description: str | None = None
    metadata: str | None = None


class Spend(Command, frozen=True, kw_only=True, gc=False):
    """What a charge and a hold share: an `amount`, or a `skill` or a `model` priced by `usage` or `quantity`. Beside
    an amount or a skill, `model` is for the record.
    """

    amount: Nanos | None = None
    skill: str | None = None
    model: str | None = None
    usage: Usage | None = None
    quantity: int = 1
    member: str | None = None
    description: str | None = None
    metadata: str | None = None


class Charge(Spend, frozen=True, kw_only=True, gc=False):
    """Take credits with no hold before it."""

    verb: ClassVar[str] = "charge"
    provider_cost_usd: str | None = None
    run: str | None = None


class PlaceHold(Spend, frozen=True, kw_only=True, gc=False):
    """Set credits aside for a call in flight: as much of the cost as there is, never less than `at_least`."""

    verb: ClassVar[str] = "hold"
    at_least: Nanos | None = None
    ttl_seconds: int = DEFAULT_TTL_SECONDS
    dispatched: bool = False
    overage: str | None = None
    on_expiry: str = OnExpiry.CAPTURE_HELD
    run: str | None = None


class OpenRun(Command, frozen=True, kw_only=True, gc=False):
    """Set a budget aside for a whole task, whose calls draw from it; in another run, out of that one's."""

    verb: ClassVar[str] = "open_run"
    budget: Nanos
    ttl_seconds: int = DEFAULT_TTL_SECONDS
    run: str | None = None
    member: str | None = None
    description: str | None = None
    metadata: str | None = None


class CloseRun(Command, frozen=True, kw_only=True, gc=False):
    """End a run: calls still in flight end by their own rule, what is left returns."""

    verb: ClassVar[str] = "close_run"
    run: str


class Dispatch(Command, frozen=True, kw_only=True, gc=False):
    """The call left: from now on expiry charges by policy."""

    verb: ClassVar[str] = "dispatch"
    hold: str
    measured: Nanos | None = None


class Extend(Command, frozen=True, kw_only=True, gc=False):
    """More amount, or more time from now, for a hold that has not ended."""

    verb: ClassVar[str] = "extend"
    hold: str
    amount: Nanos | None = None
    ttl_seconds: int | None = None
    measured: Nanos | None = None


class Capture(Command, frozen=True, kw_only=True, gc=False):
    """Charge the real cost: an `amount`, or `usage` at the price that the hold pinned; neither: as held."""

    verb: ClassVar[str] = "capture"
    hold: str
    amount: Nanos | None = None
    usage: Usage | None = None
    provider_cost_usd: str | None = None
    description: str | None = None
    metadata: str | None = None


class Release(Command, frozen=True, kw_only=True, gc=False):
    """End a hold with no charge."""

    verb: ClassVar[str] = "release"
    hold: str


class Refund(Command, frozen=True, kw_only=True, gc=False):
    """Give back all that is left of one charge, or `amount` of it, to the lots that paid."""

    verb: ClassVar[str] = "refund"
    transaction: str
    amount: Nanos | None = None
    reason: str | None = None


class Void(Command, frozen=True, kw_only=True, gc=False):
    """End a grant early; what was spent of it stays spent, what is held stays held."""

    verb: ClassVar[str] = "void"
    grant: str
    reason: str | None = None


class Adjust(Command, frozen=True, kw_only=True, gc=False):
    """A correction by an administrator: available becomes `to`, or changes `by`."""

    verb: ClassVar[str] = "adjust"
    to: Nanos | None = None
    by: Nanos | None = None
    reason: str


class Transfer(Command, frozen=True, kw_only=True, gc=False):
    """Move credits to another account, each with the expiry it had; a plan's credits stay."""

    verb: ClassVar[str] = "transfer"
    to: str
    amount: Nanos
    description: str | None = None


class SetLimit(Command, frozen=True, kw_only=True, gc=False):
    """Cap what is spent in a window; one of that id is replaced. Without a time zone its days are the account's."""

    verb: ClassVar[str] = "set_limit"
    limit: str
    window: str
    amount: Nanos
    scope: str = LimitScope.ACCOUNT
    value: str | None = None
    timezone: str | None = None


class RemoveLimit(Command, frozen=True, kw_only=True, gc=False):
    """Lift a limit."""

    verb: ClassVar[str] = "remove_limit"
    limit: str


class AddMember(Command, frozen=True, kw_only=True, gc=False):
    """Let a member spend from the account. Once one was added, only members may spend in a member's name."""

    verb: ClassVar[str] = "add_member"
    member: str


class RemoveMember(Command, frozen=True, kw_only=True, gc=False):
    """Let a member spend no more; what is in flight may still settle, its limits stay."""

    verb: ClassVar[str] = "remove_member"
    member: str


class Freeze(Command, frozen=True, kw_only=True, gc=False):
    """Refuse charges, holds and transfers out until unfrozen; what is in flight may still settle."""

    verb: ClassVar[str] = "freeze"
    reason: str | None = None


class Unfreeze(Command, frozen=True, kw_only=True, gc=False):
    """Allow spending again."""

    verb: ClassVar[str] = "unfreeze"
    reason: str | None = None


class Close(Command, frozen=True, kw_only=True, gc=False):
    """Refuse everything new for good; what is in flight may still settle."""

    verb: ClassVar[str] = "close"
    reason: str | None = None


class ChangePlan(Command, frozen=True, kw_only=True, gc=False):
    """Another plan; with `days`, a newly paid period of so many."""

    verb: ClassVar[str] = "change_plan"
    plan: str
    days: int | None = None
    at: str = When.NOW


class CancelPlan(Command, frozen=True, kw_only=True, gc=False):
    """The plan that comes after the present one."""

    verb: ClassVar[str] = "cancel_plan"
    at: str = When.PERIOD_END


class Renew(Command, frozen=True, kw_only=True, gc=False):
    """Start the plan's allowance afresh now; the next renewal stays where it was."""

    verb: ClassVar[str] = "renew"


class Touch(Command, frozen=True, kw_only=True, gc=False):
    """Do what is due on the account and nothing else."""

    verb: ClassVar[str] = "touch"


_MAY_RUN = frozenset({Charge, PlaceHold})


def fingerprint(command: Command) -> bytes:
    """What the command asks for, as 16 bytes: equal for the same verb and content, whatever its token, salt, key or
    actor.
    """
    fields = astuple(command)
    if fields[-1] is None and type(command) in _MAY_RUN:
        # Their last field came later: where it is not used, keys that were remembered before still know their intent.
        return sha256(_encode((command.verb, *fields[:1], *fields[5:-1]))).digest()[:16]
    return sha256(_encode((command.verb, *fields[:1], *fields[5:]))).digest()[:16]


def check(command: Command) -> None:
    """Refuse a malformed command with `Invalid` naming the field. Leaves nothing for a database to refuse."""
    text.check_id("account", command.account)
    if command.key is not None:
        text.check_key("idempotency_key", command.key)
    if command.actor != "library":
        text.check_name("actor", command.actor)
    _CHECKS[type(command)](command)


def _check_spend(command: Spend) -> None:
    if command.skill is not None:
        text.check_skill("skill", command.skill)
        if command.amount is not None:
            raise Invalid("amount", "give a skill or an amount, not both")
    elif command.amount is None and command.model is None:
        raise Invalid("skill", "give a skill, a model or an amount")
    if command.amount is not None:
        check_amount("amount", command.amount)
    if type(command.quantity) is not int or not 1 <= command.quantity <= MAX_QUANTITY:
        raise Invalid("quantity", f"must be a whole number from 1 to {MAX_QUANTITY}")
    if command.usage is not None:
        if command.amount is not None:
            raise Invalid("usage", "only the price of a skill or a model turns usage into credits")
        check_usage(command.usage)
    _check_words(command.model, command.member, command.description, command.metadata)


def _check_run(run: str | None) -> None:
    if run is not None:
        text.check_name("run", run)


def _check_words(model: str | None, member: str | None, description: str | None, metadata: str | None) -> None:
    if model is not None:
        text.check_name("model", model)
    if member is not None:
        text.check_id("member", member)
    if description is not None:
        text.check_text("description", description)
    if metadata is not None:
        text.check_json("metadata", metadata)


def _check_charge(command: Charge) -> None:
    _check_spend(command)
    _check_usd(command.provider_cost_usd)
    _check_run(command.run)


def _check_hold(command: PlaceHold) -> None:
    _check_spend(command)
    if command.at_least is not None:
        check_amount("at_least", command.at_least)
        if command.amount is not None and command.at_least > command.amount:
            raise Invalid("at_least", "must not exceed the amount")
    _check_ttl(command.ttl_seconds)
    if command.overage is not None:
        check_choice("overage", command.overage, Overage)
    check_choice("on_expiry", command.on_expiry, OnExpiry)
    if type(command.dispatched) is not bool:
        raise Invalid("dispatched", "must be true or false")
    _check_run(command.run)


def _check_open_run(command: OpenRun) -> None:
    check_amount("budget", command.budget)
    _check_ttl(command.ttl_seconds)
    _check_run(command.run)
    _check_words(None, command.member, command.description, command.metadata)


def _check_close_run(command: CloseRun) -> None:
    text.check_name("run", command.run)


def _check_dispatch(command: Dispatch) -> None:
    text.check_name("hold", command.hold)
    if command.measured is not None:
        check_amount("measured", command.measured, zero=True)


def _check_extend(command: Extend) -> None:
    text.check_name("hold", command.hold)
    if command.amount is None and command.ttl_seconds is None and command.measured is None:
        raise Invalid("amount", "give an amount, ttl_seconds or measured")
    if command.amount is not None:
        check_amount("amount", command.amount)
    if command.ttl_seconds is not None:
        _check_ttl(command.ttl_seconds)
    if command.measured is not None:
        check_amount("measured", command.measured, zero=True)


def _check_capture(command: Capture) -> None:
    text.check_name("hold", command.hold)
    if command.amount is not None:
        if command.usage is not None:
            raise Invalid("usage", "give an amount or usage, not both")
        check_amount("amount", command.amount, zero=True)
    if command.usage is not None:
        check_usage(command.usage)
    _check_usd(command.provider_cost_usd)
    _check_words(None, None, command.description, command.metadata)


def _check_release(command: Release) -> None:
    text.check_name("hold", command.hold)


def _check_refund(command: Refund) -> None:
    text.check_name("transaction", command.transaction)
    if command.amount is not None:
        check_amount("amount", command.amount)
    _check_reason(command.reason)


def _check_void(command: Void) -> None:
    text.check_name("grant", command.grant)
    _check_reason(command.reason)


def _check_adjust(command: Adjust) -> None:
    if (command.to is None) == (command.by is None):
        raise Invalid("to", "give to or by")
    if command.to is not None:
        check_amount("to", command.to, zero=True)
    if command.by is not None:
        check_amount("by", abs(command.by) if type(command.by) is int else command.by)
    text.check_text("reason", command.reason)
    if not command.reason.strip():
        raise Invalid("reason", "a correction needs a reason")


def _check_transfer(command: Transfer) -> None:
    text.check_id("to", command.to)
    if command.to == command.account:
        raise Invalid("to", "must be another account")
    check_amount("amount", command.amount)
    _check_words(None, None, command.description, None)


def _check_open(command: OpenAccount) -> None:
    _check_profile(command.email, command.name, command.metadata)
    if command.plan is not None:
        text.check_name("plan", command.plan)
    text.check_timezone("timezone", command.timezone)
    check_choice("overage", command.overage, Overage)


def _check_update(command: UpdateAccount) -> None:
    _check_profile(command.email, command.name, command.metadata)
    if command.overage is not None:
        check_choice("overage", command.overage, Overage)


def _check_profile(email: str | None, name: str | None, metadata: str | None) -> None:
    if email:
        text.check_email("email", email)
    if name:
        text.check_name("name", name)
    if metadata:
        text.check_json("metadata", metadata)


def _check_grant(command: Grant) -> None:
    check_amount("amount", command.amount)
    text.check_name("source", command.source)
    if command.source == "plan":
        raise Invalid("source", "only a plan's renewal grants a plan's credits")
    if type(command.priority) is not int or not 0 <= command.priority <= 1000:
        raise Invalid("priority", "must be a whole number from 0 to 1000")
    for field, value in (("effective_at", command.effective_at), ("expires_at", command.expires_at)):
        if value is not None:
            text.check_instant(field, value)
    if command.expires_at is not None and command.expires_at <= (command.effective_at or 0):
        raise Invalid("expires_at", "must be after effective_at")
    if (command.paid is None) != (command.currency is None):
        raise Invalid("paid", "give an amount and a currency")
    if command.paid is not None and command.currency is not None:
        text.check_decimal("paid.amount", command.paid)
        text.check_currency("paid.currency", command.currency)
    _check_words(None, None, command.description, command.metadata)


def _check_set_limit(command: SetLimit) -> None:
    text.check_id("limit", command.limit)
    check_choice("scope", command.scope, LimitScope)
    check_choice("window", command.window, LimitWindow)
    check_amount("amount", command.amount, zero=True)
    _check_limit_value(command.scope, command.value)
    if command.timezone is not None:
        text.check_timezone("timezone", command.timezone)


def _check_limit_value(scope: str, value: str | None) -> None:
    if scope == LimitScope.ACCOUNT:
        if value is not None:
            raise Invalid("value", "belongs to another scope: a limit of the account counts everything")
    elif value is None:
        raise Invalid("value", f"is needed: which {scope}")
    elif scope == LimitScope.SKILL:
        text.check_skill("value", value)
    elif scope == LimitScope.MEMBER:
        text.check_id("value", value)
    else:
        text.check_name("value", value)


def _check_remove_limit(command: RemoveLimit) -> None:
    text.check_id("limit", command.limit)


def _check_member(command: AddMember | RemoveMember) -> None:
    text.check_id("member", command.member)


def _check_status(command: Freeze | Unfreeze | Close) -> None:
    _check_reason(command.reason)


def _check_change_plan(command: ChangePlan) -> None:
    text.check_id("plan", command.plan)
    check_choice("at", command.at, When)
    if command.days is not None and (type(command.days) is not int or not 1 <= command.days <= MAX_DAYS):
        raise Invalid("days", f"must be a whole number from 1 to {MAX_DAYS}")


def _check_cancel_plan(command: CancelPlan) -> None:
    check_choice("at", command.at, When)


def _check_reason(reason: str | None) -> None:
    if reason is not None:
        text.check_text("reason", reason)


def _check_usd(cost: str | None) -> None:
    if cost is not None:
        text.check_decimal("provider_cost_usd", cost)


def _check_ttl(ttl_seconds: int) -> None:
    if type(ttl_seconds) is not int or not 1 <= ttl_seconds <= MAX_TTL_SECONDS:
        raise Invalid("ttl_seconds", f"must be a whole number from 1 to {MAX_TTL_SECONDS}")


def _no_check(command: Command) -> None:
    """Nothing but the account to check."""


def check_amount(field: str, amount: Nanos, *, zero: bool = False) -> None:
    """An amount of nano-credits within range: above zero, or from zero where `zero` says so."""
    if type(amount) is not int or not (0 if zero else 1) <= amount <= MAX_NANOS:
        raise Invalid(field, "must be zero or more" if zero else "must be more than zero")


def check_choice(field: str, value: str, choices: type[Word]) -> None:
    """One of the words of an enumeration."""
    if value not in choices.__members__.values():
        raise Invalid(field, "must be one of " + ", ".join(choices))


_CHECKS: dict[type[Command], Callable[[Any], None]] = {
    OpenAccount: _check_open,
    UpdateAccount: _check_update,
    Grant: _check_grant,
    Charge: _check_charge,
    PlaceHold: _check_hold,
    OpenRun: _check_open_run,
    CloseRun: _check_close_run,
    Dispatch: _check_dispatch,
    Extend: _check_extend,
    Capture: _check_capture,
    Release: _check_release,
    Refund: _check_refund,
    Void: _check_void,
    Adjust: _check_adjust,
    Transfer: _check_transfer,
    SetLimit: _check_set_limit,
    RemoveLimit: _check_remove_limit,
    AddMember: _check_member,
    RemoveMember: _check_member,
    Freeze: _check_status,
    Unfreeze: _check_status,
    Close: _check_status,
    ChangePlan: _check_change_plan,
    CancelPlan: _check_cancel_plan,
    Renew: _no_check,
    Touch: _no_check,
}
