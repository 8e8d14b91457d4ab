"""Where work that costs credits says what it really cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from bursar.answers import Number, Receipt
from bursar.core.commands import Capture, check
from bursar.credits import AsyncHold, arguments
from bursar.credits.arguments import AmountIn, Metadata, UsageIn

_current: ContextVar[Meter | None] = ContextVar("bursar_meter", default=None)


class Meter:
    """One piece of work, from the hold before it to the charge after it. Nothing here waits for the ledger."""

    def __init__(self, hold: AsyncHold) -> None:
        self._hold = hold
        self.real: dict[str, Any] | None = None
        """What is captured in place of the quote."""

    @property
    def hold_id(self) -> str:
        """The hold behind it."""
        return self._hold.id

    @property
    def amount(self) -> Number:
        """What is held: the most that it was said to cost."""
        return self._hold.amount

    @property
    def receipt(self) -> Receipt | None:
        """What it came to, once it is captured."""
        return self._hold.receipt

    def cost(
        self,
        amount: AmountIn | None = None,
        *,
        usage: UsageIn | None = None,
        provider_cost_usd: AmountIn | None = None,
        description: str | None = None,
        metadata: Metadata | None = None,
    ) -> None:
        """The real cost so far, an amount or usage at the price that was held; the last word counts.

        It is charged if the work succeeds, or if whoever asked for it leaves before its end. Raises `Invalid`.
        """
        check_real_cost(amount, usage, provider_cost_usd, description, metadata)
        self.real = {
            "amount": amount,
            "usage": usage,
            "provider_cost_usd": provider_cost_usd,
            "description": description,
            "metadata": metadata,
        }

    def free(self) -> None:
        """This costs nothing after all."""
        self.cost(0)


def check_real_cost(
    amount: AmountIn | None,
    usage: UsageIn | None,
    provider_cost_usd: AmountIn | None,
    description: str | None,
    metadata: Metadata | None,
) -> None:
    """Refuse here and now what a capture would refuse when nobody is left to hear of it. Raises `Invalid`."""
    check(
        Capture(
            account="any",
            hold="any",
            amount=arguments.some_amount("amount", amount),
            usage=arguments.usage_of(usage),
            provider_cost_usd=arguments.decimal_of("provider_cost_usd", provider_cost_usd),
            description=description,
            metadata=arguments.json_of("metadata", metadata),
        )
    )


def meter() -> Meter:
    """The meter of the work that is running. Raises `LookupError` where none is: a route or function that is free."""
    current = _current.get()
    if current is None:
        raise LookupError("nothing that runs here costs credits")
    return current


@contextmanager
def running(current: Meter) -> Iterator[None]:
    """What runs inside finds it by `meter()`."""
    token = _current.set(current)
    try:
        yield
    finally:
        _current.reset(token)
