"""What holds of a working copy at any moment, whatever history is loaded of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bursar.core import chain
from bursar.core.book import Book, first_due
from bursar.core.invariants.findings import Finding, Findings, compare, of_account, of_hold, of_lot
from bursar.core.invariants.fold import slices_of
from bursar.core.invariants.limits import MEMBER_CHECKS, limits_are_as_written
from bursar.core.model import Lot
from bursar.core.money import Nanos


def posted_is_lots_minus_debt(book: Book) -> Findings:
    """Posted is what remains of the started lots, minus debt."""
    remaining = sum(lot.remaining for lot in _lots(book) if lot.started)
    yield from compare(book.account, "posted", remaining - book.account.debt)


def held_is_what_lots_pin(book: Book) -> Findings:
    """What is held is the pinned part of the lots."""
    yield from compare(book.account, "held", sum(lot.held for lot in _lots(book)))


def due_at_is_the_first_moment(book: Book) -> Findings:
    """`due_at` is the first moment at which a lot starts or ends or the plan renews."""
    yield from compare(book.account, "due_at", first_due(book.account, _lots(book)))


def profile_is_as_written(book: Book) -> Findings:
    """The digest of the profile fits."""
    if book.account.profile_digest != chain.digest_profile(book.account):
        yield of_account(book.account, "profile_digest", "the profile was changed by hand")


def nothing_is_negative(book: Book) -> Findings:
    """No component of an account is below zero."""
    for column in ("held", "debt", "open_holds", "holds_opened", "seq"):
        value = getattr(book.account, column)
        if value < 0:
            yield of_account(book.account, column, f"is {value}, below zero")


def debt_leaves_nothing_free(book: Book) -> Findings:
    """Whatever frees credits pays debt first: who owes has nothing free."""
    free = sum(lot.free for lot in _lots(book))
    if book.account.debt > 0 and free:
        yield of_account(book.account, "debt", f"is {book.account.debt} while {free} is free")


def lots_are_sound(book: Book) -> Findings:
    """0 <= held <= remaining <= amount; live says whether anything remains or may; what ended has nothing free."""
    for lot in _lots(book):
        if not 0 <= lot.held <= lot.remaining <= lot.amount:
            yield of_lot(lot, "remaining", f"is {lot.remaining}, with {lot.held} held, of {lot.amount}")
        if lot.live is not (lot.remaining > 0 or not lot.started):
            yield of_lot(lot, "live", f"is {lot.live} with {lot.remaining} remaining")
        if not lot.started and (lot.remaining or lot.held):
            yield of_lot(lot, "started", f"is {lot.started} with {lot.remaining} remaining")
        if lot.ended_at is not None and lot.free:
            yield of_lot(lot, "ended_at", f"is {lot.ended_at} while {lot.free} is free")


def holds_are_sound(book: Book) -> Findings:
    """A hold's row is as it was written, and its lots pin its slices."""
    pinned: dict[str, Nanos] = {}
    for hold in book.holds.values():
        if hold is None:
            continue
        if hold.digest != chain.digest_hold(hold):
            yield of_hold(hold, "digest", "the hold was changed by hand")
        for lot_id, part in slices_of(hold) if hold.unsettled else ():
            pinned[lot_id] = pinned.get(lot_id, 0) + part
    for lot_id, part in pinned.items():
        lot = book.lots.get(lot_id)
        if lot is None or lot.held < part:
            yield Finding("lots", book.account.account_id, lot_id, "held", f"is less than the {part} that holds pin")


def limits_are_sound(book: Book) -> Findings:
    """Limits and members are as they were written, and no counter is below zero."""
    yield from limits_are_as_written(book.account)
    for member in book.members.values():
        for check in MEMBER_CHECKS if member is not None else ():
            yield from check(member)  # type: ignore[arg-type]


BOOK_CHECKS: Final[tuple[Callable[[Book], Findings], ...]] = (
    posted_is_lots_minus_debt,
    held_is_what_lots_pin,
    due_at_is_the_first_moment,
    profile_is_as_written,
    nothing_is_negative,
    debt_leaves_nothing_free,
    lots_are_sound,
    holds_are_sound,
    limits_are_sound,
)


def check_book(book: Book) -> list[Finding]:
    """Everything that a book breaks of what holds at any moment."""
    return [finding for check in BOOK_CHECKS for finding in check(book)]


def _lots(book: Book) -> list[Lot]:
    return [lot for lot in book.lots.values() if lot is not None]
