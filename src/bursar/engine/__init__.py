"""The one write path: see `engine.engine`."""

from bursar.engine.engine import Engine
from bursar.engine.lines import Waiter

__all__ = ["Engine", "Waiter"]
