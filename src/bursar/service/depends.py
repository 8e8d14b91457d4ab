"""What FastAPI's handlers ask for: who may call, the ids of the path, the body as a Struct; and how they answer.

@router.get("/accounts/{account}/balance", **answers(BalanceAnswer), dependencies=[May(Permission.READ)])
async def get_balance(account: AccountId, here: Here) -> Response:
return answer(await here.credits.balance(account))
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from msgspec import Struct

from bursar.answers import ENCODER
from bursar.core import text
from bursar.service.auth import Caller, Permission, require
from bursar.service.context import find_context
from bursar.service.hot import idempotency_key
from bursar.service.openapi import content, request_body
from bursar.service.wire import JSON, REPLAYED, B, decode_body, header, read_body, segment

MAX_LIMIT: Final = 1_000


class Allowed:
    """Lets the callers pass who may; what it returns is the caller."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: Request) -> Caller:
        context = find_context(request)
        caller = await context.authenticator.identify(self.authorization(request))
        account = request.path_params.get("account")
        require(caller, self.permission, account and segment("account", account))
        return caller

    def authorization(self, request: Request) -> bytes | None:
        """What the caller shows."""
        return header(request.scope, b"authorization")


def May(permission: Permission) -> Any:  # noqa: N802 - reads as what it is in a signature
    """The dependency that a route declares: whoever may not is refused before anything else is looked at."""
    return Depends(Allowed(permission))


class Decoded:
    """Reads the body into its Struct."""

    def __init__(self, body: type[Struct]) -> None:
        self.body = body

    async def __call__(self, request: Request) -> Struct:
        limit_bytes = find_context(request).settings.body_limit_bytes
        return decode_body(await read_body(request.scope, request.receive, limit_bytes), self.body)


def Json(body: type[B]) -> Any:  # noqa: N802 - see May
    """The dependency that a body is."""
    return Depends(Decoded(body))


def _account_id(account: Annotated[str, Path(description="The account's id, percent-encoded")]) -> str:
    account = segment("account", account)
    text.check_id("account", account)
    return account


AccountId = Annotated[str, Depends(_account_id)]


def path_name(field: str, raw: str) -> str:
    """Another id of the path. Raises `Invalid`."""
    name = segment(field, raw)
    text.check_name(field, name)
    return name


def _cursor(cursor: Annotated[str | None, Query(description="`next_cursor` of the page before")] = None) -> str | None:
    return query_text("cursor", cursor)


def query_text(field: str, value: str | None) -> str | None:
    """Text from the query, which may hold anything. Raises `Invalid`."""
    if value is not None:
        text.check_name(field, value)
    return value


Cursor = Annotated[str | None, Depends(_cursor)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]


def _key(request: Request, _shown: Annotated[str | None, Header(alias="Idempotency-Key")] = None) -> str | None:
    key = idempotency_key(header(request.scope, b"idempotency-key"), None)
    if key is not None:
        text.check_key("idempotency_key", key)
    return key


IdempotencyKey = Annotated[str | None, Depends(_key)]


def one_key(from_header: str | None, from_body: str | None) -> str | None:
    """The key of a request, which may stand in either place. Raises `Invalid` where it makes no sense."""
    if from_body is not None:
        text.check_key("idempotency_key", from_body)
    return idempotency_key(None if from_header is None else from_header.encode(), from_body)


def answer(value: object, status: int = 200, *, replayed: bool = False) -> Response:
    """An answer as JSON: amounts exact, times RFC 3339."""
    response = Response(ENCODER.encode(value), status, media_type=JSON.decode())
    if replayed:
        response.headers[REPLAYED[0].decode()] = REPLAYED[1].decode()
    return response


async def answer_csv(name: str, pages: AsyncIterator[str]) -> Response:
    """A file of CSV. Its first page is read before the answer begins: what is refused is refused with its status."""
    first = await anext(pages)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_chain(first, pages), media_type="text/csv; charset=utf-8", headers=headers)


async def _chain(first: str, pages: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for page in pages:
        yield page


def answers(shape: Any, status: int = 200, *, takes: type[Struct] | None = None) -> dict[str, Any]:
    """What a route's decorator says of it, for the documentation: FastAPI looks at neither body nor answer."""
    described: dict[str, Any] = {
        "status_code": status,
        "response_model": None,
        "response_class": Response,
        "responses": {status: {"description": "Done", "content": content(shape)}},
    }
    if takes is not None:
        described["openapi_extra"] = {"requestBody": request_body(takes)}
    return described
