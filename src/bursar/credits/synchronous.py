"""The library's face, blocking: the methods of the asynchronous one, over an event loop in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Self

from bursar.catalog import Preset
from bursar.clock import TestClock
from bursar.credits.asynchronous import AsyncCredits
from bursar.credits.catalogue import AsyncPlans, AsyncSkills
from bursar.credits.driving import Blocking, blocking, drive
from bursar.credits.holding import AsyncHold, Hold
from bursar.credits.models import AsyncModels
from bursar.credits.remote.opening import remote
from bursar.credits.remote.place import DEFAULT_TIMEOUT_SECONDS, is_service, place_of
from bursar.credits.reporting import AsyncReports
from bursar.credits.running import AsyncRun, Run
from bursar.credits.runtime import prepare
from bursar.credits.threads import ThreadPort

P = ParamSpec("P")


class Skills(Blocking[AsyncSkills]):
    """What an app sells, and for how much: `AsyncSkills`, blocking."""

    list = blocking(AsyncSkills.list)
    get = blocking(AsyncSkills.get)
    prices = blocking(AsyncSkills.prices)
    add = blocking(AsyncSkills.add)
    set_price = blocking(AsyncSkills.set_price)
    update = blocking(AsyncSkills.update)
    enable = blocking(AsyncSkills.enable)
    disable = blocking(AsyncSkills.disable)


class Models(Blocking[AsyncModels]):
    """What calls of a provider's model cost: `AsyncModels`, blocking."""

    list = blocking(AsyncModels.list)
    get = blocking(AsyncModels.get)
    prices = blocking(AsyncModels.prices)
    add = blocking(AsyncModels.add)
    set_price = blocking(AsyncModels.set_price)
    refresh = blocking(AsyncModels.refresh)
    enable = blocking(AsyncModels.enable)
    disable = blocking(AsyncModels.disable)
    terms = blocking(AsyncModels.terms)
    set_terms = blocking(AsyncModels.set_terms)


class Plans(Blocking[AsyncPlans]):
    """Allowances per period: `AsyncPlans`, blocking."""

    list = blocking(AsyncPlans.list)
    get = blocking(AsyncPlans.get)
    put = blocking(AsyncPlans.put)


class Reports(Blocking[AsyncReports]):
    """What the ledger adds up to: `AsyncReports`, blocking."""

    usage = blocking(AsyncReports.usage)
    margin = blocking(AsyncReports.margin)
    rate = blocking(AsyncReports.rate)
    liabilities = blocking(AsyncReports.liabilities)
    statement = blocking(AsyncReports.statement)


def _held(
    method: Callable[Concatenate[AsyncCredits, P], AsyncHold],
) -> Callable[Concatenate[Blocking[AsyncCredits], P], Hold]:
    """`hold`, which does nothing before it is entered."""

    @wraps(method)
    def call(self: Blocking[AsyncCredits], /, *args: P.args, **kwargs: P.kwargs) -> Hold:
        return Hold(method(self._twin, *args, **kwargs))

    return call


def _run(
    method: Callable[Concatenate[AsyncCredits, P], AsyncRun],
) -> Callable[Concatenate[Blocking[AsyncCredits], P], Run]:
    """`run`, which does nothing before it is entered."""

    @wraps(method)
    def call(self: Blocking[AsyncCredits], /, *args: P.args, **kwargs: P.kwargs) -> Run:
        return Run(method(self._twin, *args, **kwargs))

    return call


class Credits(Blocking[AsyncCredits]):
    """A credit ledger. Open one with `Credits.open`, and close it when done.

    Amounts are credits: `int`, `Decimal` or decimal text, never a float. `idempotency_key` names one intent: the
    same call again answers as the first time. `actor` is recorded as who asked. What Bursar refuses is raised as
    a `BursarError`; a call that was refused has changed nothing.

    Any number of threads may use it at once; what they ask at the same time is committed together. After a fork
    both processes may go on using it: each opens connections of its own.
    """

    def __init__(self, twin: AsyncCredits) -> None:
        super().__init__(twin)
        self._port = twin._port  # noqa: SLF001 - the two are one
        self.skills = Skills(self._twin.skills)
        self.models = Models(self._twin.models)
        self.plans = Plans(self._twin.plans)
        self.reports = Reports(self._twin.reports)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        preset: str | Preset | None = "ai-credits",
        migrate: bool | None = None,
        clock: TestClock | str | None = None,
        lanes: int | None = None,
        api_key: str | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> Self:
        """The ledger at `sqlite:///FILE`, `postgresql://...` or `https://...`; see `AsyncCredits.open`.

        Raises `Invalid`, `DatabaseUnavailable`, `NotMigrated`, `ServiceUnavailable`.
        """
        if is_service(url):
            own = {"migrate": migrate, "clock": clock, "lanes": lanes}
            return cls(drive(remote("open_for_threads")(place_of(url, api_key, timeout_seconds, own))))
        port = ThreadPort(prepare(url, preset=preset, migrate=migrate, clock=clock, lanes=lanes).start)
        port.open()
        return cls(AsyncCredits(port))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    close = blocking(AsyncCredits.close)

    open_account = blocking(AsyncCredits.open_account)
    update_account = blocking(AsyncCredits.update_account)
    account = blocking(AsyncCredits.account)
    accounts = blocking(AsyncCredits.accounts)
    balance = blocking(AsyncCredits.balance)
    freeze = blocking(AsyncCredits.freeze)
    unfreeze = blocking(AsyncCredits.unfreeze)
    close_account = blocking(AsyncCredits.close_account)
    renew = blocking(AsyncCredits.renew)
    subscribe = blocking(AsyncCredits.subscribe)
    cancel = blocking(AsyncCredits.cancel)

    quote = blocking(AsyncCredits.quote)
    charge = blocking(AsyncCredits.charge)
    charge_many = blocking(AsyncCredits.charge_many)
    hold = _held(AsyncCredits.hold)
    place_hold = blocking(AsyncCredits.place_hold)
    get_hold = blocking(AsyncCredits.get_hold)
    holds = blocking(AsyncCredits.holds)
    dispatch = blocking(AsyncCredits.dispatch)
    extend = blocking(AsyncCredits.extend)
    capture = blocking(AsyncCredits.capture)
    release = blocking(AsyncCredits.release)

    grant = blocking(AsyncCredits.grant)
    grants = blocking(AsyncCredits.grants)
    void = blocking(AsyncCredits.void)
    refund = blocking(AsyncCredits.refund)
    adjust = blocking(AsyncCredits.adjust)
    transfer = blocking(AsyncCredits.transfer)

    run = _run(AsyncCredits.run)
    open_run = blocking(AsyncCredits.open_run)
    get_run = blocking(AsyncCredits.get_run)
    runs = blocking(AsyncCredits.runs)
    run_calls = blocking(AsyncCredits.run_calls)
    close_run = blocking(AsyncCredits.close_run)

    set_limit = blocking(AsyncCredits.set_limit)
    remove_limit = blocking(AsyncCredits.remove_limit)
    limits = blocking(AsyncCredits.limits)
    add_member = blocking(AsyncCredits.add_member)
    remove_member = blocking(AsyncCredits.remove_member)
    members = blocking(AsyncCredits.members)

    history = blocking(AsyncCredits.history)
    receipt = blocking(AsyncCredits.receipt)
    verify = blocking(AsyncCredits.verify)
