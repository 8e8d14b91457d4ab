"""`tests/credits/test_runs.py`, over HTTP."""

from __future__ import annotations

from tests.credits import test_runs
from tests.credits.remote.adopting import adopt

globals().update(adopt(test_runs, leaving={}))
