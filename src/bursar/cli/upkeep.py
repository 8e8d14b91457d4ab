"""`bursar serve`, `migrate`, `verify`, `recount`, `backup`, `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli.progress import watching
from bursar.cli.session import Session

if TYPE_CHECKING:
    from bursar.backup import Manifest
    from bursar.store.base import Store
    from bursar.verify import Verdict


def serve(
    session: Session,
    *,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where files are kept.")] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What a new ledger begins with: ai-credits, skills, api-calls, tokens, usd, or a TOML file's path.",
        ),
    ] = None,
) -> None:
    """Serve the HTTP API until Ctrl-C. Every other setting comes from BURSAR_* or bursar.toml."""
    from bursar.service.server import serve as run

    raise typer.Exit(run(session.settings(host=host, port=port, data_dir=data_dir, preset=preset)))


def migrate(session: Session) -> None:
    """Bring the database's schema up; a new database is made."""
    from bursar.store.migrate import expected_revision
    from bursar.store.migrate import migrate as run
    from bursar.totals import count_in

    settings = session.settings()
    applied = run(settings.url)
    session.on_store(lambda store: count_in(store, applied))
    session.show({"database": settings.shown_url, "revision": expected_revision(), "applied": applied})


def verify(
    session: Session,
    *,
    account: Annotated[list[str] | None, typer.Option(help="Only this account; again for more.")] = None,
) -> None:
    """Recompute every row by the rules; exit code 1 names table, account and row of what is wrong."""
    show_verdict(session, prove(session, account), {})


def recount(session: Session) -> None:
    """Make the totals of the reports what the transactions say, beside a running server.

    They are so by themselves. It is for after an upgrade during which processes of the release before still wrote.
    """
    from bursar.totals import repair

    session.show(session.on_store(repair))


def backup(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it is replaced.", show_default=False)],
) -> None:
    """Write the whole database to one portable file, beside a running server."""
    import asyncio

    from bursar.backup import write_backup

    counted = Counted()

    async def work() -> Manifest:
        async with watching(counted.shown, silent=session.json):
            return await write_backup(session.settings().url, file, counted.say)

    manifest = asyncio.run(work())
    session.show({"file": str(file), "size_bytes": file.stat().st_size} | facts(manifest))


def restore(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.", show_default=False)],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the ledger that is there.")] = False,
) -> None:
    """Load a backup into an empty ledger, of either database, then verify it. All or nothing."""
    import asyncio

    from bursar.backup import restore_backup

    counted = Counted()

    async def work() -> Manifest:
        async with watching(counted.shown, silent=session.json):
            return await restore_backup(session.settings().url, file, force=force, say=counted.say)

    manifest = asyncio.run(work())
    show_verdict(session, prove(session, None), {"file": str(file)} | facts(manifest))


class Counted:
    """How far a backup or restore is."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    def say(self, table: str, rows: int) -> None:
        self._rows[table] = rows

    def shown(self) -> str:
        return ", ".join(f"{table} {rows}" for table, rows in self._rows.items() if rows)


def facts(manifest: Manifest) -> dict[str, object]:
    """What people and programs want to know of a backup."""
    rows = {table: entry.rows for table, entry in manifest.tables.items()}
    return {"created_at": manifest.created_at, "revision": manifest.revision, "rows": rows}


def prove(session: Session, accounts: list[str] | None) -> Verdict:
    """Recompute these accounts, or everything."""
    from bursar.verify import MAX_FINDINGS, Proof

    async def work(store: Store) -> Verdict:
        proof = Proof(store, accounts)
        verdict = proof.verdict

        def shown() -> str:
            return f"{verdict.accounts} accounts, {verdict.transactions} transactions: {len(verdict.findings)} wrong"

        async with watching(shown, silent=session.json):
            async for finding in proof:
                if len(verdict.findings) == MAX_FINDINGS:
                    verdict.complete = False
                    break
                verdict.findings.append(finding)
        return verdict

    return session.on_store(work)


def show_verdict(session: Session, verdict: Verdict, before: dict[str, object]) -> None:
    """What was found; exit code 1 if anything is wrong."""
    from msgspec.structs import asdict

    sound = not verdict.findings
    if session.json:
        session.show(before | {"sound": sound} | asdict(verdict))
    else:
        counts = {
            name: value for name, value in asdict(verdict).items() if isinstance(value, int) and name != "complete"
        }
        session.show(before | {"sound": sound} | counts)
        for finding in verdict.findings:
            typer.echo(str(finding))
        if not verdict.complete:
            typer.echo("and more")
    if not sound:
        raise typer.Exit(1)
