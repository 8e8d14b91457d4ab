"""What the ledger's commands take over HTTP, and how each becomes its command: credits into nano-credits, times into
instants.

What a field means, and what is refused, stands at the command (`core.commands`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from bursar.core import text
from bursar.core.commands import (
    DEFAULT_PRIORITY,
    DEFAULT_TTL_SECONDS,
    Adjust,
    Capture,
    Charge,
    Dispatch,
    Extend,
    Grant,
    OpenAccount,
    PlaceHold,
    Refund,
    Release,
    Transfer,
    Void,
)
from bursar.core.errors import Invalid
from bursar.core.model import OnExpiry, Overage, Usage
from bursar.credits import arguments
from bursar.service.auth import Permission, require
from bursar.service.hot import Asked, CommandBody
from bursar.service.wire import some_instant

Metadata = dict[str, Any]

Amount = int | Decimal
"""Credits: a JSON number, or a string that holds one; exact either way."""


class UsageBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Measured quantities of one call; token kinds are disjoint."""

    calls: int = 1
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    images: int = 0
    characters: int = 0
    seconds: Decimal = Decimal(0)
    image_size: str | None = None
    image_quality: str | None = None
    custom: dict[str, Decimal] = {}


def usage_of(body: UsageBody | None) -> Usage | None:
    """What was measured, as the ledger has it. Raises `Invalid`."""
    return None if body is None else arguments.usage_of(msgspec.to_builtins(body, builtin_types=(Decimal,)))


class SpendBody(CommandBody, kw_only=True):
    """An `amount`, or a `skill` or a `model` priced by `usage` or `quantity`; of a `run`, out of its budget."""

    amount: Amount | None = None
    skill: str | None = None
    model: str | None = None
    usage: UsageBody | None = None
    quantity: int = 1
    member: str | None = None
    run: str | None = None
    description: str | None = None
    metadata: Metadata | None = None


class ChargeBody(SpendBody, kw_only=True):
    """Take credits."""

    provider_cost_usd: Amount | None = None

    def command(self, asked: Asked) -> Charge:
        return arguments.charge(
            asked.account,
            self.amount,
            idempotency_key=asked.key,
            actor=asked.caller.actor,
            skill=self.skill,
            model=self.model,
            usage=usage_of(self.usage),
            quantity=self.quantity,
            member=self.member,
            run=self.run,
            description=self.description,
            metadata=self.metadata,
            provider_cost_usd=self.provider_cost_usd,
        )


class HoldBody(SpendBody, kw_only=True):
    """Set credits aside for a call: as much of the cost as there is, never less than `at_least`."""

    at_least: Amount | None = None
    ttl_seconds: int = DEFAULT_TTL_SECONDS
    dispatched: bool = False
    overage: Overage | None = None
    on_expiry: OnExpiry = OnExpiry.CAPTURE_HELD

    def command(self, asked: Asked) -> PlaceHold:
        return arguments.place_hold(
            asked.account,
            amount=self.amount,
            at_least=self.at_least,
            idempotency_key=asked.key,
            actor=asked.caller.actor,
            skill=self.skill,
            model=self.model,
            usage=usage_of(self.usage),
            quantity=self.quantity,
            member=self.member,
            run=self.run,
            ttl_seconds=self.ttl_seconds,
            dispatched=self.dispatched,
            overage=self.overage,
            on_expiry=self.on_expiry,
            description=self.description,
            metadata=self.metadata,
        )


class DispatchBody(CommandBody, kw_only=True):
    """The call left; `measured` is what it cost so far."""

    measured: Amount | None = None

    def command(self, asked: Asked) -> Dispatch:
        measured = arguments.some_amount("measured", self.measured)
        return Dispatch(**asked.stamp(), hold=asked.item, measured=measured)


class ExtendBody(CommandBody, kw_only=True):
    """More amount, or time from now."""

    amount: Amount | None = None
    ttl_seconds: int | None = None
    measured: Amount | None = None

    def command(self, asked: Asked) -> Extend:
        if asked.key is None:
            raise Invalid("idempotency_key", "is required: a hold extended twice would hold too much")
        return Extend(
            **asked.stamp(),
            hold=asked.item,
            amount=arguments.some_amount("amount", self.amount),
            ttl_seconds=self.ttl_seconds,
            measured=arguments.some_amount("measured", self.measured),
        )


