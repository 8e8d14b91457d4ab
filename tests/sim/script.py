"""What the callers want: drawn from a seed, remembered with every answer, judged at the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from bursar.catalog import Catalog
from bursar.core.book import Outcome
from bursar.core.commands import (
    AddMember,
    Adjust,
    CancelPlan,
    Capture,
    ChangePlan,
    Charge,
    CloseRun,
    Command,
    Dispatch,
    Extend,
    Freeze,
    Grant,
    OpenAccount,
    OpenRun,
    PlaceHold,
    Refund,
    Release,
    RemoveMember,
    Renew,
    SetLimit,
    Touch,
    Transfer,
    Unfreeze,
    UpdateAccount,
    Void,
)
from bursar.core.errors import BursarError
from bursar.core.model import Transaction
from tests.engine.audit import Ledger
from tests.engine.rig import CREDIT, DAY, HOUR, SECOND, Hands

ACCOUNTS = ("ann", "ben", "cat", "dan", "eve", "fay")
MEMBERS = ("mia", "noa")
BY_CONTENT = (
    *(Capture, Release, Dispatch, Freeze, Unfreeze, OpenAccount, UpdateAccount, Touch),
    *(SetLimit, AddMember, RemoveMember, CloseRun),
)
"""Asking twice is one wish, without a key."""

WITHOUT_A_ROW = (Extend, Renew)
"""These change what is there, so that an engine in doubt may take for its own what somebody else did in its stead."""

Change = Callable[[Catalog], Awaitable[Any]]


class Intent:
    """One thing that somebody wants, once, however often they ask."""

    def __init__(self, tag: str, command: Command) -> None:
        self.tag = tag
        self.command = command
        self.repeatable = command.key is not None or isinstance(command, BY_CONTENT)
        self.uncertain = False
        self.outcomes: list[Outcome] = []
        self.refusals: list[BursarError] = []

    def judge(self, ledgers: dict[str, Ledger]) -> None:
        """Every answer is true, and what was wished once was done at most once."""
        ledger = ledgers.get(self.command.account)
        made = [] if ledger is None else self._made(ledger)
        where = f"{self.tag} {self.command}: {self.outcomes} {self.refusals}, stored: {made}"
        assert len({_reference(outcome) for outcome in self.outcomes}) <= 1, f"answered differently: {where}"
        assert len(made) <= 1, f"done twice: {where}"
        if self.outcomes:
            assert ledger is not None, f"answered, and there is no account: {where}"
            self._judge_done(ledger, made, where)
        elif self.command.key is not None and ledger is not None:
            assert self.uncertain or self.command.key not in ledger.keys, f"refused, and yet its key is there: {where}"
            assert self.uncertain or not made, f"refused, and yet done: {where}"

    def _judge_done(self, ledger: Ledger, made: list[Any], where: str) -> None:
        first = self.outcomes[0]
        if self.command.key is not None and not isinstance(self.command, WITHOUT_A_ROW):
            assert [outcome.replayed for outcome in self.outcomes].count(False) <= 1, f"the first time, twice: {where}"
        if self.command.key is not None:
            assert self.command.key in ledger.keys, f"answered, and its key is not there: {where}"
            assert len({outcome.verb for outcome in self.outcomes}) == 1, where
        for outcome in self.outcomes:
            if outcome.transaction is not None:
                stored = ledger.transactions[outcome.transaction.seq - 1]
                assert stored == outcome.transaction, f"answered what is not stored: {where}"
            if outcome.hold is not None:
                assert outcome.hold.hold_id in ledger.holds, f"answered what is not stored: {where}"
            if outcome.lot is not None:
                assert outcome.lot.lot_id in ledger.lots, f"answered what is not stored: {where}"
        if self._leaves_a_trace(first):
            assert len(made) == 1, f"answered, and not there: {where}"

    def _leaves_a_trace(self, outcome: Outcome) -> bool:
        if isinstance(self.command, PlaceHold | OpenRun):
            return True
        return (
            outcome.transaction is not None
            and _tag_of(self.command) is not None
            and not isinstance(self.command, OpenAccount)
        )

    def _made(self, ledger: Ledger) -> list[Any]:
        """What carries this intent's tag."""
        if isinstance(self.command, PlaceHold | OpenRun):
            return [hold for hold in ledger.holds.values() if hold.description == self.tag]
        return [row for row in ledger.transactions if row.description == self.tag and _is_by(row, self.command)]


