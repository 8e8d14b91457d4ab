"""The `ai-credits` paths, as the document shows them: balance, stats, reset, both generations, the pictures, and the
history.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Response
from msgspec import Meta, Struct

from bursar import entropy
from bursar.answers import Number, Receipt
from bursar.contracts import ai_credits
from bursar.contracts.ai_credits import IMAGE_GENERATION, TEXT_GENERATION
from bursar.core import text
from bursar.core.errors import Invalid
from bursar.core.model import Usage
from bursar.core.money import to_number
from bursar.core.periods import format_millis, from_datetime
from bursar.service.auth import Caller, Permission, Role
from bursar.service.context import Context, Here
from bursar.service.contracts.generation import Generated, Made, generate
from bursar.service.contracts.generation import Request as Generation
from bursar.service.contracts.users import User, user_of
from bursar.service.depends import Cursor, IdempotencyKey, Json, Limit, May, answer, answers
from bursar.service.media import picture
from bursar.service.problems import Forbidden
from bursar.service.providers.base import Measured
from bursar.service.wire import Body, segment

LONGEST_PROMPT: Final = 4_000
BY_MODEL: Final = "usd"
"""The preset under which a generation is priced by its model."""

CACHE: Final = "private, max-age=31536000, immutable"

router = APIRouter(prefix="/api", tags=["ai-credits"])

logger = logging.getLogger("bursar.ai_credits")

Prompt = Annotated[str, Meta(min_length=1, max_length=LONGEST_PROMPT)]
Side = Annotated[int, Meta(ge=64, le=2_048)]


class TextBody(Body, kw_only=True):
    """Three variants of one text."""

    prompt: Prompt
    tone: Annotated[str, Meta(min_length=1, max_length=50)]
    length: Literal["short", "medium", "long"]


class ImageBody(Body, kw_only=True):
    """One picture of that size, in pixels."""

    prompt: Prompt
    width: Side
    height: Side


class TextAnswer(Struct, frozen=True):
    """The three texts."""

    variants: list[str]
    generation_id: str
    credits_remaining: Number


class ImageAnswer(Struct, frozen=True):
    """Where the picture is."""

    status: str
    generation_id: str
    image_id: str
    image_url: str
    credits_remaining: Number


class Event(Struct, frozen=True):
    """One line of the history; `amount` is negative where credits were spent."""

    id: str
    type: str
    amount: Number
    balance: Number
    description: str | None
    created_at: str


class History(Struct, frozen=True):
    """The newest first."""

    data: list[Event]
    next_cursor: str | None


@router.get("/ai/credits", **answers(ai_credits.Balance))
async def get_credits(here: Here, caller: Annotated[Caller, May(Permission.READ)], account: User = None) -> Response:
    """What is left."""
    return answer(await ai_credits.get_balance(here.credits, user_of(caller, Permission.READ, account)))


@router.get("/ai/credits/stats", **answers(ai_credits.Stats))
async def get_stats(here: Here, caller: Annotated[Caller, May(Permission.READ)], account: User = None) -> Response:
    """What was used."""
    return answer(await ai_credits.get_stats(here.credits, user_of(caller, Permission.READ, account)))


@router.get("/ai/credits/history", **answers(History))
async def get_history(
    here: Here,
    caller: Annotated[Caller, May(Permission.READ)],
    cursor: Cursor,
    account: User = None,
    limit: Limit = 100,
) -> Response:
    """What happened."""
    user = user_of(caller, Permission.READ, account)
    page = await here.credits.history(user, cursor=cursor, limit=limit)
    return answer(History([_event(receipt) for receipt in page.data], page.next_cursor))


@router.patch("/ai/credits/reset", **answers(ai_credits.Reset))
async def reset_credits(
    here: Here, caller: Annotated[Caller, May(Permission.GENERATE)], account: User = None
) -> Response:
    """Start the month afresh (testing)."""
    user = user_of(caller, Permission.GENERATE, account)
    if caller.role is not Role.ADMIN and not here.settings.dev:
        raise Forbidden("Credits are reset by an administrator, or by anyone where BURSAR_DEV=1.")
    return answer(await ai_credits.reset(here.credits, user, caller.actor))


@router.post("/ai/generate-text", **answers(TextAnswer, 201, takes=TextBody))
async def generate_text(
    caller: Annotated[Caller, May(Permission.GENERATE)],
    here: Here,
    key: IdempotencyKey,
    body: Annotated[TextBody, Json(TextBody)],
    account: User = None,
) -> Response:
    """Three texts."""
    _check_prompt(body.prompt)
    text.check_name("tone", body.tone)
    user = user_of(caller, Permission.GENERATE, account)

    call = here.provider.text_call(body.prompt, body.tone, body.length) if is_by_model(here) else None
    measuring: dict[str, Any] = {} if call is None else {"measured": Measured()}

    async def make(generation_id: str) -> Made:
        variants = await here.provider.write(body.prompt, body.tone, body.length, **measuring)
        return Made({"variants": variants, "generation_id": generation_id}, usage=_usage(measuring))

    content = ("text", body.prompt, body.tone, body.length)
    generated = await generate(here, Generation(user, TEXT_GENERATION, caller, key, content, call), make)
    if not generated.replayed:
        _log_deduction(user, TEXT_GENERATION, generated)
        generation_id = generated.shown["generation_id"]
        line = ai_credits.text_completed_line(generation_id, generated.left)
        logger.info("%s", line, extra={"user": user, "generation": generation_id})
    return _generated(here, generated)


@router.post("/ai/generate-image", **answers(ImageAnswer, 201, takes=ImageBody))
async def generate_image(
    caller: Annotated[Caller, May(Permission.GENERATE)],
    here: Here,
    key: IdempotencyKey,
    body: Annotated[ImageBody, Json(ImageBody)],
    account: User = None,
) -> Response:
    """One picture."""
    _check_prompt(body.prompt)
    user = user_of(caller, Permission.GENERATE, account)

    call = here.provider.picture_call(body.prompt, body.width, body.height) if is_by_model(here) else None
    measuring: dict[str, Any] = {} if call is None else {"measured": Measured()}

    async def make(generation_id: str) -> Made:
        content = await here.provider.draw(body.prompt, body.width, body.height, **measuring)
        media_id = entropy.unique_id()
        shown = {
            "status": "completed",
            "generation_id": generation_id,
            "image_id": media_id,
            "image_url": f"/api/media/{media_id}",
        }
        return Made(shown, (picture(media_id, user, content),), _usage(measuring))

    content = ("image", body.prompt, body.width, body.height)
    generated = await generate(here, Generation(user, IMAGE_GENERATION, caller, key, content, call), make)
    if not generated.replayed:
        _log_deduction(user, IMAGE_GENERATION, generated)
        ids = generated.shown["generation_id"], generated.shown["image_id"]
        line = ai_credits.image_completed_line(*ids, generated.left)
        logger.info("%s", line, extra={"user": user, "generation": ids[0], "media": ids[1]})
    return _generated(here, generated)


@router.get("/media/{media}", response_class=Response)
async def get_media(
    caller: Annotated[Caller, May(Permission.READ)], media: str, here: Here, account: User = None
) -> Response:
    """A picture, to its owner."""
    user = user_of(caller, Permission.READ, account)
    found = await here.media.get_picture(user, segment("media", media))
    headers = {"Cache-Control": CACHE, "X-Content-Type-Options": "nosniff"}
    return Response(found.content, media_type=found.content_type, headers=headers)


def is_by_model(here: Context) -> bool:
    """Whether a generation costs what its model takes, not what a skill does."""
    return here.credits.catalog.preset == BY_MODEL


def _usage(measuring: dict[str, Any]) -> Usage | None:
    measured: Measured | None = measuring.get("measured")
    return None if measured is None else measured.usage


def _log_deduction(user: str, skill: str, generated: Generated) -> None:
    facts = {"user": user, "skill": skill, "transaction": generated.paid.id}
    line = ai_credits.deducted_line(user, skill, -generated.paid.amount, generated.left)
    logger.info("%s", line, extra=facts)


def _check_prompt(prompt: str) -> None:
    if not prompt.strip():
        raise Invalid("prompt", "must not be blank")
    if "\0" in prompt:
        raise Invalid("prompt", "must not contain NUL characters")


def _generated(here: Context, generated: Generated) -> Response:
    body = {**generated.shown, "credits_remaining": to_number(generated.left)}
    response = answer(body, 201, replayed=generated.replayed)
    response.headers["X-Bursar-Provider"] = here.provider.name
    return response


def _event(receipt: Receipt) -> Event:
    created_at: datetime = receipt.recorded_at
    return Event(
        receipt.id,
        receipt.type,
        receipt.amount,
        receipt.available,
        receipt.description,
        format_millis(from_datetime(created_at)),
    )
