"""`credits.reports`, over HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from bursar.accounting.asked import DEFAULT_LIMIT, day_number
from bursar.accounting.shapes import (
    LiabilitiesReport,
    MarginRow,
    RateReport,
    Report,
    StatementReport,
    UsageRow,
)
from bursar.accounting.usage import DEFAULT_BY
from bursar.core.periods import DAY, format_instant
from bursar.credits import arguments
from bursar.credits.remote.paths import account_path, checked
from bursar.credits.remote.port import RemotePort
from bursar.credits.reporting import AsyncReports


class RemoteReports(AsyncReports):
    """`AsyncReports`, over HTTP."""

    _port: RemotePort

    async def usage(
        self,
        account: str | None = None,
        *,
        since: date | None = None,
        until: date | None = None,
        by: Iterable[str] = DEFAULT_BY,
        skill: str | None = None,
        model: str | None = None,
        plan: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Report[UsageRow]:
        path = "reports/usage" if account is None else f"{account_path(account)}/reports/usage"
        named = {"skill": skill, "model": model, "plan": plan, "cursor": cursor, "limit": limit}
        return await self._port.ask(Report[UsageRow], "GET", path, query=_days(since, until, by) | checked(named))

    async def margin(
        self,
        *,
        since: date | None = None,
        until: date | None = None,
        by: Iterable[str] = DEFAULT_BY,
        skill: str | None = None,
        model: str | None = None,
        plan: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Report[MarginRow]:
        named = {"skill": skill, "model": model, "plan": plan, "cursor": cursor, "limit": limit}
        query = _days(since, until, by) | checked(named)
        return await self._port.ask(Report[MarginRow], "GET", "reports/margin", query=query)

    async def rate(self, account: str | None = None) -> RateReport:
        path = "reports/rate" if account is None else f"{account_path(account)}/reports/rate"
        return await self._port.ask(RateReport, "GET", path)

    async def liabilities(self, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT) -> LiabilitiesReport:
        query = checked({"cursor": cursor, "limit": limit})
        return await self._port.ask(LiabilitiesReport, "GET", "reports/liabilities", query=query)

    async def statement(
        self,
        account: str,
        since: date | datetime,
        until: date | datetime | None = None,
        *,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> StatementReport:
        query = checked({"cursor": cursor, "limit": limit})
        query |= {"since": _time("since", since), "until": None if until is None else _time("until", until)}
        return await self._port.ask(StatementReport, "GET", f"{account_path(account)}/statement", query=query)


def _days(since: date | None, until: date | None, by: Iterable[str]) -> dict[str, Any]:
    days = {"since": since, "until": until}
    query: dict[str, Any] = {name: _day(name, day) for name, day in days.items() if day is not None}
    return query | {"by": ",".join(map(str, by))}


def _day(field: str, day: date) -> str:
    return format_instant(day_number(field, day) * DAY)[:10]


def _time(field: str, moment: date | datetime) -> str:
    if type(moment) is date:
        return _day(field, moment)
    found = arguments.instant_of(field, moment)  # type: ignore[arg-type]  # it refuses what is none
    assert found is not None
    return format_instant(found)
