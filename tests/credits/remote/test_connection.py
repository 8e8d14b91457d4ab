"""What happens between the face and a service that is away, slow, busy, or answers into the void."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from bursar.core.errors import AlreadyExists, EngineClosed, Invalid, Unavailable
from bursar.credits import AsyncCredits, Credits
from bursar.credits.remote.refusals import Forbidden, ServiceUnavailable, Unauthenticated
from tests.credits.remote.conftest import Service
from tests.credits.remote.middleman import Fate, Middleman
from tests.credits.test_forks import run
from tests.support.ports import HOST, free_port
from tests.support.process import BursarServer


@pytest.fixture
def middleman(service: Service) -> Iterator[Middleman]:
    with Middleman(service.url) as middleman:
        yield middleman


@pytest.fixture
def alice(middleman: Middleman) -> Iterator[Credits]:
    """A ledger behind the middleman, in which alice has 100."""
    with Credits.open(middleman.url) as credits:
        credits.open_account("alice")
        yield credits


# Repeats


@pytest.mark.parametrize("fate", [Fate.LOSE_REQUEST, Fate.LOSE_ANSWER, Fate.BUSY])
def test_whatever_is_lost_on_the_way_is_charged_once(alice: Credits, middleman: Middleman, fate: Fate) -> None:
    middleman.fates.extend([fate, fate])
    receipt = alice.charge("alice", 7)
    assert (receipt.amount, receipt.available) == (-7, 93)
    assert [t.amount for t in alice.history("alice").data] == [-7, 100]


def test_a_repeat_goes_under_the_same_key(alice: Credits, middleman: Middleman) -> None:
    del middleman.requests[:]
    middleman.fates.append(Fate.LOSE_ANSWER)
    alice.charge("alice", 1)
    alice.charge("alice", 1)
    first, again, second = (request.partition(b"\r\n\r\n")[2] for request in middleman.requests)
    assert b'"idempotency_key":"' in first
    assert first == again != second


@pytest.mark.parametrize("fate", [Fate.LOSE_REQUEST, Fate.LOSE_ANSWER])
def test_every_verb_survives_a_lost_message(alice: Credits, middleman: Middleman, fate: Fate) -> None:
    def lost() -> None:
        middleman.fates.append(fate)

    lost()
    alice.open_account("bob", plan=None)
    lost()
    grant = alice.grant("bob", 50, priority=1)
    lost()
    hold = alice.place_hold("bob", 10)
    lost()
    assert alice.dispatch("bob", hold.id, measured=1).state == "dispatched"
    lost()
    assert alice.extend("bob", hold.id, 5).amount == 15
    lost()
    captured = alice.capture("bob", hold.id, 4)
    lost()
    assert alice.refund("bob", captured.id, 1).amount == 1
    lost()
    assert alice.refund("bob", captured.id).amount == 3
    with alice.hold("bob", 20):
        lost()
        lost()
    lost()
    assert alice.adjust("bob", by=5, reason="audit").amount == 5
    lost()
    assert alice.transfer("bob", "alice", 2).sent.amount == -2
    lost()
    assert alice.update_account("bob", name="Bob").name == "Bob"
    lost()
    assert alice.freeze("bob").status == "frozen"
    lost()
    assert alice.unfreeze("bob").status == "active"
    lost()
    results = alice.charge_many([{"account": "bob", "amount": 1}, {"account": "bob", "amount": 2}])
    assert [getattr(result, "amount", result) for result in results] == [-1, -2]
    lost()
    alice.renew("alice")
    lost()
    assert alice.skills.disable("TEXT_GENERATION").active is False
    lost()
    assert alice.void("bob", grant.grant.id).grant.voided_at is not None
    assert not middleman.fates
    assert (alice.balance("bob").posted, alice.balance("bob").held) == (5, 0)
    assert alice.verify().findings == []


@pytest.mark.parametrize("fate", [Fate.LOSE_ANSWER, Fate.LOSE_REQUEST, Fate.BUSY])
def test_a_period_is_paid_once_and_one_plan_cancelled_and_a_price_refreshed_once(
    alice: Credits, middleman: Middleman, fate: Fate
) -> None:
    alice.plans.put("gold", allowance=900, after="pro")
    once = alice.subscribe("alice", "gold", days=30)
    middleman.fates.append(fate)
    twice = alice.subscribe("alice", "gold", days=30)
    assert once.subscription_ends_at is not None
    assert twice.subscription_ends_at == once.subscription_ends_at + timedelta(days=30)
    middleman.fates.append(fate)
    assert alice.cancel("alice", at="now").plan == "pro"
    alice.models.add("gpt-4o")
    middleman.fates.append(fate)
    assert alice.models.refresh("gpt-4o").price.version == 1
    assert not middleman.fates
    assert alice.verify().findings == []


@pytest.mark.parametrize("fate", [Fate.LOSE_ANSWER, Fate.LOSE_REQUEST, Fate.BUSY])
def test_what_has_no_key_is_not_repeated(alice: Credits, middleman: Middleman, fate: Fate) -> None:
    middleman.fates.append(fate)
    with pytest.raises(ServiceUnavailable):
        alice.skills.set_price("TEXT_GENERATION", 2)
    assert len(alice.skills.prices("TEXT_GENERATION")) == (2 if fate is Fate.LOSE_ANSWER else 1)
    middleman.fates.append(fate)
    with pytest.raises(ServiceUnavailable):
        alice.skills.add("NEW", 1)
    if fate is Fate.LOSE_ANSWER:
        with pytest.raises(AlreadyExists):
            alice.skills.add("NEW", 1)


def test_who_is_never_answered_gives_up_when_its_time_is_over(alice: Credits, middleman: Middleman) -> None:
    with Credits.open(middleman.url, timeout_seconds=1) as hasty:
        del middleman.requests[:]
        middleman.fates.extend([Fate.LOSE_REQUEST] * 100)
        with pytest.raises(ServiceUnavailable) as refusal:
            hasty.charge("alice", 1)
    assert isinstance(refusal.value, Unavailable)
    assert 1 < len(middleman.requests) < 6
    middleman.fates.clear()
    assert alice.balance("alice").posted == 100


def test_an_answer_that_makes_no_sense_is_not_taken_for_one(alice: Credits, middleman: Middleman) -> None:
    middleman.fates.append(Fate.NONSENSE)
    with pytest.raises(ServiceUnavailable, match="no Receipt"):
        alice.charge("alice", 1)


async def test_in_a_loop_it_is_the_same(middleman: Middleman) -> None:
    async with AsyncCredits.open(middleman.url) as credits:
        await credits.open_account("alice")
        middleman.fates.extend([Fate.LOSE_ANSWER, Fate.BUSY, Fate.LOSE_REQUEST])
        assert (await credits.charge("alice", 7)).available == 93


def test_a_service_that_dies_and_comes_back_has_charged_once(tmp_path: Path) -> None:
    """kill -9 of the server while sixteen threads spend: what was answered is there, and nothing twice."""
    database_url = f"sqlite:///{tmp_path / 'bursar.db'}"
    with BursarServer(database_url=database_url, data_dir=tmp_path) as server:
        key = next(word for word in server.output.split() if word.startswith("bk_"))
        with Credits.open(server.url, api_key=key) as credits:
            credits.open_account("alice", plan=None)
            credits.grant("alice", 1_000)
            enough, half_way = threading.Semaphore(0), 60

            def charge(number: int) -> str:
                receipt = credits.charge("alice", 1, description=f"call {number}")
                enough.release()
                return receipt.id

            with ThreadPoolExecutor(16) as threads:
                calls = [threads.submit(charge, number) for number in range(200)]
                for _ in range(half_way):
                    enough.acquire()
                server.kill()
                server.start()
                receipts = [call.result() for call in calls]
            assert len(set(receipts)) == 200
            assert credits.balance("alice").posted == 800
            told = [str(t.description) for t in credits.history("alice", type="CONSUMPTION", limit=1_000).data]
            assert sorted(told) == sorted(f"call {number}" for number in range(200))
            assert credits.verify().findings == []


# Time


def test_a_service_that_never_answers_is_waited_for_so_long_and_no_longer() -> None:
    with socket.create_server((HOST, 0)) as silent:
        began = monotonic()
        with pytest.raises(ServiceUnavailable, match="ReadTimeout"):
            Credits.open(f"http://{HOST}:{silent.getsockname()[1]}", timeout_seconds=0.3)
        assert 0.3 <= monotonic() - began < 10


# Pools


def test_one_thread_keeps_one_connection_and_many_share_the_pool(alice: Credits, middleman: Middleman) -> None:
    for _ in range(20):
        alice.charge("alice", 1)
    assert middleman.connections == 1
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: alice.charge("alice", 1), range(40)))
    assert middleman.connections <= 9
    assert alice.balance("alice").posted == 40


async def test_calls_from_another_loop_are_brought_to_the_one_that_opened_it(middleman: Middleman) -> None:
    async with AsyncCredits.open(middleman.url) as credits:
        await credits.open_account("alice")
        there = await asyncio.to_thread(lambda: asyncio.run(_charge(credits)))
        assert (there.available, (await credits.charge("alice", 1)).available) == (99, 98)
        assert middleman.connections == 1


async def _charge(credits: AsyncCredits) -> Any:
    return await credits.charge("alice", 1)


def test_a_forked_child_speaks_on_connections_of_its_own(service: Service) -> None:
    script = """
        with Credits.open(url) as credits:
            credits.open_account("alice")
            charges(1)
            before = connections()
            there = in_child(lambda: [charges(2), credits.balance("alice").posted])()
            print(json.dumps([there, charges(1), credits.balance("alice").posted, connections() == before]))
    """
    assert run(script, service.url) == [[2, 97], 1, 96, True]


def test_a_finalizer_in_the_middle_of_a_request_hands_over(alice: Credits) -> None:
    """It may run while its thread holds the pool's lock, and must not wait for it there."""
    hold = alice.hold("alice", 10)
    hold.__enter__()
    connection: Any = alice._twin._port._connection  # type: ignore[attr-defined]
    send = connection._send

    async def send_and_finalize(request: Any, seconds: float) -> Any:
        connection._send = send
        with connection._lock:
            hold.__exit__(GeneratorExit, GeneratorExit(), None)
        return await send(request, seconds)

    connection._send = send_and_finalize
    alice.charge("alice", 1)
    for chore in list(connection._chores):
        chore.join()
    assert (alice.balance("alice").posted, alice.balance("alice").held) == (89, 0)


