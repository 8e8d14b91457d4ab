"""Members: who may spend from an account that is somebody else's.

An account to which nobody was ever added takes any name for a member: it is a label. Once somebody was added, only
members may spend in a member's name, and that stays so when the last of them is removed. Whoever was removed may not
spend in any case. A charge that names no member is the account's own.
"""

from __future__ import annotations

from msgspec.structs import replace

from bursar.core.book import Book, Outcome, Touched
from bursar.core.commands import AddMember, RemoveMember
from bursar.core.errors import AccountClosed, MemberDenied, MemberNotFound
from bursar.core.model import AccountStatus, Catalogue, Instant, Limits, Member, MemberStatus


def require_member(book: Book, name: str) -> None:
    """Refuse who may not spend."""
    limits = book.limits()
    if limits is None or not limits.members:
        return
    member = book.member(name)
    status = MemberStatus.NAMED if member is None else member.status
    if status == MemberStatus.REMOVED or (limits.listed and status != MemberStatus.ADDED):
        raise MemberDenied(name)


def add_member(book: Book, command: AddMember, now: Instant, catalogue: Catalogue) -> Outcome:
    """Let a member spend. Again: a replay."""
    if book.account.status == AccountStatus.CLOSED:
        raise AccountClosed(book.account.account_id)
    known = book.member(command.member)
    replayed = known is not None and known.status == MemberStatus.ADDED
    member = named_member(book, command.member, now)
    if not replayed:
        member.status = MemberStatus.ADDED
        book.touch_member(member)
        book.define_limits(None, replace(book.limits() or Limits(), listed=True))
    return Outcome("add_member", replayed=replayed, member=member.copy())


def remove_member(book: Book, command: RemoveMember, now: Instant, catalogue: Catalogue) -> Outcome:
    """Let a member spend no more. Again: a replay. Its limits stay, and count on should it come back."""
    member = find_member(book, command.member)
    replayed = member.status == MemberStatus.REMOVED
    if not replayed:
        member.status = MemberStatus.REMOVED
        book.touch_member(member)
    return Outcome("remove_member", replayed=replayed, member=member.copy())


def find_member(book: Book, name: str) -> Member:
    """The member's row. Raises `MemberNotFound`."""
    member = book.member(name)
    if member is None:
        raise MemberNotFound(name)
    return member


def named_member(book: Book, name: str, now: Instant) -> Member:
    """The member's row; a new one says no more than its name."""
    member = book.member(name)
    if member is None:
        member = Member(book.account.account_id, name, MemberStatus.NAMED, now, None, b"")
        book.touch_member(member, Touched.NEW)
        kept = book.limits() or Limits()
        book.define_limits(None, replace(kept, members=kept.members + 1))
    return member
