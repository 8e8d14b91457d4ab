"""The catalogue: skills and their prices. A change holds for the very next charge, in every process."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, TypedDict

import msgspec
from fastapi import APIRouter, Response
from msgspec import Struct

from bursar.answers import PriceAnswer, SkillAnswer
from bursar.core import text
from bursar.credits.arguments import RoundingIn
from bursar.service.auth import Permission
from bursar.service.context import Here
from bursar.service.depends import Json, May, answer, answers
from bursar.service.wire import Body, segment, some_datetime

router = APIRouter(tags=["skills"])


class ComponentBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """`credits` for each `per` of `unit`."""

    unit: str
    credits: Decimal
    per: int = 1
    size: str | None = None
    quality: str | None = None
    above: int = 0


class Terms(TypedDict):
    """A price as the catalogue takes it."""

    cost: Decimal | None
    components: list[dict[str, Any]] | None
    rounding: RoundingIn
    minimum: Decimal
    markup: Decimal


class PriceBody(Body, kw_only=True):
    """A `cost` per call, or components."""

    cost: Decimal | None = None
    components: list[ComponentBody] | None = None
    rounding: RoundingIn = "1e-9"
    minimum: Decimal = Decimal(0)
    markup: Decimal = Decimal(1)

    def terms(self) -> Terms:
        parts = None
        if self.components is not None:
            parts = [msgspec.to_builtins(part, builtin_types=(Decimal,)) for part in self.components]
        return {
            "cost": self.cost,
            "components": parts,
            "rounding": self.rounding,
            "minimum": self.minimum,
            "markup": self.markup,
        }


class NewPriceBody(PriceBody, kw_only=True):
    """A price that holds at once, or from a time on."""

    valid_from: str | None = None
    valid_to: str | None = None


class SkillBody(PriceBody, kw_only=True):
    """A new skill and its first price."""

    name: str
    display_name: str | None = None
    description: str | None = None
    active: bool = True


class SkillPatch(Body, kw_only=True):
    """Change what is given; `active: false` refuses the next charge."""

    display_name: str | None = None
    description: str | None = None
    active: bool | None = None


class Skills(Struct):
    """All skills: there are few."""

    data: list[SkillAnswer]
    next_cursor: str | None = None


class Prices(Struct):
    """All versions of a price, the newest first."""

    data: list[PriceAnswer]
    next_cursor: str | None = None


def skill_name(raw: str) -> str:
    """The name in the path. Raises `Invalid`."""
    name = segment("skill", raw)
    text.check_skill("skill", name)
    return name


@router.get("/skills", **answers(Skills), dependencies=[May(Permission.READ_CATALOGUE)])
async def list_skills(
    here: Here,
) -> Response:
    """All skills."""
    return answer(Skills(await here.credits.skills.list()))


@router.post("/skills", **answers(SkillAnswer, 201, takes=SkillBody), dependencies=[May(Permission.CHANGE_CATALOGUE)])
async def add_skill(
    here: Here,
    body: Annotated[SkillBody, Json(SkillBody)],
) -> Response:
    """Add a skill."""
    skill = await here.credits.skills.add(
        body.name,
        display_name=body.display_name,
        description=body.description,
        active=body.active,
        **body.terms(),
    )
    return answer(skill, 201)


@router.get("/skills/{name}", **answers(SkillAnswer), dependencies=[May(Permission.READ_CATALOGUE)])
async def get_skill(name: str, here: Here) -> Response:
    """One skill."""
    return answer(await here.credits.skills.get(skill_name(name)))


@router.patch(
    "/skills/{name}", **answers(SkillAnswer, takes=SkillPatch), dependencies=[May(Permission.CHANGE_CATALOGUE)]
)
async def patch_skill(
    name: str,
    here: Here,
    body: Annotated[SkillPatch, Json(SkillPatch)],
) -> Response:
    """Rename, enable or disable a skill."""
    skill = await here.credits.skills.update(
        skill_name(name), display_name=body.display_name, description=body.description, active=body.active
    )
    return answer(skill)


@router.get("/skills/{name}/prices", **answers(Prices), dependencies=[May(Permission.READ_CATALOGUE)])
async def list_prices(name: str, here: Here) -> Response:
    """Every price a skill ever had."""
    return answer(Prices(await here.credits.skills.prices(skill_name(name))))


@router.post(
    "/skills/{name}/prices",
    **answers(PriceAnswer, 201, takes=NewPriceBody),
    dependencies=[May(Permission.CHANGE_CATALOGUE)],
)
async def set_price(
    name: str,
    here: Here,
    body: Annotated[NewPriceBody, Json(NewPriceBody)],
) -> Response:
    """Set a new price."""
    price = await here.credits.skills.set_price(
        skill_name(name),
        **body.terms(),
        valid_from=some_datetime("valid_from", body.valid_from),
        valid_to=some_datetime("valid_to", body.valid_to),
    )
    return answer(price, 201)