async def test_closing_waits_for_what_is_under_way(middleman: Middleman, url: str) -> None:
    credits = await AsyncCredits.open(middleman.url)
    await credits.open_account("alice")
    middleman.fates.append(Fate.LOSE_ANSWER)  # so that it takes its time
    charges = [asyncio.create_task(credits.charge("alice", 1)) for _ in range(5)]
    await asyncio.sleep(0)
    await credits.close()
    assert sorted([(await charge).available for charge in charges]) == [95, 96, 97, 98, 99]
    with pytest.raises(EngineClosed):
        await credits.charge("alice", 1)


def test_after_closing_nothing_is_asked(alice: Credits, middleman: Middleman) -> None:
    alice.close()
    asked = len(middleman.requests)
    with pytest.raises(EngineClosed):
        alice.charge("alice", 1)
    assert len(middleman.requests) == asked


# Opening


def test_nobody_there_is_known_when_it_is_opened() -> None:
    with pytest.raises(ServiceUnavailable, match="ConnectError"):
        Credits.open(f"http://{HOST}:{free_port()}", timeout_seconds=1)


@pytest.mark.parametrize(
    "url",
    ["http://", "https:///x", "http://h:port", "http://user:secret@h", "http://h/?a=1", "http://h/#x", "http://h:0"],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="url"):
        Credits.open(url)


