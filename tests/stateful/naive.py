"""The ledger once more, as plainly as its rules can be said: lists and loops, no store, no chain, nothing shared with
`bursar`.

It knows nothing of speed. A lot is what is free of it and what each hold has pinned; a balance is added up when it is
asked for. Every method answers `ok`, `replay` or the code of a rejection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400_000_000
MINE = "mine"
"""The debt among what paid for a charge."""


def month_of(moment: int) -> int:
    """The first moment of that month, in UTC."""
    day = EPOCH + timedelta(microseconds=moment)
    return (datetime(day.year, day.month, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def month_after(moment: int) -> int:
    return month_of(month_of(moment) + 32 * 86_400_000_000)


@dataclass
class Lot:
    id: str
    free: int
    priority: int
    since: int
    ends: int | None
    plan: bool = False
    voided: bool = False
    over: bool = False
    coming: bool = False
    size: int = 0
    pinned: dict[str, int] = field(default_factory=dict)

    def gone(self, moment: int) -> bool:
        return self.over or (self.ends is not None and self.ends <= moment)


@dataclass
class Hold:
    id: str
    until: int
    since: int
    overage: str
    on_expiry: str
    state: str
    amount: int
    slices: list[tuple[Lot, int]]
    member: str | None = None
    run: Hold | None = None
    """What it draws from; a run is a hold that is never captured."""
    outer: int = 0
    """When the outermost run began, or it did itself."""
    measured: int | None = None
    captured: int = 0
    settled_as: Any = None
    charge: Charge | None = None
    is_run: bool = False

    @property
    def open(self) -> bool:
        return self.state in ("open", "dispatched")

    def well(self) -> Hold | None:
        """The run that is open, and that it draws from."""
        return self.run if self.run is not None and self.run.open else None

    def give(self, lot: Lot, part: int, *, apart: bool = False) -> None:
        """Pin part of a lot for it; `apart` from what it has of that lot already."""
        lot.pinned[self.id] = lot.pinned.get(self.id, 0) + part
        for number, (other, kept) in enumerate(self.slices):
            if other is lot and not apart:
                self.slices[number] = (lot, kept + part)
                return
        self.slices.append((lot, part))

    def pour(self, amount: int) -> list[tuple[Lot, int]]:
        """Take that much of what it has set aside, in burn-down order."""
        far = 10**30
        order = lambda entry: (entry[0].priority, entry[0].ends or far, entry[0].since, entry[0].id)  # noqa: E731
        poured, kept = [], []
        for lot, part in sorted(self.slices, key=order) if self.is_run else self.slices:
            used = min(part, amount)
            amount -= used
            lot.pinned[self.id] -= used
            if lot.pinned[self.id] == 0:
                del lot.pinned[self.id]
            poured += [(lot, used)] if used else []
            kept += [(lot, part - used)] if part > used else []
        assert amount == 0
        self.slices = kept
        return poured


@dataclass
class Charge:
    id: str
    paid: list[tuple[Lot | str, int]]
    """What paid, in order; `MINE` is the debt."""
    since: int
    member: str | None = None
    outer: int = 0
    refunded: int = 0

    @property
    def amount(self) -> int:
        return sum(part for _, part in self.paid)


PLANS: dict[str, tuple[int, str | None]] = {"free": (50, None), "pro": (120, "free")}
"""What each gives a month, which resets, and the plan after it."""


@dataclass
class Limit:
    """It counts nothing: what it has seen is added up from the history when it is asked for."""

    amount: int
    daily: bool
    member: str | None

    def counts(self, member: str | None, since: int, now: int) -> bool:
        today = not self.daily or since // DAY == now // DAY
        return today and self.member in (None, member)


@dataclass
class Account:
    overage: str
    plan: str | None
    opened: int
    lots: list[Lot] = field(default_factory=list)
    holds: dict[str, Hold] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    debt: int = 0
    renews: int | None = None
    began: int | None = None
    """When the period did."""
    given: int = 0
    """What the plan's lots were in this period, less what changes took of them."""
    over: int = 0
    """What of it was spent or held beyond the plan's allowance when the plan changed."""
    ends: int | None = None
    """Until when the plan is paid for."""
    wish: tuple[int, str | None, int | None] | None = None
    """When which plan takes its place, and for how many days it is paid."""
    frozen: bool = False
    latest: int = 0
    keys: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Limit] = field(default_factory=dict)
    members: dict[str, bool] = field(default_factory=dict)
    """Who was ever added, and whether they still may."""

    def may(self, member: str | None) -> bool:
        return member is None or not self.members or self.members.get(member, False)

    def counted(self, limit: Limit, now: int) -> tuple[int, int]:
        """What was spent and what is held in the limit's window."""
        spent = [
            charge.amount - charge.refunded
            for charge in self.charges.values()
            if limit.counts(charge.member, charge.outer, now)
        ]
        held = [hold.amount for hold in self.holds.values() if hold.open and limit.counts(hold.member, hold.outer, now)]
        return sum(spent), sum(held)

    def room(self, member: str | None, since: int, now: int) -> int:
        """What the tightest of the limits leaves that count it."""
        lefts = [
            limit.amount - sum(self.counted(limit, now))
            for limit in self.limits.values()
            if limit.counts(member, since, now)
        ]
        return min([10**30, *lefts])

    def order(self) -> list[Lot]:
        far = 10**30
        lots = [lot for lot in self.lots if not lot.coming]
        return sorted(lots, key=lambda lot: (lot.priority, far if lot.ends is None else lot.ends, lot.since, lot.id))

    @property
    def free(self) -> int:
        return sum(lot.free for lot in self.lots if not lot.coming)

    @property
    def held(self) -> int:
        return sum(part for lot in self.lots for part in lot.pinned.values())

    @property
    def available(self) -> int:
        return self.free - self.debt

    @property
    def posted(self) -> int:
        return self.available + self.held

    def take(self, amount: int, *, plan_too: bool = True) -> list[tuple[Lot | str, int]]:
        taken: list[tuple[Lot | str, int]] = []
        for lot in self.order():
            part = min(lot.free, amount) if plan_too or not lot.plan else 0
            if part:
                lot.free -= part
                amount -= part
                taken.append((lot, part))
        assert amount == 0
        return taken

    def pay(self, amount: int) -> int:
        """Pay debt out of an amount; what is left of it."""
        paid = min(self.debt, amount)
        self.debt -= paid
        return amount - paid

    def plan_lots(self) -> list[Lot]:
        return [lot for lot in self.lots if lot.plan and not lot.over]

    def give(self, lot: Lot) -> None:
        self.lots.append(lot)
        lot.free = self.pay(lot.free)


