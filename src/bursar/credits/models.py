"""The face of models and their prices: `credits.models`. A change holds for the very next call, in every process."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from bursar import models
from bursar.answers import ModelAnswer, ModelPriceAnswer, TermsAnswer, make_model, make_model_price
from bursar.core.model import Catalogue, Instant
from bursar.credits import arguments
from bursar.credits.arguments import AmountIn, ComponentIn, RoundingIn
from bursar.credits.face import Face
from bursar.credits.runtime import Runtime
from bursar.pricebook import model_versions

Models = list[ModelAnswer]
Prices = list[ModelPriceAnswer]


class AsyncModels(Face):
    """What calls of a provider's model cost.

    A model that is first named by a charge, hold or quote is priced as its provider publishes it, times the
    catalogue's `model_markup`, divided by its `usd_per_credit`; one that nobody publishes is refused by name, unless
    the model `*` has a price.
    """

    async def list(self) -> Models:
        """The models that the catalogue knows, in order of name, disabled ones too."""
        catalogue, now = await self._port.run(_look)
        return [make_model(model, now) for _, model in sorted(catalogue.models.items())]

    async def get(self, name: str) -> ModelAnswer:
        """One model with the price that holds now. Raises `ModelNotFound`."""
        catalogue, now = await self._port.run(_look)
        return make_model(models.find_entry(catalogue, name), now)

    async def prices(self, name: str) -> Prices:
        """Every version of a model's price, newest first, those to come as well. Raises `ModelNotFound`."""
        catalogue, _ = await self._port.run(_look)
        models.find_entry(catalogue, name)
        return [make_model_price(price) for price in reversed(model_versions(catalogue, name))]

    async def add(self, name: str) -> ModelAnswer:
        """A new model at its published price. Raises `AlreadyExists`, `ModelNotFound`, `Invalid`."""

        async def work(runtime: Runtime) -> ModelAnswer:
            now = await runtime.engine.now()
            return make_model(await models.add(runtime.catalog, name, now), now)

        return await self._port.run(work)

    async def set_price(
        self,
        name: str,
        components: Iterable[ComponentIn],
        *,
        rounding: RoundingIn = "1e-9",
        minimum: AmountIn = 0,
        markup: AmountIn = 1,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
    ) -> ModelPriceAnswer:
        """A price of your own for a model, new or known; `*` is the model that stands for those that nobody knows.

        Components are in US dollars, `{"unit": "input_token", "usd": "2.5", "per": 1_000_000}`, to which the
        catalogue's terms apply, or in credits, `{"unit": "output_token", "credits": 2, "per": 1000}`, times `markup`.
        What is measured and has no component is refused. From when until when: as for a skill.

        Raises `Invalid`, and `ModelNotFound` for a model that has no price before or after that time.
        """
        price = arguments.model_price_of(components, rounding, minimum, markup, valid_from, valid_to)

        async def work(runtime: Runtime) -> ModelPriceAnswer:
            return make_model_price(await models.set_price(runtime.catalog, name, price, await runtime.engine.now()))

        return await self._port.run(work)

    async def refresh(self, name: str) -> ModelAnswer:
        """What is published now, instead of what was set or learned before. Raises `ModelNotFound`, `Invalid`."""

        async def work(runtime: Runtime) -> ModelAnswer:
            now = await runtime.engine.now()
            return make_model(await models.refresh(runtime.catalog, name, now), now)

        return await self._port.run(work)

    async def enable(self, name: str) -> ModelAnswer:
        """Allow it again. Raises `ModelNotFound`."""
        return await self._switch(name, active=True)

    async def disable(self, name: str) -> ModelAnswer:
        """Refuse the very next call; what is in flight may settle. Raises `ModelNotFound`, `Invalid`."""
        return await self._switch(name, active=False)

    async def terms(self) -> TermsAnswer:
        """What a credit is worth, and the markup on what providers take."""
        return await self._port.run(_terms)

    async def set_terms(
        self, *, usd_per_credit: AmountIn | None = None, model_markup: AmountIn | None = None
    ) -> TermsAnswer:
        """Change what is given; it holds for the very next call, and a hold keeps what it was quoted.

        Raises `Invalid`.
        """
        worth = arguments.decimal_of("usd_per_credit", usd_per_credit)
        markup = arguments.decimal_of("model_markup", model_markup)

        async def work(runtime: Runtime) -> TermsAnswer:
            now = await runtime.engine.now()
            await models.set_terms(runtime.catalog, now, usd_per_credit=worth, markup=markup)
            return await _terms(runtime)

        return await self._port.run(work)

    async def _switch(self, name: str, *, active: bool) -> ModelAnswer:
        async def work(runtime: Runtime) -> ModelAnswer:
            now = await runtime.engine.now()
            return make_model(await models.switch(runtime.catalog, name, now, active=active), now)

        return await self._port.run(work)


async def _look(runtime: Runtime) -> tuple[Catalogue, Instant]:
    return await runtime.catalog.newest(), await runtime.engine.now()


async def _terms(runtime: Runtime) -> TermsAnswer:
    terms = await models.terms(runtime.catalog)
    return TermsAnswer(terms.usd_per_credit, terms.markup)
