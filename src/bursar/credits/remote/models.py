"""What a service is asked of models and their prices."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from bursar.answers import ModelAnswer, ModelPriceAnswer, TermsAnswer
from bursar.credits import arguments
from bursar.credits.arguments import AmountIn, ComponentIn, RoundingIn
from bursar.credits.models import AsyncModels, Models, Prices
from bursar.credits.remote.answers import Rows
from bursar.credits.remote.bodies import given, model_price_body
from bursar.credits.remote.paths import model_path, named
from bursar.credits.remote.port import RemotePort


class RemoteModels(AsyncModels):
    """`AsyncModels`, over HTTP."""

    _port: RemotePort

    async def list(self) -> Models:
        return (await self._port.ask(Rows[ModelAnswer], "GET", "models")).data

    async def get(self, name: str) -> ModelAnswer:
        return await self._port.ask(ModelAnswer, "GET", model_path(name))

    async def prices(self, name: str) -> Prices:
        return (await self._port.ask(Rows[ModelPriceAnswer], "GET", f"{model_path(name)}/prices")).data

    async def add(self, name: str) -> ModelAnswer:
        named("model", name)
        return await self._port.ask(ModelAnswer, "POST", "models", body={"name": name}, repeatable=False)

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
        price = arguments.model_price_of(components, rounding, minimum, markup, valid_from, valid_to)
        return await self._set_price(name, model_price_body(price), repeatable=False)

    async def refresh(self, name: str) -> ModelAnswer:
        await self._set_price(name, {"published": True}, repeatable=True)
        return await self.get(name)

    async def terms(self) -> TermsAnswer:
        return await self._port.ask(TermsAnswer, "GET", "terms")

    async def set_terms(
        self, *, usd_per_credit: AmountIn | None = None, model_markup: AmountIn | None = None
    ) -> TermsAnswer:
        body = given(
            usd_per_credit=arguments.decimal_of("usd_per_credit", usd_per_credit),
            model_markup=arguments.decimal_of("model_markup", model_markup),
        )
        return await self._port.ask(TermsAnswer, "PATCH", "terms", body=body)

    async def _set_price(self, name: str, body: dict[str, Any], *, repeatable: bool) -> ModelPriceAnswer:
        path = f"{model_path(name)}/prices"
        return await self._port.ask(ModelPriceAnswer, "POST", path, body=body, repeatable=repeatable)

    async def _switch(self, name: str, *, active: bool) -> ModelAnswer:
        return await self._port.ask(ModelAnswer, "PATCH", model_path(name), body={"active": active})
