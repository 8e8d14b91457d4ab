"""Whether this process lives, whether it can serve, and what it did: for load balancers and Prometheus."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter, Response

from bursar.core.errors import DatabaseUnavailable
from bursar.service.context import Here
from bursar.service.depends import answer
from bursar.service.metrics import CONTENT_TYPE, Metric

READY_SECONDS: Final = 2.0

router = APIRouter(tags=["health"])


@router.get(
    "/healthz",
)
async def healthz() -> Response:
    """This process lives."""
    return answer({"status": "ok"})


@router.get(
    "/readyz",
)
async def readyz(here: Here) -> Response:
    """The database is reachable and migrated."""
    try:
        await asyncio.wait_for(here.engine.store.open(), READY_SECONDS)  # one small read: the schema's version
    except TimeoutError:
        raise DatabaseUnavailable("it does not answer") from None
    return answer({"status": "ok"})


@router.get(
    "/metrics",
)
async def metrics(here: Here) -> Response:
    """Prometheus."""
    stats = here.engine.stats
    engine: list[Metric] = [
        ("bursar_queue_depth", "gauge", "Commands that wait or are being decided.", here.engine.queued),
        ("bursar_batches_total", "counter", "Commits.", stats.batches),
        ("bursar_batch_commands_total", "counter", "Commands in those commits.", stats.commands),
        ("bursar_batch_largest", "gauge", "Commands in the largest of them.", stats.largest_batch),
        ("bursar_commit_seconds_total", "counter", "Time spent in them.", stats.commit_seconds),
        ("bursar_retries_total", "counter", "Commits tried again.", stats.retries),
        ("bursar_in_doubt_total", "counter", "Commits whose answer was lost.", stats.in_doubt),
    ]
    return Response(here.metrics.text(engine), media_type=CONTENT_TYPE)
