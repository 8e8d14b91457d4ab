"""CSV as a spreadsheet reads it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal


def lines(rows: Iterable[Iterable[object]]) -> str:
    """Lines of CSV, each with its end."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()


def cell(value: object) -> str:
    """One value; text that a spreadsheet would take for a formula is quoted."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, Decimal):
        return f"{value:f}"
    shown = str(value)
    return f"'{shown}" if isinstance(value, str) and shown.startswith(("=", "+", "-", "@", "\t", "\r")) else shown
