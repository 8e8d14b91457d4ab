"""The `tokens` paths, as the document shows them: usage, code generation, code review; and what came of both.

The work is one call of the provider, made while the caller waits and charged when it has succeeded.
"""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import NAMESPACE_OID, uuid5

import msgspec
from fastapi import APIRouter, Response
from msgspec import Meta, Struct

from bursar import clock
from bursar.answers import ENCODER
from bursar.contracts import tokens
from bursar.contracts.tokens import CODE_GENERATION, CODE_REVIEW, CreditInfo, UserCredits
from bursar.core.errors import Invalid, NotFound
from bursar.core.money import to_number
from bursar.core.periods import format_millis
from bursar.service.auth import Caller, Permission
from bursar.service.context import Context, Here
from bursar.service.contracts.generation import Generated, Made, generate
from bursar.service.contracts.generation import Request as Generation
from bursar.service.contracts.users import User, user_of
from bursar.service.depends import IdempotencyKey, Json, May, answer, answers, path_name
from bursar.service.media import JSON, newest
from bursar.service.wire import Body

LONGEST_PROMPT: Final = 100_000
GENERATE: Final = "Generate the code for this project."
REVIEW: Final = "Review this code: what is wrong, what could be better."

router = APIRouter(prefix="/api", tags=["tokens"])

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Prompt = Annotated[str, Meta(min_length=1, max_length=LONGEST_PROMPT)]


class WorkNotFound(NotFound):
    """There is no such work, or it is somebody else's."""

    code = "work_not_found"


class WorkflowBody(Body, kw_only=True, rename="camel"):
    """Which project, and what is wanted of it."""

    project_id: Name
    prompt: Prompt | None = None


class ReviewBody(Body, kw_only=True, rename="camel"):
    """What is to be reviewed."""

    project_id: Name | None = None
    code: Prompt | None = None


class Usage(Struct, frozen=True):
    """What the user has."""

    success: bool
    data: UserCredits


class Started(Struct, frozen=True, rename="camel"):
    """The work is done and paid for. A project's is fetched by the project, a review by its id."""

    success: bool
    workflow_started: bool
    credit_info: CreditInfo
    review_id: str | msgspec.UnsetType = msgspec.UNSET


class Work(Struct, frozen=True, rename="camel"):
    """What came of a generation or review."""

    id: str
    project_id: str | None
    status: str
    result: str
    created_at: str


class WorkAnswer(Struct, frozen=True):
    """One piece of work."""

    success: bool
    data: Work


@router.get("/user/usage", **answers(Usage))
async def get_usage(here: Here, caller: Annotated[Caller, May(Permission.READ)], account: User = None) -> Response:
    """What is left, in credits and in tokens."""
    user = user_of(caller, Permission.READ, account)
    data = await tokens.get_user_credits(here.credits, user, tokens_per_credit=here.settings.tokens_per_credit)
    return answer(Usage(success=True, data=data))


@router.post("/projects/start-workflow", **answers(Started, takes=WorkflowBody))
async def start_workflow(
    caller: Annotated[Caller, May(Permission.GENERATE)],
    here: Here,
    key: IdempotencyKey,
    body: Annotated[WorkflowBody, Json(WorkflowBody)],
    account: User = None,
) -> Response:
    """Generate code for a project."""
    _check(body.project_id, body.prompt)
    user = user_of(caller, Permission.GENERATE, account)

    async def make(work_id: str) -> Made:
        result = await here.provider.reply(GENERATE, body.prompt or f"The project {body.project_id}")
        work = _work(work_id, body.project_id, result)
        return Made(work, (newest(_workflow_id(user, body.project_id), user, ENCODER.encode(work)),))

    content = ("workflow", body.project_id, body.prompt)
    return await _started(here, await generate(here, Generation(user, CODE_GENERATION, caller, key, content), make))


@router.get("/projects/{project}/workflow", **answers(WorkAnswer))
async def get_workflow(
    here: Here, caller: Annotated[Caller, May(Permission.READ)], project: str, account: User = None
) -> Response:
    """What came of a project's last generation."""
    user = user_of(caller, Permission.READ, account)
    return await _find(here, user, _workflow_id(user, path_name("project", project)))


@router.post("/review/generate", **answers(Started, takes=ReviewBody))
async def generate_review(
    caller: Annotated[Caller, May(Permission.GENERATE)],
    here: Here,
    key: IdempotencyKey,
    body: Annotated[ReviewBody, Json(ReviewBody)],
    account: User = None,
) -> Response:
    """Review code."""
    if body.project_id is None and body.code is None:
        raise Invalid("code", "is needed, or a projectId")
    _check(body.project_id, body.code)
    user = user_of(caller, Permission.GENERATE, account)

    async def make(work_id: str) -> Made:
        result = await here.provider.reply(REVIEW, body.code or f"The project {body.project_id}")
        return Made(_work(work_id, body.project_id, result))

    content = ("review", body.project_id, body.code)
    generated = await generate(here, Generation(user, CODE_REVIEW, caller, key, content), make)
    return await _started(here, generated, generated.shown["id"])


@router.get("/review/{review}", **answers(WorkAnswer))
async def get_review(
    here: Here, caller: Annotated[Caller, May(Permission.READ)], review: str, account: User = None
) -> Response:
    """What came of a review."""
    return await _find(here, user_of(caller, Permission.READ, account), path_name("review", review))


async def _started(here: Context, generated: Generated, review_id: str | msgspec.UnsetType = msgspec.UNSET) -> Response:
    charged, left = to_number(-generated.paid.amount), to_number(generated.left)
    spent = await tokens.make_credit_info(
        here.credits, generated.paid.account_id, charged, left, here.settings.tokens_per_credit
    )
    response = answer(
        Started(success=True, workflow_started=True, credit_info=spent, review_id=review_id),
        replayed=generated.replayed,
    )
    response.headers["X-Bursar-Provider"] = here.provider.name
    return response


async def _find(here: Context, user: str, work_id: str) -> Response:
    kept = await here.media.find(user, work_id)
    try:
        work = None if kept is None or kept.content_type != JSON else msgspec.json.decode(kept.content, type=Work)
    except msgspec.ValidationError:
        work = None  # the answer to something else
    if work is None:
        raise WorkNotFound
    return answer(WorkAnswer(success=True, data=work))


def _workflow_id(user: str, project: str) -> str:
    """Where a project's last generation is kept."""
    return str(uuid5(NAMESPACE_OID, ENCODER.encode(("workflow", user, project)).decode()))


def _work(work_id: str, project: str | None, result: str) -> dict[str, Any]:
    created_at = format_millis(clock.now())
    return {"id": work_id, "projectId": project, "status": "completed", "result": result, "createdAt": created_at}


def _check(project: str | None, prompt: str | None) -> None:
    for field, value in (("projectId", project), ("prompt", prompt)):
        if value is not None and ("\0" in value or not value.strip()):
            raise Invalid(field, "must be text, without NUL characters")
