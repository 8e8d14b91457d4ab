"""Whose credits a published path is about."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from bursar.core import text
from bursar.core.errors import Invalid
from bursar.service.auth import Caller, Permission, require

User = Annotated[str | None, Query(alias="account", description="Whose, for keys that are bound to no account")]


def user_of(caller: Caller, permission: Permission, account: str | None) -> str:
    """Whose credits: the caller's own, or those that a key without an account names."""
    if caller.account is None and account is None:
        raise Invalid("account", "is needed in the query: this key is bound to no account")
    user = account or caller.account or ""
    text.check_id("account", user)
    require(caller, permission, user)
    return user
