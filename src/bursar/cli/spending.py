"""`bursar grant`, `charge`, `hold`, `capture`, `release`, `refund`, `history`."""

from __future__ import annotations

from typing import Annotated

import typer

from bursar.cli.options import (
    Account,
    Amount,
    CostUsd,
    Cursor,
    Description,
    HoldId,
    Key,
    Limit,
    Member,
    MetadataText,
    Model,
    OnExpiry,
    Overage,
    Quantity,
    Reason,
    Run,
    Skill,
    UsageText,
    object_of,
    time_of,
    usage_of,
)
from bursar.cli.session import ACTOR, Session

HISTORY_COLUMNS = ("id", "type", "amount", "posted", "what", "effective_at")


def grant(
    session: Session,
    account: Account,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Credits, exact: 100 or 0.25.", show_default=False)],
    *,
    source: Annotated[
        str, typer.Option(help="purchase, bonus, promo, referral, admin or a word of your own.")
    ] = "admin",
    priority: Annotated[int, typer.Option(help="Lower numbers pay first.")] = 100,
    effective_at: Annotated[str | None, typer.Option(metavar="TIME", help="From when on, RFC 3339.")] = None,
    expires_at: Annotated[str | None, typer.Option(metavar="TIME", help="Until when, RFC 3339.")] = None,
    paid: Annotated[str | None, typer.Option(metavar="AMOUNT", help="What was paid for it.")] = None,
    currency: Annotated[str | None, typer.Option(help="In which currency, such as USD.")] = None,
    description: Description = None,
    metadata: MetadataText = None,
    idempotency_key: Key = None,
) -> None:
    """Give credits; what the account owes is paid out of them first."""
    if (paid is None) != (currency is None):
        raise typer.BadParameter("give --paid and --currency, or neither")
    with session.ledger() as ledger:
        answer = ledger.grant(
            account,
            amount,
            source=source,
            priority=priority,
            effective_at=time_of("--effective-at", effective_at),
            expires_at=time_of("--expires-at", expires_at),
            paid=None if paid is None else {"amount": paid, "currency": currency},
            description=description,
            metadata=object_of("--metadata", metadata),
            idempotency_key=idempotency_key,
            actor=ACTOR,
        )
    session.show(answer if session.json else answer.transaction or answer.grant)


def charge(
    session: Session,
    account: Account,
    amount: Amount = None,
    *,
    skill: Skill = None,
    model: Model = None,
    usage: UsageText = None,
    quantity: Quantity = 1,
    member: Member = None,
    run: Run = None,
    provider_cost_usd: CostUsd = None,
    description: Description = None,
    metadata: MetadataText = None,
    idempotency_key: Key = None,
) -> None:
    """Take credits: an amount, or what a skill costs."""
    with session.ledger() as ledger:
        answer = ledger.charge(
            account,
            amount,
            skill=skill,
            model=model,
            usage=usage_of(usage),
            quantity=quantity,
            member=member,
            run=run,
            provider_cost_usd=provider_cost_usd,
            description=description,
            metadata=object_of("--metadata", metadata),
            idempotency_key=idempotency_key,
            actor=ACTOR,
        )
    session.show(answer)


def hold(
    session: Session,
    account: Account,
    amount: Amount = None,
    *,
    skill: Skill = None,
    model: Model = None,
    usage: UsageText = None,
    quantity: Quantity = 1,
    member: Member = None,
    run: Run = None,
    at_least: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Take less where there is less, but not below.")
    ] = None,
    ttl_seconds: Annotated[int, typer.Option(help="Until it expires, up to 86400.")] = 900,
    dispatched: Annotated[
        bool, typer.Option("--dispatched", help="The call leaves at once: expiry charges by policy.")
    ] = False,
    overage: Overage = None,
    on_expiry: OnExpiry = "capture_held",
    description: Description = None,
    metadata: MetadataText = None,
    idempotency_key: Key = None,
) -> None:
    """Set credits aside for a call, to be captured or released."""
    with session.ledger() as ledger:
        answer = ledger.place_hold(
            account,
            amount,
            skill=skill,
            model=model,
            usage=usage_of(usage),
            quantity=quantity,
            member=member,
            run=run,
            at_least=at_least,
            ttl_seconds=ttl_seconds,
            dispatched=dispatched,
            overage=overage,
            on_expiry=on_expiry,
            description=description,
            metadata=object_of("--metadata", metadata),
            idempotency_key=idempotency_key,
            actor=ACTOR,
        )
    session.show(answer)


def capture(
    session: Session,
    account: Account,
    hold: HoldId,
    amount: Amount = None,
    *,
    usage: UsageText = None,
    provider_cost_usd: CostUsd = None,
    description: Description = None,
    metadata: MetadataText = None,
    idempotency_key: Key = None,
) -> None:
    """Charge what a held call really cost: an amount, its usage, or as held."""
    with session.ledger() as ledger:
        answer = ledger.capture(
            account,
            hold,
            amount,
            usage=usage_of(usage),
            provider_cost_usd=provider_cost_usd,
            description=description,
            metadata=object_of("--metadata", metadata),
            idempotency_key=idempotency_key,
            actor=ACTOR,
        )
    session.show(answer)


def release(session: Session, account: Account, hold: HoldId) -> None:
    """End a hold with no charge."""
    with session.ledger() as ledger:
        session.show(ledger.release(account, hold, actor=ACTOR))


def refund(
    session: Session,
    account: Account,
    transaction: Annotated[
        str, typer.Argument(metavar="TRANSACTION", help="The id of the charge.", show_default=False)
    ],
    amount: Amount = None,
    *,
    reason: Reason = None,
    idempotency_key: Key = None,
) -> None:
    """Give back a charge, or part of it, to the lots that paid."""
    with session.ledger() as ledger:
        session.show(
            ledger.refund(account, transaction, amount, reason=reason, idempotency_key=idempotency_key, actor=ACTOR)
        )


def history(
    session: Session,
    account: Account,
    *,
    kind: Annotated[str | None, typer.Option("--type", help="PLAN, PURCHASE, CONSUMPTION, REFUND, ...")] = None,
    skill: Annotated[str | None, typer.Option(help="Of this skill.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Effective from this time on, RFC 3339.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Effective before this time, RFC 3339.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> None:
    """An account's transactions, newest first, a page at a time."""
    from msgspec.structs import asdict

    with session.ledger() as ledger:
        page = ledger.history(
            account,
            type=kind,
            skill=skill,
            since=time_of("--since", since),
            until=time_of("--until", until),
            limit=limit,
            cursor=cursor,
        )
    lines = [
        asdict(receipt) | {"posted": receipt.posted_after, "what": receipt.skill or receipt.description}
        for receipt in page.data
    ]
    session.show_all(lines, HISTORY_COLUMNS, page)
    if page.next_cursor is not None:
        session.say(f"more: --cursor {page.next_cursor}")