class CaptureBody(CommandBody, kw_only=True):
    """The real cost: an `amount`, or `usage` at the hold's price; neither: as held."""

    amount: Amount | None = None
    usage: UsageBody | None = None
    provider_cost_usd: Amount | None = None
    description: str | None = None
    metadata: Metadata | None = None

    def command(self, asked: Asked) -> Capture:
        return Capture(
            **asked.stamp(),
            hold=asked.item,
            amount=arguments.some_amount("amount", self.amount),
            usage=usage_of(self.usage),
            provider_cost_usd=arguments.decimal_of("provider_cost_usd", self.provider_cost_usd),
            description=self.description,
            metadata=arguments.json_of("metadata", self.metadata),
        )


class ReleaseBody(CommandBody, kw_only=True):
    """End a hold with no charge."""

    def command(self, asked: Asked) -> Release:
        return Release(**asked.stamp(), hold=asked.item)


class PaidBody(Struct, forbid_unknown_fields=True):
    """What was paid for a grant."""

    amount: Amount
    currency: str


class GrantBody(CommandBody, kw_only=True):
    """Give credits."""

    amount: Amount
    source: str = "admin"
    priority: int = DEFAULT_PRIORITY
    effective_at: str | None = None
    expires_at: str | None = None
    paid: PaidBody | None = None
    description: str | None = None
    metadata: Metadata | None = None

    def command(self, asked: Asked) -> Grant:
        return Grant(
            **asked.stamp(),
            amount=arguments.amount_of("amount", self.amount),
            source=self.source,
            priority=self.priority,
            effective_at=some_instant("effective_at", self.effective_at),
            expires_at=some_instant("expires_at", self.expires_at),
            paid=None if self.paid is None else arguments.decimal_of("paid.amount", self.paid.amount),
            currency=None if self.paid is None else self.paid.currency,
            description=self.description,
            metadata=arguments.json_of("metadata", self.metadata),
        )


class VoidBody(CommandBody, kw_only=True):
    """End a grant early."""

    reason: str | None = None

    def command(self, asked: Asked) -> Void:
        return Void(**asked.stamp(), grant=asked.item, reason=self.reason)


class RefundBody(CommandBody, kw_only=True):
    """Give back `amount` of a charge, or all that is left of it."""

    amount: Amount | None = None
    reason: str | None = None

    def command(self, asked: Asked) -> Refund:
        if asked.key is None and self.amount is not None:
            raise Invalid("idempotency_key", "is required: a part refunded twice would be refunded too much")
        amount = arguments.some_amount("amount", self.amount)
        return Refund(**asked.stamp(), transaction=asked.item, amount=amount, reason=self.reason)


class AdjustBody(CommandBody, kw_only=True):
    """Correct what is available: `to` an amount, or `by` a signed one."""

    to: Amount | None = None
    by: Amount | None = None
    reason: str

    def command(self, asked: Asked) -> Adjust:
        to, by = arguments.some_amount("to", self.to), arguments.signed_amount("by", self.by)
        return Adjust(**asked.stamp(), to=to, by=by, reason=self.reason)


class TransferBody(CommandBody, kw_only=True):
    """Move credits between two accounts."""

    from_: str = msgspec.field(name="from")
    to: str
    amount: Amount
    description: str | None = None

    def command(self, asked: Asked) -> Transfer:
        text.check_id("from", self.from_)
        amount = arguments.amount_of("amount", self.amount)
        return Transfer(**asked.stamp(self.from_), to=self.to, amount=amount, description=self.description)


class OpenBody(CommandBody, kw_only=True):
    """A new account. Without `plan`: the preset's own; null: none."""

    id: str
    email: str | None = None
    name: str | None = None
    plan: str | msgspec.UnsetType | None = msgspec.UNSET
    timezone: str = "UTC"
    overage: Overage = Overage.DEBT
    metadata: Metadata | None = None

    def command(self, asked: Asked) -> OpenAccount:
        """Another plan than everybody's is an administrator's to give."""
        text.check_id("id", self.id)
        plan = asked.default_plan if isinstance(self.plan, msgspec.UnsetType) else self.plan
        if plan != asked.default_plan:
            require(asked.caller, Permission.ADMINISTER)
        return OpenAccount(
            **asked.stamp(self.id),
            email=self.email,
            name=self.name,
            plan=plan,
            timezone=self.timezone,
            overage=self.overage,
            metadata=arguments.json_of("metadata", self.metadata),
        )
