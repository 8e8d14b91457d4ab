"""Accounts: opened, changed, looked at, frozen, closed."""

from __future__ import annotations

from bursar import reports
from bursar.answers import AccountAnswer, BalanceAnswer, Page
from bursar.core.commands import (
    CancelPlan,
    ChangePlan,
    Close,
    Freeze,
    OpenAccount,
    Renew,
    Unfreeze,
    UpdateAccount,
)
from bursar.credits import arguments
from bursar.credits.arguments import PRESET_DEFAULT, Metadata, OverageIn, PresetDefault, WhenIn
from bursar.credits.face import Face, account_of, stamp
from bursar.reports import DEFAULT_LIMIT


class AsyncAccounts(Face):
    """See the module."""

    async def open_account(
        self,
        account: str,
        *,
        plan: str | PresetDefault | None = PRESET_DEFAULT,
        email: str | None = None,
        name: str | None = None,
        timezone: str = "UTC",
        overage: OverageIn = "debt",
        metadata: Metadata | None = None,
        actor: str = "library",
    ) -> AccountAnswer:
        """Create the account with its plan's first allowance; one that exists is answered as it is.

        Without `plan` it gets the preset's default plan, with None no plan. Raises `PlanNotFound`.
        """
        if isinstance(plan, PresetDefault):
            plan = self._port.default_plan
        command = OpenAccount(
            **stamp(account, actor),
            plan=plan,
            email=email,
            name=name,
            timezone=timezone,
            overage=overage,
            metadata=arguments.json_of("metadata", metadata),
        )
        return account_of(await self._port.execute(command))

    async def update_account(
        self,
        account: str,
        *,
        email: str | None = None,
        name: str | None = None,
        overage: OverageIn | None = None,
        metadata: Metadata | None = None,
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> AccountAnswer:
        """Change what is given; an empty text removes an email or name. Raises `AccountNotFound`."""
        command = UpdateAccount(
            **stamp(account, actor, idempotency_key),
            email=email,
            name=name,
            overage=overage,
            metadata=arguments.json_of("metadata", metadata),
        )
        return account_of(await self._port.execute(command))

    async def account(self, account: str) -> AccountAnswer:
        """The account as it stands now. Raises `AccountNotFound`."""
        return await self._port.run(lambda runtime: reports.find_account(runtime.engine, account))

    async def accounts(
        self,
        *,
        query: str | None = None,
        plan: str | None = None,
        status: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[AccountAnswer]:
        """Accounts in order of id; `query` is part of an id, email or name, in any case."""
        return await self._port.run(
            lambda runtime: reports.list_accounts(
                runtime.engine, query=query, plan=plan, status=status, cursor=cursor, limit=limit
            )
        )

    async def balance(self, account: str) -> BalanceAnswer:
        """What the account has now, lot by lot in the order in which they pay. Raises `AccountNotFound`."""
        return await self._port.run(lambda runtime: reports.balance(runtime.engine, account))

    async def freeze(self, account: str, *, reason: str | None = None, actor: str = "library") -> AccountAnswer:
        """Refuse charges, holds and transfers out; what is in flight may settle. Raises `AccountNotFound`."""
        return account_of(await self._port.execute(Freeze(**stamp(account, actor), reason=reason)))

    async def unfreeze(self, account: str, *, reason: str | None = None, actor: str = "library") -> AccountAnswer:
        """Allow spending again. Raises `AccountNotFound`, `AccountClosed`."""
        return account_of(await self._port.execute(Unfreeze(**stamp(account, actor), reason=reason)))

    async def close_account(self, account: str, *, reason: str | None = None, actor: str = "library") -> AccountAnswer:
        """Refuse everything new for good; what is in flight may settle. Raises `AccountNotFound`."""
        return account_of(await self._port.execute(Close(**stamp(account, actor), reason=reason)))

    async def renew(self, account: str, *, idempotency_key: str | None = None, actor: str = "library") -> AccountAnswer:
        """Start the plan's allowance afresh now; the next renewal stays where it was.

        Raises `AccountNotFound`.
        """
        return account_of(await self._port.execute(Renew(**stamp(account, actor, idempotency_key))))

    async def subscribe(
        self,
        account: str,
        plan: str,
        *,
        days: int | None = None,
        at: WhenIn = "now",
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> AccountAnswer:
        """Have another plan, now or at the end of the period.

        With `days` a newly paid period begins: the whole allowance is given, and the plan is over when they have
        passed; the same plan again adds them to what is paid for already. Without, the plan changes within the
        period: its lots come to the new allowance less what was used. The plan that the account has, without days:
        what was settled for the end of the period is dropped.

        Raises `AccountNotFound`, `AccountClosed`, `PlanNotFound`, `TrialUsed`, `Invalid`.
        """
        command = ChangePlan(**stamp(account, actor, idempotency_key), plan=plan, days=days, at=at)
        return account_of(await self._port.execute(command))

    async def cancel(
        self,
        account: str,
        *,
        at: WhenIn = "period_end",
        idempotency_key: str | None = None,
        actor: str = "library",
    ) -> AccountAnswer:
        """Go back to the plan after the present one, at the end of what is paid for or of the period, or now.

        Raises `AccountNotFound`, `AccountClosed`, `Invalid`.
        """
        return account_of(await self._port.execute(CancelPlan(**stamp(account, actor, idempotency_key), at=at)))
