"""Other processes that work on the same database: see `peer`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.support.process import REPOSITORY


class Peer:
    """One of them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, what: str, **asked: Any) -> dict[str, Any]:
        """Have it do something; what came of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **asked}).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the other process has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def peer(url: str) -> AsyncIterator[Peer]:
    """Another process with an engine on this database."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.engine.peer", url),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        other = Peer(process)
        await other.answer()
        yield other
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0


@asynccontextmanager
async def peers(url: str, count: int) -> AsyncIterator[list[Peer]]:
    """Several, which start together."""
    async with AsyncExitStack() as stack:
        yield await asyncio.gather(*(stack.enter_async_context(peer(url)) for _ in range(count)))
