"""The public surface: what stands in `bursar.__all__` is there, is documented, and costs nothing to import."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bursar
from bursar.core import errors

ROOT = Path(__file__).parents[1]

PUBLIC = """
    ENCODER AccountAnswer AccountClosed AccountFrozen AccountNotFound AlreadyExists AsyncCredits AsyncHold AsyncRun
    BalanceAnswer BursarError ComponentAnswer Conflict Credits DatabaseUnavailable Denied EngineClosed Finding
    Forbidden GrantAnswer GrantNotFound GrantReceipt Hold HoldAnswer HoldNotFound HoldNotOpen IdempotencyConflict
    Insufficient InsufficientCredits Invalid Kind LiabilitiesReport Liability LimitAnswer LimitExceeded LimitNotFound
    LotAnswer MarginRow MemberAnswer MemberDenied MemberNotFound ModelAnswer ModelComponentAnswer ModelDisabled
    ModelNotFound ModelPriceAnswer NotFound NotMigrated NotRefundable Overloaded Page Paid PlanAnswer PlanNotFound
    Preset PriceAnswer PriceRule QuoteAnswer RateReport Receipt RefundExceedsCharge Report Run RunAnswer RunExhausted
    RunNotFound RunNotOpen ServiceUnavailable SkillAnswer SkillDisabled SkillNotFound Slice StatementLine
    StatementReport StatementSum TermsAnswer TransactionNotFound TransferReceipt TrialUsed Unauthenticated Unavailable
    Usage UsageRow Verdict Window load_preset usage_from_anthropic usage_from_google usage_from_openai
"""


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def test_the_public_names_are_these() -> None:
    assert bursar.__all__ == sorted(bursar.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
    assert set(bursar.__all__) == set(PUBLIC.split())


@pytest.mark.parametrize("name", bursar.__all__)
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(bursar, name)
    assert name in dir(bursar)
    if name != "ENCODER":
        assert inspect.getdoc(value)


def test_every_error_is_public() -> None:
    there = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert there - {"BadAmount"} <= set(bursar.__all__)


@pytest.mark.parametrize("cls", [bursar.AsyncCredits, bursar.Credits, bursar.AsyncHold, bursar.Hold])
def test_every_method_is_documented(cls: type) -> None:
    for name, value in inspect.getmembers(cls):
        if not name.startswith("_"):
            assert inspect.getdoc(value), f"{cls.__name__}.{name}"


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Credit'"):
        _ = bursar.Credit  # type: ignore[attr-defined]


def test_importing_bursar_imports_nothing_else() -> None:
    loaded = "import sys, bursar; print([name for name in sys.modules if name.startswith(('bursar.', 'msgspec'))])"
    assert python(loaded).strip() == "[]"


def test_star_gives_every_public_name() -> None:
    counted = "from bursar import *; import bursar; print(all(name in globals() for name in bursar.__all__))"
    assert python(counted).strip() == "True"


def test_using_a_ledger_imports_no_service_and_no_other_database(tmp_path: Path) -> None:
    code = f"""
import sys
from bursar import Credits
url = "sqlite:///{tmp_path}/bursar.db"
Credits.open(url).close()
for name in list(sys.modules):
    if name.startswith(("alembic", "sqlalchemy")):
        del sys.modules[name]
with Credits.open(url) as credits:
    credits.open_account("alice")
heavy = ("fastapi", "httpx", "uvicorn", "asyncpg", "typer", "rich", "alembic", "sqlalchemy", "bursar.service")
heavy += ("bursar.cli", "bursar.integrations")
print([name for name in sys.modules if name.startswith(heavy)])
"""
    assert python(code).strip() == "[]"


def test_the_plain_script_runs(tmp_path: Path) -> None:
    script = ROOT / "examples" / "plain_script.py"
    result = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines() == [
        "alice has 100 credits",
        "the text cost 1 (1 per call), 99 left",
        "the picture cost 5, 94 left",
        "the call failed and cost nothing, 94 left",
        "refused: This needs 1000 credits; 94 are available.",
    ]
    # Once more: the same month's ledger goes on where it was.
    assert (tmp_path / "bursar.db").exists()
