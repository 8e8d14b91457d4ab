"""A ledger full of accounts that are rich enough for any load, and its audit afterwards.

The audit takes nobody's word: each acknowledged transaction must be in the ledger once, nothing else may be there,
every account's seq must run without gaps, its hash chain and its posted amounts must add up, and no hold may be left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from bursar import clock
from bursar.catalog import Catalog, Preset, make_skill
from bursar.core.chain import rehash
from bursar.core.commands import Command, Grant, OpenAccount, SetLimit
from bursar.core.errors import BursarError
from bursar.core.model import Account, Component, Plan, Transaction
from bursar.core.money import NANOS
from bursar.core.pricing import make_price
from bursar.engine import Engine
from bursar.store.base import Store, Tx
from bursar.store.migrate import migrate
from bursar.store.url import open_store

SKILL = "TEXT_GENERATION"
PLAN = Plan("free", "Free", 100 * NANOS)
CREDITS = 1_000_000_000
"""What each account is granted: more than any load spends."""

PAGE = 5_000

Acknowledged = dict[str, list[str]]
"""The ids of the transactions that callers were told of, by account."""


class Ledger:
    """A bench's own ledger, open."""

    def __init__(self, url: str, store: Store, engine: Engine, accounts: list[str]) -> None:
        self.url = url
        self.store = store
        self.engine = engine
        self.accounts = accounts
        self.acknowledged: Acknowledged = {account: [] for account in accounts}
        self._before: dict[str, Account] = {}

    async def do_all(self, commands: Iterable[Command]) -> None:
        """Execute all of these; raises the first refusal."""
        for result in await self.engine.execute_many(commands):
            if isinstance(result, BursarError):
                raise result

    async def begin(self) -> None:
        """Remember how everything stands; what the callers are told of from now on is audited."""
        self._before = {account.account_id: account async for account in scan_accounts(self.store)}
        for told in self.acknowledged.values():
            told.clear()

    async def audit(self) -> int:
        """How many things are not as the callers were told. See the module."""
        mismatches = 0
        async for account in scan_accounts(self.store):
            before = self._before.pop(account.account_id, None)
            if before is None:
                mismatches += 1
                continue
            rows = [row async for row in scan_transactions(self.store, account.account_id, before.seq)]
            mismatches += compare_account(before, account, rows, self.acknowledged[account.account_id])
        return mismatches + len(self._before)


def compare_account(before: Account, after: Account, rows: list[Transaction], told: list[str]) -> int:
    """How many things are wrong with one account, given its transactions since `before`."""
    wrong = (Counter(row.id for row in rows) - Counter(told)).total()
    wrong += (Counter(told) - Counter(row.id for row in rows)).total()
    posted, head = before.posted, before.head
    for seq, row in enumerate(rows, before.seq + 1):
        posted += row.amount
        wrong += row.seq != seq
        wrong += row.posted_after != posted
        wrong += row.hash != rehash(head, row)
        head = row.hash
    wrong += (after.posted, after.seq, after.head) != (posted, before.seq + len(rows), head)
    return wrong + (after.held != 0)


async def scan_accounts(store: Store) -> AsyncIterator[Account]:
    """Every account, a page at a time."""
    last = ""
    while rows := await _page(store, "scan_accounts", last):
        for row in rows:
            yield Account(*row)
        last = rows[-1][0]


async def scan_transactions(store: Store, account: str, seq: int) -> AsyncIterator[Transaction]:
    """One account's transactions after a seq."""
    while rows := await _page(store, "scan_transactions", account, seq):
        for row in rows:
            yield Transaction(*row)
        if len(rows) < PAGE:
            return
        seq = rows[-1][1]


async def _page(store: Store, query: str, *after: Any) -> list[tuple[Any, ...]]:
    async def work(tx: Tx) -> list[tuple[Any, ...]]:
        return await tx.fetch(query, *after, PAGE)

    return await store.read(work)


def _opening(account: str) -> OpenAccount:
    return OpenAccount(account=account, plan=PLAN.name)


def _limit(account: str) -> SetLimit:
    """More than any load spends, but counted."""
    return SetLimit(account=account, limit="daily", window="day", amount=CREDITS * NANOS)


@asynccontextmanager
async def open_ledger(url: str, accounts: int) -> AsyncIterator[Ledger]:
    """A new ledger with as many accounts: each has a plan's allowance, a purchase, so two transactions, and a limit."""
    migrate(url)
    store = open_store(url)
    await store.open()
    try:
        catalog = Catalog(store)
        now = clock.now()
        skill = make_skill(SKILL, make_price(SKILL, 1, (Component("call", NANOS),), created_at=now))
        await catalog.seed(Preset("bench", default_plan=PLAN.name, plans=(PLAN,), skills=(skill,)), now)
        engine = Engine(store, catalog)
        await engine.start()
        try:
            names = [f"user-{number:06d}" for number in range(accounts)]
            ledger = Ledger(url, store, engine, names)
            await ledger.do_all(command for name in names for command in (_opening(name), _limit(name)))
            await ledger.do_all(Grant(account=name, amount=CREDITS * NANOS, source="purchase") for name in names)
            yield ledger
        finally:
            await engine.close()
    finally:
        await store.close()
