"""Bursar: a credit ledger for AI products. May this call start, what did it cost, what is left.

    from bursar import Credits

    with Credits.open("sqlite:///bursar.db") as credits:
        credits.open_account("alice")
        receipt = credits.charge("alice", skill="TEXT_GENERATION", idempotency_key="req-1")
        print(receipt.available)

The names in `__all__` are public. They are imported when they are first used: `import bursar` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bursar.accounting.shapes import (
        LiabilitiesReport,
        Liability,
        MarginRow,
        RateReport,
        Report,
        StatementLine,
        StatementReport,
        StatementSum,
        UsageRow,
        Window,
    )
    from bursar.answers import (
        ENCODER,
        AccountAnswer,
        BalanceAnswer,
        ComponentAnswer,
        GrantAnswer,
        GrantReceipt,
        HoldAnswer,
        LotAnswer,
        ModelAnswer,
        ModelComponentAnswer,
        ModelPriceAnswer,
        Page,
        Paid,
        PlanAnswer,
        PriceAnswer,
        PriceRule,
        QuoteAnswer,
        Receipt,
        SkillAnswer,
        Slice,
        TermsAnswer,
        TransferReceipt,
    )
    from bursar.catalog import Preset
    from bursar.core.errors import (
        AccountClosed,
        AccountFrozen,
        AccountNotFound,
        AlreadyExists,
        BursarError,
        Conflict,
        DatabaseUnavailable,
        Denied,
        EngineClosed,
        GrantNotFound,
        HoldNotFound,
        HoldNotOpen,
        IdempotencyConflict,
        Insufficient,
        InsufficientCredits,
        Invalid,
        Kind,
        ModelDisabled,
        ModelNotFound,
        NotFound,
        NotMigrated,
        NotRefundable,
        Overloaded,
        PlanNotFound,
        RefundExceedsCharge,
        SkillDisabled,
        SkillNotFound,
        TransactionNotFound,
        TrialUsed,
        Unavailable,
    )
    from bursar.core.invariants import Finding
    from bursar.core.metering import usage_from_anthropic, usage_from_google, usage_from_openai
    from bursar.core.model import Usage
    from bursar.credits import AsyncCredits, AsyncHold, Credits, Hold
    from bursar.presets import load_preset
    from bursar.verify import Verdict

_HOMES = {
    "bursar.accounting.shapes": (
        "LiabilitiesReport",
        "Liability",
        "MarginRow",
        "RateReport",
        "Report",
        "StatementLine",
        "StatementReport",
        "StatementSum",
        "UsageRow",
        "Window",
    ),
    "bursar.answers": (
        "ENCODER",
        "AccountAnswer",
        "BalanceAnswer",
        "ComponentAnswer",
        "GrantAnswer",
        "GrantReceipt",
        "HoldAnswer",
        "LotAnswer",
        "ModelAnswer",
        "ModelComponentAnswer",
        "ModelPriceAnswer",
        "Page",
        "Paid",
        "PlanAnswer",
        "PriceAnswer",
        "PriceRule",
        "QuoteAnswer",
        "Receipt",
        "SkillAnswer",
        "Slice",
        "TermsAnswer",
        "TransferReceipt",
    ),
    "bursar.catalog": ("Preset",),
    "bursar.core.errors": (
        "AccountClosed",
        "AccountFrozen",
        "AccountNotFound",
        "AlreadyExists",
        "BursarError",
        "Conflict",
        "DatabaseUnavailable",
        "Denied",
        "EngineClosed",
        "GrantNotFound",
        "HoldNotFound",
        "HoldNotOpen",
        "IdempotencyConflict",
        "Insufficient",
        "InsufficientCredits",
        "Invalid",
        "Kind",
        "ModelDisabled",
        "ModelNotFound",
        "NotFound",
        "NotMigrated",
        "NotRefundable",
        "Overloaded",
        "PlanNotFound",
        "RefundExceedsCharge",
        "SkillDisabled",
        "SkillNotFound",
        "TransactionNotFound",
        "TrialUsed",
        "Unavailable",
    ),
    "bursar.core.invariants": ("Finding",),
    "bursar.core.metering": ("usage_from_anthropic", "usage_from_google", "usage_from_openai"),
    "bursar.core.model": ("Usage",),
    "bursar.credits": (
        "AsyncCredits",
        "AsyncHold",
        "Credits",
        "Hold",
    ),
    "bursar.presets": ("load_preset",),
    "bursar.verify": ("Verdict",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ENCODER",
    "AccountAnswer",
    "AccountClosed",
    "AccountFrozen",
    "AccountNotFound",
    "AlreadyExists",
    "AsyncCredits",
    "AsyncHold",
    "BalanceAnswer",
    "BursarError",
    "ComponentAnswer",
    "Conflict",
    "Credits",
    "DatabaseUnavailable",
    "Denied",
    "EngineClosed",
    "Finding",
    "GrantAnswer",
    "GrantNotFound",
    "GrantReceipt",
    "Hold",
    "HoldAnswer",
    "HoldNotFound",
    "HoldNotOpen",
    "IdempotencyConflict",
    "Insufficient",
    "InsufficientCredits",
    "Invalid",
    "Kind",
    "LiabilitiesReport",
    "Liability",
    "LotAnswer",
    "MarginRow",
    "ModelAnswer",
    "ModelComponentAnswer",
    "ModelDisabled",
    "ModelNotFound",
    "ModelPriceAnswer",
    "NotFound",
    "NotMigrated",
    "NotRefundable",
    "Overloaded",
    "Page",
    "Paid",
    "PlanAnswer",
    "PlanNotFound",
    "Preset",
    "PriceAnswer",
    "PriceRule",
    "QuoteAnswer",
    "RateReport",
    "Receipt",
    "RefundExceedsCharge",
    "Report",
    "SkillAnswer",
    "SkillDisabled",
    "SkillNotFound",
    "Slice",
    "StatementLine",
    "StatementReport",
    "StatementSum",
    "TermsAnswer",
    "TransactionNotFound",
    "TransferReceipt",
    "TrialUsed",
    "Unavailable",
    "Usage",
    "UsageRow",
    "Verdict",
    "Window",
    "load_preset",
    "usage_from_anthropic",
    "usage_from_google",
    "usage_from_openai",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(home), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
