"""The read side: statements, receipts, accounts, holds and grants, a bounded page at a time; quotes.

Reads show what is due as done. A balance computes it; where rows are listed (a statement, grants, holds) it is written
first, by the same command that a job would use. A cursor is opaque, and belongs to the list that it came from.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

from msgspec import DecodeError, Struct
from msgspec.json import Decoder, encode

from bursar import entropy
from bursar.answers import (
    AccountAnswer,
    BalanceAnswer,
    GrantAnswer,
    HoldAnswer,
    Page,
    QuoteAnswer,
    Receipt,
    Receipts,
    make_account,
    make_balance,
    make_grant,
    make_hold,
    make_quote,
)
from bursar.core import text
from bursar.core.book import Book, seq_of
from bursar.core.commands import Charge, Touch, check
from bursar.core.errors import (
    AccountNotFound,
    HoldNotFound,
    InsufficientCredits,
    Invalid,
    LimitExceeded,
    ModelNotFound,
    TransactionNotFound,
)
from bursar.core.machine import decide
from bursar.core.model import (
    Account,
    AccountStatus,
    Hold,
    HoldState,
    Instant,
    Lot,
    Transaction,
    TransactionType,
)
from bursar.core.offers import find_price
from bursar.engine import Engine
from bursar.spreadsheet import lines
from bursar.store.base import Tx

A = TypeVar("A")
R = TypeVar("R")

DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
MAX_CURSOR = 1_000

_decode_pair = Decoder(tuple[str, str | int]).decode


class Filter(Struct, frozen=True):
    """Which transactions: of a type or skill, effective from `since` and before `until`."""

    type: str | None = None
    skill: str | None = None
    since: Instant | None = None
    until: Instant | None = None

    def check(self) -> None:
        """Refuse what names nothing."""
        _check_choice("type", self.type, TransactionType)
        if self.skill is not None:
            text.check_skill("skill", self.skill)


async def find_account(engine: Engine, account: str) -> AccountAnswer:
    """One account as it stands now. Raises `AccountNotFound`."""
    return make_account((await _view(engine, account)).account)


async def balance(engine: Engine, account: str) -> BalanceAnswer:
    """What one account has now, lot by lot. Raises `AccountNotFound`."""
    return make_balance(await _view(engine, account), engine.catalog.unit)


async def list_accounts(
    engine: Engine,
    *,
    query: str | None = None,
    plan: str | None = None,
    status: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[AccountAnswer]:
    """Accounts by id; `query` is a part of an id, email or name, in any case."""
    if query is not None:
        text.check_name("query", query)
    if plan is not None:
        text.check_name("plan", plan)
    _check_choice("status", status, AccountStatus)
    after = decode_cursor("accounts", str, cursor)
    check_limit(limit)

    async def work(tx: Tx) -> tuple[list[Account], Instant]:
        rows = await tx.fetch("list_accounts", query, plan, status, after, limit + 1)
        return [Account(*row) for row in rows], (await tx.clock())[0]

    accounts, now = await engine.store.read(work)
    if engine.clock is not None:
        now = engine.clock.now()
    page, more = accounts[:limit], len(accounts) > limit
    answers = [
        await find_account(engine, row.account_id) if _may_be_due(row, now) else make_account(row) for row in page
    ]
    return Page(answers, encode_cursor("accounts", page[-1].account_id) if more else None)


async def list_transactions(
    engine: Engine,
    receipts: Receipts,
    account: str,
    wanted: Filter | None = None,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Receipt]:
    """One account's statement, newest first. Raises `AccountNotFound`."""
    wanted = wanted or Filter()
    wanted.check()
    before = decode_cursor("transactions", int, cursor)
    check_limit(limit)
    if cursor is None:
        await write_due(engine, account)
    rows = await fetch_rows(
        engine,
        account,
        "list_transactions",
        (wanted.type, wanted.skill, wanted.since, wanted.until, before, limit + 1),
        Transaction,
    )
    page = rows[:limit]
    await know_prices(engine, page)
    return Page(receipts.of_all(page), encode_cursor("transactions", page[-1].seq) if len(rows) > limit else None)


