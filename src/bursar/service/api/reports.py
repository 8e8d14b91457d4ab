"""Reports: everybody's for administrators, an account's own for whoever may read it; each as JSON and as CSV."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from bursar.accounting.asked import MAX_LIMIT, parse_day
from bursar.accounting.shapes import LiabilitiesReport, MarginRow, RateReport, Report, StatementReport, UsageRow
from bursar.accounting.tables import csv_of, liability_lines, margin_lines, statement_lines, usage_lines
from bursar.core.errors import Invalid
from bursar.core.periods import to_datetime
from bursar.service.auth import Permission
from bursar.service.context import Context, Here
from bursar.service.depends import AccountId, Cursor, Limit, May, answer, answer_csv, answers, query_text
from bursar.service.wire import some_instant

router = APIRouter(tags=["reports"])

Since = Annotated[str | None, Query(description="The first day, in UTC: 2026-01-31; else 30 days are shown")]
Until = Annotated[str | None, Query(description="The day after the last, in UTC; else today is the last")]
By = Annotated[str, Query(description="Any of day, skill, model, plan, with commas between them; nothing for one row")]
AccountBy = Annotated[str, Query(description="Any of day, skill, model, plan, member, actor, with commas between them")]
From = Annotated[str, Query(description="From this day or time on")]
To = Annotated[str | None, Query(description="Before this day or time; else until now")]


@router.get("/reports/usage", **answers(Report[UsageRow]), dependencies=[May(Permission.REPORT)])
async def report_usage(
    here: Here,
    cursor: Cursor,
    since: Since = None,
    until: Until = None,
    by: By = "day",
    skill: str | None = None,
    model: str | None = None,
    plan: str | None = None,
    limit: Limit = 100,
) -> Response:
    """How much everybody used, and from which credits it was paid."""
    ask = _asking(here.credits.reports.usage, since, until, by, skill, model, plan)
    return answer(await ask(cursor, limit))


@router.get("/reports/usage.csv", **answers(str), dependencies=[May(Permission.REPORT)])
async def report_usage_csv(
    here: Here,
    since: Since = None,
    until: Until = None,
    by: By = "day",
    skill: str | None = None,
    model: str | None = None,
    plan: str | None = None,
) -> Response:
    """The same as CSV, whole."""
    ask = _asking(here.credits.reports.usage, since, until, by, skill, model, plan)
    return await answer_csv("usage.csv", csv_of(ask, usage_lines))


@router.get("/reports/margin", **answers(Report[MarginRow]), dependencies=[May(Permission.REPORT)])
async def report_margin(
    here: Here,
    cursor: Cursor,
    since: Since = None,
    until: Until = None,
    by: By = "day",
    skill: str | None = None,
    model: str | None = None,
    plan: str | None = None,
    limit: Limit = 100,
) -> Response:
    """What was earned on the charges whose provider's cost is known."""
    ask = _asking(here.credits.reports.margin, since, until, by, skill, model, plan)
    return answer(await ask(cursor, limit))


@router.get("/reports/margin.csv", **answers(str), dependencies=[May(Permission.REPORT)])
async def report_margin_csv(
    here: Here,
    since: Since = None,
    until: Until = None,
    by: By = "day",
    skill: str | None = None,
    model: str | None = None,
    plan: str | None = None,
) -> Response:
    """The same as CSV, whole."""
    ask = _asking(here.credits.reports.margin, since, until, by, skill, model, plan)
    return await answer_csv("margin.csv", csv_of(ask, margin_lines))


@router.get("/reports/rate", **answers(RateReport), dependencies=[May(Permission.REPORT)])
async def report_rate(here: Here) -> Response:
    """How fast everybody uses credits."""
    return answer(await here.credits.reports.rate())


@router.get("/reports/liabilities", **answers(LiabilitiesReport), dependencies=[May(Permission.REPORT)])
async def report_liabilities(here: Here, cursor: Cursor, limit: Limit = 100) -> Response:
    """What is owed, by source and expiry, and what was paid for it."""
    return answer(await here.credits.reports.liabilities(cursor=cursor, limit=limit))


