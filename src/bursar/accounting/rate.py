"""How fast credits are used: over the last day, week and thirty days, of whole days before today."""

from __future__ import annotations

from typing import Final

from bursar.accounting.accounts import uses
from bursar.accounting.asked import Period, to_day
from bursar.accounting.shapes import RateReport, Window
from bursar.accounting.usage import sum_used
from bursar.core.money import Nanos, to_number
from bursar.core.periods import utc_day
from bursar.engine import Engine
from bursar.reports import write_due
from bursar.store.base import Tx

WINDOWS: Final = (1, 7, 30)


async def rate(engine: Engine) -> RateReport:
    """How fast everybody uses credits."""
    periods = _periods(utc_day(await engine.now()))

    async def work(tx: Tx) -> list[Nanos]:
        return [await sum_used(tx, period) for period in periods]

    used = await engine.store.read(work)
    return RateReport(None, None, [_window(*pair, None) for pair in zip(periods, used, strict=True)])


async def account_rate(engine: Engine, account: str) -> RateReport:
    """How fast one account uses credits, and for how long it has some. Raises `AccountNotFound`."""
    await write_due(engine, account)
    available = (await engine.view(account)).account.available
    periods = _periods(utc_day(await engine.now()))

    async def work(tx: Tx) -> list[Nanos]:
        found = [0] * len(periods)
        async for row in uses(tx, account, Period(min(p.since for p in periods), periods[0].until)):
            for number, period in enumerate(periods):
                if row.effective_at >= period.since_at:
                    found[number] -= row.amount
        return found

    used = await engine.store.read(work)
    windows = [_window(*pair, available) for pair in zip(periods, used, strict=True)]
    return RateReport(account, to_number(available), windows)


def _periods(today: int) -> list[Period]:
    return [Period(max(today - days, 0), today) for days in WINDOWS]


def _window(period: Period, used: Nanos, available: Nanos | None) -> Window:
    days = period.until - period.since
    since, until = to_day(period.since), to_day(period.until)
    assert since is not None
    assert until is not None
    left = None if available is None or used <= 0 else max(available, 0) * days // used
    return Window(days, since, until, to_number(used), to_number(used // max(days, 1)), left)