@pytest.mark.parametrize(
    "arguments",
    [{"migrate": True}, {"clock": "2026-01-01T00:00:00Z"}, {"lanes": 2}, {"api_key": "a\nb"}, {"timeout_seconds": 0}],
)
def test_what_only_a_database_takes_is_refused_by_name(arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(Invalid, match=name):
        Credits.open("https://bursar.example.com", **arguments)
    with pytest.raises(Invalid, match=name):
        AsyncCredits.open("https://bursar.example.com", **arguments)


def test_a_service_below_a_path_is_found(service: Service) -> None:
    with pytest.raises(ServiceUnavailable, match="nothing at /below/healthz"), Credits.open(f"{service.url}/below/"):
        pytest.fail("there is nothing below")


# Keys


def test_a_key_that_is_not_good_is_named(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with Credits.open(service.url, api_key="bk_nothing") as credits, pytest.raises(Unauthenticated, match="api_key"):
        credits.balance("alice")
    monkeypatch.delenv("BURSAR_API_KEY")
    with Credits.open(service.url) as credits, pytest.raises(Unauthenticated):
        credits.balance("alice")


def test_what_a_key_may_not_is_refused(service: Service) -> None:
    with Credits.open(service.url) as admin:
        admin.open_account("alice")
    with Credits.open(service.url, api_key=service.new_key("service")) as credits:
        assert credits.charge("alice", 1).actor.startswith("key:")
        with pytest.raises(Forbidden, match="may not do this"):
            credits.adjust("alice", by=5, reason="greed")
        with pytest.raises(Forbidden):
            credits.verify()


@pytest.mark.parametrize("account", ["..", "a.b", "ü b|@:~+", "%2F", "a%20b"])
def test_an_account_is_found_whatever_its_name(service: Service, account: str) -> None:
    with Credits.open(service.url) as credits:
        assert credits.open_account(account).id == account
        assert credits.charge(account, 1).account == account
        assert credits.history(account).data[0].account == account
