"""Reports on small ledgers, worked out by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bursar.accounting.asked import encode_cursor
from bursar.answers import Paid
from bursar.core.errors import AccountNotFound, Invalid
from bursar.credits import AsyncCredits, Credits
from tests.credits.conftest import Clock

JANUARY: dict[str, Any] = {"since": date(2026, 1, 1), "until": date(2026, 2, 1)}


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "clock")


@pytest.fixture
async def credits(either_url: str, clock: Clock) -> AsyncIterator[AsyncCredits]:
    async with AsyncCredits.open(either_url, clock=str(clock.path)) as credits:
        await credits.open_account("alice", plan=None)
        yield credits


async def test_a_refund_counts_on_its_own_day(credits: AsyncCredits, clock: Clock) -> None:
    await credits.grant("alice", 10)
    clock.set("2026-01-10T23:59:59.999999Z")
    charge = await credits.charge("alice", 5)
    clock.set("2026-01-11T00:00:00Z")
    await credits.refund("alice", charge.id, 2)
    await credits.charge("alice", 1)
    report = await credits.reports.usage(**JANUARY)
    assert [(row.day, row.charges, row.charged, row.refunds, row.refunded, row.used) for row in report.data] == [
        (date(2026, 1, 10), 1, 5, 0, 0, 5),
        (date(2026, 1, 11), 1, 1, 1, 2, -1),
    ]
    assert report.next_cursor is None
    assert (report.since, report.until, report.by) == (date(2026, 1, 1), date(2026, 2, 1), ["day"])


async def test_what_expiry_charged_counts_on_the_day_it_was_due(credits: AsyncCredits, clock: Clock) -> None:
    await credits.grant("alice", 10)
    await credits.place_hold("alice", 4, ttl_seconds=3_600, dispatched=True)
    clock.set("2026-01-20T00:00:00Z")
    assert (await credits.reports.usage(**JANUARY)).data == [], "nobody has done it yet"
    [mine] = (await credits.reports.usage("alice", **JANUARY)).data
    [row] = (await credits.reports.usage(**JANUARY)).data
    assert (row.day, row.used) == (date(2026, 1, 10), 4)
    assert (mine.day, mine.used) == (row.day, row.used)


async def test_paid_free_and_on_debt(credits: AsyncCredits) -> None:
    await credits.grant("alice", 4, source="bonus", priority=1)
    await credits.grant("alice", 3, source="purchase", priority=2, paid={"amount": "9.99", "currency": "EUR"})
    hold = await credits.place_hold("alice", 7)
    await credits.capture("alice", hold.id, 12)
    [row] = (await credits.reports.usage(**JANUARY, by=[])).data
    assert (row.used, row.free, row.paid, row.debt) == (12, 4, 3, 5)
    assert row.revenue == [Paid("9.99", "EUR")]
    await credits.grant("alice", 10, source="purchase", paid={"amount": "20", "currency": "USD"})
    report = await credits.reports.liabilities()
    assert (report.owed, report.debt, report.basis) == (5, 0, [Paid("10", "USD")])


async def test_margin_leaves_out_what_is_not_known(credits: AsyncCredits) -> None:
    await credits.grant("alice", 1_000, source="purchase", paid={"amount": "10", "currency": "USD"})
    known = await credits.charge("alice", 100, model="a", provider_cost_usd="0.25")
    await credits.charge("alice", 300, model="a")
    await credits.charge("alice", 10, model="b")
    await credits.refund("alice", known.id, 50)
    a, b = (await credits.reports.margin(**JANUARY, by=["model"])).data
    assert (a.model, a.charges, a.costed, a.used) == ("a", 2, 1, 50)
    assert (a.revenue, a.provider_cost_usd, a.margin_usd) == ([Paid("0.5", "USD")], "0.25", "0.25")
    assert (b.model, b.charges, b.costed, b.used, b.revenue) == ("b", 1, 0, 0, [])
    assert (b.provider_cost_usd, b.margin_usd) == ("0", None)


async def test_no_margin_in_two_currencies(credits: AsyncCredits) -> None:
    await credits.grant("alice", 10, source="purchase", paid={"amount": "10", "currency": "EUR"})
    await credits.charge("alice", 1, provider_cost_usd="0.000000000001")
    [row] = (await credits.reports.margin(**JANUARY)).data
    assert (row.revenue, row.provider_cost_usd, row.margin_usd) == ([Paid("1", "EUR")], "0.000000000001", None)


async def test_a_gift_costs_what_it_costs(credits: AsyncCredits) -> None:
    await credits.grant("alice", 10, source="bonus")
    await credits.charge("alice", 1, provider_cost_usd="0.3")
    [row] = (await credits.reports.margin(**JANUARY)).data
    assert (row.revenue, row.margin_usd) == ([], "-0.3")


async def test_a_transfer_takes_its_cost_basis_along(credits: AsyncCredits) -> None:
    await credits.open_account("bob", plan=None)
    await credits.grant("alice", 3, source="purchase", paid={"amount": "10", "currency": "USD"})
    before = await credits.reports.liabilities()
    await credits.transfer("alice", "bob", 1)
    after = await credits.reports.liabilities()
    assert after == before
    assert after.data[0].basis == Paid("10", "USD")
    await credits.charge("bob", 1)
    [row] = (await credits.reports.usage("bob", **JANUARY)).data
    assert (row.paid, row.revenue) == (1, [Paid("3.333333333334", "USD")])
    assert (await credits.reports.liabilities()).basis == [Paid("6.666666666666", "USD")]


async def test_by_member_and_actor(credits: AsyncCredits) -> None:
    await credits.grant("alice", 10)
    await credits.charge("alice", 1, member="ann", actor="key:1")
    await credits.charge("alice", 2, member="ben", actor="key:1")
    await credits.charge("alice", 4, actor="key:2")
    rows = (await credits.reports.usage("alice", **JANUARY, by=["member"])).data
    assert [(row.member, row.used) for row in rows] == [(None, 4), ("ann", 1), ("ben", 2)]
    rows = (await credits.reports.usage("alice", **JANUARY, by=["actor"])).data
    assert [(row.actor, row.used) for row in rows] == [("key:1", 3), ("key:2", 4)]
    with pytest.raises(Invalid) as refusal:
        await credits.reports.usage(**JANUARY, by=["member"])
    assert refusal.value.field == "by"


async def test_the_rate_of_whole_days(credits: AsyncCredits, clock: Clock) -> None:
    await credits.grant("alice", 100)
    clock.set("2026-01-12T09:00:00Z")
    await credits.charge("alice", 10)
    clock.set("2026-01-13T09:00:00Z")
    await credits.charge("alice", 40)
    report = await credits.reports.rate("alice")
    assert report.available == 50
    assert [(w.days, w.used, w.per_day, w.days_left) for w in report.windows] == [
        (1, 10, 10, 5),
        (7, 10, Decimal("1.428571428"), 35),
        (30, 10, Decimal("0.333333333"), 150),
    ]
    everybody = await credits.reports.rate()
    assert [(w.used, w.days_left) for w in everybody.windows] == [(10, None)] * 3


async def test_what_lapsed_is_told_apart(credits: AsyncCredits, clock: Clock) -> None:
    await credits.grant("alice", 5, source="promo", expires_at=datetime(2026, 1, 20, 12, tzinfo=UTC))
    await credits.grant("alice", 7, source="bonus")
    clock.set("2026-01-20T13:00:00Z")
    report = await credits.reports.liabilities()
    assert (report.owed, report.lapsed) == (12, 0), "the day is not over"
    clock.set("2026-01-21T00:00:00Z")
    report = await credits.reports.liabilities()
    assert (report.owed, report.lapsed) == (12, 5)
    assert [(row.source, row.expires_on, row.credits) for row in report.data] == [
        ("promo", date(2026, 1, 20), 5),
        ("bonus", None, 7),
    ]
    await credits.balance("alice")
    await credits.history("alice")  # which has what is due done
    report = await credits.reports.liabilities()
    assert (report.owed, report.lapsed) == (7, 0)


async def test_a_statement(credits: AsyncCredits, clock: Clock) -> None:
    await credits.grant("alice", 10, expires_at=datetime(2026, 2, 1, tzinfo=UTC))
    clock.set("2026-01-31T12:00:00Z")
    await credits.charge("alice", 3)
    clock.set("2026-02-09T00:00:00Z")
    report = await credits.reports.statement("alice", date(2026, 1, 1), date(2026, 2, 1))
    assert (report.opening, report.closing) == (0, 7)
    assert [(m.type, m.transactions, m.amount) for m in report.movements] == [("ADMIN", 1, 10), ("CONSUMPTION", 1, -3)]
    assert [(line.type, line.amount, line.balance) for line in report.lines] == [
        ("CONSUMPTION", -3, 7),
        ("ADMIN", 10, 10),
    ]
    report = await credits.reports.statement("alice", date(2026, 2, 1))
    assert (report.opening, report.closing) == (7, 0)
    assert [(line.type, line.effective_at) for line in report.lines] == [("EXPIRY", datetime(2026, 2, 1, tzinfo=UTC))]


async def test_a_grant_with_an_earlier_beginning_stands_where_it_belongs(credits: AsyncCredits, clock: Clock) -> None:
    clock.set("2026-02-09T00:00:00Z")
    await credits.grant("alice", 1)
    await credits.grant("alice", 10, effective_at=datetime(2026, 1, 15, tzinfo=UTC))
    january = await credits.reports.statement("alice", date(2026, 1, 1), date(2026, 2, 1))
    assert (january.opening, january.closing, len(january.lines)) == (0, 10, 1)
    february = await credits.reports.statement("alice", date(2026, 2, 1))
    assert (february.opening, february.closing, len(february.lines)) == (10, 11, 1)


async def test_an_empty_ledger_has_empty_reports(credits: AsyncCredits) -> None:
    assert (await credits.reports.usage()).data == []
    assert (await credits.reports.usage("alice", by=[])).data == []
    assert (await credits.reports.margin(by=["skill"])).data == []
    owed = await credits.reports.liabilities()
    assert (owed.owed, owed.debt, owed.basis, owed.data) == (0, 0, [], [])
    report = await credits.reports.statement("alice", date(1970, 1, 1))
    assert (report.opening, report.closing, report.lines) == (0, 0, [])


async def test_thirty_days_and_today_unless_asked_otherwise(credits: AsyncCredits, clock: Clock) -> None:
    clock.set("2026-03-31T23:00:00Z")
    report = await credits.reports.usage()
    assert (report.since, report.until) == (date(2026, 3, 2), date(2026, 4, 1))


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"since": date(2026, 1, 2), "until": date(2026, 1, 2)}, "until"),
        ({"since": date(1969, 12, 31)}, "since"),
        ({"since": datetime(2026, 1, 1, tzinfo=UTC)}, "since"),
        ({"until": "2026-01-01"}, "until"),
        ({"by": ["colour"]}, "by"),
        ({"skill": "text"}, "skill"),
        ({"model": "\0"}, "model"),
        ({"plan": ""}, "plan"),
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"limit": True}, "limit"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "A" * 5_000}, "cursor"),
        ({"cursor": encode_cursor("margin", (1, "", "", ""))}, "cursor"),
        ({"cursor": encode_cursor("usage", (1, "", ""))}, "cursor"),
        ({"cursor": encode_cursor("usage", (1, "\0", "", ""))}, "cursor"),
        ({"cursor": encode_cursor("usage", ("", "", "", ""))}, "cursor"),
    ],
)
async def test_what_means_nothing_is_refused(credits: AsyncCredits, asked: dict[str, Any], field: str) -> None:
    for account in (None, "alice"):
        with pytest.raises(Invalid) as refusal:
            await credits.reports.usage(account, **asked)
        assert refusal.value.field == field


async def test_a_day_that_never_comes_has_nothing(credits: AsyncCredits) -> None:
    report = await credits.reports.usage(since=date(2026, 1, 1), until=date.max)
    assert report.data == []
    report = await credits.reports.usage(cursor=encode_cursor("usage", (2**62, "", "", "")))
    assert report.data == []


async def test_an_unknown_account_has_no_reports(credits: AsyncCredits) -> None:
    for ask in (
        credits.reports.usage("nobody"),
        credits.reports.rate("nobody"),
        credits.reports.statement("nobody", date(2026, 1, 1)),
    ):
        with pytest.raises(AccountNotFound):
            await ask
    with pytest.raises(Invalid):
        await credits.reports.usage("a/b")
    with pytest.raises(Invalid) as refusal:
        await credits.reports.statement("alice", datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point
    assert refusal.value.field == "since"


def test_the_blocking_face_has_them_too(either_url: str) -> None:
    with Credits.open(either_url) as credits:
        credits.open_account("bob", plan=None)
        credits.grant("bob", 5)
        credits.charge("bob", 2)
        assert credits.reports.usage(by=[]).data[0].used == 2
        assert credits.reports.usage("bob", by=[]).data[0].used == 2
        assert credits.reports.margin(by=[]).data[0].costed == 0
        assert credits.reports.rate("bob").available == 3
        assert credits.reports.liabilities().owed == 3
        assert credits.reports.statement("bob", date(2020, 1, 1)).closing == 3
