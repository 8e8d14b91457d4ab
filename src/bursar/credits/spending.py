"""Credits spent: quotes, charges, holds."""

from __future__ import annotations

from collections.abc import Iterable

from bursar import reports
from bursar.answers import HoldAnswer, Page, QuoteAnswer, Receipt
from bursar.core.commands import DEFAULT_TTL_SECONDS, Capture, Charge, Dispatch, Extend, Release
from bursar.core.errors import BursarError
from bursar.credits import arguments
from bursar.credits.arguments import AmountIn, ChargeIn, Metadata, OnExpiryIn, OverageIn, UsageIn
from bursar.credits.face import Face, hold_of, stamp
from bursar.credits.holding import AsyncHold
from bursar.credits.told import Done
from bursar.reports import DEFAULT_LIMIT


class AsyncSpending(Face):
    """See the module. What is spent is an `amount`, or what a `skill` costs by its usage or `quantity` calls."""

    async def quote(
        self,
        account: str,
        amount: AmountIn | None = None,
        *,
        skill: str | None = None,
        model: str | None = None,
        usage: UsageIn | None = None,
        quantity: int = 1,
    ) -> QuoteAnswer:
        """What this charge would cost now, and whether the account could pay it; changes nothing.

        Raises what the charge would raise, but for `InsufficientCredits` and `LimitExceeded`.
        """
        command = arguments.charge(account, amount, skill=skill, model=model, usage=usage, quantity=quantity)
        return await self._port.run(lambda runtime: reports.quote(runtime.engine, command))

    async def charge(
        self,
        account: str,
        amount: AmountIn | None = None,
        *,
        skill: str | None = None,
        model: str | None = None,
        usage: UsageIn | None = None,
        quantity: int = 1,
        member: str | None = None,
        run: str | None = None,
        provider_cost_usd: AmountIn | None = None,
        description: str | None = None,
        metadata: Metadata | None = None,
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> Receipt:
        """Take credits; of a `run`, out of its budget. An account that does not exist is refused: open it first.

        Raises `InsufficientCredits`, `LimitExceeded`, `MemberDenied`, `RunNotOpen`, `AccountNotFound`,
        `AccountFrozen`, `SkillNotFound`, `SkillDisabled`, `IdempotencyConflict`, `Invalid`.
        """
        command = arguments.charge(
            account,
            amount,
            skill=skill,
            model=model,
            usage=usage,
            quantity=quantity,
            member=member,
            run=run,
            provider_cost_usd=provider_cost_usd,
            description=description,
            metadata=metadata,
            idempotency_key=idempotency_key,
            actor=actor,
        )
        return self._receipt((await self._port.execute(command)).transaction)

    async def charge_many(self, charges: Iterable[ChargeIn], *, actor: str = "library") -> list[Receipt | BursarError]:
        """Charge many, each by itself: its receipt, or why it was refused, in order.

        Each is a mapping with `account` and the other arguments of `charge`, its own idempotency key included.
        """
        results: list[Receipt | BursarError | None] = []
        commands: list[Charge] = []
        for charge in charges:
            try:
                commands.append(arguments.charge_from(charge, actor))
                results.append(None)
            except BursarError as refusal:
                results.append(refusal)
        outcomes = iter(await self._port.execute_many(commands))
        return [self._result(next(outcomes)) if result is None else result for result in results]

    def hold(
        self,
        account: str,
        amount: AmountIn | None = None,
        *,
        skill: str | None = None,
        model: str | None = None,
        usage: UsageIn | None = None,
        quantity: int = 1,
        member: str | None = None,
        run: str | None = None,
        at_least: AmountIn | None = None,
        ttl_seconds: int = DEFAULT_TTL_SECONDS,
        overage: OverageIn | None = None,
        on_expiry: OnExpiryIn = "capture_held",
        description: str | None = None,
        metadata: Metadata | None = None,
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> AsyncHold:
        """Credits set aside for a call in flight, as a context manager.

            with credits.hold("alice", skill="CHAT") as hold:
                answer = call_model()
                hold.capture(usage={"input_tokens": 812, "output_tokens": 344})

        Entering places it, dispatched; raises what `charge` raises. Left without capture, the quote is charged;
        an `Exception` releases it; cancellation settles it by `on_expiry`. `at_least`: as much as there is of
        the cost, never less than this. In a `run` it draws from that one's budget.
        """
        command = arguments.place_hold(
            account,
            amount=amount,
            usage=usage,
            at_least=at_least,
            metadata=metadata,
            idempotency_key=idempotency_key,
            actor=actor,
            skill=skill,
            model=model,
            quantity=quantity,
            member=member,
            run=run,
            ttl_seconds=ttl_seconds,
            overage=overage,
            on_expiry=on_expiry,
            description=description,
            dispatched=True,
        )
        return AsyncHold(self, self._port, command)

    async def place_hold(
        self,
        account: str,
        amount: AmountIn | None = None,
        *,
        skill: str | None = None,
        model: str | None = None,
        usage: UsageIn | None = None,
        quantity: int = 1,
        member: str | None = None,
        run: str | None = None,
        at_least: AmountIn | None = None,
        ttl_seconds: int = DEFAULT_TTL_SECONDS,
        dispatched: bool = False,
        overage: OverageIn | None = None,
        on_expiry: OnExpiryIn = "capture_held",
        description: str | None = None,
        metadata: Metadata | None = None,
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> HoldAnswer:
        """Set credits aside, to be settled by `capture` or `release`, be it in another process.

        What nobody settles in time is released, or once it is dispatched settled by `on_expiry`. Raises what
        `charge` raises.
        """
        command = arguments.place_hold(
            account,
            amount=amount,
            usage=usage,
            at_least=at_least,
            metadata=metadata,
            idempotency_key=idempotency_key,
            actor=actor,
            skill=skill,
            model=model,
            quantity=quantity,
            member=member,
            run=run,
            ttl_seconds=ttl_seconds,
            overage=overage,
            on_expiry=on_expiry,
            description=description,
            dispatched=dispatched,
        )
        return hold_of(await self._port.execute(command))

    async def get_hold(self, account: str, hold: str) -> HoldAnswer:
        """The hold as it stands now. Raises `AccountNotFound`, `HoldNotFound`."""
        return await self._port.run(lambda runtime: reports.find_hold(runtime.engine, account, hold))

    async def holds(
        self,
        account: str,
        *,
        state: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[HoldAnswer]:
        """The account's holds, ended ones too. Raises `AccountNotFound`."""
        return await self._port.run(
            lambda runtime: reports.list_holds(runtime.engine, account, state=state, cursor=cursor, limit=limit)
        )

    async def dispatch(
        self,
        account: str,
        hold: str,
        *,
        measured: AmountIn | None = None,
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> HoldAnswer:
        """Say that the call has left: from now on expiry charges by policy. Raises `HoldNotFound`, `HoldNotOpen`."""
        command = Dispatch(
            **stamp(account, actor, idempotency_key),
            hold=hold,
            measured=arguments.some_amount("measured", measured),
        )
        return hold_of(await self._port.execute(command))

    async def extend(
        self,
        account: str,
        hold: str,
        amount: AmountIn | None = None,
        *,
        ttl_seconds: int | None = None,
        measured: AmountIn | None = None,
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> HoldAnswer:
        """Hold more, or longer from now, or report what was measured so far.

        Raises `HoldNotFound`, `HoldNotOpen`, `InsufficientCredits`.
        """
        command = Extend(
            **stamp(account, actor, idempotency_key),
            hold=hold,
            amount=arguments.some_amount("amount", amount),
            ttl_seconds=ttl_seconds,
            measured=arguments.some_amount("measured", measured),
        )
        return hold_of(await self._port.execute(command))

    async def capture(
        self,
        account: str,
        hold: str,
        amount: AmountIn | None = None,
        *,
        usage: UsageIn | None = None,
        provider_cost_usd: AmountIn | None = None,
        description: str | None = None,
        metadata: Metadata | None = None,
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> Receipt:
        """Charge the real cost: an amount, or usage at the price that the hold pinned; neither: as held.

        Less than was held: the rest returns. More: what is available pays, then the hold's `overage` decides.
        Carried out even if the caller is cancelled while it waits. Raises `HoldNotFound`, `HoldNotOpen`.
        """
        command = Capture(
            **stamp(account, actor, idempotency_key),
            hold=hold,
            amount=arguments.some_amount("amount", amount),
            usage=arguments.usage_of(usage),
            provider_cost_usd=arguments.decimal_of("provider_cost_usd", provider_cost_usd),
            description=description,
            metadata=arguments.json_of("metadata", metadata),
        )
        return self._receipt((await self._port.insist(command)).transaction)

    async def release(
        self, account: str, hold: str, *, idempotency_key: str | None = None, actor: str = "library"
    ) -> HoldAnswer:
        """End the hold with no charge. Carried out even if the caller is cancelled while it waits.

        Raises `HoldNotFound`, `HoldNotOpen`.
        """
        command = Release(**stamp(account, actor, idempotency_key), hold=hold)
        return hold_of(await self._port.insist(command))

    def _result(self, done: Done | BursarError) -> Receipt | BursarError:
        return done if isinstance(done, BursarError) else self._receipt(done.transaction)
