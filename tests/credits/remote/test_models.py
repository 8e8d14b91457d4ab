"""`tests/credits/test_models.py`, over HTTP."""

from __future__ import annotations

from tests.credits import test_models
from tests.credits.remote.adopting import adopt
from tests.credits.test_models import ledger

__all__ = ["ledger"]

globals().update(adopt(test_models, leaving={}))