async def find_receipt(engine: Engine, receipts: Receipts, account: str, transaction: str) -> Receipt:
    """The receipt of one transaction. Raises `AccountNotFound`, `TransactionNotFound`."""
    text.check_id("account", account)
    seq = seq_of(transaction)

    async def work(tx: Tx) -> list[Transaction]:
        await require_account(tx, account)
        return await tx.transactions([(account, seq)]) if seq else []

    rows = [row for row in await engine.store.read(work) if row.id == transaction]
    if not rows:
        raise TransactionNotFound(transaction)
    await know_prices(engine, rows)
    return receipts.of(rows[0])


async def list_holds(
    engine: Engine,
    account: str,
    *,
    state: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[HoldAnswer]:
    """One account's holds, ended ones too. Raises `AccountNotFound`."""
    _check_choice("state", state, HoldState)
    after = decode_cursor("holds", str, cursor)
    check_limit(limit)
    if cursor is None:
        await write_due(engine, account)
    rows = await fetch_rows(engine, account, "list_holds", (state, after, limit + 1), Hold)
    return page_of("holds", rows, limit, make_hold, lambda hold: hold.hold_id)


async def find_hold(engine: Engine, account: str, hold: str) -> HoldAnswer:
    """One hold as it stands now. Raises `AccountNotFound`, `HoldNotFound`."""
    text.check_name("hold", hold)
    await write_due(engine, account)

    async def work(tx: Tx) -> list[Hold]:
        return await tx.holds([(account, hold)])

    rows = await engine.store.read(work)
    if not rows:
        raise HoldNotFound(hold)
    return make_hold(rows[0])


async def list_grants(
    engine: Engine, account: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[GrantAnswer]:
    """One account's grants, spent ones too. Raises `AccountNotFound`."""
    after = decode_cursor("grants", str, cursor)
    check_limit(limit)
    if cursor is None:
        await write_due(engine, account)
    rows = await fetch_rows(engine, account, "list_lots", (after, limit + 1), Lot)
    return page_of("grants", rows, limit, make_grant, lambda lot: lot.lot_id)


async def quote(engine: Engine, command: Charge) -> QuoteAnswer:
    """What this charge would cost now: it is decided on a copy that is thrown away.

    Raises what the charge would raise, but for `InsufficientCredits` and `LimitExceeded`, which are answers here.
    """
    check(command)
    try:
        return await _quote(engine, command)
    except ModelNotFound as unknown:
        if unknown.model in engine.catalog.unpublished:
            raise
        await engine.learn(unknown.model)
        return await _quote(engine, command)


async def _quote(engine: Engine, command: Charge) -> QuoteAnswer:
    book = await _view(engine, command.account)
    catalogue = await engine.catalog.newest()
    available = book.account.available
    # What is due is done in this copy: now is as good as the moment up to which it is.
    now = max(await engine.now(), book.account.recorded_at)
    try:
        transaction = decide({command.account: book}, command, now, catalogue).transaction
        assert transaction is not None
        cost = -transaction.amount
        sufficient = True
    except (InsufficientCredits, LimitExceeded) as short:
        cost, sufficient = short.required, False
    return make_quote(cost, available, find_price(command, catalogue, now), sufficient=sufficient)


STATEMENT_COLUMNS = (
    "id",
    "account",
    "seq",
    "type",
    "amount",
    "posted_after",
    "available",
    "skill",
    "model",
    "member",
    "hold",
    "refund_of",
    "description",
    "actor",
    "source",
    "destination",
    "effective_at",
    "recorded_at",
)


async def statement_csv(
    engine: Engine, receipts: Receipts, account: str, wanted: Filter | None = None, *, limit: int | None = None
) -> AsyncIterator[str]:
    """One account's transactions as CSV, newest first, a page of lines at a time: all, or at most `limit`.

    Raises `AccountNotFound`.
    """
    if limit is not None and limit < 1:
        raise Invalid("limit", "must be more than zero")
    cursor, left = None, limit
    head: Iterable[Iterable[str]] = [STATEMENT_COLUMNS]
    while True:
        size = MAX_LIMIT if left is None else min(left, MAX_LIMIT)
        page = await list_transactions(engine, receipts, account, wanted, cursor=cursor, limit=size)
        rows = ([getattr(receipt, column) for column in STATEMENT_COLUMNS] for receipt in page.data)
        yield lines([*head, *rows])
        head, cursor = [], page.next_cursor
        left = None if left is None else left - len(page.data)
        if cursor is None or left == 0:
            return


async def _view(engine: Engine, account: str) -> Book:
    text.check_id("account", account)
    return await engine.view(account)


async def write_due(engine: Engine, account: str) -> None:
    """Have what is due on the account written, if anything is. Raises `AccountNotFound`."""
    text.check_id("account", account)

    async def work(tx: Tx) -> tuple[Account, Instant, bool]:
        row = await require_account(tx, account)
        now = engine.clock.now() if engine.clock is not None else (await tx.clock())[0]
        return row, now, bool(row.open_holds and await tx.due_holds([account], now))

    row, now, holds_due = await engine.store.read(work)
    if holds_due or (row.due_at is not None and row.due_at <= now):
        token, salt = entropy.identity()
        await engine.execute(Touch(account=account, token=token, salt=salt))


async def fetch_rows(
    engine: Engine, account: str, query: str, args: tuple[Any, ...], row_type: Callable[..., R]
) -> list[R]:
    """The rows of a named statement about one account. Raises `AccountNotFound`."""

    async def work(tx: Tx) -> list[R]:
        rows = await tx.fetch(query, account, *args)
        if not rows:
            await require_account(tx, account)
        return [row_type(*row) for row in rows]

    text.check_id("account", account)
    return await engine.store.read(work)


async def require_account(tx: Tx, account: str) -> Account:
    """The account's row. Raises `AccountNotFound`."""
    rows = await tx.accounts([account])
    if not rows:
        raise AccountNotFound(account)
    return rows[0]


async def know_prices(engine: Engine, transactions: Iterable[Transaction]) -> None:
    """Load the catalogue if another process has made a price that one of these names."""
    prices = engine.catalog.current.prices
    if any(t.price_version is not None and (t.skill, t.price_version) not in prices for t in transactions):
        await engine.catalog.newest()


def _may_be_due(account: Account, now: Instant) -> bool:
    return bool(account.open_holds) or (account.due_at is not None and account.due_at <= now)


def page_of(name: str, rows: list[R], limit: int, make: Callable[[R], A], key: Callable[[R], str]) -> Page[A]:
    """One row more than the limit was asked for: it says whether there is a next page."""
    page = rows[:limit]
    return Page([make(row) for row in page], encode_cursor(name, key(page[-1])) if len(rows) > limit else None)


def check_limit(limit: int) -> None:
    """How many rows a page may have."""
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise Invalid("limit", f"must be a whole number from 1 to {MAX_LIMIT}")


def _check_choice(field: str, value: str | None, choices: Iterable[str]) -> None:
    if value is not None and value not in list(choices):
        raise Invalid(field, f"must be one of {', '.join(choices)}")


def encode_cursor(name: str, last: str | int) -> str:
    """The cursor behind the row of that id or seq."""
    return urlsafe_b64encode(encode((name, last))).decode().rstrip("=")


def decode_cursor(name: str, kind: type[A], cursor: str | None) -> A | None:
    """What the last row of the page before was called: an id, or a seq."""
    if cursor is None:
        return None
    try:
        if len(cursor) > MAX_CURSOR:
            raise ValueError
        found, last = _decode_pair(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if isinstance(last, str):
            text.check_id("cursor", last)
        elif not 0 < last < 2**63:
            raise ValueError
    except (ValueError, TypeError, DecodeError, Invalid):
        found = last = ""
    if found != name or not isinstance(last, kind):
        raise Invalid("cursor", "is none that this list gave")
    return last
