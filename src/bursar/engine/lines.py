"""Where commands wait, and where their answers go."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Protocol

from bursar.core.book import Outcome
from bursar.engine.batch import Entry
from bursar.store.base import Lane


class Sink(Protocol):
    """Where the answer to a command goes: an asyncio future, or a thread's `Waiter`."""

    def set_result(self, result: Outcome, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...

    def done(self) -> bool: ...


class Waiter:
    """What a thread waits on: one lock, far cheaper than a `concurrent.futures.Future`."""

    __slots__ = ("_answer", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._answer: Outcome | BaseException | None = None

    def set_result(self, result: Outcome, /) -> None:
        self._answer = result
        self._lock.release()

    def set_exception(self, exception: BaseException, /) -> None:
        self._answer = exception
        self._lock.release()

    def done(self) -> bool:
        return self._answer is not None

    def wait(self) -> Outcome:
        """Block until the command is decided; raises its rejection."""
        with self._lock:
            answer = self._answer
        if isinstance(answer, BaseException):
            raise answer
        assert answer is not None
        return answer


class Line:
    """A lane's queue. The `patient` one holds what waits for accounts that somebody else has locked; it opens its
    lane late.
    """

    def __init__(self, lane: Lane | None, *, patient: bool = False) -> None:
        self.lane = lane
        self.patient = patient
        self.queue: deque[tuple[Entry, Sink]] = deque()
        self.arrived = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def put(self, entry: Entry, sink: Sink) -> None:
        self.queue.append((entry, sink))
        self.arrived.set()

    def take(self, most: int) -> list[tuple[Entry, Sink]]:
        """Whatever has queued, at most `most`."""
        queue = self.queue
        return [queue.popleft() for _ in range(min(len(queue), most))]
