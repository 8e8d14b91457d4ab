"""An engine in a process of its own: `python -m tests.engine.peer URL` does what comes in and says what came of it.

One JSON object a line, on stdin and stdout. It ends when its stdin does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any

from bursar import models
from bursar.core.commands import Capture, Charge, Command, PlaceHold, Transfer
from bursar.core.errors import BursarError
from bursar.core.model import Component, Usage
from tests.engine.rig import T0, Rig, opened


def commands_of(asked: dict[str, Any]) -> list[Command]:
    """What `do` means, `times` over; "{n}" in a key becomes the number."""
    times = range(asked.get("times", 1))
    account: str = asked["account"]
    amount: Any = asked.get("amount")
    keys = [asked["key"].format(n=n) if "key" in asked else None for n in times]
    match asked["do"]:
        case "charge":
            skill, model = asked.get("skill"), asked.get("model")
            usage = Usage(**asked["usage"]) if "usage" in asked else None
            return [
                Charge(account=account, amount=amount, skill=skill, model=model, usage=usage, key=key) for key in keys
            ]
        case "hold":
            member = asked.get("member")
            terms: Any = {"member": member, "run": asked.get("run"), "dispatched": asked.get("dispatched", False)}
            return [PlaceHold(account=account, amount=amount, key=key, **terms) for key in keys]
        case "transfer":
            return [Transfer(account=account, to=asked["to"], amount=amount, key=key) for key in keys]
        case verb:
            raise ValueError(verb)


async def carry_out(rig: Rig, asked: dict[str, Any]) -> dict[str, Any]:
    match asked["do"]:
        case "set_price":
            await rig.catalog.set_price(asked["skill"], cost=asked["cost"], now=T0)
            return {}
        case "set_model_price":
            price = models.ModelPrice(components=(Component("output_token", asked["credits"]),))
            await models.set_price(rig.catalog, asked["model"], price, await rig.engine.now())
            return {}
        case "switch_model":
            await models.switch(rig.catalog, asked["model"], await rig.engine.now(), active=asked["active"])
            return {}
        case "set_terms":
            await models.set_terms(rig.catalog, await rig.engine.now(), markup=asked["markup"])
            return {}
        case "switch":
            await rig.catalog.update_skill(asked["skill"], active=asked["active"])
            return {}
        case _:
            return await _carry_out_commands(rig, asked)


async def _carry_out_commands(rig: Rig, asked: dict[str, Any]) -> dict[str, Any]:
    results = await rig.engine.execute_many(commands_of(asked))
    codes, ids, replayed = Counter[str](), [], 0
    for result in results:
        if isinstance(result, BursarError):
            codes[result.code] += 1
            continue
        made = result.transaction or result.hold
        assert made is not None
        ids.append(result.transaction.id if result.transaction is not None else made.hold_id)  # type: ignore[union-attr]
        replayed += result.replayed
        if asked.get("capture") and result.hold is not None:
            account, hold = result.hold.account_id, result.hold.hold_id
            await rig.engine.execute(Capture(account=account, hold=hold))
    return {"ids": ids, "replayed": replayed, "refused": codes}


async def main(url: str) -> None:
    loop = asyncio.get_running_loop()
    async with opened(url) as rig:
        print("{}", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(await carry_out(rig, json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