class NaiveLedger:
    """See the module."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.now = 0

    # Doing a command

    def do(self, account: str, key: str | None, content: Any, step: Callable[[Account, int], str]) -> str:
        """Settle what is due, look the key up, then do it."""
        if account not in self.accounts:
            return "account_not_found"
        mine = self.accounts[account]
        now = self.now
        self.settle(mine, now)
        if key is not None and key in mine.keys:
            return "replay" if mine.keys[key] == content else "idempotency_conflict"
        answer = step(mine, now)
        if key is not None and answer in ("ok", "replay"):
            mine.keys[key] = content
        return answer

    def open(self, account: str, plan: str | None, overage: str) -> None:
        mine = self.accounts[account] = Account(overage, plan, self.now)
        if plan is not None:
            self._renew(mine, self.now, month_after(self.now))

    def _renew(self, mine: Account, moment: int, until: int) -> None:
        assert mine.plan is not None
        mine.renews, mine.began = until, moment
        mine.given, mine.over = PLANS[mine.plan][0], 0
        mine.give(Lot(f"plan-{moment}-{len(mine.lots)}", mine.given, 10, moment, until, plan=True))

    # What is due

    def settle(self, mine: Account, now: int) -> None:
        while True:
            due: list[tuple[int, int, str, Any]] = []
            due += [
                (hold.until, 0, hold.id, hold)
                for hold in mine.holds.values()
                if hold.state in ("open", "dispatched") and hold.until <= now
            ]
            for lot in mine.lots:
                if lot.coming:
                    if lot.since <= now:
                        due.append((lot.since, 1, lot.id, lot))
                elif not lot.over and lot.ends is not None and lot.ends <= now and (lot.free or lot.pinned):
                    due.append((lot.ends, 1, lot.id, lot))
            due += self._plan_due(mine, now)
            if not due:
                return
            moment, kind, _, what = min(due, key=lambda event: event[:3])
            if kind == 0:
                self._expire(mine, what, moment)
            elif kind == 2:
                self._renew(mine, moment, month_after(moment))
            elif kind == 3:
                self._end_plan(mine, moment)
            elif what.coming:
                what.coming = False
                what.free = mine.pay(what.size)
            else:
                what.over, what.free = True, 0

    def _plan_due(self, mine: Account, now: int) -> list[tuple[int, int, str, Any]]:
        if mine.plan is None or mine.renews is None:
            return []
        ends = mine.wish[0] if mine.wish is not None else mine.ends
        until = now if ends is None else min(now, ends)
        due: list[tuple[int, int, str, Any]] = []
        if mine.renews <= until and max(month_of(until), mine.renews) != ends:
            due.append((max(month_of(until), mine.renews), 2, "", None))
        elif ends is not None and ends <= now:
            due.append((ends, 3, "", None))
        return due

    # Plans

    def _end_plan(self, mine: Account, moment: int) -> None:
        assert mine.plan is not None
        assert mine.renews is not None
        _, plan, days = mine.wish if mine.wish is not None else (moment, PLANS[mine.plan][1], None)
        if plan is not None and (days is not None or mine.renews <= moment):
            self._begin(mine, plan, days, moment)
        else:
            self._swap(mine, plan, moment)

    def _begin(self, mine: Account, plan: str, days: int | None, moment: int) -> None:
        """A period begins; what is left of the one before it is gone, but for what is refunded when that is over."""
        if mine.renews is None or mine.renews > moment:
            for lot in mine.plan_lots():
                if lot.free or lot.pinned:
                    lot.over, lot.free = True, 0
        paid = mine.ends if mine.plan == plan and mine.ends is not None else 0
        mine.ends = None if days is None else max(moment, paid) + days * 86_400_000_000
        mine.plan, mine.wish = plan, None
        self._renew(mine, moment, month_after(moment))

    def _swap(self, mine: Account, plan: str | None, moment: int) -> None:
        """Within the period: everything free of the plan is taken, and given is what is not used of the new one."""
        allowance, after = (0, None) if plan is None else PLANS[plan]
        free = sum(lot.free for lot in mine.plan_lots())
        for lot in mine.plan_lots():
            lot.free = 0
        mine.given -= free
        if plan is None:
            mine.given = max(mine.given, 0)
        fresh = max(allowance - mine.given, 0)
        mine.over = max(mine.given - allowance, 0)
        mine.given += fresh
        if mine.plan is None or after is None or mine.ends is None or mine.ends <= moment:
            mine.ends = None
        mine.plan, mine.wish = plan, None
        mine.renews = None if plan is None else month_after(moment)
        if fresh:
            mine.give(Lot(f"plan-{moment}-{len(mine.lots)}", fresh, 10, moment, mine.renews, plan=True))

    def subscribe(self, mine: Account, now: int, plan: str, days: int | None, at: str) -> str:
        if plan == mine.plan and days is None:
            answer = "replay" if mine.wish is None else "ok"
            mine.wish = None
            return answer
        if at == "period_end":
            return self._wish(mine, plan, days)
        if days is not None or (mine.plan is None and (mine.began is None or mine.began < month_of(now))):
            self._begin(mine, plan, days, now)
        else:
            self._swap(mine, plan, now)
        return "ok"

    def cancel(self, mine: Account, now: int, at: str) -> str:
        if mine.plan is None:
            return "replay"
        after = PLANS[mine.plan][1]
        if at == "period_end":
            return self._wish(mine, after, None)
        self._swap(mine, after, now)
        return "ok"

    def _wish(self, mine: Account, plan: str | None, days: int | None) -> str:
        at = mine.renews if mine.ends is None else mine.ends
        if mine.plan is None or at is None:
            return "invalid"
        answer = "replay" if mine.wish == (at, plan, days) else "ok"
        mine.wish = (at, plan, days)
        return answer

    def _expire(self, mine: Account, hold: Hold, moment: int) -> None:
        if hold.is_run:
            self._end(mine, hold, moment, "expired")
            return
        cost = 0
        if hold.state == "dispatched" and hold.on_expiry != "release":
            measured = hold.measured if hold.on_expiry == "capture_measured" else None
            cost = hold.amount if measured is None else measured
            self._spend(mine, hold, cost, moment, None)
        else:
            self._let_go(mine, hold, 0, moment)
        hold.state = "expired"

    def _end(self, mine: Account, run: Hold, moment: int, state: str) -> None:
        inside = [hold for hold in mine.holds.values() if hold.run is run and hold.open]
        for hold in sorted(inside, key=lambda hold: (hold.since, hold.id)):
            self._expire(mine, hold, moment)
        self._let_go(mine, run, 0, moment)
        run.state = state

    def _let_go(self, mine: Account, hold: Hold, cost: int, moment: int) -> list[tuple[Lot | str, int]]:
        """Unpin everything: the first `cost` of it is spent, the rest goes back, pays debt, or is gone with its lot."""
        spent: list[tuple[Lot | str, int]] = []
        back: list[tuple[Lot, int]] = []
        for lot, part in hold.pour(sum(part for _, part in hold.slices)):
            used = min(cost, part)
            cost -= used
            if used:
                spent.append((lot, used))
            if part - used:
                back.append((lot, part - used))
        well = hold.well()
        for lot, part in back:
            if well is not None:
                well.give(lot, part)
                well.amount += part
            elif lot.gone(moment):
                lot.over = True
            else:
                kept = mine.pay(part)
                gone = min(kept, mine.over) if lot.plan else 0
                mine.over -= gone
                mine.given -= gone
                lot.free += kept - gone
        return spent

    def _spend(self, mine: Account, hold: Hold, cost: int, moment: int, charge_id: str | None) -> None:
        drawn = self._draw(hold, max(cost - hold.amount, 0))
        hold.amount += drawn
        extra = max(cost - hold.amount, 0)
        there = min(max(mine.available, 0), extra)
        spent = self._let_go(mine, hold, cost - extra, moment)
        hold.amount -= drawn
        for lot, part in mine.take(there):  # one entry for each lot: what its held slice paid grows
            place = next((number for number, (other, _) in enumerate(spent) if other is lot), len(spent))
            spent[place:] = [(lot, part + sum(paid for _, paid in spent[place : place + 1])), *spent[place + 1 :]]
        if extra > there and hold.overage == "debt":
            mine.debt += extra - there
            spent.append((MINE, extra - there))
        hold.charge = Charge(charge_id or f"of {hold.id}", spent, hold.since, hold.member, hold.outer)
        hold.captured = hold.charge.amount
        mine.charges[hold.charge.id] = hold.charge

    # Commands

    def grant(self, mine: Account, now: int, lot: Lot) -> str:
        if lot.ends is not None and lot.ends <= now:
            return "invalid"
        if lot.since > now:
            lot.coming, lot.size, lot.free = True, lot.free, 0
            mine.lots.append(lot)
        else:
            mine.give(lot)
        return "ok"

    def charge(self, mine: Account, now: int, charge_id: str, amount: int, member: str | None) -> str:
        if mine.frozen:
            return "account_frozen"
        if not mine.may(member):
            return "member_denied"
        if amount > mine.room(member, now, now):
            return "limit_exceeded"
        if amount > mine.available:
            return "insufficient_credits"
        mine.charges[charge_id] = Charge(charge_id, mine.take(amount), now, member, now)
        return "ok"

    def _draw(self, hold: Hold, amount: int, *, apart: bool = False) -> int:
        """Set more aside for a hold, as far as its run has it."""
        well = hold.well()
        drawn = 0 if well is None else min(amount, well.amount)
        if well is not None and drawn:
            well.amount -= drawn
            for lot, part in well.pour(drawn):
                hold.give(lot, part, apart=apart)
        return drawn

    def charge_in_run(self, mine: Account, now: int, charge_id: str, run_id: str, amount: int) -> str:
        run = mine.holds[run_id]
        refusal = self._refused_in(mine, run, amount)
        if refusal is not None:
            return refusal
        run.amount -= amount
        paid: list[tuple[Lot | str, int]] = list(run.pour(amount))
        mine.charges[charge_id] = Charge(charge_id, paid, now, run.member, run.outer)
        return "ok"

    def hold_in_run(self, mine: Account, now: int, hold: Hold, at_least: int | None) -> str:
        """A call of a run, or a run in it."""
        assert hold.run is not None
        refusal = self._refused_in(mine, hold.run, hold.amount if at_least is None else at_least)
        if refusal is not None:
            return refusal
        hold.overage = hold.overage or mine.overage
        hold.member, hold.outer = hold.run.member, hold.run.outer
        hold.until = min(hold.until, hold.run.until)
        hold.amount = self._draw(hold, hold.amount)
        mine.holds[hold.id] = hold
        return "ok"

    def _refused_in(self, mine: Account, run: Hold, amount: int) -> str | None:
        if mine.frozen:
            return "account_frozen"
        if not run.open:
            return "run_not_open"
        if not mine.may(run.member):
            return "member_denied"
        return "run_exhausted" if amount > run.amount else None

    def close_run(self, mine: Account, now: int, run_id: str) -> str:
        run = mine.holds[run_id]
        if not run.open:
            return "replay"
        self._end(mine, run, now, "released")
        return "ok"

    def set_limit(self, mine: Account, now: int, name: str, limit: Limit) -> str:
        mine.limits[name] = limit
        return "ok"

    def remove_limit(self, mine: Account, now: int, name: str) -> str:
        return "limit_not_found" if mine.limits.pop(name, None) is None else "ok"

    def add_member(self, mine: Account, now: int, member: str) -> str:
        answer = "replay" if mine.members.get(member) else "ok"
        mine.members[member] = True
        return answer

    def hold(self, mine: Account, now: int, hold: Hold, at_least: int | None) -> str:
        if mine.frozen:
            return "account_frozen"
        if not mine.may(hold.member):
            return "member_denied"
        room = mine.room(hold.member, now, now)
        least = hold.amount if at_least is None else at_least
        if least > room:
            return "limit_exceeded"
        if least > mine.available:
            return "insufficient_credits"
        hold.amount = min(hold.amount, mine.available, room)
        hold.overage, hold.outer = hold.overage or mine.overage, hold.since
        self._pin(mine, hold, hold.amount)
        mine.holds[hold.id] = hold
        return "ok"

    def _pin(self, mine: Account, hold: Hold, amount: int) -> None:
        for lot, part in mine.take(amount):
            assert isinstance(lot, Lot)
            hold.give(lot, part, apart=True)

    def dispatch(self, mine: Account, now: int, hold_id: str, measured: int | None) -> str:
        hold = mine.holds.get(hold_id)
        if hold is None:
            return "hold_not_found"
        if hold.state not in ("open", "dispatched"):
            return "hold_not_open"
        if hold.state == "dispatched" and measured in (None, hold.measured):
            return "replay"
        hold.state = "dispatched"
        hold.measured = hold.measured if measured is None else measured
        return "ok"

    def extend(self, mine: Account, now: int, hold_id: str, amount: int, ttl: int) -> str:
        hold = mine.holds.get(hold_id)
        if hold is None:
            return "hold_not_found"
        if hold.state not in ("open", "dispatched"):
            return "hold_not_open"
        well = hold.well()
        if well is not None:
            if amount > well.amount:
                return "run_exhausted"
            hold.amount += self._draw(hold, amount, apart=True)
            hold.until = min(max(hold.until, now + ttl), well.until)
            return "ok"
        if amount > mine.room(hold.member, hold.since, now):
            return "limit_exceeded"
        if amount > mine.available:
            return "insufficient_credits"
        self._pin(mine, hold, amount)
        hold.amount += amount
        hold.until = max(hold.until, now + ttl)
        return "ok"

    def release(self, mine: Account, now: int, hold_id: str) -> str:
        hold = mine.holds.get(hold_id)
        if hold is None:
            return "hold_not_found"
        if hold.state == "released":
            return "replay"
        if hold.state not in ("open", "dispatched"):
            return "hold_not_open"
        self._let_go(mine, hold, 0, now)
        hold.state = "released"
        return "ok"

    def capture(self, mine: Account, now: int, hold_id: str, amount: int | None, token: str) -> str:
        hold = mine.holds.get(hold_id)
        if hold is None:
            return "hold_not_found"
        if hold.state == "captured" and hold.settled_as == amount:
            return "replay"
        if hold.state in ("captured", "released"):
            return "hold_not_open"
        cost = hold.amount if amount is None else amount
        already = hold.captured if hold.state == "expired" else hold.amount
        well = hold.well()
        already += 0 if well is None else well.amount
        if hold.overage == "reject" and cost - already > max(mine.available, 0):
            return "insufficient_credits"
        if hold.state == "expired":
            self._correct(mine, hold, cost, now, token)
        else:
            self._spend(mine, hold, cost, now, f"charge {token}")
        hold.state, hold.settled_as = "captured", amount
        return "ok"

    def _correct(self, mine: Account, hold: Hold, cost: int, now: int, token: str) -> None:
        if hold.charge is not None and cost < hold.captured:
            back = min(hold.captured - cost, hold.charge.amount - hold.charge.refunded)
            self._give_back(mine, hold.charge, back, now, token)
            return
        extra = max(cost - hold.captured, 0)
        hold.amount = self._draw(hold, extra)
        paid: list[tuple[Lot | str, int]] = list(hold.pour(hold.amount))
        extra -= hold.amount
        there = min(max(mine.available, 0), extra)
        paid += mine.take(there)
        if extra > there and hold.overage == "debt":
            mine.debt += extra - there
            paid.append((MINE, extra - there))
        charge = Charge(f"charge {token}", paid, hold.since, hold.member, hold.outer)
        mine.charges[charge.id] = charge

    def refund(self, mine: Account, now: int, charge_id: str, amount: int | None, token: str) -> str:
        charge = mine.charges.get(charge_id)
        if charge is None:
            return "transaction_not_found"
        left = charge.amount - charge.refunded
        amount = left if amount is None else amount
        if not 0 < amount <= left:
            return "refund_exceeds_charge"
        self._give_back(mine, charge, amount, now, token)
        return "ok"

    def _give_back(self, mine: Account, charge: Charge, amount: int, now: int, token: str) -> None:
        """Credit by credit from the end, the debt part first; what was given back before is passed over."""
        backwards = [part for part in charge.paid if part[0] == MINE]
        backwards += [part for part in reversed(charge.paid) if part[0] != MINE]
        passed, number = charge.refunded, 0
        charge.refunded += amount
        for lot, part in backwards:
            skipped = min(part, passed)
            passed -= skipped
            back = min(part - skipped, amount)
            amount -= back
            if back == 0:
                continue
            if isinstance(lot, Lot) and lot.voided:
                pass
            elif isinstance(lot, Lot) and not lot.gone(now):
                lot.free += mine.pay(back)
            else:
                old = lot if isinstance(lot, Lot) else None
                ends = None if old is None or old.ends is None else now + max(old.ends - charge.since, 1)
                priority, plan = (100, False) if old is None else (old.priority, old.plan)
                mine.lots.append(Lot(f"g_{token}_{number}", mine.pay(back), priority, now, ends, plan=plan))
            number += 1

    def void(self, mine: Account, now: int, lot_id: str) -> str:
        lot = next((lot for lot in mine.lots if lot.id == lot_id), None)
        if lot is None:
            return "grant_not_found"
        if lot.over:
            return "replay"
        # A lot that was spent whole before its time came is no less voidable, but it has expired all the same.
        expired = lot.ends is not None and lot.ends <= now
        lot.coming, lot.over, lot.voided, lot.free = False, True, not expired and not lot.plan, 0
        return "ok"

    def adjust(self, mine: Account, now: int, token: str, to: int | None, by: int | None) -> str:
        change = (to or 0) - mine.available if by is None else by
        if change < 0:
            if -change > mine.available:
                return "insufficient_credits"
            mine.take(-change)
        elif change:
            mine.give(Lot(f"g_{token}", change, 100, now, None))
        return "ok"

    def transfer(self, mine: Account, now: int, to: str, amount: int, token: str) -> str:
        if to not in self.accounts:
            return "account_not_found"
        other = self.accounts[to]
        self.settle(other, now)
        if mine.frozen:
            return "account_frozen"
        if amount > sum(lot.free for lot in mine.lots if not lot.coming and not lot.plan):
            return "insufficient_credits"
        for number, (lot, part) in enumerate(mine.take(amount, plan_too=False)):
            assert isinstance(lot, Lot)
            other.give(Lot(f"g_{token}_{number}", part, lot.priority, now, lot.ends))
        return "ok"

    def renew(self, mine: Account, now: int) -> str:
        if mine.plan is not None:
            for lot in mine.lots:
                if lot.plan and (lot.free or lot.pinned):
                    lot.over, lot.free = True, 0
            assert mine.renews is not None
            self._renew(mine, now, mine.renews)
        return "ok"

    def freeze(self, mine: Account, now: int, *, frozen: bool) -> str:
        answer = "replay" if mine.frozen == frozen else "ok"
        mine.frozen = frozen
        return answer
