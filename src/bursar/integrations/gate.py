"""The gate before a handler, the same on every kind of server: who pays, how much, and how it is settled.

What a response comes to:

    2xx, sent to its end                        charged
    2xx, and the client left on the way         charged: the work was being done for it
    2xx, and the handler broke on the way       released: whoever asked did not get it
    any other status, or none                   released
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from inspect import isawaitable
from typing import Any, Final, Literal, TypeAlias

from bursar.core.commands import DEFAULT_TTL_SECONDS
from bursar.core.errors import BursarError, Unavailable
from bursar.credits import AsyncCredits
from bursar.integrations.prices import PriceOf, Request, Tariff, terms_of
from bursar.integrations.refusals import Answer, NobodySpends, Refuse, plain
from bursar.integrations.spend import Spend, log

AccountOf: TypeAlias = Callable[[Request], Any]
"""The account that pays for a request, or None where nobody is signed in; it may be awaited for on an event loop."""

Crash: TypeAlias = Literal["release", "capture_held"]
"""What becomes of a hold whose process died: free, because nothing was answered; or charged, because it was done."""


class Ending(StrEnum):
    """How a response ended."""

    WHOLE = "whole"
    LEFT = "left"
    BROKE = "broke"


CHARGED: Final[dict[tuple[bool, Ending], bool]] = {
    (True, Ending.WHOLE): True,
    (True, Ending.LEFT): True,
    (True, Ending.BROKE): False,
    (False, Ending.WHOLE): False,
    (False, Ending.LEFT): False,
    (False, Ending.BROKE): False,
}
"""Whether it is charged, by whether it began with a 2xx, and how it ended."""


def is_success(status: int | None) -> bool:
    """2xx, and nothing else."""
    return status is not None and 200 <= status < 300


class Gate:
    """One app's tariff, and what stands at its door."""

    def __init__(
        self,
        account: AccountOf,
        price: PriceOf = None,
        routes: Mapping[str, PriceOf] | None = None,
        exclude: Iterable[str] = (),
        refuse: Refuse = plain,
        *,
        open_accounts: bool = True,
        on_crash: Crash = "release",
        ttl_seconds: int = DEFAULT_TTL_SECONDS,
        actor: str = "library",
    ) -> None:
        self._account = account
        self._tariff = Tariff(price, routes, exclude)
        self._refuse = refuse
        self._open_accounts = open_accounts
        self._common = {"on_expiry": on_crash, "ttl_seconds": ttl_seconds, "actor": actor}

    def is_free(self, method: str, path: str) -> bool:
        """Whether nothing has to be asked: neither what it costs nor who pays."""
        price = self._tariff.find(method, path)
        return not callable(price) and terms_of(price) is None

    async def enter(self, credits: AsyncCredits, request: Request) -> Spend | None:
        """Hold what the request costs; None where it is free. Raises the refusal."""
        price = self._tariff.find(request.method, request.path)
        terms = terms_of(await _result(price(request)) if callable(price) else price)
        if terms is None:
            return None
        account = await _result(self._account(request))
        if account is None:
            raise NobodySpends
        terms = {"description": f"{request.method} {request.path}"[:200], **self._common, **terms}
        spend = Spend(credits, account, terms, open_accounts=self._open_accounts)
        await spend.enter()
        return spend

    def answer(self, refusal: BursarError) -> Answer:
        """What is answered in place of the handler."""
        if isinstance(refusal, Unavailable):
            log.warning("a request was refused: %s", refusal)
        return self._refuse(refusal)


async def settle(spend: Spend, status: int | None, ending: Ending, error: BaseException | None = None) -> None:
    """Settle a hold by how its response ended."""
    if CHARGED[is_success(status), ending]:
        await spend.done()
    else:
        await spend.failed(error)


async def _result(value: Any) -> Any:
    return await value if isawaitable(value) else value
