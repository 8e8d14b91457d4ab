"""The audit finds whatever is not as the callers were told."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from bursar.bench.ledger import compare_account
from bursar.bench.naive import _mismatches
from bursar.bench.page import BEGIN, END, put_figures
from bursar.bench.picks import pick_uniformly
from bursar.bench.results import Results, Round, compare, make_side, measure
from bursar.core.chain import rehash
from bursar.core.model import Account, Transaction

BEFORE = Account(
    "alice", None, None, None, "active", "debt", "UTC", None, 10, 0, 0, 0, 0, 0, 3, b"head", None, None, None, 0, 0, b""
)  # fmt: skip


def sealed(rows: list[Transaction]) -> list[Transaction]:
    head, chained = BEFORE.head, []
    for row in rows:
        head = rehash(head, row)
        chained.append(replace(row, hash=head))
    return chained


def charge(seq: int, posted_after: int) -> Transaction:
    return Transaction(
        "alice", seq, f"tx_{seq}_t", "CONSUMPTION", -1, posted_after, 0, "[]", None, None, None, None, None, None,
        "library", "world:usage", None, None, None, None, 0, 0, None, None, None, None, None, b"",
    )  # fmt: skip


ROWS = sealed([charge(4, 9), charge(5, 8)])
AFTER = replace(BEFORE, posted=8, seq=5, head=ROWS[-1].hash)
TOLD = ["tx_4_t", "tx_5_t"]


def test_a_sound_account_has_no_mismatch() -> None:
    assert compare_account(BEFORE, AFTER, ROWS, TOLD) == 0
    assert compare_account(BEFORE, BEFORE, [], []) == 0


@pytest.mark.parametrize(
    ("after", "rows", "told"),
    [
        pytest.param(AFTER, ROWS, [*TOLD, "tx_6_t"], id="acknowledged and lost"),
        pytest.param(AFTER, ROWS, TOLD[:1], id="there and never acknowledged"),
        pytest.param(AFTER, ROWS, [*TOLD, "tx_5_t"], id="acknowledged twice, there once"),
        pytest.param(AFTER, [ROWS[0], ROWS[0]], TOLD, id="there twice"),
        pytest.param(AFTER, ROWS[1:], TOLD[1:], id="a gap"),
        pytest.param(AFTER, sealed([charge(4, 9), charge(5, 9)]), TOLD, id="a row that does not add up"),
        pytest.param(AFTER, [ROWS[0], replace(ROWS[1], hash=b"x")], TOLD, id="a broken chain"),
        pytest.param(replace(AFTER, posted=9), ROWS, TOLD, id="another balance"),
        pytest.param(replace(AFTER, seq=6), ROWS, TOLD, id="a cut tail"),
        pytest.param(replace(AFTER, held=1), ROWS, TOLD, id="a hold that was left"),
    ],
)
def test_a_mismatch_is_found(after: Account, rows: list[Transaction], told: list[str]) -> None:
    assert compare_account(BEFORE, after, rows, told) > 0


def test_the_naive_side_is_audited_too() -> None:
    before = {"a": (5_000_000_000, 2, 0), "b": (5_000_000_000, 2, 0)}
    assert _mismatches(before, {"a": (3_000_000_000, 4, 2), "b": before["b"]}, Counter(a=2)) == 0
    assert _mismatches(before, {"a": (4_000_000_000, 4, 2), "b": before["b"]}, Counter(a=2)) == 1
    assert _mismatches(before, {"b": before["b"]}, Counter()) == 1


def test_a_side_is_the_median_of_its_rounds() -> None:
    side = make_side("engine", [Round(10, 1.0, [0.001] * 10), Round(30, 1.0, [0.002] * 30), Round(20, 1.0, [0.1] * 20)])
    assert (side.per_second, side.rounds) == (20, [10, 30, 20])
    assert (side.p50_ms, side.p99_ms) == (2, 100)


def test_a_figure_says_whether_it_reaches_its_bound() -> None:
    fast, slow = make_side("a", [Round(80, 1.0, [])]), make_side("b", [Round(10, 1.0, [])])
    assert compare("f", "F", 8, fast, slow, 0).met
    assert not compare("f", "F", 8, slow, fast, 0).met
    assert measure("m", "M", 129, "MiB", 130).met
    assert not measure("m", "M", 131, "MiB", 130).met


def test_the_page_is_written_between_its_marks() -> None:
    side = make_side("engine", [Round(80, 1.0, [0.001])], 4)
    figures = [compare("f", "Fast", 8, side, side, 0), measure("m", "Memory", 64, "MiB", 130)]
    results = Results(machine={"cpus": 2}, settings={}, figures=figures, mismatches=0)
    page = put_figures(f"before\n{BEGIN}old\n{END}after\n", results)
    assert page.startswith(f"before\n{BEGIN}On cpus 2:\n")
    assert "| **Fast** | | | | **1 x** | at least 8 x | 0 |\n| engine (4) | 80 | 1.0 | 1.0 | | | |\n" in page
    assert page.endswith(f"| **Memory** | | | | **64 MiB** | at most 130 MiB | 0 |\n{END}after\n")
    assert put_figures(page, results) == page


def test_accounts_are_picked_evenly_and_the_same_each_time() -> None:
    accounts = [f"user-{number}" for number in range(10)]
    picks, again = pick_uniformly(accounts, 7), pick_uniformly(accounts, 7)
    picked = Counter(next(picks) for _ in range(10_000))
    assert Counter(next(again) for _ in range(10_000)) == picked
    assert all(900 < times < 1_100 for times in picked.values())
