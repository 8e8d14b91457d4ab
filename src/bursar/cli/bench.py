"""`bursar bench`."""

from __future__ import annotations

from typing import Annotated

import typer

from bursar.cli.session import Session


def bench(
    session: Session,
    *,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="uniform, hot, holds, sqlite, http, server, depth or renewals; again for more."
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="How long a round takes.")] = 3.0,
    rounds: Annotated[int, typer.Option(min=1, max=99, help="How often both sides take turns.")] = 3,
    accounts: Annotated[int, typer.Option(min=1, max=1_000_000)] = 10_000,
    callers: Annotated[int, typer.Option(min=1, max=15_000, help="That each wait for one charge at a time.")] = 2_000,
    due: Annotated[int, typer.Option(min=1, max=10_000_000, help="Accounts that renew at once.")] = 50_000,
    deep: Annotated[bool, typer.Option("--deep", help="Also with 2 million transactions stored (minutes).")] = False,
) -> None:
    """Measure the engine against one tx for each charge, side by side, and count what is not as acknowledged.

    It works on schemas or files of its own, which are gone afterwards. Exit code 1 if there is any mismatch.
    """
    import uvloop

    from bursar.bench.figures import run_bench
    from bursar.bench.options import Options
    from bursar.bench.report import print_report

    settings = session.settings()
    options = Options(
        url=settings.url,
        folder=settings.data_dir,
        seconds=seconds,
        rounds=rounds,
        accounts=accounts,
        callers=callers,
        only=frozenset(only or ()),
        deep=deep,
        due=due,
    )
    results = uvloop.run(run_bench(options, session.say))
    if session.json:
        session.show(results)
    else:
        print_report(results)
    if results.mismatches:
        raise typer.Exit(1)
