"""Credits given, taken back, corrected and moved."""

from __future__ import annotations

from datetime import datetime

from bursar import reports
from bursar.answers import GrantAnswer, GrantReceipt, Page, Receipt, TransferReceipt
from bursar.core.commands import DEFAULT_PRIORITY, Adjust, Grant, Refund, Transfer, Void
from bursar.credits import arguments
from bursar.credits.arguments import AmountIn, Metadata, PaidIn
from bursar.credits.face import Face, grant_of, stamp
from bursar.credits.told import Done
from bursar.reports import DEFAULT_LIMIT


class AsyncGiving(Face):
    """See the module."""

    async def grant(
        self,
        account: str,
        amount: AmountIn,
        *,
        source: str = "admin",
        priority: int = DEFAULT_PRIORITY,
        effective_at: datetime | None = None,
        expires_at: datetime | None = None,
        paid: PaidIn | None = None,
        description: str | None = None,
        metadata: Metadata | None = None,
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> GrantReceipt:
        """Give credits: a new lot, out of which debt is paid first. Lots of a lower priority number pay first.

        `source` says why: purchase, bonus, promo, referral, admin or a name of your own; `paid` what was paid
        for it, as `{"amount": "9.99", "currency": "USD"}`. Raises `AccountNotFound`, `AccountClosed`, `Invalid`.
        """
        price, currency = arguments.paid_of(paid)
        command = Grant(
            **stamp(account, actor, idempotency_key),
            amount=arguments.amount_of("amount", amount),
            source=source,
            priority=priority,
            effective_at=arguments.instant_of("effective_at", effective_at),
            expires_at=arguments.instant_of("expires_at", expires_at),
            paid=price,
            currency=currency,
            description=description,
            metadata=arguments.json_of("metadata", metadata),
        )
        return self._grant_receipt(await self._port.execute(command))

    async def grants(self, account: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT) -> Page[GrantAnswer]:
        """The account's grants, spent ones too. Raises `AccountNotFound`."""
        return await self._port.run(
            lambda runtime: reports.list_grants(runtime.engine, account, cursor=cursor, limit=limit)
        )

    async def void(
        self,
        account: str,
        grant: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> GrantReceipt:
        """End a grant early; what was spent of it stays spent. Raises `AccountNotFound`, `GrantNotFound`."""
        command = Void(**stamp(account, actor, idempotency_key), grant=grant, reason=reason)
        return self._grant_receipt(await self._port.execute(command))

    async def refund(
        self,
        account: str,
        transaction: str,
        amount: AmountIn | None = None,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> Receipt:
        """Give back a charge, or part of it, to the lots that paid.

        Raises `AccountNotFound`, `TransactionNotFound`, `NotRefundable`, `RefundExceedsCharge`.
        """
        command = Refund(
            **stamp(account, actor, idempotency_key),
            transaction=transaction,
            amount=arguments.some_amount("amount", amount),
            reason=reason,
        )
        return self._receipt((await self._port.execute(command)).transaction)

    async def adjust(
        self,
        account: str,
        *,
        to: AmountIn | None = None,
        by: AmountIn | None = None,
        reason: str,
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> Receipt:
        """A correction: what is available becomes `to`, or changes `by` (which may be negative).

        Raises `AccountNotFound`, `InsufficientCredits`, `Invalid`.
        """
        command = Adjust(
            **stamp(account, actor, idempotency_key),
            to=arguments.some_amount("to", to),
            by=arguments.signed_amount("by", by),
            reason=reason,
        )
        return self._receipt((await self._port.execute(command)).transaction)

    async def transfer(
        self,
        account: str,
        to: str,
        amount: AmountIn,
        *,
        description: str | None = None,
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> TransferReceipt:
        """Move credits to another account, each with the expiry it had; a plan's own credits stay.

        Raises `AccountNotFound`, `AccountFrozen`, `AccountClosed`, `InsufficientCredits`.
        """
        command = Transfer(
            **stamp(account, actor, idempotency_key),
            to=to,
            amount=arguments.amount_of("amount", amount),
            description=description,
        )
        outcome = await self._port.execute(command)
        return TransferReceipt(self._receipt(outcome.transaction), self._some_receipt(outcome.other))

    def _grant_receipt(self, done: Done) -> GrantReceipt:
        return GrantReceipt(grant_of(done), self._some_receipt(done.transaction))
