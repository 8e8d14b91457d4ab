"""Plays a scenario on a stage: the pure machine, or an engine over a database. The words are those of `language`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from msgspec import convert
from msgspec.json import decode

from bursar.core import commands
from bursar.core.basis import basis
from bursar.core.book import Book, Outcome
from bursar.core.commands import Command
from bursar.core.errors import BursarError, LimitExceeded
from bursar.core.invariants.fold import detail_of, terms_of
from bursar.core.limits import find_limit, shown
from bursar.core.model import Component, Entries, Hold, Instant, Lot, Plan, Transaction, Usage
from bursar.core.money import Nanos, format_credits, format_money
from bursar.core.periods import format_instant
from tests.scenarios.language import Scenario, Step
from tests.support.ledger import DAY, HOUR, MINUTE, SECOND, START, Rows, credits_, instant

T = TypeVar("T")

UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
TOKENS = ("input", "cached", "written", "output", "reasoning")
OUTFLOWS = frozenset({"CONSUMPTION", "EXPIRY", "VOID", "TRANSFER_OUT"})


class Stage(Protocol):
    """Where scenarios are played."""

    now: Instant

    async def put_plan(self, plan: Plan) -> None: ...

    async def put_price(
        self, skill: str, cost: Nanos, *, valid_from: Instant | None = None, valid_to: Instant | None = None
    ) -> None: ...

    async def put_model(self, model: str, components: Sequence[Component]) -> None: ...

    async def switch_model(self, model: str, *, active: bool) -> None: ...

    async def switch_skill(self, skill: str, *, active: bool) -> None: ...

    async def execute(self, command: Command) -> Outcome: ...

    async def view(self, account: str, *, members: bool = False) -> Book: ...

    async def rows(self, account: str) -> Rows:
        """Everything recorded, read anew."""


class Mismatch(AssertionError):
    """A step did not come out as its line says."""


class Player:
    """One run of one scenario."""

    def __init__(self, stage: Stage, scenario: Scenario) -> None:
        self.stage = stage
        self.scenario = scenario
        self.named: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.owners: dict[str, str] = {}
        self.accounts: list[str] = []

    async def play(self) -> None:
        """Every step, with the invariants checked after each."""
        self.stage.now = START
        for step in self.scenario.steps:
            try:
                await self._play(step)
                for account in self.accounts:
                    findings = (await self.stage.rows(account)).findings()
                    _same(findings, [], "what does not hold")
            except Mismatch as mismatch:
                place = f"{self.scenario.file}.txt:{step.number}: {step.text}"
                raise Mismatch(f"{place}\n    {mismatch}") from None

    async def _play(self, step: Step) -> None:
        if step.verb in LOOKS:
            await LOOKS[step.verb](self, step)
        elif step.verb in SCENERY:
            await SCENERY[step.verb](self, step)
        else:
            await self._command(step)

    # Commands

    async def _command(self, step: Step) -> None:
        if step.expected is None:
            raise Mismatch("a command needs what must come of it: `-> ok`")
        name, command = BUILD[step.verb](self, step)
        try:
            outcome = await self.stage.execute(command)
        except BursarError as refusal:
            _same(refusal.code, step.expected, "the answer")
            if step.moved:
                _same(_evidence(refusal), list(step.moved), "the evidence")
            return
        again = outcome.replayed or not outcome.created
        _same("replay" if again else "ok", step.expected, "the answer")
        if command.account not in self.accounts:
            self.accounts.append(command.account)
        self._name(name, command, outcome)
        if step.moved:
            await self._learn(command.account)
            _same(self._moved(outcome), list(step.moved), "what was moved")

    def _name(self, name: str | None, command: Command, outcome: Outcome) -> None:
        """What a command made is known by the name it was given; made again, it must be the same thing."""
        made = _made(outcome)
        if name is None or made is None:
            return
        if outcome.replayed:
            _same(made, self.named.get(name), f"what {name} is")
        self.named[name] = made
        self.names[made] = name
        self.names.setdefault(f"g_{command.token}", name)
        self.owners[name] = command.account
        for number in range(9):
            self.names.setdefault(f"g_{command.token}_{number}", f"{name}.{number}")

    async def _learn(self, account: str) -> list[Lot]:
        """Every lot of an account as it stands now; those of its plan get their names."""
        recorded = {lot.lot_id: lot for lot in (await self.stage.rows(account)).lots}
        now = {lot_id: lot for lot_id, lot in (await self.stage.view(account)).lots.items() if lot is not None}
        lots = list((recorded | now).values())
        for lot in lots:
            if lot.plan is not None:
                self.names.setdefault(lot.lot_id, f"{lot.plan}@{_moment(lot.effective_at)[:10]}")
        return lots

    def _moved(self, outcome: Outcome) -> list[str]:
        if outcome.transaction is not None:
            sign = -1 if outcome.transaction.type in OUTFLOWS or outcome.transaction.amount < 0 else 1
            return self._parts(outcome.transaction.entry_list(), sign)
        assert outcome.hold is not None, "nothing was moved"
        return self._parts(list(outcome.hold.slice_list()), 1)

    def _parts(self, entries: Entries, sign: int) -> list[str]:
        return [f"{self._lot_name(lot_id)}:{format_credits(sign * part)}" for lot_id, part in entries]

    def _lot_name(self, lot_id: str | None) -> str:
        return "debt" if lot_id is None else self.names.get(lot_id, lot_id)

    def id_of(self, name: str) -> str:
        """The id behind a name; a name that stands for nothing is an id that does not exist."""
        return self.named.get(name, name)

    def owner_of(self, name: str, step: Step) -> str:
        return step.options.get("account") or self.owners.get(name) or "nobody"

    # Scenery

    async def at(self, step: Step) -> None:
        (moment,) = step.words
        self.stage.now = self.stage.now + _span(moment[1:]) if moment.startswith("+") else instant(moment)

    async def plan(self, step: Step) -> None:
        name, allowance = step.words
        options = step.options
        await self.stage.put_plan(
            Plan(
                name,
                name,
                credits_(allowance),
                period=options.get("period", "month"),
                anchor=options.get("anchor", "calendar"),
                renewal=options.get("renewal", "reset"),
                rollover_cap=_optional(credits_, options.get("cap")),
                priority=int(options.get("priority", "10")),
                timezone=options.get("timezone"),
                duration_days=_optional(int, options.get("days")),
                after=options.get("after"),
                trial=options.get("trial") == "yes",
                prorated=options.get("prorated") == "yes",
            )
        )

    async def skill(self, step: Step) -> None:
        name, cost = step.words
        begins, ends = (_optional(instant, step.options.get(word)) for word in ("from", "to"))
        await self.stage.put_price(name, credits_(cost), valid_from=begins, valid_to=ends)

    async def model(self, step: Step) -> None:
        parts = [Component(_unit(unit), credits_(usd), 1_000_000) for unit, usd in step.options.items()]
        await self.stage.put_model(step.words[0], parts)

    async def enable(self, step: Step) -> None:
        await self._switch(step.words[0], active=True)

    async def disable(self, step: Step) -> None:
        await self._switch(step.words[0], active=False)

    async def _switch(self, name: str, *, active: bool) -> None:
        switch = self.stage.switch_skill if name[0].isupper() else self.stage.switch_model
        await switch(name, active=active)

    # Looking

    async def balance(self, step: Step) -> None:
        account = (await self.stage.view(step.words[0])).account
        found = {name: SHOWN.get(name, format_credits)(getattr(account, name)) for name in step.options}
        _same(found, step.options, "the balance")

    async def lots(self, step: Step) -> None:
        await self._learn(step.words[0])
        book = await self.stage.view(step.words[0])
        found = [f"{self._lot_name(lot.lot_id)}:{_remaining(lot)}" for lot in book.live_lots()]
        _same(found, list(step.words[1:]), "the lots")

    async def state(self, step: Step) -> None:
        hold = await self._hold(step.words[0])
        shown = {
            "state": str(hold.state),
            "amount": format_credits(hold.amount),
            "captured": format_credits(hold.captured),
            "price": str(hold.price_version),
            "budget": "none" if hold.budget is None else format_credits(hold.budget),
            "slices": ",".join(self._parts(list(hold.slice_list()), 1)),
            "expires": _moment(hold.expires_at),
        }
        _same({name: shown[name] for name in step.options}, step.options, "the hold")

    async def _hold(self, name: str) -> Hold:
        account = self.owners[name]
        book = await self.stage.view(account)
        hold = book.holds.get(self.named[name])
        if hold is not None:
            return hold
        return next(hold for hold in (await self.stage.rows(account)).holds if hold.hold_id == self.named[name])

    async def ends(self, step: Step) -> None:
        name, moment = step.words
        lot = await self._lot(name)
        _same("never" if lot.expires_at is None else _moment(lot.expires_at), moment, "when it ends")

    async def paid(self, step: Step) -> None:
        name, *price = step.words
        lot = await self._lot(name)
        _same([*filter(None, (lot.paid, lot.currency))] or ["nothing"], price, "what was paid for it")

    async def basis(self, step: Step) -> None:
        account, *expected = step.words
        sums: dict[str, int] = {}
        for lot in await self._learn(account):
            if lot.paid is not None and lot.remaining:
                sums[lot.currency or ""] = sums.get(lot.currency or "", 0) + basis(lot, lot.remaining)
        _same([f"{format_money(money)}:{currency}" for currency, money in sums.items()], expected, "the cost basis")

    async def _lot(self, name: str) -> Lot:
        for account in self.accounts:
            for lot in await self._learn(account):
                if self._lot_name(lot.lot_id) == name:
                    return lot
        raise Mismatch(f"there is no lot {name}")

    async def counted(self, step: Step) -> None:
        """What a limit has counted in the window under way, what is left of it, and when it ends."""
        name, account = step.words
        limit = shown(find_limit(await self.stage.view(account, members=True), name), self.stage.now)
        found = {
            "spent": format_credits(limit.spent),
            "held": format_credits(limit.held),
            "left": format_credits(limit.amount - limit.spent - limit.held),
            "starts": "always" if limit.starts_at is None else _moment(limit.starts_at),
            "resets": "never" if limit.resets_at is None else _moment(limit.resets_at),
        }
        _same({name: found[name] for name in step.options}, step.options, "the limit")

    async def members(self, step: Step) -> None:
        account, *expected = step.words
        rows = (await self.stage.view(account, members=True)).every_member()
        _same(sorted(f"{row.member}:{row.status}" for row in rows), sorted(expected), "the members")

    async def history(self, step: Step) -> None:
        found = [f"{row.type}:{format_credits(row.amount)}" for row in await self._history(step.words[0])]
        _same(found, list(step.words[1:]), "the history")

    async def last(self, step: Step) -> None:
        row = (await self._history(step.words[0]))[-1]
        detail = decode(row.detail or "{}")
        shown = {
            "type": str(row.type),
            "amount": format_credits(row.amount),
            "posted": format_credits(row.posted_after),
            "effective": _moment(row.effective_at),
            "recorded": _moment(row.recorded_at),
            "shortfall": format_credits(detail.get("shortfall", 0)),
            "corrects": self.names.get(detail.get("corrects", ""), detail.get("corrects", "nothing")),
            "hold": self.names.get(row.hold or "", "none"),
            "price": str(row.price_version),
            "actor": row.actor,
            "to": row.counterparty,
            "usd": row.provider_cost_usd or "none",
            "member": str(row.member),
            "run": self.names.get(row.run or "", "none"),
        }
        if "moved" in step.options:
            sign = -1 if row.type in OUTFLOWS else 1
            await self._learn(step.words[0])
            shown["moved"] = ",".join(self._parts(row.entry_list(), sign))
        _same({name: shown[name] for name in step.options}, step.options, "the transaction")

    async def called(self, step: Step) -> None:
        """Name what nobody asked for: the newest transaction, or the lot that it made."""
        name, account, *kind = step.words
        row = (await self.stage.rows(account)).transactions[-1]
        made = terms_of(detail_of(row))[-1]["grant"] if kind == ["lot"] else row.id
        self.named[name], self.names[made], self.owners[name] = made, name, account

    async def _history(self, account: str) -> list[Transaction]:
        """What is recorded, and what is due but not recorded yet."""
        recorded = (await self.stage.rows(account)).transactions
        return sorted(recorded, key=lambda row: row.seq) + [
            row for row in (await self.stage.view(account)).new_transactions if row.seq > len(recorded)
        ]


def _evidence(refusal: BursarError) -> list[str]:
    """What a refusal names: a limit, how much of it is left, when it resets."""
    assert isinstance(refusal, LimitExceeded), "only of limits"
    resets = "never" if refusal.resets_at is None else _moment(refusal.resets_at)
    return [refusal.limit, f"left={format_credits(refusal.available)}", f"resets={resets}"]


class _Common:
    """What each command has."""

    def __init__(self, step: Step) -> None:
        self.key = step.options.get("key")
        self.token = f"{step.number:020x}"
        self.salt = bytes(16)

    def fields(self) -> dict[str, Any]:
        return {"key": self.key, "token": self.token, "salt": self.salt}


Built = tuple[str | None, Command]


def _subscribe(player: Player, step: Step) -> Built:
    account, plan = step.words
    return step.options.get("as"), commands.ChangePlan(
        account=account,
        plan=plan,
        days=_optional(int, step.options.get("days")),
        at=step.options.get("when", "now"),
        **_Common(step).fields(),
    )


def _cancel(player: Player, step: Step) -> Built:
    at = step.options.get("when", "period_end")
    return step.options.get("as"), commands.CancelPlan(account=step.words[0], at=at, **_Common(step).fields())


def _open(player: Player, step: Step) -> Built:
    return None, commands.OpenAccount(
        account=step.words[0],
        plan=step.options.get("plan"),
        timezone=step.options.get("timezone", "UTC"),
        overage=step.options.get("overage", "debt"),
        **_Common(step).fields(),
    )


def _update(player: Player, step: Step) -> Built:
    options = step.options
    return None, commands.UpdateAccount(
        account=step.words[0],
        name=options.get("name"),
        email=options.get("email"),
        overage=options.get("overage"),
        **_Common(step).fields(),
    )


def _grant(player: Player, step: Step) -> Built:
    name, account, amount = step.words
    options = step.options
    return name, commands.Grant(
        account=account,
        amount=credits_(amount),
        source=options.get("source", "admin"),
        priority=int(options.get("priority", "100")),
        effective_at=_optional(instant, options.get("starts")),
        expires_at=_optional(instant, options.get("expires")),
        paid=options.get("paid"),
        currency="USD" if "paid" in options else None,
        **_Common(step).fields(),
    )


def _run(player: Player, step: Step) -> Built:
    name, account, budget = step.words
    options = step.options
    return name, commands.OpenRun(
        account=account,
        budget=credits_(budget),
        ttl_seconds=_span(options.get("ttl", "15m")) // SECOND,
        run=_optional(player.id_of, options.get("in")),
        member=options.get("member"),
        **_Common(step).fields(),
    )


def _finish(player: Player, step: Step) -> Built:
    (name,) = step.words
    return None, commands.CloseRun(
        account=player.owner_of(name, step), run=player.id_of(name), **_Common(step).fields()
    )


def _spend(player: Player, word: str, step: Step) -> dict[str, Any]:
    asked: dict[str, Any]
    if word[0].isdigit() or word[0] in "-.":
        asked = {"amount": credits_(word)}
    else:
        asked = {"skill" if word[0].isupper() else "model": word}
    asked["usage"] = _usage(step)
    if "quantity" in step.options:
        asked["quantity"] = int(step.options["quantity"])
    if "run" in step.options:
        asked["run"] = player.id_of(step.options["run"])
    return asked | {name: step.options[name] for name in ("member", "model", "actor") if name in step.options}


def _charge(player: Player, step: Step) -> Built:
    name, account, what = step.words
    return name, commands.Charge(account=account, **_spend(player, what, step), **_Common(step).fields())


def _hold(player: Player, step: Step) -> Built:
    name, account, what = step.words
    options = step.options
    return name, commands.PlaceHold(
        account=account,
        at_least=_optional(credits_, options.get("at_least")),
        ttl_seconds=_span(options.get("ttl", "15m")) // SECOND,
        dispatched=options.get("dispatched") == "yes",
        overage=options.get("overage"),
        on_expiry=options.get("on_expiry", "capture_held"),
        **_spend(player, what, step),
        **_Common(step).fields(),
    )


def _dispatch(player: Player, step: Step) -> Built:
    (name,) = step.words
    measured = _optional(credits_, step.options.get("measured"))
    return name, commands.Dispatch(
        account=player.owner_of(name, step), hold=player.id_of(name), measured=measured, **_Common(step).fields()
    )


def _extend(player: Player, step: Step) -> Built:
    (name,) = step.words
    options = step.options
    return name, commands.Extend(
        account=player.owner_of(name, step),
        hold=player.id_of(name),
        amount=_optional(credits_, options.get("amount")),
        ttl_seconds=_span(options["ttl"]) // SECOND if "ttl" in options else None,
        measured=_optional(credits_, options.get("measured")),
        **_Common(step).fields(),
    )


def _capture(player: Player, step: Step) -> Built:
    name, *amount = step.words
    return step.options.get("as"), commands.Capture(
        account=player.owner_of(name, step),
        hold=player.id_of(name),
        amount=credits_(amount[0]) if amount else None,
        usage=_usage(step),
        **_Common(step).fields(),
    )


def _release(player: Player, step: Step) -> Built:
    (name,) = step.words
    return name, commands.Release(
        account=player.owner_of(name, step), hold=player.id_of(name), **_Common(step).fields()
    )


def _refund(player: Player, step: Step) -> Built:
    name, charge, *amount = step.words
    return name, commands.Refund(
        account=player.owner_of(charge, step),
        transaction=player.id_of(charge),
        amount=credits_(amount[0]) if amount else None,
        **_Common(step).fields(),
    )


def _void(player: Player, step: Step) -> Built:
    (name,) = step.words
    return step.options.get("as"), commands.Void(
        account=player.owner_of(name, step), grant=player.id_of(name), **_Common(step).fields()
    )


def _limit(player: Player, step: Step) -> Built:
    name, account, amount = step.words
    options = step.options
    return None, commands.SetLimit(
        account=account,
        limit=name,
        amount=credits_(amount),
        window=options.get("window", "day"),
        scope=options.get("scope", "account"),
        value=_optional(player.id_of, options.get("value")),
        timezone=options.get("timezone"),
        **_Common(step).fields(),
    )


def _unlimit(player: Player, step: Step) -> Built:
    name, account = step.words
    return None, commands.RemoveLimit(account=account, limit=name, **_Common(step).fields())


def _member(kind: Callable[..., Command]) -> Callable[[Player, Step], Built]:
    return lambda player, step: (None, kind(account=step.words[0], member=step.words[1], **_Common(step).fields()))


def _adjust(player: Player, step: Step) -> Built:
    name, account = step.words
    return name, commands.Adjust(
        account=account,
        to=_optional(credits_, step.options.get("to")),
        by=_optional(credits_, step.options.get("by")),
        reason="a correction",
        **_Common(step).fields(),
    )


def _transfer(player: Player, step: Step) -> Built:
    name, account, to, amount = step.words
    return name, commands.Transfer(account=account, to=to, amount=credits_(amount), **_Common(step).fields())


def _plain(kind: Callable[..., Command]) -> Callable[[Player, Step], Built]:
    return lambda player, step: (None, kind(account=step.words[0], **_Common(step).fields()))


BUILD: dict[str, Callable[[Player, Step], Built]] = {
    "open": _open,
    "update": _update,
    "grant": _grant,
    "charge": _charge,
    "hold": _hold,
    "run": _run,
    "finish": _finish,
    "limit": _limit,
    "unlimit": _unlimit,
    "member": _member(commands.AddMember),
    "unmember": _member(commands.RemoveMember),
    "dispatch": _dispatch,
    "extend": _extend,
    "capture": _capture,
    "release": _release,
    "refund": _refund,
    "void": _void,
    "adjust": _adjust,
    "transfer": _transfer,
    "freeze": _plain(commands.Freeze),
    "unfreeze": _plain(commands.Unfreeze),
    "close": _plain(commands.Close),
    "subscribe": _subscribe,
    "cancel": _cancel,
    "renew": _plain(commands.Renew),
    "touch": _plain(commands.Touch),
}
SCENERY = {
    "at": Player.at,
    "plan": Player.plan,
    "skill": Player.skill,
    "model": Player.model,
    "enable": Player.enable,
    "disable": Player.disable,
}
LOOKS = {
    "balance": Player.balance,
    "lots": Player.lots,
    "state": Player.state,
    "ends": Player.ends,
    "paid": Player.paid,
    "basis": Player.basis,
    "counted": Player.counted,
    "members": Player.members,
    "history": Player.history,
    "last": Player.last,
    "called": Player.called,
}


def _some_moment(at: Instant | None) -> str:
    return "never" if at is None else _moment(at)


SHOWN: dict[str, Callable[[Any], str]] = {
    "plan": str,
    "status": str,
    "next_plan": str,
    "ends_at": _some_moment,
    "next_plan_at": _some_moment,
    "next_reset": _some_moment,
    "last_reset": _some_moment,
}
"""How a column of an account is written where it is no amount."""


def _made(outcome: Outcome) -> str | None:
    if outcome.verb == "void":
        return None if outcome.transaction is None else outcome.transaction.id
    if outcome.lot is not None:
        return outcome.lot.lot_id
    if outcome.transaction is not None:
        return outcome.transaction.id
    return None if outcome.hold is None else outcome.hold.hold_id


def _same(found: object, expected: object, what: str) -> None:
    if found != expected:
        raise Mismatch(f"{what}: {_show(found)}, expected {_show(expected)}")


def _show(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={part}" for name, part in value.items())
    return "\n".join(map(str, value)) if isinstance(value, list) and len(value) > 8 else str(value)


def _optional(parse: Callable[[str], T], text: str | None) -> T | None:
    return None if text is None else parse(text)


UNIT_WORDS = {"cached": "cached_input", "written": "cache_write"}


def _unit(word: str) -> str:
    return f"{UNIT_WORDS.get(word, word)}_token"


def _usage(step: Step) -> Usage | None:
    """What `input=1000 output=20` measured."""
    counts = {f"{_unit(word)}s": int(step.options[word]) for word in TOKENS if word in step.options}
    return convert(counts, Usage) if counts else None


def _span(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


def _remaining(lot: Lot) -> str:
    return format_credits(lot.remaining) + (f"/{format_credits(lot.held)}" if lot.held else "")


def _moment(at: Instant) -> str:
    return format_instant(at).removesuffix("Z").removesuffix("T00:00:00").removesuffix(":00")
