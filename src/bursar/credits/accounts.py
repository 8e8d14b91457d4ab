"""Accounts: opened, changed, looked at, frozen, closed."""

from __future__ import annotations

from bursar import reports
from bursar.answers import AccountAnswer, BalanceAnswer, Page
from bursar.core.commands import Close, Freeze, OpenAccount, Renew, Unfreeze, UpdateAccount
from bursar.credits import arguments
from bursar.credits.arguments import PRESET_DEFAULT, Metadata, OverageIn, PresetDefault
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
            plan = self._port.runtime.catalog.default_plan
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
        outcome = await self._port.execute(Renew(**stamp(account, actor, idempotency_key)))
        # A replay names the transaction that it made, not the account.
        return await self.account(account) if outcome.account is None else account_of(outcome)
