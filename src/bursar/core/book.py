"""One account's working copy: what the store loaded of it, what the rules changed of it.

A rule looks things up here, checks, and only then changes: whatever raises has changed nothing. What a rule asks for
and the store has not loaded raises `NotLoaded`; the engine loads it and decides again. `changes()` of all books of a
batch is all that is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from hashlib import sha256
from typing import Any

from msgspec import Struct
from msgspec.json import Encoder

from bursar.core import chain
from bursar.core.commands import Command
from bursar.core.errors import GrantNotFound, HoldNotFound, Invalid, RunNotFound, TransactionNotFound
from bursar.core.model import (
    Account,
    AccountStatus,
    Entries,
    Hold,
    Instant,
    Limit,
    Limits,
    Lot,
    Member,
    Remembered,
    Transaction,
    decode_limits,
    encode_limits,
)
from bursar.core.money import MAX_NANOS, Nanos

_encode = Encoder().encode


class Outcome(Struct):
    """What a command did, in snapshots that later commands do not change. `created` is False where it was there."""

    verb: str
    replayed: bool = False
    created: bool = True
    account: Account | None = None
    transaction: Transaction | None = None
    hold: Hold | None = None
    lot: Lot | None = None
    other: Transaction | None = None
    limit: Limit | None = None
    member: Member | None = None


class Wanted(StrEnum):
    """What a book can lack."""

    KEY = "key"
    HOLD = "hold"
    LOT = "lot"
    TRANSACTION = "transaction"
    REFUNDS = "refunds"
    MEMBER = "member"
    MEMBERS = "members"
    COUNTED = "counted"
    CALLS = "calls"


class NotLoaded(Exception):
    """The book lacks a row that the rules need; nothing was changed."""

    def __init__(self, wanted: Wanted, account: str, name: Any) -> None:
        super().__init__(wanted, account, name)
        self.wanted = wanted
        self.account = account
        self.name = name


class Touched(StrEnum):
    """How much of a row changed."""

    NEW = "new"
    AMOUNTS = "amounts"
    ALL = "all"


class Book:
    """See the module. A dictionary holds None for what the store does not have, and lacks what was not loaded."""

    __slots__ = (
        "_before",
        "_born",
        "_limits",
        "_order",
        "account",
        "all_calls",
        "all_members",
        "counted",
        "counted_before",
        "due_holds",
        "holds",
        "keys",
        "lots",
        "members",
        "new_entries",
        "new_keys",
        "new_transactions",
        "refunds",
        "touched",
        "touched_holds",
        "touched_lots",
        "touched_members",
        "transactions",
    )

    def __init__(self, account: Account, lots: Iterable[Lot] = (), *, new: bool = False) -> None:
        self.account = account
        self.lots: dict[str, Lot | None] = {lot.lot_id: lot for lot in lots}
        self.holds: dict[str, Hold | None] = {}
        self.due_holds: list[Hold] = []
        self.keys: dict[str, Remembered | None] = {}
        self.transactions: dict[int, Transaction | None] = {}
        self.refunds: dict[str, list[Transaction]] = {}
        self.members: dict[str, Member | None] = {}
        self.all_members = False
        self.all_calls: set[str] = set()
        """The runs whose unsettled holds are all here."""
        self.counted_before: tuple[Nanos, Nanos] | None = None
        """What a limit that is being set has spent and held already, once it is counted."""
        self.new_transactions: list[Transaction] = []
        self.new_entries: list[Entries] = []
        self.new_keys: list[Remembered] = []
        self.touched: Touched | None = Touched.NEW if new else None
        self.touched_lots: dict[str, Touched] = {}
        self.touched_holds: dict[str, Touched] = {}
        self.touched_members: dict[str, Touched] = {}
        self._limits: dict[str | None, Limits | None] = {}
        self.counted: set[str | None] = set()
        """Whose limits have counted something that is not in their rows yet: members, None for the account."""
        self._order: list[Lot] | None = None
        self._born: list[Lot] = []
        self._before = (account.held, account.debt, account.holds_opened, account.open_holds)

    # Looking up

    def live_lots(self) -> list[Lot]:
        """The lots that can pay, in burn-down order: lowest priority, soonest expiry, oldest, id."""
        if self._order is None:
            usable = [lot for lot in self.lots.values() if lot is not None and lot.live and lot.started]
            self._order = sorted(usable, key=burn_down_key) if len(usable) > 1 else usable
        return self._order

    def lot(self, lot_id: str) -> Lot:
        if lot_id not in self.lots:
            raise NotLoaded(Wanted.LOT, self.account.account_id, lot_id)
        lot = self.lots[lot_id]
        if lot is None:
            raise GrantNotFound(lot_id)
        return lot

    def hold(self, hold_id: str) -> Hold:
        if hold_id not in self.holds:
            raise NotLoaded(Wanted.HOLD, self.account.account_id, hold_id)
        hold = self.holds[hold_id]
        if hold is None:
            raise HoldNotFound(hold_id)
        return hold

    def run(self, run_id: str) -> Hold:
        if run_id not in self.holds:
            raise NotLoaded(Wanted.HOLD, self.account.account_id, run_id)
        run = self.holds[run_id]
        if run is None or run.budget is None:
            raise RunNotFound(run_id)
        return run

    def run_around(self, run_id: str) -> str | None:
        """The run that a run is in."""
        return self.run(run_id).run

    def calls(self, run_id: str) -> list[Hold]:
        """The holds of a run that have not ended, oldest first."""
        if run_id not in self.all_calls:
            raise NotLoaded(Wanted.CALLS, self.account.account_id, run_id)
        calls = [hold for hold in self.holds.values() if hold is not None and hold.run == run_id and hold.unsettled]
        return sorted(calls, key=lambda hold: (hold.created_at, hold.hold_id))

    def transaction(self, transaction_id: str) -> Transaction:
        seq = seq_of(transaction_id)
        transaction = self.transaction_at(seq) if 0 < seq <= self.account.seq else None
        if transaction is None or transaction.id != transaction_id:
            raise TransactionNotFound(transaction_id)
        return transaction

    def transaction_at(self, seq: int) -> Transaction | None:
        if seq not in self.transactions:
            raise NotLoaded(Wanted.TRANSACTION, self.account.account_id, seq)
        return self.transactions[seq]

    def refunds_of(self, transaction_id: str) -> list[Transaction]:
        if transaction_id not in self.refunds:
            raise NotLoaded(Wanted.REFUNDS, self.account.account_id, transaction_id)
        return self.refunds[transaction_id]

    def remembered(self, key: str) -> Remembered | None:
        if key not in self.keys:
            raise NotLoaded(Wanted.KEY, self.account.account_id, key)
        return self.keys[key]

    def member(self, name: str) -> Member | None:
        if name not in self.members:
            raise NotLoaded(Wanted.MEMBER, self.account.account_id, name)
        return self.members[name]

    def every_member(self) -> list[Member]:
        """All rows of members that the account has."""
        limits = self.limits()
        if limits is not None and limits.members and not self.all_members:
            raise NotLoaded(Wanted.MEMBERS, self.account.account_id, None)
        return [member for member in self.members.values() if member is not None]

    def limits(self, member: str | None = None) -> Limits | None:
        """The limits of the account, or of one of its members; None where it has no row of them."""
        if member not in self._limits:
            row = self.account if member is None else self.member(member)
            text = None if row is None else row.limits
            self._limits[member] = None if text is None else decode_limits(text)
        return self._limits[member]

    def next_id(self, token: str) -> str:
        """The id of the transaction that is posted next."""
        return f"tx_{self.account.seq + 1}_{token}"

    def room(self) -> Nanos:
        """How much more the account can count; what is scheduled has its room already."""
        scheduled = sum(lot.amount for lot in self.lots.values() if lot is not None and not lot.started)
        return MAX_NANOS - scheduled - max(self.account.posted, 0)

    def require_room(self, field: str, amount: Nanos) -> None:
        """Refuse what the account could not count."""
        if amount > self.room():
            raise Invalid(field, "more than an account can hold")

    # Changing

    def touch(self, touched: Touched = Touched.ALL) -> None:
        """Say that the account changed; a change of more than amounts renews its digest."""
        if touched is Touched.ALL:
            self.account.profile_digest = chain.digest_profile(self.account)
        if self.touched is None or (self.touched is Touched.AMOUNTS and touched is Touched.ALL):
            self.touched = touched

    def touch_lot(self, lot: Lot, touched: Touched = Touched.AMOUNTS) -> None:
        """Say that a lot changed. What lives and ends decides what is due next, and the order of burn-down."""
        live = lot.remaining > 0 or not lot.started
        if live is not lot.live or touched is not Touched.AMOUNTS:
            lot.live = live
            self._order = None
            self.lots[lot.lot_id] = lot
            self.plan_due()
        before = self.touched_lots.get(lot.lot_id)
        if before is None or (before is Touched.AMOUNTS and touched is Touched.ALL):
            self.touched_lots[lot.lot_id] = touched

    def born(self, lot: Lot) -> None:
        """Say that a lot is new, or starts: the next transaction records its terms and is the one it points to."""
        if lot not in self._born:
            self._born.append(lot)
        self.touch_lot(lot, Touched.ALL)

    def touch_hold(self, hold: Hold, touched: Touched = Touched.ALL) -> None:
        """Say that a hold changed, and renew its digest. AMOUNTS: it was settled, and nothing else of it changed."""
        hold.digest = chain.digest_hold(hold)
        self.holds[hold.hold_id] = hold
        before = self.touched_holds.get(hold.hold_id)
        if before is None or (before is Touched.AMOUNTS and touched is Touched.ALL):
            self.touched_holds[hold.hold_id] = touched
        self.touch(Touched.AMOUNTS)

    def count_limits(self, member: str | None) -> None:
        """Say that what the limits of the account, or of a member, have counted changed."""
        self.counted.add(member)
        self.touch(Touched.AMOUNTS)

    def break_seal(self, member: str | None) -> None:
        """Say that more of these limits changed than what they have counted."""
        limits = self._limits[member]
        assert limits is not None, "only what was read is counted in"
        limits.seal = ""

    def define_limits(self, member: str | None, limits: Limits) -> None:
        """Keep these as the limits of the account, or of a member whose row is there."""
        self._limits[member] = limits
        limits.seal = ""
        self._write_limits(member, limits)
        if member is None:
            self.touch()
        else:
            self.touch_member(self._known(member))

    def touch_member(self, member: Member, touched: Touched = Touched.ALL) -> None:
        """Say that a member's row is new or changed, and renew its digest."""
        member.digest = chain.digest_member(member)
        self.members[member.member] = member
        if self.touched_members.get(member.member) is not Touched.NEW:
            self.touched_members[member.member] = touched
        self.touch(Touched.AMOUNTS)

    def write_limits(self) -> None:
        """Put what limits have counted into their rows: once for a batch, not for each charge."""
        for member in self.counted:
            limits = self._limits[member]
            assert limits is not None, "only what was read is counted in"
            self._write_limits(member, limits)
            if member is not None and member not in self.touched_members:
                self.touched_members[member] = Touched.AMOUNTS
        self.counted.clear()

    def _write_limits(self, member: str | None, limits: Limits) -> None:
        if not limits.seal:
            limits.seal = chain.seal_limits(self.account.account_id, member, limits)
        row = self.account if member is None else self._known(member)
        row.limits = encode_limits(limits)

    def _known(self, name: str) -> Member:
        member = self.member(name)
        assert member is not None, "a member whose limits are kept has a row"
        return member

    def plan_due(self) -> None:
        """Set when something is due next: a lot that starts or ends, the plan's renewal."""
        due_at = first_due(self.account, self.lots.values())
        if due_at != self.account.due_at:
            self.account.due_at = due_at
            self.touch()

    def remember(self, command: Command, fingerprint: bytes, reference: str) -> None:
        """Keep what the command's idempotency key stands for."""
        assert command.key is not None
        row = chain.seal_key(command.account, command.key, command.verb, fingerprint, reference)
        self.keys[command.key] = row
        self.new_keys.append(row)
        if self.touched is None:
            self.touched = Touched.AMOUNTS

    def spend(self, amount: Nanos) -> None:
        """Count net consumption since the last renewal; it stops at what a column can hold."""
        self.account.spent = max(min(self.account.spent + amount, MAX_NANOS), -MAX_NANOS)

    def post(
        self,
        type_: str,
        amount: Nanos,
        entries: list[tuple[str | None, Nanos]],
        now: Instant,
        counterparty: str,
        *,
        effective_at: Instant | None = None,
        command: Command | None = None,
        skill: str | None = None,
        model: str | None = None,
        price_version: int | None = None,
        usage: str | None = None,
        provider_cost_usd: str | None = None,
        hold: str | None = None,
        refund_of: str | None = None,
        member: str | None = None,
        detail: dict[str, object] | None = None,
        description: str | None = None,
        metadata: str | None = None,
        run: str | None = None,
    ) -> Transaction:
        """Append a transaction. The lots, the debt and what is held have already changed; posted, seq and head change
        here.
        """
        account = self.account
        account.posted += amount
        account.seq = seq = account.seq + 1
        account.recorded_at = now
        if command is None:
            actor, key, salt = "bursar", None, None
            token = derived_token(account.account_id, seq)
        else:
            actor, key, salt, token = command.actor, command.key, command.salt, command.token
        if self._born:
            detail = {**(detail or {}), "lots": [terms(lot) for lot in self._born]}
            for lot in self._born:
                lot.seq = seq
            self._born.clear()
        text = None
        if key is not None or description is not None or metadata is not None:
            assert salt is not None, "text needs a salt"
            text = chain.digest_text(salt, description, metadata, key)
        else:
            salt = None
        canonical = (
            account.account_id,
            seq,
            f"tx_{seq}_{token}",
            type_,
            amount,
            account.posted,
            account.held,
            _encode(entries).decode(),
            skill,
            model,
            account.plan,
            price_version,
            usage,
            provider_cost_usd,
            actor,
            counterparty,
            hold,
            refund_of,
            member,
            None if detail is None else _encode(detail).decode(),
            now if effective_at is None else effective_at,
            now,
        )
        if run is None:
            head = chain.seal(account.head, canonical, text)
        else:
            head = chain.seal_in_run(account.head, canonical, text, run)
        account.head = head
        transaction = Transaction(*canonical, description, metadata, key, salt, text, head, run)
        self.transactions[seq] = transaction
        self.new_transactions.append(transaction)
        self.new_entries.append(entries)
        if refund_of is not None and refund_of in self.refunds:
            self.refunds[refund_of].append(transaction)
        if self.touched is None:
            self.touched = Touched.AMOUNTS
        return transaction

    def only_spent(self) -> bool:
        """Whether holds and debt are what they were when the book was made."""
        account = self.account
        return self._before == (account.held, account.debt, account.holds_opened, account.open_holds)

    def snapshot(self) -> Account:
        return self.account.copy()


