"""What a service is asked otherwise than by a command: reads, and the catalogue.

Each method is that of the face above it, with another text. What reaches `RemotePort.run` lacks one; a test looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from bursar.answers import (
    AccountAnswer,
    BalanceAnswer,
    GrantAnswer,
    HoldAnswer,
    LimitAnswer,
    MemberAnswer,
    Page,
    PlanAnswer,
    PriceAnswer,
    QuoteAnswer,
    Receipt,
    RunAnswer,
    SkillAnswer,
)
from bursar.core import text
from bursar.core.commands import check
from bursar.core.errors import Invalid, LimitNotFound, TransactionNotFound
from bursar.credits import arguments
from bursar.credits.arguments import (
    PRESET_DEFAULT,
    AmountIn,
    AnchorIn,
    ComponentIn,
    PeriodIn,
    PresetDefault,
    RenewalIn,
    RoundingIn,
    UsageIn,
)
from bursar.credits.asynchronous import AsyncCredits
from bursar.credits.catalogue import AsyncPlans, AsyncSkills, Plans, Prices, Skills
from bursar.credits.remote.answers import Rows, Verified
from bursar.credits.remote.bodies import amount, given, moment, price_body
from bursar.credits.remote.connection import Connection, LoopConnection, ThreadConnection
from bursar.credits.remote.models import RemoteModels
from bursar.credits.remote.paths import account_path, checked, named, skill_path
from bursar.credits.remote.place import Place
from bursar.credits.remote.port import RemotePort
from bursar.credits.remote.reporting import RemoteReports
from bursar.credits.remote.verbs import body_of
from bursar.reports import DEFAULT_LIMIT
from bursar.verify import Verdict


async def open_on_loop(place: Place) -> AsyncCredits:
    """The service, for event loops. Raises `ServiceUnavailable` where there is none."""
    return await _open(LoopConnection(place))


async def open_for_threads(place: Place) -> AsyncCredits:
    """The same for threads: no method of it suspends."""
    return await _open(ThreadConnection(place))


async def _open(connection: Connection) -> AsyncCredits:
    port = RemotePort(connection)
    try:
        await port.ask(dict[str, Any], "GET", "/healthz", once=True)
    except BaseException:
        await port.close()
        raise
    return RemoteCredits(port)


class RemoteSkills(AsyncSkills):
    """`AsyncSkills`, over HTTP."""

    _port: RemotePort

    async def list(self) -> Skills:
        return (await self._port.ask(Rows[SkillAnswer], "GET", "skills")).data

    async def get(self, name: str) -> SkillAnswer:
        return await self._port.ask(SkillAnswer, "GET", skill_path(name))

    async def prices(self, name: str) -> Prices:
        return (await self._port.ask(Rows[PriceAnswer], "GET", f"{skill_path(name)}/prices")).data

    async def add(
        self,
        name: str,
        cost: AmountIn | None = None,
        *,
        components: Iterable[ComponentIn] | None = None,
        display_name: str | None = None,
        description: str | None = None,
        rounding: RoundingIn = "1e-9",
        minimum: AmountIn = 0,
        markup: AmountIn = 1,
        active: bool = True,
    ) -> SkillAnswer:
        text.check_skill("name", name)
        body = given(name=name, display_name=display_name, description=description, active=active)
        body |= price_body(arguments.price_of(cost, components, rounding, minimum, markup))
        return await self._port.ask(SkillAnswer, "POST", "skills", body=body, repeatable=False)

    async def set_price(
        self,
        name: str,
        cost: AmountIn | None = None,
        *,
        components: Iterable[ComponentIn] | None = None,
        rounding: RoundingIn = "1e-9",
        minimum: AmountIn = 0,
        markup: AmountIn = 1,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
    ) -> PriceAnswer:
        body = price_body(arguments.price_of(cost, components, rounding, minimum, markup))
        body |= given(
            valid_from=moment(arguments.instant_of("valid_from", valid_from)),
            valid_to=moment(arguments.instant_of("valid_to", valid_to)),
        )
        return await self._port.ask(PriceAnswer, "POST", f"{skill_path(name)}/prices", body=body, repeatable=False)

    async def update(
        self,
        name: str,
        *,
        display_name: str | None = None,
        description: str | None = None,
        active: bool | None = None,
    ) -> SkillAnswer:
        body = given(display_name=display_name, description=description, active=active)
        return await self._port.ask(SkillAnswer, "PATCH", skill_path(name), body=body)


class RemotePlans(AsyncPlans):
    """`AsyncPlans`, over HTTP."""

    _port: RemotePort

    async def list(self) -> Plans:
        return (await self._port.ask(Rows[PlanAnswer], "GET", "plans")).data

    async def get(self, name: str) -> PlanAnswer:
        return await self._port.ask(PlanAnswer, "GET", f"plans/{named('plan', name)}")

    async def put(
        self,
        name: str,
        *,
        allowance: AmountIn,
        display_name: str | None = None,
        period: PeriodIn = "month",
        anchor: AnchorIn = "calendar",
        renewal: RenewalIn = "reset",
        rollover_cap: AmountIn | None = None,
        priority: int = 10,
        timezone: str | None = None,
        duration_days: int | None = None,
        after: str | PresetDefault | None = PRESET_DEFAULT,
        trial: bool = False,
        prorated: bool = False,
    ) -> PlanAnswer:
        body = given(
            allowance=amount(arguments.amount_of("allowance", allowance)),
            display_name=display_name,
            period=period,
            anchor=anchor,
            renewal=renewal,
            rollover_cap=amount(arguments.some_amount("rollover_cap", rollover_cap)),
            priority=priority,
            timezone=timezone,
            duration_days=duration_days,
            trial=trial or None,
            prorated=prorated or None,
        )
        if not isinstance(after, PresetDefault):
            body["after"] = after
        return await self._port.ask(PlanAnswer, "PUT", f"plans/{named('plan', name)}", body=body)


class RemoteCredits(AsyncCredits):
    """`AsyncCredits`, over HTTP."""

    _port: RemotePort

    def __init__(self, port: RemotePort) -> None:
        super().__init__(port)
        self.skills = RemoteSkills(port)
        self.models = RemoteModels(port)
        self.plans = RemotePlans(port)
        self.reports = RemoteReports(port)

    async def account(self, account: str) -> AccountAnswer:
        return await self._port.ask(AccountAnswer, "GET", account_path(account))

    async def accounts(
        self,
        *,
        query: str | None = None,
        plan: str | None = None,
        status: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[AccountAnswer]:
        asked = {"query": query, "plan": plan, "status": status, "cursor": cursor, "limit": limit}
        return await self._page(AccountAnswer, "accounts", asked)

    async def balance(self, account: str) -> BalanceAnswer:
        return await self._port.ask(BalanceAnswer, "GET", f"{account_path(account)}/balance")

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
        command = arguments.charge(account, amount, skill=skill, model=model, usage=usage, quantity=quantity)
        check(command)
        return await self._port.ask(QuoteAnswer, "POST", f"{account_path(account)}/quotes", body=body_of(command))

    async def get_hold(self, account: str, hold: str) -> HoldAnswer:
        return await self._port.ask(HoldAnswer, "GET", f"{account_path(account)}/holds/{named('hold', hold)}")

    async def holds(
        self, account: str, *, state: str | None = None, cursor: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Page[HoldAnswer]:
        asked = {"state": state, "cursor": cursor, "limit": limit}
        return await self._page(HoldAnswer, f"{account_path(account)}/holds", asked)

    async def grants(self, account: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT) -> Page[GrantAnswer]:
        return await self._page(GrantAnswer, f"{account_path(account)}/grants", {"cursor": cursor, "limit": limit})

    async def history(
        self,
        account: str,
        *,
        type: str | None = None,
        skill: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[Receipt]:
        asked = {
            "type": type,
            "skill": skill,
            "since": moment(arguments.instant_of("since", since)),
            "until": moment(arguments.instant_of("until", until)),
            "cursor": cursor,
            "limit": limit,
        }
        return await self._page(Receipt, f"{account_path(account)}/transactions", asked)

    async def receipt(self, account: str, transaction: str) -> Receipt:
        path = account_path(account)
        try:
            name = named("transaction", transaction)
        except Invalid:
            raise TransactionNotFound(transaction) from None
        return await self._port.ask(Receipt, "GET", f"{path}/transactions/{name}")

    async def limits(self, account: str) -> list[LimitAnswer]:
        return (await self._port.ask(Rows[LimitAnswer], "GET", f"{account_path(account)}/limits")).data

    async def _get_limit(self, account: str, limit: str) -> LimitAnswer:
        found = [other for other in await self.limits(account) if other.id == limit]
        if not found:  # lifted since
            raise LimitNotFound(limit)
        return found[0]

    async def members(
        self, account: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Page[MemberAnswer]:
        return await self._page(MemberAnswer, f"{account_path(account)}/members", {"cursor": cursor, "limit": limit})

    async def get_run(self, account: str, run: str) -> RunAnswer:
        return await self._port.ask(RunAnswer, "GET", f"{account_path(account)}/runs/{named('run', run)}")

    async def runs(self, account: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT) -> Page[RunAnswer]:
        return await self._page(RunAnswer, f"{account_path(account)}/runs", {"cursor": cursor, "limit": limit})

    async def run_calls(
        self, account: str, run: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Page[Receipt]:
        path = f"{account_path(account)}/runs/{named('run', run)}/transactions"
        return await self._page(Receipt, path, {"cursor": cursor, "limit": limit})

    async def verify(self, account: str | None = None) -> Verdict:
        if account is not None:
            text.check_id("account", account)
        body = given(account=account)
        return (await self._port.ask(Verified, "POST", "verify", body=body, patient=True)).verdict

    async def _page(self, shape: Any, path: str, asked: dict[str, Any]) -> Page[Any]:
        """Part of a list."""
        return await self._port.ask(Page[shape], "GET", path, query=checked(asked))
