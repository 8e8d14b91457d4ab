"""A function whose calls cost credits: `@metered("SKILL")`, on any kind of function.

    @metered("TEXT_GENERATION", credits=ledger, account="user")
    async def write(user: str, prompt: str) -> str: ...

The price is held before the function runs, raising `InsufficientCredits` in its place, and captured when it returns;
`meter().cost(...)` inside says what it really came to. What it raises releases the hold. Cancelled, it is charged: a
call that was under way may have cost something. A generator is one piece of work from its first value to its last: a
reader who leaves before has it charged as far as it came.

Functions that await take `AsyncCredits`, the others `Credits`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from inspect import Signature, isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature
from typing import Any, Final, ParamSpec, TypeVar

from bursar.core.errors import Invalid
from bursar.credits.driving import drive
from bursar.integrations.meter import running
from bursar.integrations.prices import Price, terms_of
from bursar.integrations.refusals import NobodySpends
from bursar.integrations.spend import Ledger, Spend, find_async, find_blocking

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

Of = Callable[..., Any]
"""A function of the same arguments as the one that it stands at."""


def metered(
    price: Price | Of,
    *,
    credits: Ledger,
    account: str | Of,
    idempotency_key: Of | None = None,
    open_accounts: bool = True,
    **terms: Any,
) -> Callable[[F], F]:
    """The decorator.

    `credits` is a ledger, or a function that finds one when it is needed. `account` is the name of the parameter that
    names who pays, or a function of the arguments; so may `price` be, and `idempotency_key` (with the same key a
    call that has ended is not made again: `HoldNotOpen`). The other `terms` are those of `credits.hold`.
    """
    if not callable(price):
        terms_of(price)
    plan = _Plan(price, credits, account, idempotency_key, terms, open_accounts=open_accounts)

    def decorate(function: F) -> F:
        shape = signature(function)
        if isinstance(account, str) and account not in shape.parameters:
            raise Invalid("account", f"{function.__qualname__} has no parameter {account!r}")
        for fits, wrap in _WAYS:
            if fits(function):
                wrapped: F = wraps(function)(wrap(function, plan, shape))  # type: ignore[assignment]
                return wrapped
        raise AssertionError("the last way fits every function")

    return decorate


class _Plan:
    """What the decorator was told."""

    def __init__(
        self,
        price: Price | Of,
        credits: Ledger,
        account: str | Of,
        key: Of | None,
        terms: dict[str, Any],
        *,
        open_accounts: bool,
    ) -> None:
        self._price = price
        self._account = account
        self._key = key
        self._terms = terms
        self._open_accounts = open_accounts
        self.credits = credits

    def spend(self, find: Callable[[Ledger], Any], shape: Signature, args: Any, kwargs: Any) -> Spend | None:
        """What one call spends; None where it is free."""
        terms = terms_of(self._price(*args, **kwargs) if callable(self._price) else self._price)
        if terms is None:
            return None
        account = self._find_account(shape, args, kwargs)
        if account is None:
            raise NobodySpends
        if self._key is not None:
            terms["idempotency_key"] = self._key(*args, **kwargs)
        return Spend(find(self.credits), account, {**self._terms, **terms}, open_accounts=self._open_accounts)

    def _find_account(self, shape: Signature, args: Any, kwargs: Any) -> Any:
        if not isinstance(self._account, str):
            return self._account(*args, **kwargs)
        bound = shape.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments[self._account]


def _coroutine(function: Of, plan: _Plan, shape: Signature) -> Of:
    async def call(*args: Any, **kwargs: Any) -> Any:
        spend = plan.spend(find_async, shape, args, kwargs)
        if spend is None:
            return await function(*args, **kwargs)
        await spend.enter()
        try:
            with running(spend.meter):
                result = await function(*args, **kwargs)
        except Exception as error:
            await spend.failed(error)
            raise
        except BaseException:
            await spend.done()
            raise
        await spend.done()
        return result

    return call


def _plain(function: Of, plan: _Plan, shape: Signature) -> Of:
    def call(*args: Any, **kwargs: Any) -> Any:
        spend = plan.spend(find_blocking, shape, args, kwargs)
        if spend is None:
            return function(*args, **kwargs)
        drive(spend.enter())
        try:
            with running(spend.meter):
                result = function(*args, **kwargs)
        except Exception as error:
            drive(spend.failed(error))
            raise
        except BaseException:
            drive(spend.done())
            raise
        drive(spend.done())
        return result

    return call


def _async_generator(function: Of, plan: _Plan, shape: Signature) -> Of:
    async def call(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        spend = plan.spend(find_async, shape, args, kwargs)
        if spend is None:
            async for value in function(*args, **kwargs):
                yield value
            return
        await spend.enter()
        values = function(*args, **kwargs)
        try:
            while True:
                try:
                    with running(spend.meter):
                        value = await anext(values)
                except StopAsyncIteration:
                    break
                yield value
        except Exception as error:
            await spend.failed(error)
            raise
        except BaseException:
            await values.aclose()
            await spend.done()
            raise
        await spend.done()

    return call


def _generator(function: Of, plan: _Plan, shape: Signature) -> Of:
    def call(*args: Any, **kwargs: Any) -> Iterator[Any]:
        spend = plan.spend(find_blocking, shape, args, kwargs)
        if spend is None:
            yield from function(*args, **kwargs)
            return
        drive(spend.enter())
        values = function(*args, **kwargs)
        try:
            while True:
                try:
                    with running(spend.meter):
                        value = next(values)
                except StopIteration:
                    break
                yield value
        except Exception as error:
            drive(spend.failed(error))
            raise
        except BaseException:
            values.close()
            drive(spend.done())
            raise
        drive(spend.done())

    return call


_WAYS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Of, _Plan, Signature], Of]], ...]] = (
    (iscoroutinefunction, _coroutine),
    (isasyncgenfunction, _async_generator),
    (isgeneratorfunction, _generator),
    (callable, _plain),
)
"""How each kind of function is called."""
