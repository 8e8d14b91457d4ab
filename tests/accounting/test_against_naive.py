"""Every report agrees with the ledger: random traffic, and each compared with a naive sum over all transactions."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import chain, combinations
from random import Random
from typing import Any

import pytest
from msgspec import Struct

from bursar.accounting import accounts, liabilities, rate, statement, usage
from bursar.accounting.asked import ACCOUNT_GROUPS, GROUPS
from bursar.accounting.tables import csv_of, liability_lines, margin_lines, statement_lines, usage_lines
from bursar.answers import Paid
from bursar.core import commands
from bursar.core.errors import BursarError
from bursar.engine import Engine
from bursar.totals import Repaired, read_tally, repair
from bursar.verify import verify
from tests.accounting.naive import CREDIT, Everything, day_of, grouped, moment, read_everything, worth
from tests.support.ledger import START
from tests.support.traffic import ACCOUNTS
from tests.verify.history import running, write_random_history

FIRST = day_of(START)
FAR = timedelta(days=3_000)


class World(Struct):
    """A ledger with a history, and all that is in it."""

    engine: Engine
    everything: Everything
    random: Random
    today: date

    def period(self) -> tuple[date, date]:
        """Some days, more often than not with something in them."""
        last = (self.today - FIRST).days + 1
        since = FIRST + timedelta(days=self.random.randint(-1, last - 1))
        return since, since + timedelta(days=self.random.randint(1, last + 2))


@pytest.fixture
async def world(either_url: str) -> AsyncIterator[World]:
    seed = 100 + either_url.startswith("sqlite")
    async with running(either_url) as (engine, clock):
        await write_random_history(engine, clock, seed, steps=250)
        for account in ACCOUNTS:
            try:
                await engine.execute(commands.Touch(account=account, token=f"{account:0>20}", salt=bytes(16)))
            except BursarError as refusal:
                pytest.fail(str(refusal))
        everything = await read_everything(engine.store, ACCOUNTS)
        kinds = {event.row.type for event in everything.events}
        assert {"CONSUMPTION", "REFUND", "EXPIRY", "TRANSFER_IN", "ADJUSTMENT"} <= kinds
        assert {currency for event in everything.events for currency in event.money} == {"USD", "EUR"}
        yield World(engine, everything, Random(seed), day_of(clock.instant))


def subsets(names: tuple[str, ...]) -> list[list[str]]:
    return [list(chosen) for chosen in chain.from_iterable(combinations(names, n) for n in range(len(names) + 1))]


async def pages(ask: Callable[..., Awaitable[Any]], limit: int) -> list[Any]:
    """All rows, page by page."""
    rows: list[Any] = []
    cursor: str | None = None
    while True:
        page = await ask(cursor=cursor, limit=limit)
        assert len(page.data) <= limit
        rows += page.data
        if page.next_cursor is None:
            return rows
        assert page.next_cursor != cursor
        cursor = page.next_cursor


def nanos(number: Any) -> int:
    return int(number * CREDIT)


def money(parts: list[Paid]) -> dict[str, Fraction]:
    return {part.currency: Fraction(part.amount) for part in parts}


def some(sums: dict[str, Fraction]) -> dict[str, Fraction]:
    return {currency: amount for currency, amount in sums.items() if amount}


def check_usage(rows: list[Any], by: list[str], expected: dict[tuple[Any, ...], Any]) -> None:
    named = [tuple(getattr(row, part) for part in by) for row in rows]
    assert sorted(named, key=str) == sorted(expected, key=str)
    for name, row in zip(named, rows, strict=True):
        sums = expected[name]
        assert (row.charges, nanos(row.charged)) == (sums["charges"], sums["charged"])
        assert (row.refunds, nanos(row.refunded)) == (sums["refunds"], sums["refunded"])
        assert (nanos(row.paid), nanos(row.debt)) == (sums["paid"], sums["debt"])
        assert row.used == row.charged - row.refunded == row.paid + row.free + row.debt
        assert money(row.revenue) == some(sums["revenue"])
        assert all(getattr(row, part) is None for part in ACCOUNT_GROUPS if part not in by)


async def test_usage_of_everybody(world: World) -> None:
    engine, events = world.engine, world.everything.events
    for by in subsets(GROUPS):
        since, until = world.period()

        async def ask(since: date = since, until: date = until, by: list[str] = by, **page: Any) -> Any:
            return await usage.usage(engine, since=since, until=until, by=by, **page)

        check_usage(await pages(ask, world.random.choice((1, 3, 1_000))), by, grouped(events, since, until, by))
    since, until = FIRST, world.today + FAR
    for skill in ("TEXT", "IMAGE"):
        report = await usage.usage(engine, since=since, until=until, by=["plan", "model"], skill=skill, limit=1_000)
        wanted = grouped(events, since, until, ["model", "plan"], lambda event, skill=skill: event.row.skill == skill)  # type: ignore[misc]
        assert wanted
        check_usage(report.data, ["model", "plan"], wanted)
    for name, value in (("model", "gpt"), ("plan", "gold")):
        report = await usage.usage(engine, since=since, until=until, by=[], **{name: value})  # type: ignore[arg-type]
        check_usage(report.data, [], grouped(events, since, until, [], lambda e: getattr(e.row, name) == value))  # noqa: B023


async def test_margin(world: World) -> None:
    engine, events = world.engine, world.everything.events
    seen = set()
    for by in subsets(GROUPS):
        since, until = (FIRST, world.today + FAR) if len(by) % 2 else world.period()
        expected = grouped(events, since, until, by)
        rows = (await usage.margin(engine, since=since, until=until, by=by, limit=1_000)).data
        assert len(rows) == len(expected)
        for row in rows:
            sums = expected[tuple(getattr(row, part) for part in by)]
            assert (row.charges, row.costed) == (sums["charges"], sums["costed"])
            assert nanos(row.used) == sums["costed_used"]
            assert money(row.revenue) == some(sums["earned"])
            assert Fraction(row.provider_cost_usd) == sums["cost"]
            if row.costed and not set(some(sums["earned"])) - {"USD"}:
                assert row.margin_usd is not None
                assert Fraction(row.margin_usd) == sums["earned"]["USD"] - sums["cost"]
            else:
                assert row.margin_usd is None
            seen.add(row.margin_usd is None)
    assert seen == {True, False}


async def test_usage_of_one_account(world: World) -> None:
    engine = world.engine
    for by in subsets(ACCOUNT_GROUPS)[:: world.random.choice((3, 4, 5))]:
        account = world.random.choice(ACCOUNTS)
        since, until = world.period()

        async def ask(whose: str = account, wanted: Any = (since, until, by), **page: Any) -> Any:
            first, end, groups = wanted
            return await accounts.account_usage(engine, whose, since=first, until=end, by=groups, **page)

        mine = [event for event in world.everything.events if event.row.account_id == account]
        check_usage(await pages(ask, world.random.choice((1, 3, 1_000))), by, grouped(mine, since, until, by))


async def test_accounts_add_up_to_everybody(world: World) -> None:
    since, until = FIRST, world.today + FAR
    [everybody] = (await usage.usage(world.engine, since=since, until=until, by=[])).data
    each = [
        row
        for account in ACCOUNTS
        for row in (await accounts.account_usage(world.engine, account, since=since, until=until, by=[])).data
    ]
    for name in ("charges", "charged", "refunds", "refunded", "used", "paid", "free", "debt"):
        assert sum(getattr(row, name) for row in each) == getattr(everybody, name), name


async def test_rates(world: World) -> None:
    def used(events: Any, days: int) -> int:
        since = world.today - timedelta(days=days)
        sums = grouped(events, since, world.today, []).get((), defaultdict(int))
        return int(sums["charged"] - sums["refunded"])

    report = await rate.rate(world.engine)
    assert [window.days for window in report.windows] == [1, 7, 30]
    for window in report.windows:
        total = used(world.everything.events, window.days)
        assert (nanos(window.used), nanos(window.per_day)) == (total, total // window.days)
        assert window.days_left is None
    for account in ACCOUNTS:
        report = await rate.account_rate(world.engine, account)
        available = (await world.engine.view(account)).account.available
        assert nanos(report.available) == available
        for window in report.windows:
            mine = used([e for e in world.everything.events if e.row.account_id == account], window.days)
            assert nanos(window.used) == mine
            if mine <= 0:
                assert window.days_left is None
            else:
                assert window.days_left == max(available, 0) * window.days // mine


async def test_liabilities(world: World) -> None:
    expected: dict[tuple[Any, ...], list[Any]] = {}
    basis: dict[str, Fraction] = defaultdict(Fraction)
    lapsed = 0
    for lot in world.everything.lots:
        if not lot.remaining:
            continue
        expires = None if lot.expires_at is None else day_of(lot.expires_at)
        found = expected.setdefault((lot.source, expires, lot.currency), [0, Fraction(0)])
        found[0] += lot.remaining
        found[1] += worth(lot, lot.remaining)
        basis[lot.currency or ""] += worth(lot, lot.remaining)
        lapsed += lot.remaining if expires is not None and expires < world.today else 0
    owed = sum(lot.remaining for lot in world.everything.lots)
    for limit in (1, 2, 1_000):

        async def ask(**page: Any) -> Any:
            report = await liabilities.liabilities(world.engine, **page)
            assert (nanos(report.owed), nanos(report.lapsed)) == (owed, lapsed)
            assert nanos(report.debt) == world.everything.debt
            assert nanos(report.owed - report.debt) == world.everything.posted
            assert money(report.basis) == some(basis)
            return report

        rows = await pages(ask, limit)
        keys = [(row.source, row.expires_on, row.basis and row.basis.currency) for row in rows]
        assert [key[1] or date.max for key in keys] == sorted(key[1] or date.max for key in keys)
        assert len(keys) == len(expected)
        for key, row in zip(keys, rows, strict=True):
            amount, worth_ = expected[key]
            assert nanos(row.credits) == amount
            assert Fraction(row.basis.amount if row.basis else 0) == worth_


async def test_statements(world: World) -> None:
    for _ in range(12):
        account = world.random.choice(ACCOUNTS)
        since, until = map(moment, world.period())
        mine = [event.row for event in world.everything.events if event.row.account_id == account]
        inside = [row for row in mine if since <= row.effective_at < until]
        report = await statement.statement(world.engine, account, since, until, limit=1_000)
        assert nanos(report.opening) == sum(row.amount for row in mine if row.effective_at < since)
        assert nanos(report.closing) == sum(row.amount for row in mine if row.effective_at < until)
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for row in inside:
            sums[row.type][0] += 1
            sums[row.type][1] += row.amount
        assert {m.type: [m.transactions, nanos(m.amount)] for m in report.movements} == dict(sums)
        assert [line.seq for line in report.lines] == [row.seq for row in reversed(inside)]
        balance = report.opening
        for line in reversed(report.lines):
            assert balance is not None
            balance += line.amount
            assert line.balance == balance
        assert balance == report.closing

        async def ask(cursor: str | None, asked: Any = (account, since, until)) -> Any:
            return await statement.statement(world.engine, *asked, cursor=cursor, limit=2)

        lines, cursor = [], None
        while True:
            page = await ask(cursor)
            lines += page.lines
            cursor = page.next_cursor
            if cursor is None:
                break
        assert lines == report.lines
        rows = table([part async for part in csv_of(ask, statement_lines)])
        assert [row["type"] for row in rows] == ["CLOSING", *(line.type for line in report.lines), "OPENING"]
        assert (Decimal(rows[0]["balance"]), Decimal(rows[-1]["balance"])) == (report.closing, report.opening)
        assert [Decimal(row["balance"]) for row in rows[1:-1]] == [line.balance for line in report.lines]


async def test_one_statement_closes_as_the_next_opens(world: World) -> None:
    day, closing = FIRST, 0
    while day < world.today:
        after = day + timedelta(days=world.random.randint(1, 20))
        report = await statement.statement(world.engine, "alice", moment(day), moment(after))
        assert report.opening == closing
        day, closing = after, report.closing  # type: ignore[assignment]


def table(parts: list[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(parts))))


async def test_the_same_as_csv(world: World) -> None:
    since, until = FIRST, world.today + FAR
    by = ["day", "skill"]

    def asking(report: Callable[..., Awaitable[Any]], limit: int, **wanted: Any) -> Any:
        return lambda cursor: report(world.engine, **wanted, cursor=cursor, limit=limit)

    whole = (await usage.usage(world.engine, since=since, until=until, by=by, limit=1_000)).data
    ask = asking(usage.usage, 7, since=since, until=until, by=by)
    rows = table([part async for part in csv_of(ask, usage_lines)])
    assert [(row["day"], row["skill"]) for row in rows] == [(str(row.day), row.skill or "") for row in whole]
    assert [Decimal(row["used"]) for row in rows] == [row.used for row in whole]
    assert [row["revenue"].removeprefix("'") for row in rows] == [  # below zero it would look like a formula
        " ".join(f"{part.amount} {part.currency}" for part in row.revenue) for row in whole
    ]
    earned = (await usage.margin(world.engine, since=since, until=until, by=by, limit=1_000)).data
    ask = asking(usage.margin, 7, since=since, until=until, by=by)
    rows = table([part async for part in csv_of(ask, margin_lines)])
    assert [row["margin_usd"] and Decimal(row["margin_usd"]) for row in rows] == [
        "" if row.margin_usd is None else Decimal(row.margin_usd) for row in earned
    ]
    owed = await liabilities.liabilities(world.engine, limit=1_000)
    rows = table([part async for part in csv_of(asking(liabilities.liabilities, 2), liability_lines)])
    assert sum(Decimal(row["credits"]) for row in rows) == owed.owed
    assert [row["expires_on"] for row in rows] == [str(row.expires_on or "") for row in owed.data]


async def test_the_ledger_is_sound_and_nothing_needs_repair(world: World) -> None:
    assert (await verify(world.engine.store)).findings == []
    assert await repair(world.engine.store) == Repaired(0)


async def test_days_and_lots_tell_the_same(world: World) -> None:
    """What moved on all days together is what there is now, paid for or not."""
    tally = await world.engine.store.read(read_tally)
    assert sum(total.amount for total in tally.totals.values()) == world.everything.posted
    assert sum(lots.amount for lots in tally.lots.values()) == world.everything.posted
    for currency in ("USD", "EUR"):
        moved = [backed for key, backed in tally.paid.items() if key.currency == currency]
        left = [backed for key, backed in tally.lots.items() if key.currency == currency]
        assert sum(backed.amount for backed in moved) == sum(backed.amount for backed in left)
        assert sum(backed.money for backed in moved) == sum(backed.money for backed in left)
    assert any(backed.money for backed in tally.paid.values())
