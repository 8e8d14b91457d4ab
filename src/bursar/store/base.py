"""What a store is: rows in, rows out, one tx at a time. No rules.

A `Store` hands out `Lane`s (one connection each, for writing) and reads. Work is a coroutine function over a `Tx`; on
SQLite it runs in the lane's own thread and never suspends, on PostgreSQL it runs on the event loop: the engine writes
it once for both.

Statements are hand-written in `sql/{sqlite,postgres}/*.sql`, one name each, the same names in both. `Tx.fetch(name,
...)` runs one by name; what the hot path needs in bulk has a method of its own.

Errors of a driver become one of these, in one place per store:

    StoreError
    ├── Contention        deadlock, serialization failure, busy: roll back and try again
    │   └── Duplicate     somebody else was faster to insert a row of that key
    ├── LockTimeout       some account is locked by somebody else for longer than we wait
    ├── CommitInDoubt     the connection went away while COMMIT was under way: it may have landed
    ├── Refused           the database does not take this data; nothing was written
    └── (core.errors.DatabaseUnavailable: not reachable; nothing was written)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from msgspec import Struct, field

from bursar.core.model import Account, Hold, Instant, Lot, Member, Remembered, Transaction
from bursar.core.tally import Tally

T = TypeVar("T")
Pair = tuple[str, str]


class StoreError(Exception):
    """A database answered with an error that the engine knows how to treat."""


class Contention(StoreError):
    """Deadlock, serialization failure or busy: nothing was written, try again."""


class Duplicate(Contention):
    """A row of that key is there already: somebody else was faster. Nothing was written, look again."""


class LockTimeout(StoreError):
    """An account is locked by somebody else for longer than we wait; nothing was written."""


class CommitInDoubt(StoreError):
    """The connection went away while COMMIT was under way: it may or may not have landed."""


class Refused(StoreError):
    """The database does not take this data; nothing was written."""


class Changes(Struct):
    """Everything one tx writes. An account, lot or hold stands in one list only."""

    new_accounts: list[Account] = field(default_factory=list)
    spent: list[Account] = field(default_factory=list)
    """Only posted, spent, seq, head, recorded_at and limits changed: what a charge does."""
    balances: list[Account] = field(default_factory=list)
    """Held, debt, open_holds or holds_opened changed as well."""
    accounts: list[Account] = field(default_factory=list)
    """Anything else changed as well."""
    new_lots: list[Lot] = field(default_factory=list)
    lots: list[Lot] = field(default_factory=list)
    """Only remaining, held and live changed."""
    ended_lots: list[Lot] = field(default_factory=list)
    """Any of remaining, held, live, started, ended_at, seq changed."""
    new_holds: list[Hold] = field(default_factory=list)
    settled_holds: list[Hold] = field(default_factory=list)
    """Only state, captured, settled_at, settled_seq, settlement and digest changed."""
    holds: list[Hold] = field(default_factory=list)
    """Anything else changed as well."""
    new_members: list[Member] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    keys: list[Remembered] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    """What the transactions add to the totals."""


class Tx(Protocol):
    """One database tx. Rows of accounts that are not there are absent from the answer, never None."""

    async def lock(self, accounts: Sequence[str]) -> list[Account]:
        """Lock and read these accounts (sorted, without duplicates) in id order."""

    async def lock_free(self, accounts: Sequence[str]) -> list[Account]:
        """Lock and read those of these accounts that nobody else has locked, without waiting for the others."""

    async def accounts(self, accounts: Sequence[str]) -> list[Account]:
        """Read these accounts without locking them."""

    async def clock(self) -> tuple[Instant, int]:
        """The database's clock (SQLite: the process's) and the catalogue's version, read now, not at the start of the
        tx.
        """

    async def live_lots(self, accounts: Sequence[str]) -> list[Lot]:
        """Lots of these accounts that are live, in any order."""

    async def due_holds(self, accounts: Sequence[str], now: Instant) -> list[Hold]:
        """Unsettled holds of these accounts with expires_at <= now."""

    async def keys(self, pairs: Sequence[Pair]) -> list[Remembered]: ...

    async def holds(self, pairs: Sequence[Pair]) -> list[Hold]: ...

    async def lots(self, pairs: Sequence[Pair]) -> list[Lot]:
        """These lots, live or not."""

    async def transactions(self, pairs: Sequence[tuple[str, int]]) -> list[Transaction]:
        """The transactions at these (account, seq)."""

    async def refunds(self, pairs: Sequence[Pair]) -> list[Transaction]:
        """All transactions whose refund_of is one of these (account, transaction id), ordered by account and seq."""

    async def members(self, pairs: Sequence[Pair]) -> list[Member]:
        """The members of these (account, member)."""

    async def write(self, changes: Changes) -> None:
        """Write everything, in bulk, and nothing but that."""

    async def fetch(self, name: str, *args: Any) -> list[tuple[Any, ...]]:
        """The rows of a named statement."""

    async def execute(self, name: str, *args: Any) -> int:
        """Run a named statement; how many rows it touched."""

    async def execute_many(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a named statement once for each row."""


Work = Callable[[Tx], Awaitable[T]]


class Lane(Protocol):
    """One connection for writing. Runs one piece of work at a time; reconnects by itself when the connection was
    lost.
    """

    async def run(self, work: Work[T]) -> T:
        """Begin, do the work, commit; roll back when it raises. Raises the errors above."""

    async def close(self) -> None: ...


class Store(Protocol):
    """One database."""

    dialect: str
    """`sqlite` or `postgres`."""
    default_lanes: int

    async def open(self) -> None:
        """Connect and check that the schema is the one this Bursar needs: DatabaseUnavailable, NotMigrated."""

    async def lane(self) -> Lane: ...

    async def read(self, work: Work[T]) -> T:
        """Do the work in a read-only tx that sees one moment; many may run at once."""

    async def write(self, work: Work[T]) -> T:
        """Do the work in a tx of its own, beside the lanes: catalogue, keys, logins."""

    async def close(self) -> None: ...
