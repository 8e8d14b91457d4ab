"""The published contracts, mounted from one table: whose paths they are, and how a refusal looks there.

All of them are mounted at once, whatever the preset. A path that belongs to none of them alone (signing in) or
to two (the generations of `ai-credits` and `usd`) refuses in the shape of the contract with whose preset the ledger
began.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from msgspec import Struct

from bursar.contracts.tokens import Refused as TokensRefused
from bursar.service.contracts import ai_credits, oidc, session, sign_in, tokens
from bursar.service.contracts.shapes import (
    ErrorOnly,
    Named,
    Refuse,
    StatusMessage,
    ai_credits_refusal,
    api_calls_refusal,
    skills_refusal,
    tokens_refusal,
    usd_refusal,
)


class Contract(Struct, frozen=True):
    """One published system. `name` is its preset's."""

    name: str
    refuse: Refuse
    shape: type[Struct]
    routers: tuple[APIRouter, ...] = ()
    paths: tuple[str, ...] = ()


AI_CREDITS: Final = Contract(
    "ai-credits", ai_credits_refusal, StatusMessage, (ai_credits.router,), ("/api/ai/", "/api/media/")
)

CONTRACTS: Final = (
    AI_CREDITS,
    Contract("skills", skills_refusal, ErrorOnly),
    Contract("api-calls", api_calls_refusal, ErrorOnly),
    Contract(
        "tokens", tokens_refusal, TokensRefused, (tokens.router,), ("/api/user/", "/api/projects/", "/api/review/")
    ),
    Contract("usd", usd_refusal, Named, paths=AI_CREDITS.paths),
)

SIGNING_IN: Final = (sign_in.router, session.router, oidc.router)
SIGNING_IN_PATH: Final = "/api/auth/"

_BY_NAME: Final = {contract.name: contract for contract in CONTRACTS}


def contract_of(preset: str | None) -> Contract:
    """The contract whose preset a ledger began with; a preset of one's own has the default one's shapes."""
    return _BY_NAME.get(preset or "", AI_CREDITS)


def find_contract(path: str, preset: str | None) -> Contract | None:
    """Whose path this is; None: of no contract."""
    if path.startswith(SIGNING_IN_PATH):
        return contract_of(preset)
    first = contract_of(preset)
    return next((contract for contract in (first, *CONTRACTS) if path.startswith(contract.paths)), None)
