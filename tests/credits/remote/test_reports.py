"""`tests/credits/test_reports.py`, over HTTP."""

from __future__ import annotations

from tests.credits import test_reports
from tests.credits.remote.adopting import adopt
from tests.credits.test_reports import alice

__all__ = ["alice"]

CSV = "no method of the face: it works on the engine below it"

globals().update(
    adopt(
        test_reports,
        leaving={"test_a_statement_as_csv": CSV, "test_a_long_statement_as_csv_comes_in_pages": CSV},
    )
)