def terms(lot: Lot) -> dict[str, object]:
    """What never changes of a lot, as the transaction that makes it records it."""
    return {
        "grant": lot.lot_id,
        "source": lot.source,
        "plan": lot.plan,
        "priority": lot.priority,
        "amount": lot.amount,
        "effective_at": lot.effective_at,
        "expires_at": lot.expires_at,
        "paid": lot.paid,
        "currency": lot.currency,
    }


def first_due(account: Account, lots: Iterable[Lot | None]) -> Instant | None:
    """The first moment at which a lot starts or ends or the plan renews or ends; None where nothing ever will."""
    moments = plan_moments(account)
    for lot in lots:
        if lot is None or not lot.live or lot.ended_at is not None:
            continue
        if not lot.started:
            moments.append(lot.effective_at)
        elif lot.expires_at is not None:
            moments.append(lot.expires_at)
    return min(moments, default=None)


def plan_moments(account: Account) -> list[Instant]:
    """When the plan renews, and when it ends; a closed account's does neither."""
    if account.status == AccountStatus.CLOSED:
        return []
    return [moment for moment in (account.next_reset, plan_ends_at(account)) if moment is not None]


def plan_ends_at(account: Account) -> Instant | None:
    """When another plan takes the place of this one: as somebody wished, or because its time is over."""
    return account.ends_at if account.next_plan_at is None else account.next_plan_at


def seq_of(transaction_id: str) -> int:
    """The seq that a transaction's id carries; 0 where it carries none."""
    prefix, _, rest = transaction_id.partition("_")
    seq = rest.partition("_")[0]
    return int(seq) if prefix == "tx" and seq.isascii() and seq.isdigit() and len(seq) < 19 else 0


def derived_token(account: str, seq: int) -> str:
    """The token of what nobody asked for (expiry, renewal): the same whoever does it, and whenever."""
    return sha256(f"{account}\n{seq}".encode()).hexdigest()[:20]


def burn_down_key(lot: Lot) -> tuple[int, bool, int, int, str]:
    """The order in which lots pay."""
    expires_at = lot.expires_at
    return (lot.priority, expires_at is None, expires_at or 0, lot.effective_at, lot.lot_id)
