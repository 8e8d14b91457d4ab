"""What a command did, as a service told it: the answers themselves, where an engine has the ledger's rows."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from bursar.answers import AccountAnswer, GrantAnswer, HoldAnswer, LimitAnswer, MemberAnswer, Receipt, RunAnswer
from bursar.core.book import Outcome


class Told(Struct, frozen=True):
    """The fields of an `Outcome` that answers are made of."""

    replayed: bool = False
    account: AccountAnswer | None = None
    transaction: Receipt | None = None
    hold: HoldAnswer | None = None
    lot: GrantAnswer | None = None
    other: Receipt | None = None
    limit: LimitAnswer | None = None
    member: MemberAnswer | None = None
    run: RunAnswer | None = None


Done: TypeAlias = Outcome | Told
"""What a port brings back."""
