"""What the handlers work with: made once, by `app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from bursar.answers import Receipts
from bursar.credits import AsyncCredits
from bursar.engine import Engine
from bursar.service.attempts import Attempts
from bursar.service.auth import Authenticator
from bursar.service.identity.people import People
from bursar.service.identity.provider import Provider as IdentityProvider
from bursar.service.keys import Keys
from bursar.service.logins import Logins
from bursar.service.media import Media
from bursar.service.metrics import Metrics
from bursar.service.providers.base import Provider
from bursar.service.tokens import Secrets, Tokens
from bursar.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that is open while the service runs."""

    settings: Settings
    credits: AsyncCredits
    engine: Engine
    receipts: Receipts
    keys: Keys
    secrets: Secrets
    tokens: Tokens
    authenticator: Authenticator
    logins: Logins
    attempts: Attempts
    providers: dict[str, IdentityProvider]
    """Of sign-in, by name."""
    people: People
    media: Media
    provider: Provider
    metrics: Metrics


def find_context(request: Request) -> Context:
    """What the app that answers this request works with."""
    context: Context = request.app.state.context
    return context


Here = Annotated[Context, Depends(find_context)]
"""The context of this request's app."""
