"""Random commands that make sense more often than not, the same for the same seed."""

from random import Random

from bursar.core import commands
from bursar.core.book import Outcome
from bursar.core.commands import Command
from bursar.core.model import Instant, OnExpiry, Overage, Plan
from bursar.core.money import NANOS
from tests.support.ledger import DAY, HOUR, MINUTE, START

ACCOUNTS = ("alice", "bob", "carol")
PLANS = (
    Plan("free", "Free", 60 * NANOS),
    Plan("gold", "Gold", 8 * NANOS, period="week", renewal="accumulate"),
    Plan("roll", "Roll", 5 * NANOS, period="day", renewal="rollover", rollover_cap=20 * NANOS),
    Plan("pro", "Pro", 200 * NANOS, after="free", prorated=True),
    Plan("trial", "Trial", 30 * NANOS, period="none", duration_days=3, after="pro", trial=True),
    Plan("mine", "Mine", 90 * NANOS, anchor="anniversary", timezone="Asia/Tokyo", after="free"),
)
SKILLS = {"TEXT": NANOS, "IMAGE": 5 * NANOS, "GIFT": 0}
MEMBERS = ("mia", "noa", "eve")
VALUES: dict[str, tuple[str | None, ...]] = {
    "account": (None,),
    "member": MEMBERS,
    "key": ("k1", "k2"),
    "skill": tuple(SKILLS),
    "model": ("gpt",),
}
STEPS = (0,) * 12 + (1, MINUTE, MINUTE, 20 * MINUTE, 20 * MINUTE, HOUR, DAY, 3 * DAY, 20 * DAY)


