"""Who may spend how much: limits, and members."""

from __future__ import annotations

from bursar import allotments
from bursar.answers import LimitAnswer, MemberAnswer, Page
from bursar.core.commands import AddMember, RemoveLimit, RemoveMember, SetLimit
from bursar.credits import arguments
from bursar.credits.arguments import AmountIn, ScopeIn, WindowIn
from bursar.credits.face import Face, member_of, stamp
from bursar.reports import DEFAULT_LIMIT


class AsyncLimiting(Face):
    """See the module."""

    async def set_limit(
        self,
        account: str,
        limit: str,
        amount: AmountIn,
        *,
        window: WindowIn,
        scope: ScopeIn = "account",
        value: str | None = None,
        timezone: str | None = None,
        actor: str = "library",
    ) -> LimitAnswer:
        """Cap what is spent in a window: by everybody, or by one member, key, skill, model or run, named by `value`.

        `limit` is the caller's own name for it; one of that name is replaced. What the window has seen already counts.
        Days, weeks and months are those of `timezone`, without it the account's. Raises `AccountNotFound`.
        """
        command = SetLimit(
            **stamp(account, actor),
            limit=limit,
            amount=arguments.amount_of("amount", amount),
            window=window,
            scope=scope,
            value=value,
            timezone=timezone,
        )
        await self._port.execute(command)
        return await self._get_limit(account, limit)

    async def _get_limit(self, account: str, limit: str) -> LimitAnswer:
        return await self._port.run(lambda runtime: allotments.get_limit(runtime.engine, account, limit))

    async def remove_limit(self, account: str, limit: str, *, actor: str = "library") -> None:
        """Lift a limit. Raises `AccountNotFound`, `LimitNotFound`."""
        await self._port.execute(RemoveLimit(**stamp(account, actor), limit=limit))

    async def limits(self, account: str) -> list[LimitAnswer]:
        """The account's limits and those of its members, with what they have counted. Raises `AccountNotFound`."""
        return await self._port.run(lambda runtime: allotments.list_limits(runtime.engine, account))

    async def add_member(self, account: str, member: str, *, actor: str = "library") -> MemberAnswer:
        """Let a member spend from the account.

        Once somebody was added, only members may spend in a member's name. Raises `AccountNotFound`.
        """
        return member_of(await self._port.execute(AddMember(**stamp(account, actor), member=member)))

    async def remove_member(self, account: str, member: str, *, actor: str = "library") -> MemberAnswer:
        """Let a member spend no more; what is in flight may settle. Raises `AccountNotFound`, `MemberNotFound`."""
        return member_of(await self._port.execute(RemoveMember(**stamp(account, actor), member=member)))

    async def members(
        self, account: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Page[MemberAnswer]:
        """The account's members, removed ones too. Raises `AccountNotFound`."""
        return await self._port.run(
            lambda runtime: allotments.list_members(runtime.engine, account, cursor=cursor, limit=limit)
        )
