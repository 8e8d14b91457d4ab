"""Every request that is one ledger command: its path, who may, what it takes and how it is answered."""

from __future__ import annotations

from typing import Final, TypeVar

from bursar.answers import (
    AccountAnswer,
    GrantReceipt,
    HoldAnswer,
    Receipt,
    Receipts,
    TransferReceipt,
    make_account,
    make_grant,
    make_hold,
)
from bursar.core.book import Outcome
from bursar.service.api.bodies import (
    AdjustBody,
    CaptureBody,
    ChargeBody,
    DispatchBody,
    ExtendBody,
    GrantBody,
    HoldBody,
    OpenBody,
    RefundBody,
    ReleaseBody,
    TransferBody,
    VoidBody,
)
from bursar.service.auth import Permission
from bursar.service.hot import Verb

Made = TypeVar("Made")


def show_receipt(outcome: Outcome, receipts: Receipts) -> Receipt:
    """The transaction, explained."""
    return receipts.of(_made(outcome.transaction))


def show_hold(outcome: Outcome, _: Receipts) -> HoldAnswer:
    """The hold as it is now."""
    return make_hold(_made(outcome.hold))


def show_account(outcome: Outcome, _: Receipts) -> AccountAnswer:
    """The account as it is now."""
    return make_account(_made(outcome.account))


def show_grant(outcome: Outcome, receipts: Receipts) -> GrantReceipt:
    """The grant and its transaction."""
    transaction = outcome.transaction
    return GrantReceipt(make_grant(_made(outcome.lot)), None if transaction is None else receipts.of(transaction))


def show_transfer(outcome: Outcome, receipts: Receipts) -> TransferReceipt:
    """Both sides."""
    received = None if outcome.other is None else receipts.of(outcome.other)
    return TransferReceipt(receipts.of(_made(outcome.transaction)), received)


def _made(made: Made | None) -> Made:
    """What a command always makes."""
    if made is None:
        raise RuntimeError("the outcome lacks what its command makes")
    return made


VERBS: Final[tuple[Verb, ...]] = (
    Verb(
        path="accounts",
        name="open",
        summary="Open an account with its plan's first allowance; one that is there is answered as it is",
        permission=Permission.OPEN,
        body=OpenBody,
        show=show_account,
        answer=AccountAnswer,
        status_again=200,
    ),
    Verb(
        path="accounts/{account}/charges",
        name="charge",
        summary="Take credits with no hold before it",
        permission=Permission.SPEND,
        body=ChargeBody,
        show=show_receipt,
        answer=Receipt,
    ),
    Verb(
        path="accounts/{account}/holds",
        name="hold",
        summary="Set credits aside for a call in flight",
        permission=Permission.SPEND,
        body=HoldBody,
        show=show_hold,
        answer=HoldAnswer,
    ),
    Verb(
        path="accounts/{account}/holds/{hold}/dispatch",
        name="dispatch",
        summary="The call left: from now on expiry charges by policy",
        permission=Permission.SPEND,
        body=DispatchBody,
        show=show_hold,
        answer=HoldAnswer,
        status=200,
    ),
    Verb(
        path="accounts/{account}/holds/{hold}/extend",
        name="extend",
        summary="More amount or time for a hold; needs an idempotency key",
        permission=Permission.SPEND,
        body=ExtendBody,
        show=show_hold,
        answer=HoldAnswer,
        status=200,
    ),
    Verb(
        path="accounts/{account}/holds/{hold}/capture",
        name="capture",
        summary="Charge the real cost; the rest returns to the lots it came from",
        permission=Permission.SPEND,
        body=CaptureBody,
        show=show_receipt,
        answer=Receipt,
    ),
    Verb(
        path="accounts/{account}/holds/{hold}/release",
        name="release",
        summary="End a hold with no charge",
        permission=Permission.SPEND,
        body=ReleaseBody,
        show=show_hold,
        answer=HoldAnswer,
        status=200,
    ),
    Verb(
        path="accounts/{account}/grants",
        name="grant",
        summary="Give credits",
        permission=Permission.GIVE,
        body=GrantBody,
        show=show_grant,
        answer=GrantReceipt,
    ),
    Verb(
        path="accounts/{account}/grants/{grant}/void",
        name="void",
        summary="End a grant early; what was spent of it stays spent",
        permission=Permission.ADMINISTER,
        body=VoidBody,
        show=show_grant,
        answer=GrantReceipt,
        status=200,
    ),
    Verb(
        path="accounts/{account}/transactions/{transaction}/refund",
        name="refund",
        summary="Give back all or part of a charge, to the lots that paid; a part needs an idempotency key",
        permission=Permission.GIVE,
        body=RefundBody,
        show=show_receipt,
        answer=Receipt,
    ),
    Verb(
        path="accounts/{account}/adjustments",
        name="adjust",
        summary="Correct what is available, with a reason",
        permission=Permission.ADMINISTER,
        body=AdjustBody,
        show=show_receipt,
        answer=Receipt,
    ),
    Verb(
        path="transfers",
        name="transfer",
        summary="Move credits to another account, with the expiry they had",
        permission=Permission.ADMINISTER,
        body=TransferBody,
        show=show_transfer,
        answer=TransferReceipt,
    ),
)
