"""The command line: run as its users run it, in a process of its own; or in this one, where a test is about what it
says.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bursar.cli.main import app
from tests.engine.databases import either_url, migrated, one_pg_url, servers, sqlite_url

__all__ = ["either_url", "migrated", "one_pg_url", "servers", "sqlite_url"]

SECONDS = 60


class Shown:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def fields(self) -> dict[str, str]:
        """The lines of one answer."""
        return dict(line.split("\t", 1) for line in self.out.splitlines() if "\t" in line)

    @property
    def rows(self) -> list[dict[str, str]]:
        """The lines of many answers."""
        head, *lines = [line.split("\t") for line in self.out.splitlines()]
        return [dict(zip(head, line, strict=True)) for line in lines]


class Bursar:
    """`bursar` with a database, in a folder of its own."""

    def __init__(self, url: str | None, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def __call__(self, *arguments: str, given: str = "", **variables: str) -> Shown:
        if self.url is not None:
            variables = {"BURSAR_DATABASE_URL": self.url} | variables
        shown = self.run(arguments, given, variables)
        assert "Traceback" not in shown.err, shown.err
        return shown

    def run(self, arguments: Sequence[str], given: str, variables: dict[str, str]) -> Shown:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
        process = subprocess.run(
            [sys.executable, "-m", "bursar", *arguments],
            cwd=self.folder,
            env=inherited | variables,
            input=given,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Shown(process.returncode, process.stdout, process.stderr)

    def ok(self, *arguments: str) -> Shown:
        """Run it; it must succeed."""
        shown = self(*arguments)
        assert shown.code == 0, shown.out + shown.err
        return shown

    def get(self, *arguments: str) -> Any:
        """Run it with `--json`; it must succeed."""
        return self.ok(*arguments, "--json").json

    def refused(self, *arguments: str) -> Any:
        """Run it with `--json`; it must be refused, and say nothing but why."""
        shown = self(*arguments, "--json")
        assert shown.code == 1, shown.out + shown.err
        assert shown.err == ""
        return shown.json


class InProcess(Bursar):
    """The same without a process: a tenth of the time."""

    def run(self, arguments: Sequence[str], given: str, variables: dict[str, str]) -> Shown:
        with contextlib.chdir(self.folder):
            result = CliRunner(env=variables).invoke(app, arguments, input=given, prog_name="bursar")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Shown(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def bursar(either_url: str, tmp_path: Path) -> Bursar:
    """On each database; on SQLite in processes of their own."""
    return (Bursar if either_url.startswith("sqlite") else InProcess)(either_url, tmp_path)


@pytest.fixture
def on_sqlite(sqlite_url: str, tmp_path: Path) -> Bursar:
    """Where neither the database nor the process makes a difference."""
    return InProcess(sqlite_url, tmp_path)


@pytest.fixture
def nowhere(tmp_path: Path) -> Callable[[str | None], Bursar]:
    """With a URL of the test's choice."""
    return lambda url: InProcess(url, tmp_path)
