"""The renewal job in a process of its own: `python -m tests.renewals.walker URL CLOCK` does a round for each line on
stdin, and says how many accounts it touched. It ends when its stdin does.
"""

from __future__ import annotations

import asyncio
import sys

from bursar import AsyncCredits
from bursar.service.jobs import Jobs


async def main(url: str, clock: str) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncCredits.open(url, preset=None, clock=clock) as credits:
        print("ready", flush=True)
        while await loop.run_in_executor(None, sys.stdin.readline):
            print(await Jobs(credits, 3_600).run_once(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
