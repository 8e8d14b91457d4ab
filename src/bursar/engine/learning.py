"""Commands that name a model which the catalogue does not know yet.

Its published price is looked for once, however many ask, while others are served; then they are decided once more.
Where there is none, and no price for models that nobody knows, each is refused by the model's name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bursar import models
from bursar.catalog import Catalog
from bursar.core.errors import ModelNotFound
from bursar.core.model import Instant
from bursar.core.offers import ANY_MODEL
from bursar.engine.batch import Decided, Entry
from bursar.engine.lines import Sink


class Learning:
    """What waits for the price of a model: `waiting` commands. `again` takes a command back, `idle` is told when
    nothing waits.
    """

    def __init__(
        self,
        catalog: Catalog,
        now: Callable[[], Awaitable[Instant]],
        again: Callable[[Entry, Sink], None],
        idle: Callable[[], None],
    ) -> None:
        self._catalog = catalog
        self._now = now
        self._again = again
        self._idle = idle
        self.waiting = 0
        self._asking: dict[str, list[tuple[Entry, Sink]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def helps(self, result: Decided) -> bool:
        """Whether a command that was refused may be decided otherwise once its model is known."""
        return type(result) is ModelNotFound and result.model not in self._catalog.unpublished

    def wait(self, entry: Entry, sink: Sink, refusal: ModelNotFound) -> None:
        """Let a command wait until its model is known, or known to be unknown."""
        model = refusal.model
        self.waiting += 1
        if model in self._asking:
            self._asking[model].append((entry, sink))
            return
        self._asking[model] = [(entry, sink)]
        task = asyncio.create_task(self._learn(model))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def learn(self, model: str) -> None:
        """Have the catalogue know what a model costs. Raises `ModelNotFound`, `Invalid`."""
        try:
            await models.learn(self._catalog, model, await self._now())
        except ModelNotFound:
            if ANY_MODEL not in (await self._catalog.newest()).models:
                raise

    async def _learn(self, model: str) -> None:
        refusal: Exception | None = None
        try:
            await self.learn(model)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised by those who wait
            refusal = error
        asking = self._asking.pop(model)
        self.waiting -= len(asking)
        for entry, sink in asking:
            if refusal is None:
                self._again(entry, sink)
            elif not sink.done():
                sink.set_exception(refusal)
        if not self._asking:
            self._idle()