@router.get("/reports/liabilities.csv", **answers(str), dependencies=[May(Permission.REPORT)])
async def report_liabilities_csv(here: Here) -> Response:
    """The same as CSV, whole."""

    async def ask(cursor: str | None) -> LiabilitiesReport:
        return await here.credits.reports.liabilities(cursor=cursor, limit=MAX_LIMIT)

    return await answer_csv("liabilities.csv", csv_of(ask, liability_lines))


@router.get("/accounts/{account}/reports/usage", **answers(Report[UsageRow]), dependencies=[May(Permission.READ)])
async def report_account_usage(
    account: AccountId,
    here: Here,
    cursor: Cursor,
    since: Since = None,
    until: Until = None,
    by: AccountBy = "day",
    skill: str | None = None,
    model: str | None = None,
    plan: str | None = None,
    limit: Limit = 100,
) -> Response:
    """How much one account used, by member and key as well."""
    ask = _asking(here.credits.reports.usage, since, until, by, skill, model, plan, account=account)
    return answer(await ask(cursor, limit))


@router.get("/accounts/{account}/reports/usage.csv", **answers(str), dependencies=[May(Permission.READ)])
async def report_account_usage_csv(
    account: AccountId,
    here: Here,
    since: Since = None,
    until: Until = None,
    by: AccountBy = "day",
    skill: str | None = None,
    model: str | None = None,
    plan: str | None = None,
) -> Response:
    """The same as CSV, whole."""
    ask = _asking(here.credits.reports.usage, since, until, by, skill, model, plan, account=account)
    return await answer_csv("usage.csv", csv_of(ask, usage_lines))


@router.get("/accounts/{account}/reports/rate", **answers(RateReport), dependencies=[May(Permission.READ)])
async def report_account_rate(account: AccountId, here: Here) -> Response:
    """How fast one account uses credits, and for how long it has some."""
    return answer(await here.credits.reports.rate(account))


@router.get("/accounts/{account}/statement", **answers(StatementReport), dependencies=[May(Permission.READ)])
async def report_statement(
    account: AccountId, here: Here, cursor: Cursor, since: From, until: To = None, limit: Limit = 100
) -> Response:
    """Opening balance, movements and closing balance of a period."""
    return answer(await _statement(here, account, since, until, cursor, limit))


@router.get("/accounts/{account}/statement.csv", **answers(str), dependencies=[May(Permission.READ)])
async def report_statement_csv(account: AccountId, here: Here, since: From, until: To = None) -> Response:
    """The same as CSV, whole."""

    async def ask(cursor: str | None) -> StatementReport:
        return await _statement(here, account, since, until, cursor, MAX_LIMIT)

    return await answer_csv("statement.csv", csv_of(ask, statement_lines))


def _asking(
    report: Callable[..., Awaitable[Any]],
    since: str | None,
    until: str | None,
    by: str,
    skill: str | None,
    model: str | None,
    plan: str | None,
    **whose: str,
) -> Callable[..., Awaitable[Any]]:
    """What asks for a page of the report. Raises `Invalid`."""
    wanted: dict[str, Any] = {
        "since": None if since is None else parse_day("since", since),
        "until": None if until is None else parse_day("until", until),
        "by": [name for name in by.split(",") if name],
        "skill": query_text("skill", skill),
        "model": query_text("model", model),
        "plan": query_text("plan", plan),
    }

    async def ask(cursor: str | None, limit: int = MAX_LIMIT) -> Any:
        return await report(**whose, **wanted, cursor=cursor, limit=limit)

    return ask


async def _statement(
    here: Context, account: str, since: str, until: str | None, cursor: str | None, limit: int
) -> StatementReport:
    start, end = _moment("since", since), None if until is None else _moment("until", until)
    return await here.credits.reports.statement(account, start, end, cursor=cursor, limit=limit)


def _moment(field: str, value: str) -> date | datetime:
    """A day or a time. Raises `Invalid`."""
    try:
        return parse_day(field, value)
    except Invalid:
        instant = some_instant(field, value)
        assert instant is not None
        return to_datetime(instant)
