"""What holds of members, and of limits and what they have counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import DecodeError

from bursar.core import chain
from bursar.core.invariants.findings import Finding, Findings, of_account, of_member
from bursar.core.invariants.fold import Fold
from bursar.core.limits import Owner
from bursar.core.model import Account, Limits, Member, decode_limits


def member_is_as_written(member: Member) -> Findings:
    """The digest of the row fits."""
    if member.digest != chain.digest_member(member):
        yield of_member(member, "digest", "the member was changed by hand")


def members_limits_are_as_written(member: Member) -> Findings:
    """Its limits and their windows are as they were written, and no counter is below zero."""
    for message in _wrong_of(member.account_id, member.member, member.limits):
        yield of_member(member, "limits", message)


def limits_are_as_written(account: Account) -> Findings:
    """The account's limits and their windows are as they were written, and no counter is below zero."""
    for message in _wrong_of(account.account_id, None, account.limits):
        yield of_account(account, "limits", message)


def _wrong_of(account: str, owner: Owner, text: str | None) -> list[str]:
    if text is None:
        return []
    limits = read_limits(text)
    if limits is None:
        return ["are no limits"]
    wrong = [] if limits.seal == chain.seal_limits(account, owner, limits) else ["were changed by hand"]
    below = [limit.limit_id for limit in limits.limits if limit.spent < 0 or limit.held < 0]
    return wrong + [f"{limit_id} has counted less than nothing" for limit_id in below]


def read_limits(text: str | None) -> Limits | None:
    """The limits of a row; None where there are none, or the text is broken."""
    if text is None:
        return None
    try:
        return decode_limits(text)
    except DecodeError:
        return None


def limits_counted_what_was_spent(account: Account, fold: Fold) -> Findings:
    """What limits have counted is what transactions and holds of their windows come to."""
    for owner, counted in fold.counted.items():
        for limit, spent, held in zip(counted.limits, counted.spent, counted.held, strict=True):
            for what, found, expected in (("spent", limit.spent, spent), ("held", limit.held, held)):
                if found != expected:
                    message = f"{limit.limit_id} counted {found} {what}, transactions and holds say {expected}"
                    table, row = ("accounts", None) if owner is None else ("members", owner)
                    yield Finding(table, account.account_id, row, "limits", message)


def members_are_counted(account: Account, fold: Fold) -> Findings:
    """The account knows how many rows of members it has."""
    limits = read_limits(account.limits)
    known = 0 if limits is None else limits.members
    if fold.members != known:
        message = f"there are {fold.members}, the account knows of {known}"
        yield Finding("members", account.account_id, None, None, message)


MEMBER_CHECKS: Final[tuple[Callable[[Member], Findings], ...]] = (
    member_is_as_written,
    members_limits_are_as_written,
)

LIMIT_CHECKS: Final[tuple[Callable[[Account, Fold], Findings], ...]] = (
    limits_counted_what_was_spent,
    members_are_counted,
)
