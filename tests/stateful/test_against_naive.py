"""Random commands, decided by the machine and by a naive ledger that shares nothing with it: the same answers, the
same balances.

The machine's every invariant is checked after each step, and that a rejected command changed nothing.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from bursar.core import commands
from bursar.core.book import Book
from bursar.core.commands import Command
from bursar.core.errors import BursarError
from bursar.core.limits import all_limits, shown
from bursar.core.model import Plan
from tests.stateful.naive import PLANS, Hold, Limit, Lot, NaiveLedger
from tests.support.ledger import DAY, HOUR, MINUTE, SECOND, PureLedger, instant

Terms = tuple[int, int, int, int]
"""What remains of a lot, what is held of it, its priority and its end."""

ACCOUNTS = ("alice", "bob")
accounts = st.sampled_from(ACCOUNTS)
amounts = st.integers(1, 60)
small = st.integers(1, 15)
keys = st.none() | st.sampled_from([None, None, "k1", "k2", "k3", "k4"])
jumps = st.sampled_from([0, 1, SECOND, MINUTE, 14 * MINUTE, 15 * MINUTE, HOUR, DAY, 10 * DAY, 31 * DAY, 100 * DAY])
members = st.sampled_from([None, None, "mia", "noa"])
lives = st.none() | st.sampled_from([1, MINUTE, 15 * MINUTE, HOUR, DAY, 20 * DAY, 40 * DAY])


class Ledgers(RuleBasedStateMachine):
    """Two ledgers, one story. Ids are the same in both: each command's token is its number."""

    holds = Bundle("holds")
    runs = Bundle("runs")
    lots = Bundle("lots")
    charges = Bundle("charges")

    def __init__(self) -> None:
        super().__init__()
        self.naive = NaiveLedger()
        self.number = 0
        self.ids: dict[str, str] = {}
        self.start()

    def start(self) -> None:
        """Whatever is compared with the naive ledger."""
        self.machine = PureLedger()
        for name, (allowance, after) in PLANS.items():
            self.machine.put_plan(Plan(name, name, allowance, after=after))

    def execute(self, command: Command) -> Any:
        return self.machine.execute(command)

    def views(self) -> dict[str, Any]:
        return {account: self.machine.view(account) for account in self.naive.accounts}

    def move(self, now: int) -> None:
        self.machine.now = now

    # Both at once

    def both(self, command: Command, naive: Any, key: str | None, content: Any) -> str | None:
        """Give the command to both; what they made is called by the command's number, None if nothing was made."""
        expected = self.naive.do(command.account, key, content, naive)
        try:
            outcome = self.execute(command)
            answer = "replay" if outcome.replayed else "ok"
        except BursarError as refusal:
            outcome, answer = None, refusal.code
        assert answer == expected, f"{command}: {answer}, the naive ledger says {expected}"
        if outcome is None or answer == "replay":
            return None
        if outcome.transaction is not None:
            self.ids[f"charge {command.token}"] = outcome.transaction.id
        return command.token

    def common(self, account: str, key: str | None) -> dict[str, Any]:
        self.number += 1
        return {"account": account, "key": key, "token": f"{self.number:020x}", "salt": bytes(16)}

    @initialize(overage=st.sampled_from(["debt", "cap", "reject"]), later=jumps)
    def open(self, overage: str, later: int) -> None:
        self.naive.now = instant("2026-01-15") + later
        self.move(self.naive.now)
        for account, plan in zip(ACCOUNTS, ("free", None), strict=True):
            self.execute(commands.OpenAccount(plan=plan, overage=overage, **self.common(account, None)))
            self.naive.open(account, plan, overage)

    @rule(jump=jumps)
    def wait(self, jump: int) -> None:
        self.naive.now += jump
        self.move(self.naive.now)

    @rule(
        target=lots,
        account=accounts,
        amount=amounts,
        priority=st.sampled_from([1, 100]),
        starts=lives,
        ends=lives,
        key=keys,
    )
    def grant(
        self, account: str, amount: int, priority: int, starts: int | None, ends: int | None, key: str | None
    ) -> Any:
        now = self.naive.now
        since = None if starts is None else now + starts - MINUTE
        until = None if ends is None else (since or now) + ends
        if since is not None and until is not None and until <= since:
            return multiple()
        common = self.common(account, key)
        command = commands.Grant(amount=amount, priority=priority, effective_at=since, expires_at=until, **common)
        lot = Lot(f"g_{command.token}", amount, priority, now if since is None else since, until)
        content = ("grant", amount, priority, since, until)
        made = self.both(command, lambda mine, now: self.naive.grant(mine, now, lot), key, content)
        return multiple() if made is None else (account, f"g_{made}")

    @rule(target=charges, account=accounts, amount=amounts, member=members, key=keys)
    def charge(self, account: str, amount: int, member: str | None, key: str | None) -> Any:
        command = commands.Charge(amount=amount, member=member, **self.common(account, key))
        name = f"charge {command.token}"
        step = lambda mine, now: self.naive.charge(mine, now, name, amount, member)  # noqa: E731 - one line is enough
        return multiple() if self.both(command, step, key, ("charge", amount, member)) is None else (account, name)

    @rule(
        account=accounts,
        name=st.sampled_from(["first", "second"]),
        amount=st.integers(0, 90),
        daily=st.booleans(),
        member=members,
        key=keys,
    )
    def set_limit(self, account: str, name: str, amount: int, daily: bool, member: str | None, key: str | None) -> None:
        scope, window = "account" if member is None else "member", "day" if daily else "lifetime"
        command = commands.SetLimit(
            limit=name, window=window, amount=amount, scope=scope, value=member, **self.common(account, key)
        )
        limit = Limit(amount, daily, member)
        step = lambda mine, now: self.naive.set_limit(mine, now, name, limit)  # noqa: E731 - one line is enough
        content = ("set_limit", name, amount, daily, member)
        if key is not None and self.naive.accounts[account].keys.get(key) == content:
            return  # a replay shows the limit as it is now, if it is still there
        self.both(command, step, key, content)

    @rule(account=accounts, name=st.sampled_from(["first", "second"]))
    def remove_limit(self, account: str, name: str) -> None:
        command = commands.RemoveLimit(limit=name, **self.common(account, None))
        self.both(command, lambda mine, now: self.naive.remove_limit(mine, now, name), None, None)

    @rule(account=accounts, member=st.sampled_from(["mia", "noa"]))
    def add_member(self, account: str, member: str) -> None:
        command = commands.AddMember(member=member, **self.common(account, None))
        self.both(command, lambda mine, now: self.naive.add_member(mine, now, member), None, None)

    @rule(account=accounts, member=st.sampled_from(["mia", "noa"]))
    def remove_member(self, account: str, member: str) -> None:
        known = self.naive.accounts[account].members
        if member in known:
            command = commands.RemoveMember(member=member, **self.common(account, None))
            answer = "ok" if known[member] else "replay"
            known[member] = False
            self.both(command, lambda mine, now: answer, None, None)

    @rule(
        target=holds,
        account=accounts,
        amount=amounts,
        at_least=st.none() | small,
        ttl=st.sampled_from([1, 60, 900, 86_400]),
        overage=st.sampled_from([None, "debt", "cap", "reject"]),
        on_expiry=st.sampled_from(["capture_held", "capture_measured", "release"]),
        dispatched=st.booleans(),
        member=members,
        key=keys,
    )
    def hold(
        self,
        account: str,
        amount: int,
        at_least: int | None,
        ttl: int,
        overage: str | None,
        on_expiry: str,
        dispatched: bool,
        member: str | None,
        key: str | None,
    ) -> Any:
        at_least = None if at_least is None else min(at_least, amount)
        terms: dict[str, Any] = {"overage": overage, "on_expiry": on_expiry, "dispatched": dispatched, "member": member}
        common = self.common(account, key)
        command = commands.PlaceHold(amount=amount, at_least=at_least, ttl_seconds=ttl, **terms, **common)
        now, state = self.naive.now, "dispatched" if dispatched else "open"
        until = now + ttl * SECOND
        hold = Hold(f"h_{command.token}", until, now, overage or "", on_expiry, state, amount, [], member)
        content = ("hold", amount, at_least, ttl, *terms.values())
        made = self.both(command, lambda mine, now: self.naive.hold(mine, now, hold, at_least), key, content)
        return multiple() if made is None else (account, f"h_{made}")

    @rule(
        target=runs, account=accounts, budget=amounts, ttl=st.sampled_from([60, 900, 86_400]), member=members, key=keys
    )
    def open_run(self, account: str, budget: int, ttl: int, member: str | None, key: str | None) -> Any:
        command = commands.OpenRun(budget=budget, ttl_seconds=ttl, member=member, **self.common(account, key))
        run = self._naive_hold(f"r_{command.token}", ttl, "release", "open", budget)
        run.is_run, run.member = True, member
        content = ("open_run", budget, ttl, member)
        made = self.both(command, lambda mine, now: self.naive.hold(mine, now, run, None), key, content)
        return multiple() if made is None else (account, run.id)

    @rule(target=runs, run=runs, budget=small, ttl=st.sampled_from([60, 86_400]))
    def open_inner_run(self, run: tuple[str, str], budget: int, ttl: int) -> Any:
        account, run_id = run
        outer = self.naive.accounts[account].holds[run_id]
        if outer.run is not None:
            return multiple()
        command = commands.OpenRun(budget=budget, ttl_seconds=ttl, run=run_id, **self.common(account, None))
        inner = self._naive_hold(f"r_{command.token}", ttl, "release", "open", budget)
        inner.is_run, inner.run = True, outer
        made = self.both(command, lambda mine, now: self.naive.hold_in_run(mine, now, inner, None), None, None)
        return multiple() if made is None else (account, inner.id)

    @rule(
        target=holds,
        run=runs,
        amount=small,
        at_least=st.none() | st.integers(1, 3),
        ttl=st.sampled_from([1, 900, 86_400]),
        on_expiry=st.sampled_from(["capture_held", "capture_measured", "release"]),
        dispatched=st.booleans(),
    )
    def hold_in_run(
        self, run: tuple[str, str], amount: int, at_least: int | None, ttl: int, on_expiry: str, dispatched: bool
    ) -> Any:
        account, run_id = run
        at_least = None if at_least is None else min(at_least, amount)
        terms: dict[str, Any] = {"on_expiry": on_expiry, "dispatched": dispatched, "run": run_id}
        common = self.common(account, None)
        command = commands.PlaceHold(amount=amount, at_least=at_least, ttl_seconds=ttl, **terms, **common)
        state = "dispatched" if dispatched else "open"
        hold = self._naive_hold(f"h_{command.token}", ttl, on_expiry, state, amount)
        hold.run = self.naive.accounts[account].holds[run_id]
        made = self.both(command, lambda mine, now: self.naive.hold_in_run(mine, now, hold, at_least), None, None)
        return multiple() if made is None else (account, hold.id)

    def _naive_hold(self, hold_id: str, ttl: int, on_expiry: str, state: str, amount: int) -> Hold:
        now = self.naive.now
        return Hold(hold_id, now + ttl * SECOND, now, "", on_expiry, state, amount, [])

    @rule(target=charges, run=runs, amount=small, key=keys)
    def charge_in_run(self, run: tuple[str, str], amount: int, key: str | None) -> Any:
        account, run_id = run
        command = commands.Charge(amount=amount, run=run_id, **self.common(account, key))
        name = f"charge {command.token}"
        step = lambda mine, now: self.naive.charge_in_run(mine, now, name, run_id, amount)  # noqa: E731 - one line
        return multiple() if self.both(command, step, key, ("charge", amount, run_id)) is None else (account, name)

    @rule(run=runs)
    def close_run(self, run: tuple[str, str]) -> None:
        account, run_id = run
        command = commands.CloseRun(run=run_id, **self.common(account, None))
        self.both(command, lambda mine, now: self.naive.close_run(mine, now, run_id), None, None)

    @rule(hold=holds, measured=st.none() | st.integers(0, 80), key=keys)
    def dispatch(self, hold: tuple[str, str], measured: int | None, key: str | None) -> None:
        account, hold_id = hold
        command = commands.Dispatch(hold=hold_id, measured=measured, **self.common(account, key))
        content = ("dispatch", hold_id, measured)
        self.both(command, lambda mine, now: self.naive.dispatch(mine, now, hold_id, measured), key, content)

    @rule(hold=holds, amount=small, ttl=st.sampled_from([1, 900]), key=keys)
    def extend(self, hold: tuple[str, str], amount: int, ttl: int, key: str | None) -> None:
        account, hold_id = hold
        command = commands.Extend(hold=hold_id, amount=amount, ttl_seconds=ttl, **self.common(account, key))
        content = ("extend", hold_id, amount, ttl)
        step = lambda mine, now: self.naive.extend(mine, now, hold_id, amount, ttl * SECOND)  # noqa: E731 - one line
        self.both(command, step, key, content)

    @rule(target=charges, hold=holds, amount=st.none() | st.integers(0, 80), key=keys)
    def capture(self, hold: tuple[str, str], amount: int | None, key: str | None) -> Any:
        account, hold_id = hold
        command = commands.Capture(hold=hold_id, amount=amount, **self.common(account, key))
        content = ("capture", hold_id, amount)
        step = lambda mine, now: self.naive.capture(mine, now, hold_id, amount, command.token)  # noqa: E731 - one line
        made = self.both(command, step, key, content)
        name = f"charge {made}"
        return (account, name) if name in self.naive.accounts[account].charges else multiple()

    @rule(hold=holds, key=keys)
    def release(self, hold: tuple[str, str], key: str | None) -> None:
        account, hold_id = hold
        command = commands.Release(hold=hold_id, **self.common(account, key))
        self.both(command, lambda mine, now: self.naive.release(mine, now, hold_id), key, ("release", hold_id))

    @rule(charge=charges, amount=st.none() | small, key=keys)
    def refund(self, charge: tuple[str, str], amount: int | None, key: str | None) -> None:
        account, name = charge
        command = commands.Refund(transaction=self.ids[name], amount=amount, **self.common(account, key))
        step = lambda mine, now: self.naive.refund(mine, now, name, amount, command.token)  # noqa: E731 - one line
        self.both(command, step, key, ("refund", name, amount))

    @rule(lot=lots, key=keys)
    def void(self, lot: tuple[str, str], key: str | None) -> None:
        account, lot_id = lot
        command = commands.Void(grant=lot_id, **self.common(account, key))
        self.both(command, lambda mine, now: self.naive.void(mine, now, lot_id), key, ("void", lot_id))

    @rule(account=accounts, to=st.none() | st.integers(0, 80), by=st.integers(-15, 15), key=keys)
    def adjust(self, account: str, to: int | None, by: int, key: str | None) -> None:
        change = None if to is not None else by or 1
        command = commands.Adjust(to=to, by=change, reason="r", **self.common(account, key))
        step = lambda mine, now: self.naive.adjust(mine, now, command.token, to, change)  # noqa: E731 - one line
        self.both(command, step, key, ("adjust", to, change))

    @rule(account=accounts, to=st.sampled_from([*ACCOUNTS, "nobody"]), amount=small, key=keys)
    def transfer(self, account: str, to: str, amount: int, key: str | None) -> None:
        if to == account:
            return
        command = commands.Transfer(to=to, amount=amount, **self.common(account, key))
        step = lambda mine, now: self.naive.transfer(mine, now, to, amount, command.token)  # noqa: E731 - one line
        self.both(command, step, key, ("transfer", to, amount))

    @rule(account=accounts, key=keys)
    def renew(self, account: str, key: str | None) -> None:
        self.both(commands.Renew(**self.common(account, key)), self.naive.renew, key, ("renew",))

    @rule(
        account=accounts,
        plan=st.sampled_from(list(PLANS)),
        days=st.sampled_from([None, None, None, 1, 10, 31, 45]),
        at=st.sampled_from(["now", "now", "period_end"]),
        key=keys,
    )
    def subscribe(self, account: str, plan: str, days: int | None, at: str, key: str | None) -> None:
        command = commands.ChangePlan(plan=plan, days=days, at=at, **self.common(account, key))
        step = lambda mine, now: self.naive.subscribe(mine, now, plan, days, at)  # noqa: E731 - one line is enough
        self.both(command, step, key, ("subscribe", plan, days, at))

    @rule(account=accounts, at=st.sampled_from(["now", "period_end"]), key=keys)
    def cancel(self, account: str, at: str, key: str | None) -> None:
        command = commands.CancelPlan(at=at, **self.common(account, key))
        self.both(command, lambda mine, now: self.naive.cancel(mine, now, at), key, ("cancel", at))

    @rule(account=accounts, frozen=st.sampled_from([True, False, False]))
    def freeze(self, account: str, frozen: bool) -> None:
        kind = commands.Freeze if frozen else commands.Unfreeze
        step = lambda mine, now: self.naive.freeze(mine, now, frozen=frozen)  # noqa: E731 - one line is enough
        self.both(kind(**self.common(account, None)), step, None, None)

    @invariant()
    def limits_have_counted_the_same(self) -> None:
        for account, book in self.views().items():
            mine = self.naive.accounts[account]
            self.naive.settle(mine, self.naive.now)
            found = {limit.limit_id: shown(limit, self.naive.now) for limit in all_limits(book)}
            counted = {name: (limit.spent, limit.held) for name, limit in found.items()}
            assert counted == {name: mine.counted(limit, self.naive.now) for name, limit in mine.limits.items()}

    @invariant()
    def the_balances_are_the_same(self) -> None:
        for account, book in self.views().items():
            mine = self.naive.accounts[account]
            self.naive.settle(mine, self.naive.now)
            found = book.account
            assert (found.posted, found.held, found.available, found.debt) == (
                mine.posted,
                mine.held,
                mine.available,
                mine.debt,
            )
            assert (found.plan, found.next_reset, found.ends_at) == (mine.plan, mine.renews, mine.ends)
            assert sorted(_shown(book)) == sorted(lot for lot in map(_kept, mine.order()) if lot[0])


def _shown(book: Book) -> list[Terms]:
    return [(lot.remaining, lot.held, lot.priority, lot.expires_at or 0) for lot in book.live_lots()]


def _kept(lot: Lot) -> Terms:
    held = sum(lot.pinned.values())
    return (lot.free + held, held, lot.priority, lot.ends or 0)


TestLedgers = Ledgers.TestCase
TestLedgers.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