class Traffic:
    """`opening()`, then `command()` again and again; `learn` what came of each, so that later ones refer to it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now: Instant = START
        self.holds: list[tuple[str, str]] = []
        self.grants: list[tuple[str, str]] = []
        self.charges: list[tuple[str, str]] = []
        self.runs: list[tuple[str, str]] = []
        self._run_ends: dict[str, Instant] = {}
        self.sent: list[Command] = []
        self._verbs = (
            [self._charge] * 6
            + [self._hold] * 5
            + [self._capture] * 5
            + [self._release, self._dispatch, self._extend, self._refund] * 2
            + [self._grant] * 3
            + [self._limit] * 2
            + [self._unlimit, self._member, self._unmember]
            + [self._run] * 4
            + [self._close_run]
            + [self._void, self._adjust, self._transfer, self._renew, self._freeze, self._touch]
            + [self._subscribe] * 2
            + [self._cancel]
            + [self._unfreeze] * 3
            + [self._again] * 2
        )

    def opening(self) -> list[Command]:
        """The accounts, each on a plan of its own, with every overage policy."""
        plans = [plan.name for plan in PLANS[: len(ACCOUNTS)]]
        policies = list(Overage)
        return [
            commands.OpenAccount(account=account, plan=plan, overage=policy, key="open")
            for account, plan, policy in zip(ACCOUNTS, plans, policies, strict=True)
        ]

    def advance(self) -> Instant:
        """Let some time go by, or none."""
        self.now += self.random.choice(STEPS)
        return self.now

    def command(self) -> Command:
        command = self.random.choice(self._verbs)(self.random.choice(ACCOUNTS))
        self.sent.append(command)
        return command

    def learn(self, command: Command, outcome: Outcome) -> None:
        if outcome.hold is not None and command.verb == "hold":
            self.holds.append((command.account, outcome.hold.hold_id))
        if outcome.hold is not None and command.verb == "open_run":
            self.runs.append((command.account, outcome.hold.hold_id))
            self._run_ends[outcome.hold.hold_id] = outcome.hold.expires_at
        if outcome.hold is not None and command.verb == "close_run":
            self._run_ends.pop(outcome.hold.hold_id, None)
        if outcome.lot is not None:
            self.grants.append((command.account, outcome.lot.lot_id))
        if outcome.transaction is not None and outcome.transaction.type == "CONSUMPTION":
            self.charges.append((command.account, outcome.transaction.id))

    def _amount(self, most: int = 40) -> int:
        return self.random.choice((self.random.randint(1, most) * NANOS, self.random.randint(1, most * NANOS)))

    def _maybe(self, value: object, chance: float = 0.3) -> object:
        return value if self.random.random() < chance else None

    def _common(self, account: str) -> dict[str, object]:
        return {"account": account, "key": self._maybe(f"key-{self.random.randint(1, 40)}")}

    def _words(self) -> dict[str, object]:
        return {"description": self._maybe("a cat, 💰"), "metadata": self._maybe('{"trace": "1"}')}

    def _what(self) -> dict[str, object]:
        if self.random.random() < 0.5:
            return {"amount": self._amount()}
        skill = self.random.choice(list(SKILLS))
        return {"skill": skill, "quantity": self.random.randint(1, 3), "model": self._maybe("gpt")}

    def _some(self, known: list[tuple[str, str]], account: str, nothing: str) -> tuple[str, str]:
        return self.random.choice(known[-8:]) if known and self.random.random() < 0.95 else (account, nothing)

    def _charge(self, account: str) -> Command:
        account = self._busy(account)
        facts = self._common(account) | self._what() | self._words() | self._who() | self._in_run(account)
        facts["provider_cost_usd"] = self._cost()
        return commands.Charge(**facts)  # type: ignore[arg-type]

    def _hold(self, account: str) -> Command:
        account = self._busy(account)
        return commands.PlaceHold(
            **self._common(account),  # type: ignore[arg-type]
            **self._what(),  # type: ignore[arg-type]
            **self._words(),  # type: ignore[arg-type]
            **self._who(),  # type: ignore[arg-type]
            **self._in_run(account),  # type: ignore[arg-type]
            at_least=self._maybe(1, 0.2),  # type: ignore[arg-type]
            ttl_seconds=self.random.choice((60, 900, 86_400, 86_400)),
            dispatched=self.random.random() < 0.4,
            overage=self._maybe(self.random.choice(list(Overage)), 0.5),  # type: ignore[arg-type]
            on_expiry=self.random.choice(list(OnExpiry)),
        )

    def _capture(self, account: str) -> Command:
        account, hold = self._some(self.holds, account, "h_none")
        amount = self._maybe(self.random.choice((0, self._amount(60))), 0.8)
        return commands.Capture(
            **{**self._common(account), **self._words()},  # type: ignore[arg-type]
            hold=hold,
            amount=amount,  # type: ignore[arg-type]
            provider_cost_usd=self._cost(),  # type: ignore[arg-type]
        )

    def _release(self, account: str) -> Command:
        account, hold = self._some(self.holds, account, "h_none")
        return commands.Release(account=account, hold=hold)

    def _dispatch(self, account: str) -> Command:
        account, hold = self._some(self.holds, account, "h_none")
        return commands.Dispatch(account=account, hold=hold, measured=self._maybe(self._amount()))  # type: ignore[arg-type]

    def _extend(self, account: str) -> Command:
        account, hold = self._some(self.holds, account, "h_none")
        return commands.Extend(
            **self._common(account),  # type: ignore[arg-type]
            hold=hold,
            amount=self._maybe(self._amount(5), 0.6),  # type: ignore[arg-type]
            ttl_seconds=60,
            measured=self._maybe(self._amount()),  # type: ignore[arg-type]
        )

    def _grant(self, account: str) -> Command:
        starts = self.now + self.random.choice(STEPS) if self.random.random() < 0.2 else None
        ends = (starts or self.now) + self.random.choice(STEPS[12:]) if self.random.random() < 0.5 else None
        return commands.Grant(
            **self._common(account),  # type: ignore[arg-type]
            **self._words(),  # type: ignore[arg-type]
            amount=self._amount(30),
            source=self.random.choice(("admin", "purchase", "bonus", "stripe")),
            **self._price(),  # type: ignore[arg-type]
            priority=self.random.choice((1, 10, 100)),
            effective_at=starts,
            expires_at=ends,
        )

    def _price(self) -> dict[str, object]:
        """What was paid, in one currency or another, or nothing."""
        if self.random.random() < 0.5:
            return {}
        paid = self.random.choice(("9.99", "0.000000000007", "0", f"{self.random.randint(1, 10**6)}.01"))
        return {"paid": paid, "currency": self.random.choice(("USD", "USD", "EUR"))}

    def _cost(self) -> object:
        return self._maybe(self.random.choice(("0.0123", "0", f"0.{self.random.randint(1, 10**12 - 1):012d}")), 0.5)

    def _limit(self, account: str) -> Command:
        run = self.runs[-1] if self.runs and self.random.random() < 0.2 else None
        if run is not None:
            window, amount = "lifetime", self._amount(20)
            return commands.SetLimit(
                account=run[0], limit="of-run", window=window, amount=amount, scope="run", value=run[1]
            )
        scope = self.random.choice(list(VALUES))
        return commands.SetLimit(
            **self._common(account),  # type: ignore[arg-type]
            limit=f"limit-{self.random.randint(1, 6)}",
            window=self.random.choice(("day", "day", "week", "month", "lifetime")),
            amount=self._amount(80),
            scope=scope,
            value=self.random.choice(VALUES[scope]),
            timezone=self._maybe(self.random.choice(("Asia/Tokyo", "America/Sao_Paulo"))),  # type: ignore[arg-type]
        )

    def _unlimit(self, account: str) -> Command:
        return commands.RemoveLimit(account=account, limit=f"limit-{self.random.randint(1, 6)}")

    def _member(self, account: str) -> Command:
        return commands.AddMember(**self._common(account), member=self.random.choice(MEMBERS))  # type: ignore[arg-type]

    def _unmember(self, account: str) -> Command:
        return commands.RemoveMember(**self._common(account), member=self.random.choice(MEMBERS))  # type: ignore[arg-type]

    def _who(self) -> dict[str, object]:
        """In whose name, and with which key."""
        actor = self.random.choice(("library", *(f"key:{key}" for key in VALUES["key"])))
        return {"member": self._maybe(self.random.choice(MEMBERS), 0.5), "actor": actor}

    def _run(self, account: str) -> Command:
        around = self._in_run(account).get("run") if self.random.random() < 0.6 else None
        inside = None if around is None else (account, str(around))
        return commands.OpenRun(
            **self._common(account if inside is None else inside[0]),  # type: ignore[arg-type]
            budget=self._amount(20),
            ttl_seconds=self.random.choice((900, 86_400, 86_400)),
            run=None if inside is None else inside[1],
            member=self._maybe(self.random.choice(MEMBERS), 0.2) if inside is None else None,  # type: ignore[arg-type]
        )

    def _close_run(self, account: str) -> Command:
        account, run = self._some(self.runs, account, "r_none")
        return commands.CloseRun(account=account, run=run)

    def _busy(self, account: str) -> str:
        """Rather an account with a run that is open."""
        owners = [owner for owner, run in self.runs if self._run_ends.get(run, 0) > self.now]
        return owners[-1] if owners and self.random.random() < 0.7 else account

    def _in_run(self, account: str) -> dict[str, object]:
        """A run of the account that the call may draw from."""
        own = [run for owner, run in self.runs if owner == account and self._run_ends.get(run, 0) > self.now]
        if not own and self.runs and self.random.random() < 0.1:
            own = [self.runs[-1][1]]
        return {"run": self.random.choice(own)} if own and self.random.random() < 0.6 else {}

    def _void(self, account: str) -> Command:
        account, grant = self._some(self.grants, account, "g_none")
        return commands.Void(**self._common(account), grant=grant)  # type: ignore[arg-type]

    def _refund(self, account: str) -> Command:
        account, charge = self._some(self.charges, account, "tx_1_none")
        amount = self._maybe(self._amount(10), 0.6)
        return commands.Refund(**self._common(account), transaction=charge, amount=amount)  # type: ignore[arg-type]

    def _adjust(self, account: str) -> Command:
        if self.random.random() < 0.5:
            return commands.Adjust(**self._common(account), to=self._amount(60), reason="a correction")  # type: ignore[arg-type]
        by = self._amount(10) * self.random.choice((1, -1))
        return commands.Adjust(**self._common(account), by=by, reason="a correction")  # type: ignore[arg-type]

    def _transfer(self, account: str) -> Command:
        to = self.random.choice([other for other in ACCOUNTS if other != account])
        return commands.Transfer(**self._common(account), to=to, amount=self._amount(10))  # type: ignore[arg-type]

    def _renew(self, account: str) -> Command:
        return commands.Renew(**self._common(account))  # type: ignore[arg-type]

    def _subscribe(self, account: str) -> Command:
        return commands.ChangePlan(
            **self._common(account),  # type: ignore[arg-type]
            plan=self.random.choice(PLANS).name,
            days=self._maybe(self.random.choice((1, 10, 30))),  # type: ignore[arg-type]
            at=self.random.choice(("now", "now", "period_end")),
        )

    def _cancel(self, account: str) -> Command:
        return commands.CancelPlan(**self._common(account), at=self.random.choice(("now", "period_end")))  # type: ignore[arg-type]

    def _freeze(self, account: str) -> Command:
        return commands.Freeze(account=account)

    def _unfreeze(self, account: str) -> Command:
        return commands.Unfreeze(account=account)

    def _touch(self, account: str) -> Command:
        return commands.Touch(account=account)

    def _again(self, account: str) -> Command:
        """One that was sent before: a replay, a conflict, or a new intent."""
        return self.random.choice(self.sent[-20:]) if self.sent else self._touch(account)
