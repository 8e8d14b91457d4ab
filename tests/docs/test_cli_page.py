"""The page about the command line is what the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

from bursar.cli.reference import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def test_cli_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: python -m bursar.cli.reference > docs/cli.md"
