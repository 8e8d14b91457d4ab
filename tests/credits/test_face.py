"""The asynchronous face, verb by verb."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bursar.answers import Receipt
from bursar.catalog import Preset
from bursar.core.commands import Charge
from bursar.core.errors import (
    AccountClosed,
    AccountFrozen,
    AccountNotFound,
    BursarError,
    GrantNotFound,
    IdempotencyConflict,
    InsufficientCredits,
    Invalid,
    NotMigrated,
    NotRefundable,
    PlanNotFound,
    RefundExceedsCharge,
    SkillDisabled,
    SkillNotFound,
    TransactionNotFound,
)
from bursar.core.model import Plan, Usage
from bursar.credits import AsyncCredits
from bursar.credits.runtime import Opening
from bursar.store.base import Store
from tests.credits.conftest import Clock, on_one_database

FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)


# Accounts


async def test_a_new_account_gets_the_presets_default_plan(credits: AsyncCredits) -> None:
    account = await credits.open_account("alice", email="alice@example.com", name="Alice", metadata={"team": 7})
    assert (account.plan, account.posted, account.available, account.held, account.debt) == ("free", 100, 100, 0, 0)
    assert (account.email, account.name, account.metadata) == ("alice@example.com", "Alice", {"team": 7})
    assert account.next_reset == FEBRUARY
    assert account == await credits.account("alice")


async def test_opening_again_changes_nothing(credits: AsyncCredits) -> None:
    first = await credits.open_account("alice", plan="pro")
    await credits.charge("alice", 10)
    again = await credits.open_account("alice", plan="team", name="Somebody else")
    assert (again.plan, again.name, again.posted) == ("pro", None, 490)
    assert again.created_at == first.created_at


async def test_an_account_may_have_no_plan(credits: AsyncCredits) -> None:
    account = await credits.open_account("alice", plan=None)
    assert (account.plan, account.posted, account.next_reset) == (None, 0, None)


async def test_an_unknown_plan_is_refused(credits: AsyncCredits) -> None:
    with pytest.raises(PlanNotFound):
        await credits.open_account("alice", plan="gold")
    with pytest.raises(AccountNotFound):
        await credits.account("alice")


async def test_updating_changes_only_what_is_given(credits: AsyncCredits) -> None:
    await credits.open_account("alice", email="a@example.com", name="Alice")
    account = await credits.update_account("alice", name="Alicia", metadata={"a": 1})
    assert (account.email, account.name, account.metadata) == ("a@example.com", "Alicia", {"a": 1})
    account = await credits.update_account("alice", email="")
    assert (account.email, account.name) == (None, "Alicia")


async def test_a_frozen_account_spends_nothing_until_it_is_unfrozen(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    assert (await credits.freeze("alice", reason="odd")).status == "frozen"
    with pytest.raises(AccountFrozen):
        await credits.charge("alice", 1)
    assert (await credits.unfreeze("alice")).status == "active"
    assert (await credits.charge("alice", 1)).available == 99


async def test_a_closed_account_stays_closed(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    assert (await credits.close_account("alice")).status == "closed"
    with pytest.raises(AccountClosed):
        await credits.unfreeze("alice")
    with pytest.raises(AccountClosed):
        await credits.grant("alice", 5)


async def test_renewing_starts_the_allowance_afresh_and_leaves_what_was_bought(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    await credits.grant("alice", 50, source="purchase")
    await credits.charge("alice", 30)
    first = await credits.renew("alice", idempotency_key="reset-1")
    again = await credits.renew("alice", idempotency_key="reset-1")
    assert (first.posted, first.next_reset) == (150, FEBRUARY)
    assert again == first


# Charges


async def test_a_charge_answers_with_the_whole_receipt(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    receipt = await credits.charge(
        "alice",
        skill="TEXT_GENERATION",
        usage=Usage(output_tokens=12),
        model="gpt-x",
        member="bob",
        provider_cost_usd="0.002",
        description="A poem",
        metadata={"about": "the sea"},
    )
    assert (receipt.account, receipt.seq, receipt.type, receipt.amount) == ("alice", 2, "CONSUMPTION", -1)
    assert (receipt.posted_before, receipt.posted_after, receipt.available) == (100, 99, 99)
    assert (receipt.skill, receipt.model, receipt.member) == ("TEXT_GENERATION", "gpt-x", "bob")
    assert receipt.price is not None
    assert (receipt.price.version, receipt.price.rule) == (1, "1 per call")
    assert receipt.usage == Usage(output_tokens=12)
    assert [slice_.amount for slice_ in receipt.lots] == [-1]
    assert (receipt.description, receipt.metadata, receipt.provider_cost_usd) == (
        "A poem",
        {"about": "the sea"},
        "0.002",
    )
    assert (receipt.source, receipt.destination) == ("account:alice", "skill:TEXT_GENERATION")
    assert receipt.effective_at == datetime(2026, 1, 10, 12, tzinfo=UTC)
    assert len(receipt.hash) == 64
    assert receipt == await credits.receipt("alice", receipt.id)


async def test_who_asked_is_recorded(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    assert (await credits.charge("alice", 1, actor="app")).actor == "app"
    (receipt,) = await credits.charge_many([{"account": "alice", "amount": 1}], actor="batch")
    assert isinstance(receipt, Receipt)
    assert receipt.actor == "batch"


async def test_a_charge_on_an_unknown_account_is_refused(credits: AsyncCredits) -> None:
    with pytest.raises(AccountNotFound) as refusal:
        await credits.charge("nobody", 1)
    assert refusal.value.account == "nobody"


async def test_too_little_is_refused_and_changes_nothing(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    with pytest.raises(InsufficientCredits, match=r"needs 100\.5 credits; 100 are available"):
        await credits.charge("alice", "100.5")
    assert (await credits.balance("alice")).available == 100


async def test_amounts_are_exact(credits: AsyncCredits) -> None:
    await credits.open_account("alice", plan=None)
    await credits.grant("alice", "0.3")
    await credits.charge("alice", Decimal("0.1"))
    receipt = await credits.charge("alice", "0.199999999")
    assert receipt.posted_after == Decimal("0.000000001")


@on_one_database
@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": 0.5}, "amount"),
        ({"amount": Decimal("NaN")}, "amount"),
        ({"amount": "1e999999999"}, "amount"),
        ({"amount": "0.0000000001"}, "amount"),
        ({"amount": "99999999999999999999"}, "amount"),
        ({"amount": True}, "amount"),
        ({}, "skill"),
        ({"skill": "lower"}, "skill"),
        ({"skill": "TEXT_GENERATION", "amount": 1}, "amount"),
        ({"skill": "TEXT_GENERATION", "quantity": 0}, "quantity"),
        ({"skill": "TEXT_GENERATION", "usage": {"input_token": 1}}, "input_token"),
        ({"skill": "TEXT_GENERATION", "usage": {"input_tokens": "many"}}, "usage"),
        ({"skill": "TEXT_GENERATION", "usage": {"input_tokens": -1}}, "usage.input_tokens"),
        ({"amount": 1, "metadata": {"at": object()}}, "metadata"),
        ({"amount": 1, "metadata": {"text": "\ud800"}}, "metadata"),
        ({"amount": 1, "metadata": ["no mapping"]}, "metadata"),
        ({"amount": 1, "description": "\0"}, "description"),
        ({"amount": 1, "idempotency_key": ""}, "idempotency_key"),
        ({"amount": 1, "provider_cost_usd": -1}, "provider_cost_usd"),
        ({"amount": 1, "provider_cost_usd": Decimal("1e400")}, "provider_cost_usd"),
        ({"amount": 1, "member": "a/b"}, "member"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(
    credits: AsyncCredits, arguments: dict[str, Any], field: str
) -> None:
    await credits.open_account("alice")
    with pytest.raises(Invalid) as refusal:
        await credits.charge("alice", **arguments)
    assert field in refusal.value.field
    assert (await credits.account("alice")).posted == 100


async def test_usage_may_be_a_mapping_with_numbers(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    await credits.skills.add(
        "SPEECH", components=[{"unit": "second", "credits": "0.1"}, {"unit": "page", "credits": 2}]
    )
    receipt = await credits.charge("alice", skill="SPEECH", usage={"seconds": Decimal("2.5"), "custom": {"page": 3}})
    assert receipt.amount == Decimal("-6.25")
    assert receipt.usage == Usage(seconds="2.5", custom={"page": "3"})


async def test_the_same_key_answers_as_the_first_time(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    first = await credits.charge("alice", 1, idempotency_key="req-1", metadata={"a": 1})
    assert await credits.charge("alice", 1, idempotency_key="req-1", metadata={"a": 1}) == first
    with pytest.raises(IdempotencyConflict):
        await credits.charge("alice", 2, idempotency_key="req-1", metadata={"a": 1})
    assert (await credits.account("alice")).posted == 99


async def test_many_charges_fail_or_succeed_each_by_itself(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    results = await credits.charge_many(
        [
            {"account": "alice", "amount": 60, "metadata": {"n": 1}},
            {"account": "nobody", "amount": 1},
            {"account": "alice", "amount": "1e999999999"},
            {"account": "alice", "amont": 5},
            {"amount": 5},
            {"account": "alice", "amount": 60},
            Charge(account="alice", skill="IMAGE_GENERATION"),
            {"account": "alice", "skill": "TEXT_GENERATION", "idempotency_key": "k"},
            {"account": "alice", "skill": "TEXT_GENERATION", "idempotency_key": "k"},
            cast("dict[str, object]", "no mapping"),
        ]
    )
    assert [r.amount if isinstance(r, Receipt) else r.code for r in results] == [
        -60,
        "account_not_found",
        "invalid",
        "invalid",
        "invalid",
        "insufficient_credits",
        -5,
        -1,
        -1,
        "invalid",
    ]
    assert results[7] == results[8]
    assert "did you mean amount?" in str(results[3])
    assert (await credits.account("alice")).posted == 34


async def test_nothing_to_charge_is_nothing(credits: AsyncCredits) -> None:
    assert await credits.charge_many([]) == []


# Quotes


async def test_a_quote_is_the_charges_cost_and_changes_nothing(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    quote = await credits.quote("alice", skill="IMAGE_GENERATION", quantity=3)
    assert (quote.credits, quote.sufficient, quote.available) == (15, True, 100)
    assert (quote.price_version, quote.rule) == (1, "5 per call")
    assert (await credits.account("alice")).posted == 100
    assert (await credits.charge("alice", skill="IMAGE_GENERATION", quantity=3)).amount == -15


async def test_a_quote_says_when_there_is_too_little(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    quote = await credits.quote("alice", "100.5")
    assert (quote.credits, quote.sufficient, quote.available) == (Decimal("100.5"), False, 100)
    assert (quote.price_version, quote.rule) == (None, None)


async def test_a_quote_refuses_what_the_charge_would_refuse(credits: AsyncCredits) -> None:
    with pytest.raises(AccountNotFound):
        await credits.quote("alice", 1)
    await credits.open_account("alice")
    with pytest.raises(SkillNotFound):
        await credits.quote("alice", skill="NOTHING")
    await credits.skills.disable("TEXT_GENERATION")
    with pytest.raises(SkillDisabled):
        await credits.quote("alice", skill="TEXT_GENERATION")


async def test_a_quote_counts_what_is_due(credits: AsyncCredits, clock: Clock) -> None:
    await credits.open_account("alice")
    await credits.charge("alice", 100)
    clock.set("2026-02-03T00:00:00Z")
    assert (await credits.quote("alice", 70)).sufficient


# Giving


async def test_a_grant_is_answered_with_its_terms_and_its_transaction(credits: AsyncCredits) -> None:
    await credits.open_account("alice", plan=None)
    march = datetime(2026, 3, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    given = await credits.grant(
        "alice",
        "12.5",
        source="purchase",
        priority=7,
        expires_at=march,
        paid={"amount": "9.99", "currency": "USD"},
        description="A pack",
    )
    grant, transaction = given.grant, given.transaction
    assert (grant.source, grant.priority, grant.amount, grant.remaining) == (
        "purchase",
        7,
        Decimal("12.5"),
        Decimal("12.5"),
    )
    assert grant.expires_at == datetime(2026, 3, 1, tzinfo=UTC)
    assert grant.paid is not None
    assert (grant.paid.amount, grant.paid.currency) == ("9.99", "USD")
    assert transaction is not None
    assert (transaction.type, transaction.amount, transaction.source) == ("PURCHASE", Decimal("12.5"), "world:purchase")
    assert transaction.description == "A pack"
    assert [slice_.grant_id for slice_ in transaction.lots] == [grant.id]
    assert transaction.detail is not None
    (terms,) = transaction.detail["lots"]
    assert (terms["amount"], terms["expires_at"], terms["paid"]) == (Decimal("12.5"), grant.expires_at, "9.99")


async def test_a_grant_that_starts_later_counts_from_then_on(credits: AsyncCredits, clock: Clock) -> None:
    await credits.open_account("alice", plan=None)
    given = await credits.grant("alice", 5, effective_at=datetime(2026, 1, 20, tzinfo=UTC))
    assert given.transaction is not None
    assert (given.transaction.amount, given.grant.started) == (0, False)
    assert (await credits.balance("alice")).lots == []
    clock.set("2026-01-20T00:00:00Z")
    assert [lot.remaining for lot in (await credits.balance("alice")).lots] == [5]


@on_one_database
async def test_a_naive_datetime_is_refused(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    with pytest.raises(Invalid, match="expires_at"):
        await credits.grant("alice", 5, expires_at=datetime(2026, 3, 1))  # noqa: DTZ001 - that is the point


@on_one_database
@pytest.mark.parametrize("paid", [{"amount": 5}, {"amount": 5, "currency": "USD", "tax": 1}, 5, {"currency": "USD"}])
async def test_a_price_needs_an_amount_and_a_currency(credits: AsyncCredits, paid: Any) -> None:
    await credits.open_account("alice")
    with pytest.raises(Invalid):
        await credits.grant("alice", 5, paid=paid)


async def test_a_void_ends_what_is_left_of_a_grant(credits: AsyncCredits) -> None:
    await credits.open_account("alice", plan=None)
    given = await credits.grant("alice", 10)
    await credits.charge("alice", 4)
    ended = await credits.void("alice", given.grant.id, reason="a mistake")
    assert ended.transaction is not None
    assert (ended.transaction.type, ended.transaction.amount) == ("VOID", -6)
    assert (ended.grant.remaining, ended.grant.voided_at) == (0, datetime(2026, 1, 10, 12, tzinfo=UTC))
    assert (await credits.void("alice", given.grant.id)).transaction is None
    with pytest.raises(GrantNotFound):
        await credits.void("alice", "g_none")


async def test_a_refund_gives_back_to_the_lots_that_paid(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    charged = await credits.charge("alice", 10)
    part = await credits.refund("alice", charged.id, 4, reason="half of it was wrong")
    assert (part.type, part.amount, part.refund_of, part.description) == (
        "REFUND",
        4,
        charged.id,
        "half of it was wrong",
    )
    assert (await credits.refund("alice", charged.id)).amount == 6
    with pytest.raises(RefundExceedsCharge):
        await credits.refund("alice", charged.id, 1)
    with pytest.raises(NotRefundable):
        await credits.refund("alice", part.id)
    with pytest.raises(TransactionNotFound):
        await credits.refund("alice", "tx_9_nothing")


async def test_an_adjustment_sets_or_changes_what_is_available(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    assert (await credits.adjust("alice", to=40, reason="audit")).amount == -60
    assert (await credits.adjust("alice", by="-0.5", reason="audit")).available == Decimal("39.5")
    assert (await credits.adjust("alice", by=1, reason="audit")).available == Decimal("40.5")
    with pytest.raises(Invalid):
        await credits.adjust("alice", to=1, by=1, reason="audit")


async def test_a_transfer_is_two_receipts(credits: AsyncCredits) -> None:
    await credits.open_account("alice", plan=None)
    await credits.open_account("bob", plan=None)
    await credits.grant("alice", 10)
    moved = await credits.transfer("alice", "bob", 4, description="thanks", idempotency_key="t-1")
    assert moved.received is not None
    assert (moved.sent.type, moved.sent.amount, moved.sent.destination) == ("TRANSFER_OUT", -4, "account:bob")
    assert (moved.received.type, moved.received.amount, moved.received.source) == ("TRANSFER_IN", 4, "account:alice")
    assert (await credits.transfer("alice", "bob", 4, description="thanks", idempotency_key="t-1")).sent == moved.sent
    assert (await credits.account("bob")).available == 4


# Holds, placed by hand


async def test_a_hold_lives_from_placing_to_capture(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    hold = await credits.place_hold("alice", 10, ttl_seconds=60, description="a call", metadata={"n": 1})
    assert (hold.state, hold.amount, hold.captured, hold.on_expiry) == ("open", 10, 0, "capture_held")
    assert hold.expires_at == datetime(2026, 1, 10, 12, 1, tzinfo=UTC)
    assert [slice_.amount for slice_ in hold.slices] == [10]
    assert (await credits.dispatch("alice", hold.id, measured=3)).measured == 3
    extended = await credits.extend("alice", hold.id, 5, ttl_seconds=120)
    assert (extended.amount, extended.expires_at) == (15, datetime(2026, 1, 10, 12, 2, tzinfo=UTC))
    receipt = await credits.capture("alice", hold.id, 7)
    assert (receipt.amount, receipt.hold, receipt.available, receipt.description) == (-7, hold.id, 93, "a call")
    assert (await credits.get_hold("alice", hold.id)).state == "captured"


async def test_a_released_hold_costs_nothing(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    hold = await credits.place_hold("alice", 10, dispatched=True)
    assert hold.state == "dispatched"
    assert (await credits.release("alice", hold.id)).state == "released"
    assert (await credits.balance("alice")).available == 100


async def test_at_least_takes_what_there_is(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    assert (await credits.place_hold("alice", 130, at_least=90)).amount == 100


# The proof


async def test_a_ledger_proves_itself(credits: AsyncCredits) -> None:
    await credits.open_account("alice")
    await credits.open_account("bob")
    async with credits.hold("alice", 5) as hold:
        await hold.capture(7)
    whole, one = await credits.verify(), await credits.verify("alice")
    assert (whole.findings, whole.accounts, whole.transactions) == ([], 2, 3)
    assert (one.findings, one.accounts, one.transactions) == ([], 1, 2)
    with pytest.raises(AccountNotFound):
        await credits.verify("nobody")
    with pytest.raises(Invalid):
        await credits.verify("a/b")


# Opening and closing


async def test_after_closing_everything_is_refused(url: str) -> None:
    credits = await AsyncCredits.open(url)
    await credits.open_account("alice")
    await credits.close()
    await credits.close()
    for call in (credits.charge("alice", 1), credits.balance("alice"), credits.skills.list()):
        with pytest.raises(BursarError) as refusal:
            await call
        assert refusal.value.code == "closed"


async def test_an_empty_database_is_made_ready(empty_url: str) -> None:
    async with AsyncCredits.open(empty_url) as credits:
        assert (await credits.open_account("alice")).posted == 100


async def test_an_empty_database_is_left_alone_where_that_is_asked_for(empty_url: str) -> None:
    before = set(threading.enumerate())
    with pytest.raises(NotMigrated):
        await AsyncCredits.open(empty_url, migrate=False)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("bursar")]


@pytest.mark.parametrize(
    ("dialect", "found", "migrate", "may"),
    [
        ("sqlite", "none", None, True),
        ("sqlite", "0000", None, True),
        ("postgres", "none", None, True),
        ("postgres", "0000", None, False),
        ("postgres", "0000", True, True),
        ("sqlite", "0000", False, False),
    ],
)
def test_which_schemas_are_brought_up_unasked(dialect: str, found: str, migrate: bool | None, may: bool) -> None:
    store = cast("Store", SimpleNamespace(dialect=dialect))
    opening = Opening(url="", preset=None, migrate=migrate, clock=None, lanes=None)
    assert opening._may_migrate(store, NotMigrated(found=found, wanted="0002")) is may


async def test_a_bad_preset_leaves_nothing_open(empty_url: str) -> None:
    before = set(threading.enumerate())
    with pytest.raises(Invalid):
        await AsyncCredits.open(empty_url, preset=Preset("bad", plans=(Plan("bad", "Bad", -1),)))
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("bursar")]
    with pytest.raises(Invalid, match="did you mean ai-credits"):
        AsyncCredits.open(empty_url, preset="ai-credit")


async def test_the_environment_may_set_the_clock(url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSAR_TEST_CLOCK", str(clock.path))
    async with AsyncCredits.open(url) as credits:
        assert (await credits.open_account("alice")).created_at == datetime(2026, 1, 10, 12, tzinfo=UTC)
        clock.set("2026-02-01T00:00:00Z")
        assert (await credits.renew("alice")).last_reset == FEBRUARY


async def test_an_unknown_database_is_refused() -> None:
    with pytest.raises(Invalid, match="database_url"):
        await AsyncCredits.open("mysql://localhost/bursar")


async def test_what_is_kept_is_there_again(url: str) -> None:
    async with AsyncCredits.open(url) as credits:
        await credits.open_account("alice")
        receipt = await credits.charge("alice", 1)
    async with AsyncCredits.open(url) as credits:
        assert await credits.receipt("alice", receipt.id) == receipt
