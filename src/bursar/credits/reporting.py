"""What the ledger adds up to: `credits.reports`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from bursar.accounting import accounts
from bursar.accounting import liabilities as owed
from bursar.accounting import rate as rates
from bursar.accounting import statement as statements
from bursar.accounting import usage as used
from bursar.accounting.asked import DEFAULT_LIMIT, day_number
from bursar.accounting.shapes import (
    LiabilitiesReport,
    MarginRow,
    RateReport,
    Report,
    StatementReport,
    UsageRow,
)
from bursar.core import text
from bursar.core.periods import DAY
from bursar.credits import arguments
from bursar.credits.face import Face


class AsyncReports(Face):
    """Reports on the days from `since` to before `until`, in UTC: by default the last 30, today included.

    A report for everybody is read from totals and costs the same however large the ledger is; one account's own is made
    from its transactions, whatever was due on it done first.
    """

    async def usage(
        self,
        account: str | None = None,
        *,
        since: date | None = None,
        until: date | None = None,
        by: Iterable[str] = used.DEFAULT_BY,
        skill: str | None = None,
        model: str | None = None,
        plan: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Report[UsageRow]:
        """How much was used, by everybody or one account: charges, refunds, and from which credits they were paid.

        `by` any of `day`, `skill`, `model`, `plan`, for one account also `member` and `actor` (a key is `key:ID`);
        by nothing: one row. Raises `AccountNotFound`, `Invalid`.
        """
        wanted = {"skill": skill, "model": model, "plan": plan, "cursor": cursor}
        if account is None:
            return await self._port.run(
                lambda runtime: used.usage(runtime.engine, since=since, until=until, by=by, limit=limit, **wanted)
            )
        text.check_id("account", account)
        return await self._port.run(
            lambda runtime: accounts.account_usage(
                runtime.engine, account, since=since, until=until, by=by, limit=limit, **wanted
            )
        )

    async def margin(
        self,
        *,
        since: date | None = None,
        until: date | None = None,
        by: Iterable[str] = used.DEFAULT_BY,
        skill: str | None = None,
        model: str | None = None,
        plan: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Report[MarginRow]:
        """What was earned on the charges whose provider's cost is known. Raises `Invalid`."""
        wanted = {"skill": skill, "model": model, "plan": plan, "cursor": cursor}
        return await self._port.run(
            lambda runtime: used.margin(runtime.engine, since=since, until=until, by=by, limit=limit, **wanted)
        )

    async def rate(self, account: str | None = None) -> RateReport:
        """How fast credits are used, by everybody or one account. Raises `AccountNotFound`."""
        if account is None:
            return await self._port.run(lambda runtime: rates.rate(runtime.engine))
        text.check_id("account", account)
        return await self._port.run(lambda runtime: rates.account_rate(runtime.engine, account))

    async def liabilities(self, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT) -> LiabilitiesReport:
        """What is owed to all accounts, by source and expiry, with what was paid for it. Raises `Invalid`."""
        return await self._port.run(lambda runtime: owed.liabilities(runtime.engine, cursor=cursor, limit=limit))

    async def statement(
        self,
        account: str,
        since: date | datetime,
        until: date | datetime | None = None,
        *,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> StatementReport:
        """One account's opening balance, movements and closing balance. A day is its beginning in UTC.

        Raises `AccountNotFound`, `Invalid`.
        """
        text.check_id("account", account)
        start = _instant("since", since)
        end = None if until is None else _instant("until", until)
        return await self._port.run(
            lambda runtime: statements.statement(runtime.engine, account, start, end, cursor=cursor, limit=limit)
        )


def _instant(field: str, moment: date | datetime) -> int:
    if type(moment) is date:
        return day_number(field, moment) * DAY
    found = arguments.instant_of(field, moment)  # type: ignore[arg-type]  # it refuses what is none
    assert found is not None
    return found
