"""A dependency that a FastAPI route spends by.

    @app.post("/api/text")
    async def text(meter: Annotated[Meter, spends("TEXT_GENERATION", credits=ledger, account=current_user)]): ...

    @app.post("/api/image", dependencies=[spends(5, credits=ledger, account=current_user)])

The price is held before the handler runs, and captured when the response has been sent. What ends otherwise:

    the handler raises, an `HTTPException` too        released
    it sets a `response.status_code` that is no 2xx   released
    its stream breaks                                 released
    the client leaves while the response is sent      charged, as far as it came: the real cost so far, else the quote
    it is cancelled before it returned                released

A handler that *returns* an error of its own making says `meter.free()`: a dependency cannot see it. The middleware in
`asgi` can.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from inspect import isawaitable
from typing import Any, Final

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from starlette.requests import ClientDisconnect

from bursar.core.commands import DEFAULT_TTL_SECONDS
from bursar.core.errors import BursarError
from bursar.credits import AsyncCredits
from bursar.integrations.gate import Crash, Ending, settle
from bursar.integrations.meter import Meter, running
from bursar.integrations.prices import Price, terms_of
from bursar.integrations.refusals import NobodySpends, Refuse, headers_of, plain
from bursar.integrations.spend import Spend, find_async

OK: Final = 200
"""What FastAPI answers where nothing else is said."""


class Refused(HTTPException):
    """A request that was not let in. With `install(app)` its body is the answer, else it stands under `detail`."""

    def __init__(self, refusal: BursarError, refuse: Refuse) -> None:
        self.answer = refuse(refusal)
        super().__init__(self.answer.status, dict(self.answer.body), headers_of(refusal))


def install(app: FastAPI) -> None:
    """Answer what `spends` refuses with the body of `refuse`, and nothing around it."""
    app.add_exception_handler(Refused, _answer)


async def _answer(_request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    answer = refused.answer
    return Response(answer.encode(), answer.status, refused.headers, answer.content_type)


class Call:
    """One request that spends. `returned`: its handler did, and what is left is to send the response."""

    def __init__(self, spend: Spend) -> None:
        self.spend = spend
        self.returned = False

    def ending(self, error: BaseException) -> Ending:
        """What an error means: a client that left, or something that broke."""
        left = self.returned and (isinstance(error, ClientDisconnect) or not isinstance(error, Exception))
        return Ending.LEFT if left else Ending.BROKE


def spends(
    price: Price | Callable[[Request], Any],
    *,
    credits: AsyncCredits | Callable[..., Any],
    account: Callable[..., Any],
    refuse: Refuse = plain,
    open_accounts: bool = True,
    on_crash: Crash = "release",
    ttl_seconds: int = DEFAULT_TTL_SECONDS,
    actor: str = "library",
) -> Any:
    """The dependency, ready to be declared: what it gives is the call's `Meter`, or None where the price is None.

    `credits` are `AsyncCredits`, or a dependency that finds them; `account` is a dependency that finds who pays, or
    gives None. `price` may be a function of the request. The others are those of the middleware.
    """
    if not callable(price):
        terms_of(price)
    common = {"on_expiry": on_crash, "ttl_seconds": ttl_seconds, "actor": actor}
    find: Callable[..., Any] = (lambda: credits) if isinstance(credits, AsyncCredits) else credits

    async def spending(
        request: Request, response: Response, payer: Any = Depends(account), ledger: Any = Depends(find)
    ) -> AsyncIterator[Call | None]:
        """Ends when the response has been sent."""
        found = price(request) if callable(price) else price
        terms = terms_of(await found if isawaitable(found) else found)
        if terms is None:
            yield None
            return
        terms = {"description": f"{request.method} {request.url.path}"[:200], **common, **terms}
        spend = Spend(find_async(ledger), payer, terms, open_accounts=open_accounts)
        try:
            if payer is None:
                raise NobodySpends
            await spend.enter()
        except BursarError as refusal:
            raise Refused(refusal, refuse) from None
        call = Call(spend)
        try:
            yield call
        except BaseException as error:
            await settle(spend, OK, call.ending(error), error)
            raise
        await settle(spend, response.status_code or OK, Ending.WHOLE)

    async def handling(call: Any = Depends(spending)) -> AsyncIterator[Meter | None]:
        """Ends when the handler has returned."""
        if call is None:
            yield None
            return
        with running(call.spend.meter):
            yield call.spend.meter
        call.returned = True

    return Depends(handling, scope="function")
