"""What happened on an account: transactions, holds and grants, as lists and one by one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from bursar.answers import GrantAnswer, HoldAnswer, Page, Receipt
from bursar.core.model import HoldState, TransactionType
from bursar.reports import Filter, statement_csv
from bursar.reports import list_transactions as list_page
from bursar.service.auth import Permission
from bursar.service.context import Here
from bursar.service.depends import AccountId, Cursor, Limit, May, answer, answer_csv, answers, path_name, query_text
from bursar.service.wire import some_instant

router = APIRouter(tags=["accounts"])

Since = Annotated[str | None, Query(description="From this time on")]
Until = Annotated[str | None, Query(description="Before this time")]


@router.get("/accounts/{account}/transactions.csv", **answers(str), dependencies=[May(Permission.READ)])
async def list_transactions_csv(
    account: AccountId,
    here: Here,
    type: TransactionType | None = None,
    skill: str | None = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int | None, Query(ge=1, description="At most so many; else all")] = None,
) -> Response:
    """The history as CSV, newest first."""
    wanted = Filter(type, query_text("skill", skill), some_instant("since", since), some_instant("until", until))
    pages = statement_csv(here.engine, here.receipts, account, wanted, limit=limit)
    return await answer_csv("transactions.csv", pages)


@router.get("/accounts/{account}/transactions", **answers(Page[Receipt]), dependencies=[May(Permission.READ)])
async def list_transactions(
    account: AccountId,
    here: Here,
    cursor: Cursor,
    type: TransactionType | None = None,
    skill: str | None = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
) -> Response:
    """The history, newest first."""
    wanted = Filter(type, query_text("skill", skill), some_instant("since", since), some_instant("until", until))
    return answer(await list_page(here.engine, here.receipts, account, wanted, cursor=cursor, limit=limit))


@router.get("/accounts/{account}/transactions/{transaction}", **answers(Receipt), dependencies=[May(Permission.READ)])
async def get_transaction(account: AccountId, transaction: str, here: Here) -> Response:
    """One receipt."""
    return answer(await here.credits.receipt(account, path_name("transaction", transaction)))


@router.get("/accounts/{account}/holds", **answers(Page[HoldAnswer]), dependencies=[May(Permission.READ)])
async def list_holds(
    account: AccountId,
    here: Here,
    cursor: Cursor,
    state: HoldState | None = None,
    limit: Limit = 100,
) -> Response:
    """Holds."""
    return answer(await here.credits.holds(account, state=state, cursor=cursor, limit=limit))


@router.get("/accounts/{account}/holds/{hold}", **answers(HoldAnswer), dependencies=[May(Permission.READ)])
async def get_hold(account: AccountId, hold: str, here: Here) -> Response:
    """One hold."""
    return answer(await here.credits.get_hold(account, path_name("hold", hold)))


@router.get("/accounts/{account}/grants", **answers(Page[GrantAnswer]), dependencies=[May(Permission.READ)])
async def list_grants(
    account: AccountId,
    here: Here,
    cursor: Cursor,
    limit: Limit = 100,
) -> Response:
    """Grants and what is left of them."""
    return answer(await here.credits.grants(account, cursor=cursor, limit=limit))
