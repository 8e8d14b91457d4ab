"""Models and their prices, and how dollars become credits. A change holds for the very next call, in every process."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec
from fastapi import APIRouter, Response
from msgspec import Struct

from bursar.answers import ModelAnswer, ModelPriceAnswer, TermsAnswer
from bursar.credits.arguments import RoundingIn
from bursar.service.auth import Permission
from bursar.service.context import Here
from bursar.service.depends import Json, May, answer, answers, path_name
from bursar.service.wire import Body, some_datetime

router = APIRouter(tags=["models"])


class ModelComponentBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """US dollars (`usd`) or `credits` for each `per` of `unit`, where the prompt has more than `above` tokens."""

    unit: str
    usd: Decimal | None = None
    credits: Decimal | None = None
    per: int = 1
    size: str | None = None
    quality: str | None = None
    above: int = 0


class ModelBody(Body, kw_only=True):
    """A model to know at its published price."""

    name: str


class ModelPatch(Body, kw_only=True):
    """`active: false` refuses the next call."""

    active: bool


class ModelPriceBody(Body, kw_only=True):
    """Components, or the price that is `published` now."""

    components: list[ModelComponentBody] | None = None
    published: bool = False
    rounding: RoundingIn = "1e-9"
    minimum: Decimal = Decimal(0)
    markup: Decimal = Decimal(1)
    valid_from: str | None = None
    valid_to: str | None = None


class TermsBody(Body, kw_only=True):
    """Change what is given."""

    usd_per_credit: Decimal | None = None
    model_markup: Decimal | None = None


class Models(Struct):
    """All models that the catalogue knows."""

    data: list[ModelAnswer]
    next_cursor: str | None = None


class ModelPrices(Struct):
    """All versions of a price, the newest first."""

    data: list[ModelPriceAnswer]
    next_cursor: str | None = None


@router.get("/models", **answers(Models), dependencies=[May(Permission.READ_CATALOGUE)])
async def list_models(here: Here) -> Response:
    """All models that were named or priced."""
    return answer(Models(await here.credits.models.list()))


@router.post("/models", **answers(ModelAnswer, 201, takes=ModelBody), dependencies=[May(Permission.CHANGE_CATALOGUE)])
async def add_model(here: Here, body: Annotated[ModelBody, Json(ModelBody)]) -> Response:
    """Add a model at its published price."""
    return answer(await here.credits.models.add(body.name), 201)


@router.get("/models/{name}/prices", **answers(ModelPrices), dependencies=[May(Permission.READ_CATALOGUE)])
async def list_model_prices(name: str, here: Here) -> Response:
    """Every price a model ever had."""
    return answer(ModelPrices(await here.credits.models.prices(path_name("model", name))))


@router.post(
    "/models/{name}/prices",
    **answers(ModelPriceAnswer, 201, takes=ModelPriceBody),
    dependencies=[May(Permission.CHANGE_CATALOGUE)],
)
async def set_model_price(name: str, here: Here, body: Annotated[ModelPriceBody, Json(ModelPriceBody)]) -> Response:
    """Set a price of your own, or the published one again."""
    model = path_name("model", name)
    if body.published:
        return answer((await here.credits.models.refresh(model)).price, 201)
    price = await here.credits.models.set_price(
        model,
        [_given(component) for component in body.components or ()],
        rounding=body.rounding,
        minimum=body.minimum,
        markup=body.markup,
        valid_from=some_datetime("valid_from", body.valid_from),
        valid_to=some_datetime("valid_to", body.valid_to),
    )
    return answer(price, 201)


@router.get("/models/{name}", **answers(ModelAnswer), dependencies=[May(Permission.READ_CATALOGUE)])
async def get_model(name: str, here: Here) -> Response:
    """One model."""
    return answer(await here.credits.models.get(path_name("model", name)))


@router.patch(
    "/models/{name}", **answers(ModelAnswer, takes=ModelPatch), dependencies=[May(Permission.CHANGE_CATALOGUE)]
)
async def patch_model(name: str, here: Here, body: Annotated[ModelPatch, Json(ModelPatch)]) -> Response:
    """Enable or disable a model."""
    model = path_name("model", name)
    models = here.credits.models
    return answer(await (models.enable(model) if body.active else models.disable(model)))


@router.get("/terms", **answers(TermsAnswer), dependencies=[May(Permission.READ_CATALOGUE)])
async def get_terms(here: Here) -> Response:
    """How prices in US dollars become credits."""
    return answer(await here.credits.models.terms())


@router.patch("/terms", **answers(TermsAnswer, takes=TermsBody), dependencies=[May(Permission.CHANGE_CATALOGUE)])
async def patch_terms(here: Here, body: Annotated[TermsBody, Json(TermsBody)]) -> Response:
    """Change what a credit is worth, or the markup on what providers take."""
    terms = await here.credits.models.set_terms(usd_per_credit=body.usd_per_credit, model_markup=body.model_markup)
    return answer(terms)


def _given(component: ModelComponentBody) -> dict[str, object]:
    """What the component says: an amount that it does not name is not one of nothing."""
    fields = msgspec.to_builtins(component, builtin_types=(Decimal,))
    return {name: value for name, value in fields.items() if value is not None}
