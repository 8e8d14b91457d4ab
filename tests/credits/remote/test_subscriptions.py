"""`tests/credits/test_subscriptions.py`, over HTTP."""

from __future__ import annotations

from tests.credits import test_subscriptions
from tests.credits.remote.adopting import adopt
from tests.credits.test_subscriptions import ledger

__all__ = ["ledger"]

globals().update(adopt(test_subscriptions, leaving={}))
