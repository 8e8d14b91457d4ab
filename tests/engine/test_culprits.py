"""One command that breaks, or that the database does not take, fails alone."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from bursar.core import machine
from bursar.core.book import Book, Outcome
from bursar.core.commands import Charge, Grant, OpenAccount
from bursar.core.errors import Invalid
from bursar.core.model import Catalogue, Instant
from bursar.store.base import Changes, Lane, Refused, StoreError, Work
from tests.engine.audit import audit
from tests.engine.rig import CREDIT, RunLane, Tripwire, charge, done, opened, refused

BAD = "the bad one"


class Broken(Exception):
    """What no rule raises."""


def break_charges(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A charge described as the bad one changes the book and then breaks."""
    handler = machine.HANDLERS[Charge]

    def charge_or_break(book: Book, command: Charge, now: Instant, catalogue: Catalogue) -> Outcome:
        outcome = handler(book, command, now, catalogue)
        if command.description == BAD:
            raise error
        return outcome

    handlers: dict[Any, Any] = machine.HANDLERS
    monkeypatch.setitem(handlers, Charge, charge_or_break)


class TestBreaks:
    @pytest.fixture(autouse=True)
    def expected_log(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.CRITICAL, "bursar.engine")

    @pytest.mark.parametrize("bad", [[0], [250], [500], [3, 77, 78, 400]], ids=str)
    async def test_the_others_succeed_and_it_changed_nothing(
        self, url: str, monkeypatch: pytest.MonkeyPatch, bad: list[int]
    ) -> None:
        break_charges(monkeypatch, Broken())
        async with opened(url, lanes=1) as rig:
            await rig.open_account(credits=1000)
            commands = [charge(description=BAD if number in bad else None) for number in range(501)]
            results = await rig.at_once(*commands)
            assert [number for number, result in enumerate(results) if isinstance(result, Broken)] == bad
            assert len(done(results)) == 501 - len(bad)
            ledger = (await audit(rig.store))["alice"]
            assert ledger.account.posted == (1000 - 501 + len(bad)) * CREDIT
            assert rig.engine.stats.batches == 3

    async def test_alone_it_fails_and_the_engine_goes_on(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        break_charges(monkeypatch, Broken())
        async with opened(url) as rig:
            await rig.open_account(credits=2)
            with pytest.raises(Broken):
                await rig.engine.execute(charge(description=BAD, key="k"))
            assert not (await rig.engine.execute(charge(key="k"))).replayed
            assert (await audit(rig.store))["alice"].account.posted == CREDIT

    async def test_even_where_it_raises_what_no_future_takes(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        break_charges(monkeypatch, StopIteration())
        async with opened(sqlite_url) as rig:
            await rig.open_account(credits=2)
            bad, good = await rig.at_once(charge(description=BAD), charge())
            assert isinstance(bad, RuntimeError)
            assert isinstance(good, Outcome)

    async def test_an_account_opened_in_the_same_batch_is_there(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        break_charges(monkeypatch, Broken())
        async with opened(url, lanes=1) as rig:
            opening, grant, bad, good = await rig.at_once(
                OpenAccount(account="alice"),
                Grant(account="alice", amount=CREDIT),
                charge(description=BAD),
                charge(),
            )
            assert [result.created for result in done([opening])] == [True]
            assert [result.verb for result in done([grant, good])] == ["grant", "charge"]
            assert isinstance(bad, Broken)
            await audit(rig.store)

    async def test_what_an_inspection_objects_to_is_not_written(self, url: str) -> None:
        def at_least_five(book: Book) -> None:
            if book.account.posted < 5 * CREDIT and book.account.seq > 1:
                raise Broken

        async with opened(url, lanes=1, inspect=at_least_five) as rig:
            await rig.open_account(credits=7)
            results = await rig.at_once(charge(), charge(), charge(), charge())
            assert [type(result) for result in results] == [Outcome, Outcome, Broken, Broken]
            assert (await audit(rig.store))["alice"].account.posted == 5 * CREDIT

    async def test_many_at_once_hear_of_it_when_all_are_done(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        break_charges(monkeypatch, Broken())
        async with opened(url, lanes=1) as rig:
            await rig.open_account(credits=10)
            with pytest.raises(Broken):
                await rig.engine.execute_many([charge(), charge(description=BAD), charge(credits=100), charge()])
            assert (await audit(rig.store))["alice"].account.posted == 8 * CREDIT


def objecting(error: Exception, only_writes: bool = True) -> RunLane:
    """Lanes of a database that objects to the bad one, as soon as it is written, or named."""

    def object_to(name: str, args: tuple[Any, ...]) -> None:
        if name == "write":
            changes: Changes = args[0]
            if any(row.description == BAD for row in changes.transactions):
                raise error
        elif not only_writes and name == "keys" and any(key == BAD for _, key in args[0]):
            raise error

    async def run(lane: Lane, work: Work[Any]) -> Any:
        return await lane.run(lambda tx: work(Tripwire(tx, before=object_to)))  # type: ignore[arg-type]

    return run


class TestRefused:
    @pytest.fixture(autouse=True)
    def expected_log(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.CRITICAL, "bursar.engine")

    @pytest.mark.parametrize("bad", [[0], [250], [500], [3, 77, 78, 400]], ids=str)
    async def test_the_batch_is_halved_until_the_culprit_stands_alone(self, url: str, bad: list[int]) -> None:
        async with opened(url, lanes=1) as rig:
            await rig.open_account(credits=1000)
            rig.store.run = objecting(Refused("no such character"))
            commands = [charge(description=BAD if number in bad else None) for number in range(501)]
            before = rig.store.batches
            results = await rig.at_once(*commands)
            assert [number for number, result in enumerate(results) if isinstance(result, Invalid)] == bad
            assert len(done(results)) == 501 - len(bad)
            assert rig.store.batches - before <= 20 * len(bad)
            assert (await audit(rig.store))["alice"].account.posted == (1000 - 501 + len(bad)) * CREDIT

    async def test_it_may_be_refused_where_it_is_looked_up(self, url: str) -> None:
        async with opened(url, lanes=1) as rig:
            await rig.open_account(credits=100)
            rig.store.run = objecting(Refused("no such character"), only_writes=False)
            results = await rig.at_once(*[charge(key=key) for key in ("a", "b", BAD, "c")])
            assert refused(results) == ["invalid"]
            assert len(done(results)) == 3

    @pytest.mark.parametrize("error", [StoreError("a row is not there"), Broken(), KeyError("bug")], ids=repr)
    async def test_whatever_else_goes_wrong_with_one_is_its_own_affair(self, url: str, error: Exception) -> None:
        async with opened(url, lanes=1) as rig:
            await rig.open_account(credits=100)
            rig.store.run = objecting(error)
            results = await rig.at_once(*[charge(description=BAD if number == 20 else None) for number in range(50)])
            assert [number for number, result in enumerate(results) if not isinstance(result, Outcome)] == [20]
            assert results[20] is error
            assert (await audit(rig.store))["alice"].account.posted == 51 * CREDIT

    async def test_a_whole_batch_that_is_refused_leaves_nothing(self, url: str) -> None:
        async with opened(url, lanes=1) as rig:
            await rig.open_account(credits=100)
            rig.store.run = objecting(Refused("no such character"))
            results = await rig.at_once(*[charge(description=BAD)] * 16)
            assert refused(results) == ["invalid"] * 16
            assert (await audit(rig.store))["alice"].account.seq == 1
