"""Which figures there are, what each must reach, and how it is taken: both ways in turns, so that a machine's drift
cancels out.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from bursar.bench.ledger import SKILL, Ledger, open_ledger
from bursar.bench.load import Step, charge, hold_and_capture, run_load
from bursar.bench.naive import PostgresNaive, SqliteNaive
from bursar.bench.options import Options
from bursar.bench.place import PostgresPlace, postgres_place, sqlite_place
from bursar.bench.renewals import renewal_figures
from bursar.bench.results import Figure, Results, Round, compare, make_side
from bursar.bench.web import http_figure, server_figures
from bursar.collector import calm
from bursar.core.commands import Charge
from bursar.core.errors import Invalid
from bursar.store.url import PostgresAddress, parse_url

WARM_SECONDS: Final = 0.5
FEWEST_TRIAL_SECONDS: Final = 0.3

Say = Callable[[str], None]
"""Tells people what is being measured."""

Take = Callable[[], Awaitable[Round]]

ENGINE: Final = ("uniform", "hot", "holds")
WEB: Final = ("http", "server")
ASKED: Final = ("depth", "renewals")
"""What is measured only when asked for."""
NAMES: Final = (*ENGINE, "sqlite", *WEB, *ASKED)
"""Every figure, in the order of the table."""


async def run_bench(options: Options, say: Say) -> Results:
    """Measure everything that was asked for. Raises `Invalid`, `DatabaseUnavailable`."""
    unknown = options.only - set(NAMES)
    if unknown:
        raise Invalid("only", f"there is no figure {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    machine: dict[str, str | int] = {
        "cpus": os.cpu_count() or 0,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "sqlite": sqlite3.sqlite_version,
    }
    figures: list[Figure] = []
    with sqlite_place(options.folder) as folder:
        if isinstance(parse_url(options.url), PostgresAddress):
            async with postgres_place(options.url) as place:
                machine["postgresql"] = await place.version()
                figures += [figure async for figure in _postgres_figures(options, place, folder, say)]
        figures += [figure async for figure in _sqlite_figures(options, folder, say)]
    return Results(
        machine=machine,
        settings={
            "seconds": options.seconds,
            "rounds": options.rounds,
            "accounts": options.accounts,
            "callers": options.callers,
        },
        figures=figures,
        mismatches=sum(figure.mismatches for figure in figures),
    )


def wants(options: Options, name: str) -> bool:
    """Whether a figure was asked for."""
    if options.only:
        return name in options.only
    return name not in ASKED or (name == "depth" and options.deep)


async def _postgres_figures(options: Options, place: PostgresPlace, folder: Path, say: Say) -> AsyncIterator[Figure]:
    if any(wants(options, name) for name in (*ENGINE, *WEB)):
        async with _both(options, place, say) as (ledger, naive):
            for name, take in (("uniform", _uniform), ("hot", _hot), ("holds", _holds)):
                if wants(options, name):
                    yield await take(options, ledger, naive, say)
            for figure in await _web_figures(options, ledger, folder, say):
                yield figure
    if wants(options, "depth"):
        yield await _depth(options, place, say)
    if wants(options, "renewals"):
        for figure in await renewal_figures(options, place, say):
            yield figure


async def _sqlite_figures(options: Options, folder: Path, say: Say) -> AsyncIterator[Figure]:
    """On SQLite; the HTTP figures too where there is no PostgreSQL."""
    alone = not isinstance(parse_url(options.url), PostgresAddress)
    if wants(options, "sqlite") or (alone and any(wants(options, name) for name in WEB)):
        say(f"SQLite: filling {options.accounts} accounts")
        async with open_ledger(f"sqlite:///{folder / 'engine.db'}", options.accounts) as ledger:
            if wants(options, "sqlite"):
                yield await _sqlite(options, ledger, folder, say)
            if alone:
                for figure in await _web_figures(options, ledger, folder, say):
                    yield figure


async def _web_figures(options: Options, ledger: Ledger, folder: Path, say: Say) -> list[Figure]:
    figures = []
    if wants(options, "http"):
        say("HTTP: bursar serve and a no-op endpoint in turns")
        figures.append(await http_figure(options, ledger, folder))
    if wants(options, "server"):
        say("the server by itself")
        figures += await server_figures(options, ledger, folder)
    return figures


@asynccontextmanager
async def _both(options: Options, place: PostgresPlace, say: Say) -> AsyncIterator[tuple[Ledger, PostgresNaive]]:
    """The engine's ledger and the naive side's, with the same accounts."""
    say(f"filling {options.accounts} accounts")
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(open_ledger(await place.add("engine"), options.accounts))
        naive = await PostgresNaive.open(await place.add("naive"), ledger)
        stack.push_async_callback(naive.close)
        for step in (charge, hold_and_capture):
            await _warm(options, ledger, step)
        await place.settle()
        yield ledger, naive


async def _uniform(options: Options, ledger: Ledger, naive: PostgresNaive, say: Say) -> Figure:
    say("uniform accounts: engine and naive in turns")
    best = await _best_connections(options, naive, ledger.accounts)
    ours, theirs = await in_turns(
        options,
        _engine(options, ledger, charge),
        lambda: naive.run(ledger.accounts, options.seconds, best),
        ledger,
    )
    mismatches = await ledger.audit() + await naive.audit()
    await ledger.begin()
    bare = [await _engine(options, ledger, charge, keyed=False)() for _ in range(options.rounds)]
    return compare(
        "uniform",
        "PostgreSQL, uniform accounts",
        8,
        make_side("engine", ours),
        make_side("naive", theirs, best),
        mismatches + await ledger.audit(),
        make_side("engine, no idempotency keys", bare),
    )


async def _hot(options: Options, ledger: Ledger, naive: PostgresNaive, say: Say) -> Figure:
    say("one hot account: engine and naive in turns")
    account = ledger.accounts[:1]
    best = await _best_connections(options, naive, account)
    ours, theirs = await in_turns(
        options,
        _engine(options, ledger, charge, hot=True),
        lambda: naive.run(account, options.seconds, best),
        ledger,
    )
    return compare(
        "hot",
        "PostgreSQL, one hot account",
        40,
        make_side("engine", ours),
        make_side("naive", theirs, best),
        await ledger.audit() + await naive.audit(),
    )


async def _holds(options: Options, ledger: Ledger, naive: PostgresNaive, say: Say) -> Figure:
    say("hold and capture: engine, and naive charges, in turns")
    best = await _best_connections(options, naive, ledger.accounts)
    ours, theirs = await in_turns(
        options,
        _engine(options, ledger, hold_and_capture),
        lambda: naive.run(ledger.accounts, options.seconds, best),
        ledger,
    )
    return compare(
        "holds",
        "PostgreSQL, hold + capture",
        3,
        make_side("engine", ours),
        make_side("naive charges", theirs, best),
        await ledger.audit() + await naive.audit(),
    )


async def _sqlite(options: Options, ledger: Ledger, folder: Path, say: Say) -> Figure:
    say("SQLite, durable: engine and naive in turns")
    naive = await SqliteNaive.open(folder / "naive.db", ledger)
    ours, theirs = await in_turns(
        options,
        _engine(options, ledger, charge),
        lambda: naive.run(ledger.accounts, options.seconds),
        ledger,
    )
    return compare(
        "sqlite",
        "SQLite, durable, uniform",
        4,
        make_side("engine", ours),
        make_side("naive", theirs, 1),
        await ledger.audit() + await naive.audit(),
    )


async def _depth(options: Options, place: PostgresPlace, say: Say) -> Figure:
    """Two ledgers of the same accounts, one with a long history."""
    async with AsyncExitStack() as stack:
        shallow, deep = [
            await stack.enter_async_context(open_ledger(await place.add(name), options.accounts))
            for name in ("shallow", "deep")
        ]
        stored = await _deepen(deep, options.deep_transactions, say)
        for ledger in (shallow, deep):
            for step in (charge, hold_and_capture):
                await _warm(options, ledger, step)
        await place.settle()
        say(f"{stored} transactions stored, and {2 * options.accounts}, in turns")
        await shallow.begin()
        ours, theirs = await in_turns(options, _engine(options, deep, charge), _engine(options, shallow, charge), deep)
        return compare(
            "depth",
            f"{stored:,} transactions stored",
            0.8,
            make_side(f"engine, {stored:,}", ours),
            make_side(f"engine, {2 * options.accounts:,}", theirs),
            await deep.audit() + await shallow.audit(),
        )


async def _deepen(ledger: Ledger, transactions: int, say: Say) -> int:
    """Let every account be charged until so many transactions are stored; how many there are."""
    stored = 2 * len(ledger.accounts)
    turns = max(transactions - stored, 0) // len(ledger.accounts)
    for turn in range(turns):
        if turn % 20 == 0:
            say(f"storing {transactions} transactions: {100 * turn // turns} %")
        charges = (Charge(account=account, skill=SKILL, key=f"fill-{turn}") for account in ledger.accounts)
        await ledger.do_all(charges)
    return stored + turns * len(ledger.accounts)


def _engine(options: Options, ledger: Ledger, step: Step, *, keyed: bool = True, hot: bool = False) -> Take:
    async def take() -> Round:
        return await run_load(ledger, step, seconds=options.seconds, callers=options.callers, keyed=keyed, hot=hot)

    return take


async def _warm(options: Options, ledger: Ledger, step: Step) -> None:
    """A load that does not count: statements are prepared, pages are read."""
    await run_load(ledger, step, seconds=min(WARM_SECONDS, options.seconds), callers=options.callers)


async def in_turns(options: Options, ours: Take, theirs: Take, ledger: Ledger) -> tuple[list[Round], list[Round]]:
    """A B A B ...; the garbage of one side's round is not collected in the other's."""
    await _warm(options, ledger, charge)
    await ledger.begin()
    rounds: tuple[list[Round], list[Round]] = ([], [])
    for _ in range(options.rounds):
        for taken, take in zip(rounds, (ours, theirs), strict=True):
            calm()
            taken.append(await take())
    return rounds


async def _best_connections(options: Options, naive: PostgresNaive, accounts: list[str]) -> int:
    """The count at which the naive side is fastest."""
    seconds = min(max(options.seconds / 2, FEWEST_TRIAL_SECONDS), options.seconds)
    rates = {count: (await naive.run(accounts, seconds, count)).per_second for count in options.connections}
    return max(rates, key=rates.__getitem__)
