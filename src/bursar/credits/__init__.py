"""The library's face: `AsyncCredits`, and `Credits`, the same face blocking. One engine under both.

face (accounts, spending, giving, catalogue, holding) -> Port -> Engine
                                                         LoopPort    event loops
                                                         ThreadPort  threads, over a loop of its own
"""

from bursar.credits.asynchronous import AsyncCredits
from bursar.credits.holding import AsyncHold, Hold
from bursar.credits.running import AsyncRun, Run
from bursar.credits.synchronous import Credits

__all__ = ["AsyncCredits", "AsyncHold", "AsyncRun", "Credits", "Hold", "Run"]