def _is_by(row: Transaction, command: Command) -> bool:
    """Whether the row is of the command's own, as opposed to a capture of a hold that was tagged."""
    return row.type != "CONSUMPTION" or isinstance(command, (Charge, Capture))


def _tag_of(command: Command) -> str | None:
    tag: str | None = getattr(command, "description", None) or getattr(command, "reason", None)
    return tag


def _reference(outcome: Outcome) -> str:
    """The id of what it made."""
    for made in (outcome.transaction, outcome.hold, outcome.lot):
        if made is not None:
            return made.id if isinstance(made, Transaction) else getattr(made, "hold_id", None) or made.lot_id  # type: ignore[union-attr]
    return outcome.verb


class Script:
    """Draws what happens next, from what is known to be there."""

    def __init__(self, random: Random, clock: Hands) -> None:
        self._random = random
        self._clock = clock
        self._count = 0
        self.intents: list[Intent] = []
        self.holds: list[tuple[str, str]] = []
        self.charges: list[tuple[str, str]] = []
        self.grants: list[tuple[str, str]] = []
        self.runs: list[tuple[str, str]] = []

    def change(self, random: Random) -> Change | None:
        """Now and then the clock jumps, or the catalogue changes."""
        dice = random.random()
        if dice < 0.06:
            self._clock.instant += random.choice((SECOND, 90 * SECOND, HOUR, DAY, 9 * DAY, 40 * DAY))
        elif dice < 0.075:
            self._clock.instant -= random.choice((SECOND, HOUR))
        elif dice < 0.09:
            cost, now = random.randrange(1, 5) * CREDIT, self._clock.now()
            return lambda catalog: catalog.set_price("TEXT", cost=cost, now=now)
        elif dice < 0.105:
            active = random.random() < 0.7
            return lambda catalog: catalog.update_skill("TEXT", active=active)
        return None

    def next(self, random: Random) -> Intent:
        self._count += 1
        tag = f"intent {self._count}"
        key = f"key {self._count}" if random.random() < 0.75 else None
        make = random.choices(list(_MAKERS), list(_MAKERS.values()))[0]
        intent = Intent(tag, make(self, random, random.choice(ACCOUNTS), tag, key))
        self.intents.append(intent)
        return intent

    def learn(self, intent: Intent, outcome: Outcome) -> None:
        """What was made can be named from now on."""
        account = intent.command.account
        if outcome.hold is not None and outcome.verb == "hold":
            self.holds.append((account, outcome.hold.hold_id))
        if outcome.hold is not None and outcome.verb == "open_run":
            self.runs.append((account, outcome.hold.hold_id))
        if outcome.transaction is not None and outcome.transaction.type == "CONSUMPTION":
            self.charges.append((account, outcome.transaction.id))
        if outcome.lot is not None:
            self.grants.append((account, outcome.lot.lot_id))

    # One for each verb

    def open(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        overage = random.choice(("debt", "cap", "reject"))
        return OpenAccount(account=account, plan=random.choice((None, "free", "saving")), overage=overage)

    def grant(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        now = self._clock.now()
        begins = random.choice((None, None, None, now + HOUR, now + 3 * DAY))
        ends = random.choice((None, None, (begins or now) + HOUR, (begins or now) + 20 * DAY))
        amount, priority = random.randrange(1, 60) * CREDIT, random.choice((1, 10, 100))
        return Grant(
            account=account,
            key=key,
            amount=amount,
            priority=priority,
            effective_at=begins,
            expires_at=ends,
            source=random.choice(("purchase", "promo", "admin")),
            description=tag,
        )

    def charge(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        account, who = self._who(random, account)
        common: Any = {"account": account, "key": key, "description": tag, **who}
        if random.random() < 0.4:
            return Charge(skill="TEXT", quantity=random.randrange(1, 4), **common)
        return Charge(amount=random.randrange(1, 12 * CREDIT), **common)

    def hold(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        amount = random.randrange(1, 20 * CREDIT)
        account, who = self._who(random, account)
        return PlaceHold(
            account=account,
            **who,
            key=key,
            amount=amount,
            at_least=random.choice((None, 1, amount // 2 or 1)),
            ttl_seconds=random.choice((1, 60, 3_600, 86_400)),
            dispatched=random.random() < 0.4,
            overage=random.choice((None, "debt", "cap", "reject")),
            on_expiry=random.choice(("capture_held", "capture_measured", "release")),
            description=tag,
        )

    def open_run(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        account, who = self._who(random, account)
        budget, ttl_seconds = random.randrange(1, 30) * CREDIT, random.choice((60, 3_600, 86_400))
        return OpenRun(account=account, key=key, budget=budget, ttl_seconds=ttl_seconds, description=tag, **who)

    def close_run(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        account, run = self._pick(random, self.runs[-4:], account)
        return CloseRun(account=account, run=run)

    def limit(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        scope, value = random.choice((("account", None), ("member", "mia"), ("skill", "TEXT"), ("key", "k1")))
        window, amount = random.choice(("day", "month", "lifetime")), random.randrange(5, 60) * CREDIT
        limit = random.choice(("first", "second"))
        return SetLimit(account=account, limit=limit, window=window, amount=amount, scope=scope, value=value)

    def member(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        return (AddMember if random.random() < 0.8 else RemoveMember)(account=account, member=random.choice(MEMBERS))

    def _who(self, random: Random, account: str) -> tuple[str, dict[str, Any]]:
        """In whose name, or out of which run."""
        if self.runs and random.random() < 0.3:
            account, run = random.choice(self.runs[-4:])
            return account, {"run": run}
        return account, {"member": random.choice((None, None, *MEMBERS)), "actor": random.choice(("library", "key:k1"))}

    def dispatch(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        account, hold = self._pick(random, self.holds, account)
        return Dispatch(account=account, hold=hold, measured=random.choice((None, CREDIT, 5 * CREDIT)))

    def extend(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        account, hold = self._pick(random, self.holds, account)
        return Extend(
            account=account,
            key=key,
            hold=hold,
            amount=random.choice((CREDIT, 3 * CREDIT)),
            ttl_seconds=random.choice((None, 7_200)),
        )

    def capture(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        account, hold = self._pick(random, self.holds, account)
        if random.random() < 0.3:
            return Capture(account=account, key=key, hold=hold, description=tag)
        return Capture(account=account, key=key, hold=hold, amount=random.randrange(25 * CREDIT), description=tag)

    def release(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        account, hold = self._pick(random, self.holds, account)
        return Release(account=account, hold=hold)

    def refund(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        account, charged = self._pick(random, self.charges, account)
        amount = random.choice((None, 1, random.randrange(1, 5 * CREDIT)))
        return Refund(account=account, key=key, transaction=charged, amount=amount, reason=tag)

    def void(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        account, grant = self._pick(random, self.grants, account)
        return Void(account=account, key=key, grant=grant, reason=tag)

    def adjust(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        if random.random() < 0.5:
            return Adjust(account=account, key=key, to=random.randrange(50 * CREDIT), reason=tag)
        return Adjust(account=account, key=key, by=random.choice((-1, 1)) * random.randrange(1, CREDIT), reason=tag)

    def transfer(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        to = random.choice([name for name in ACCOUNTS if name != account])
        return Transfer(account=account, key=key, to=to, amount=random.randrange(1, 9 * CREDIT), description=tag)

    def freeze(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        return (Freeze if random.random() < 0.2 else Unfreeze)(account=account)

    def update(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        return UpdateAccount(account=account, name=tag)

    def renew(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        return Renew(account=account, key=key)

    def subscribe(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        plan, days = random.choice(("free", "saving", "pro")), random.choice((None, None, 1, 30))
        at = random.choice(("now", "now", "period_end"))
        return ChangePlan(account=account, key=tag, plan=plan, days=days, at=at)

    def cancel(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        return CancelPlan(account=account, key=tag, at=random.choice(("now", "period_end")))

    def touch(self, random: Random, account: str, tag: str, key: str | None) -> Command:
        return Touch(account=account)

    def _pick(self, random: Random, known: list[tuple[str, str]], account: str) -> tuple[str, str]:
        return random.choice(known) if known else (account, "h_unknown")


_MAKERS: dict[Callable[[Script, Random, str, str, str | None], Command], int] = {
    Script.open: 6,
    Script.grant: 12,
    Script.charge: 20,
    Script.hold: 18,
    Script.open_run: 6,
    Script.close_run: 3,
    Script.limit: 3,
    Script.member: 2,
    Script.dispatch: 7,
    Script.extend: 5,
    Script.capture: 14,
    Script.release: 4,
    Script.refund: 7,
    Script.void: 2,
    Script.adjust: 3,
    Script.transfer: 8,
    Script.freeze: 4,
    Script.update: 2,
    Script.renew: 2,
    Script.subscribe: 6,
    Script.cancel: 2,
    Script.touch: 3,
}
