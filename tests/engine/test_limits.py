"""Limits under a burst: many processes, one pool, one cap; and limits that are set while others spend."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

import bursar.engine.counting
from bursar.core.commands import AddMember, Capture, Charge, Grant, OpenAccount, PlaceHold, Refund, SetLimit
from bursar.core.limits import find_limit, shown
from bursar.core.model import Limit
from bursar.verify import verify
from tests.engine.peers import peers
from tests.engine.rig import CREDIT, Rig, done, opened, refused


def limit(name: str, credits: int, scope: str = "account", value: str | None = None, window: str = "day") -> SetLimit:
    return SetLimit(account="team", limit=name, window=window, amount=credits * CREDIT, scope=scope, value=value)


async def counted(rig: Rig, name: str) -> Limit:
    book = await rig.engine.view("team", members=True)
    return shown(find_limit(book, name), await rig.engine.now())


async def a_team(rig: Rig, *members: str) -> None:
    await rig.open_account("team", credits=1_000)
    for member in members:
        await rig.engine.execute(AddMember(account="team", member=member))


async def test_of_100_holds_of_a_member_with_20_left_through_two_processes_20_pass(either_url: str) -> None:
    async with opened(either_url) as rig, peers(either_url, 2) as others:
        await a_team(rig, "mia", "noa")
        await rig.engine.execute(limit("mia", 20, "member", "mia"))
        asked = {"account": "team", "amount": CREDIT, "member": "mia", "times": 50}
        answers = await asyncio.gather(*(other.do("hold", **asked) for other in others))
        assert sum(len(answer["ids"]) for answer in answers) == 20
        assert sum((Counter(answer["refused"]) for answer in answers), Counter()) == {"limit_exceeded": 80}
        found = await counted(rig, "mia")
        assert (found.spent, found.held) == (0, 20 * CREDIT)
        row = await rig.account("team")
        assert (row.posted, row.held) == (1_000 * CREDIT, 20 * CREDIT)
        await rig.engine.execute(PlaceHold(account="team", amount=CREDIT, member="noa"))
        assert (await verify(rig.store)).findings == []


async def test_of_100_charges_under_a_limit_of_the_account_through_two_processes_20_pass(either_url: str) -> None:
    async with opened(either_url) as rig, peers(either_url, 2) as others:
        await a_team(rig)
        await rig.engine.execute(limit("all", 20))
        asked = {"account": "team", "amount": CREDIT, "times": 50}
        answers = await asyncio.gather(*(other.do("charge", **asked) for other in others))
        assert sum(len(answer["ids"]) for answer in answers) == 20
        assert (await counted(rig, "all")).spent == 20 * CREDIT
        assert (await rig.account("team")).posted == 980 * CREDIT
        assert (await verify(rig.store)).findings == []


async def test_a_limit_that_is_set_while_others_spend_misses_nothing(either_url: str) -> None:
    async with opened(either_url) as rig, peers(either_url, 2) as others:
        await a_team(rig)
        asked = {"account": "team", "amount": CREDIT, "times": 40}
        spending = [asyncio.create_task(other.do("charge", **asked)) for other in others]
        await rig.engine.execute(limit("all", 60))
        await asyncio.gather(*spending)
        found = await counted(rig, "all")
        assert found.spent == 1_000 * CREDIT - (await rig.account("team")).posted
        assert found.spent <= 80 * CREDIT
        assert (await verify(rig.store)).findings == []


@pytest.mark.parametrize("page", [3, 500])
async def test_what_a_new_limit_has_counted_is_the_same_in_one_batch_and_in_many(
    url: str, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bursar.engine.counting, "PAGE", page)
    async with opened(url) as rig:
        await a_team(rig, "mia")
        charges = await rig.at_once(*[Charge(account="team", amount=CREDIT, member="mia")] * 5)
        holds = await rig.at_once(*[PlaceHold(account="team", amount=CREDIT, member="mia")] * 3)
        first = done(charges)[0].transaction
        hold = done(holds)[0].hold
        assert first is not None
        assert hold is not None
        await rig.at_once(
            Refund(account="team", transaction=first.id),
            Capture(account="team", hold=hold.hold_id, amount=2 * CREDIT),
            Charge(account="team", amount=CREDIT),
            PlaceHold(account="team", amount=CREDIT),
            limit("all", 100),
            limit("life", 100, window="lifetime"),
            limit("mia", 100, "member", "mia"),
            Charge(account="team", amount=CREDIT, member="mia"),
        )
        for name, spent, held in (("all", 8, 3), ("life", 8, 3), ("mia", 7, 2)):
            found = await counted(rig, name)
            assert (found.spent, found.held) == (spent * CREDIT, held * CREDIT), name
        assert (await verify(rig.store)).findings == []


async def test_at_most_32_limits_of_an_account_and_of_a_member(url: str) -> None:
    async with opened(url) as rig:
        await a_team(rig)
        results = await rig.at_once(*(limit(f"limit-{number}", 9) for number in range(33)))
        assert refused(results) == ["invalid"]
        assert len(done(results)) == 32
        results = await rig.at_once(*(limit(f"own-{number}", 9, "member", "mia") for number in range(33)))
        assert refused(results) == ["invalid"]
        assert done(await rig.at_once(limit("limit-7", 10)))


async def test_a_batch_over_many_accounts_counts_each_in_its_own(url: str) -> None:
    async with opened(url) as rig:
        teams = [f"team-{number}" for number in range(30)]
        await rig.at_once(*(OpenAccount(account=team) for team in teams))
        await rig.at_once(*(Grant(account=team, amount=99 * CREDIT) for team in teams))
        await rig.at_once(
            *(SetLimit(account=team, limit="all", window="day", amount=3 * CREDIT) for team in teams[::2]),
            *(
                SetLimit(account=team, limit="mia", window="day", amount=2 * CREDIT, scope="member", value="mia")
                for team in teams
            ),
        )
        results = await rig.at_once(
            *(Charge(account=team, amount=CREDIT, member=who) for team in teams for who in ("mia", None) * 4)
        )
        assert len(done(results)) == 15 * 3 + 15 * (2 + 4)
        assert (await verify(rig.store)).findings == []
