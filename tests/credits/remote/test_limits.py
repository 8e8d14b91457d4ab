"""`tests/credits/test_limits.py`, over HTTP."""

from __future__ import annotations

from tests.credits import test_limits
from tests.credits.remote.adopting import adopt

globals().update(adopt(test_limits, leaving={}))
