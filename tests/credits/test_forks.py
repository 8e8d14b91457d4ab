"""A process that forks: both sides go on, each with connections of its own.

Each test is a script in a process of its own: what forks must not be pytest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from bursar.credits import Credits

PRELUDE = """
    import asyncio, json, multiprocessing, os, sys, threading, warnings
    from bursar import AsyncCredits, BursarError, Credits

    # The scripts have threads of their own, and fork on purpose.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

    def in_child(work):
        # Runs work() in a forked child; what it returned, once it has ended.
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                answer = work()
            except BaseException as error:
                answer = repr(error)
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
        os.close(writing)
        def wait():
            with os.fdopen(reading) as pipe:
                answer = json.load(pipe)
            os.waitpid(child, 0)
            return answer
        return wait

    def connections():
        descriptors = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        links = [os.readlink(path) for path in descriptors if os.path.islink(path)]
        return [link for link in links if link.startswith("socket:") or "bursar.db" in link]

    def charges(count):
        return len([credits.charge("alice", 1).seq for _ in range(count)])

    url = sys.argv[1]
"""


def run(script: str, url: str) -> Any:
    """What the script printed, as JSON."""
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(PRELUDE) + dedent(script), url],
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


@pytest.fixture
def alice(url: str) -> str:
    """A ledger in which alice has 500."""
    with Credits.open(url) as credits:
        credits.open_account("alice", plan="pro")
    return url


def posted_and_seqs(url: str) -> tuple[object, list[int]]:
    with Credits.open(url) as credits:
        return credits.account("alice").posted, [t.seq for t in credits.history("alice", limit=1_000).data]


def test_parent_and_child_both_go_on(alice: str) -> None:
    answer = run(
        """
        with Credits.open(url) as credits:
            before = charges(5)
            child = in_child(lambda: charges(20))
            print(json.dumps([before, charges(20), child(), charges(5)]))
        """,
        alice,
    )
    assert answer == [5, 20, 20, 5]
    assert posted_and_seqs(alice) == (450, list(range(51, 0, -1)))


def test_a_child_may_fork_again(alice: str) -> None:
    answer = run(
        """
        with Credits.open(url) as credits:
            def child():
                return [charges(3), in_child(lambda: charges(3))(), charges(3)]
            print(json.dumps([in_child(child)(), charges(3)]))
        """,
        alice,
    )
    assert answer == [[3, 3, 3], 3]
    assert posted_and_seqs(alice)[0] == 488


def test_any_thread_of_the_child_may_use_it(alice: str) -> None:
    answer = run(
        """
        with Credits.open(url) as credits:
            def child():
                made = []
                threads = [threading.Thread(target=lambda: made.append(charges(2))) for _ in range(3)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(30)
                return made
            print(json.dumps(in_child(child)()))
        """,
        alice,
    )
    assert answer == [2, 2, 2]
    assert posted_and_seqs(alice)[0] == 494


def test_a_child_that_closes_leaves_the_parents_connections_intact(alice: str) -> None:
    answer = run(
        """
        with Credits.open(url) as credits:
            def child():
                made = charges(2)
                credits.close()
                return made
            hold = credits.hold("alice", 10)
            with hold:
                made = in_child(child)()
                hold.capture(4)
            print(json.dumps([made, charges(2)]))
        """,
        alice,
    )
    assert answer == [2, 2]
    assert posted_and_seqs(alice)[0] == 492


def test_forking_under_load_loses_nothing(alice: str) -> None:
    answer = run(
        """
        with Credits.open(url) as credits:
            stop, made = threading.Event(), []
            def load():
                while not stop.is_set():
                    made.append(credits.charge("alice", "0.01").seq)
            threads = [threading.Thread(target=load) for _ in range(4)]
            for thread in threads:
                thread.start()
            children = [in_child(lambda: charges(5)) for _ in range(4)]
            answers = [child() for child in children]
            stop.set()
            for thread in threads:
                thread.join()
            print(json.dumps([answers, len(made)]))
        """,
        alice,
    )
    answers, made = answer
    assert answers == [5, 5, 5, 5]
    assert made > 0
    with Credits.open(alice) as credits:
        assert credits.account("alice").posted * 100 == 50_000 - 2_000 - made


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system has no /proc/self/fd to look into")
def test_a_child_inherits_no_connection(alice: str) -> None:
    answer = run(
        """
        with Credits.open(url) as credits:
            charges(1)
            open_before = len(connections())
            print(json.dumps([open_before > 0, in_child(connections)()]))
        """,
        alice,
    )
    assert answer == [True, []]


def test_a_closed_ledger_stays_closed_in_the_child(alice: str) -> None:
    answer = run(
        """
        credits = Credits.open(url)
        credits.close()
        def child():
            try:
                return charges(1)
            except BursarError as refusal:
                return refusal.code
        print(json.dumps(in_child(child)()))
        """,
        alice,
    )
    assert answer == "closed"


def test_multiprocessing_by_fork_works(alice: str) -> None:
    answer = run(
        """
        credits = Credits.open(url)
        with multiprocessing.get_context("fork").Pool(3) as pool:
            made = pool.map(charges, [4] * 5)
        print(json.dumps([sum(made), charges(1)]))
        credits.close()
        """,
        alice,
    )
    assert answer == [20, 1]
    assert posted_and_seqs(alice)[0] == 479


def test_the_asynchronous_face_says_that_it_is_the_parents(alice: str) -> None:
    answer = run(
        """
        async def main():
            credits = await AsyncCredits.open(url)
            return credits, (await credits.charge("alice", 1)).amount
        loop = asyncio.new_event_loop()
        credits, amount = loop.run_until_complete(main())
        child = in_child(lambda: asyncio.run(credits.charge("alice", 1)))
        print(json.dumps([amount, child()]))
        loop.run_until_complete(credits.close())
        loop.close()
        """,
        alice,
    )
    assert answer[0] == -1
    assert "opened before a fork" in answer[1]
    assert posted_and_seqs(alice)[0] == 499
