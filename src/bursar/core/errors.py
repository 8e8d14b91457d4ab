"""Every way in which Bursar says no.

    BursarError
    ├── Invalid                      the command itself is wrong; evidence names the field
    ├── NotFound
    │   ├── AccountNotFound  SkillNotFound  ModelNotFound  PlanNotFound
    │   ├── HoldNotFound  TransactionNotFound  GrantNotFound
    │   └── LimitNotFound  MemberNotFound  RunNotFound
    ├── Conflict
    │   ├── IdempotencyConflict      the key was used for something else
    │   ├── HoldNotOpen              the hold has ended
    │   ├── RunNotOpen               the run has ended
    │   ├── RefundExceedsCharge      more than is left of that charge
    │   ├── NotRefundable            that transaction is not a charge
    │   ├── TrialUsed                an account has one trial
    │   └── AlreadyExists            an account, skill, model, plan or login of that name
    ├── Insufficient
    │   ├── InsufficientCredits      evidence: required, available, resets_at
    │   │   └── RunExhausted         a run's budget; evidence: run, required, available
    │   └── LimitExceeded            a spending limit; evidence: limit, scope, required, available, resets_at
    ├── Denied
    │   └── AccountFrozen  AccountClosed  MemberDenied  SkillDisabled  ModelDisabled
    └── Unavailable
        └── Overloaded  DatabaseUnavailable  EngineClosed  NotMigrated

`code` is public API and never changes; `kind` says what a caller can do about it; evidence is typed attributes. No
error here knows a protocol: each face (problem+json, a published contract, a CLI exit code) holds one table from
`kind` to its own. The first line of a class's docstring is its message, with the evidence filled in.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from bursar.core.money import Nanos, format_credits, to_number


class Kind(StrEnum):
    """What a caller can do: mend the request, look elsewhere, give up, top up, ask for permission, try again."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    INSUFFICIENT = "insufficient"
    DENIED = "denied"
    UNAVAILABLE = "unavailable"


class BursarError(Exception):
    """Bursar could not do this."""

    code: ClassVar[str] = "error"
    kind: ClassVar[Kind] = Kind.INVALID

    def __init__(self, **evidence: object) -> None:
        self.__dict__.update(evidence)
        super().__init__(evidence)

    def evidence(self) -> dict[str, object]:
        """The typed facts behind the refusal, in the order in which they were given."""
        return dict(self.__dict__)

    def __str__(self) -> str:
        template = (type(self).__doc__ or "").splitlines()[0]
        return template.format_map(self.__dict__)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.__dict__))


def _rebuild(cls: type[BursarError], evidence: dict[str, object]) -> BursarError:
    return cls(**evidence)


class Amount(int):
    """Nano-credits inside an error's evidence; `credits` is what people and programs outside read."""

    @property
    def credits(self) -> int | Decimal:
        """The same in credits, exact: `refusal.required.credits`."""
        return to_number(self)

    def __str__(self) -> str:
        return format_credits(self)


class Invalid(BursarError):
    """{field}: {reason}"""

    code = "invalid"
    field: str
    reason: str

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field=field, reason=reason)


class NotFound(BursarError):
    """There is no such thing."""

    code = "not_found"
    kind = Kind.NOT_FOUND


class AccountNotFound(NotFound):
    """There is no account {account!r}."""

    code = "account_not_found"
    account: str

    def __init__(self, account: str) -> None:
        super().__init__(account=account)


class SkillNotFound(NotFound):
    """There is no skill {skill!r}."""

    code = "skill_not_found"
    skill: str

    def __init__(self, skill: str) -> None:
        super().__init__(skill=skill)


class ModelNotFound(NotFound):
    """There is no price for the model {model!r}."""

    code = "model_not_found"
    model: str

    def __init__(self, model: str) -> None:
        super().__init__(model=model)


class PlanNotFound(NotFound):
    """There is no plan {plan!r}."""

    code = "plan_not_found"
    plan: str

    def __init__(self, plan: str) -> None:
        super().__init__(plan=plan)


class HoldNotFound(NotFound):
    """There is no hold {hold!r} on this account."""

    code = "hold_not_found"
    hold: str

    def __init__(self, hold: str) -> None:
        super().__init__(hold=hold)


class TransactionNotFound(NotFound):
    """There is no transaction {transaction!r} on this account."""

    code = "transaction_not_found"
    transaction: str

    def __init__(self, transaction: str) -> None:
        super().__init__(transaction=transaction)


class GrantNotFound(NotFound):
    """There is no grant {grant!r} on this account."""

    code = "grant_not_found"
    grant: str

    def __init__(self, grant: str) -> None:
        super().__init__(grant=grant)


class LimitNotFound(NotFound):
    """There is no limit {limit!r} on this account."""

    code = "limit_not_found"
    limit: str

    def __init__(self, limit: str) -> None:
        super().__init__(limit=limit)


class MemberNotFound(NotFound):
    """There is no member {member!r} of this account."""

    code = "member_not_found"
    member: str

    def __init__(self, member: str) -> None:
        super().__init__(member=member)


class RunNotFound(NotFound):
    """There is no run {run!r} on this account."""

    code = "run_not_found"
    run: str

    def __init__(self, run: str) -> None:
        super().__init__(run=run)


class Conflict(BursarError):
    """This contradicts what is already recorded."""

    code = "conflict"
    kind = Kind.CONFLICT


class IdempotencyConflict(Conflict):
    """The idempotency key {key!r} was already used for something else."""

    code = "idempotency_conflict"
    key: str

    def __init__(self, key: str) -> None:
        super().__init__(key=key)


class HoldNotOpen(Conflict):
    """The hold {hold!r} is {state}."""

    code = "hold_not_open"
    hold: str
    state: str

    def __init__(self, hold: str, state: str) -> None:
        super().__init__(hold=hold, state=state)


class RunNotOpen(Conflict):
    """The run {run!r} is {state}."""

    code = "run_not_open"
    run: str
    state: str

    def __init__(self, run: str, state: str) -> None:
        super().__init__(run=run, state=state)


class NotRefundable(Conflict):
    """The transaction {transaction!r} is not a charge."""

    code = "not_refundable"
    transaction: str

    def __init__(self, transaction: str) -> None:
        super().__init__(transaction=transaction)


class RefundExceedsCharge(Conflict):
    """Only {refundable} of that charge is left to refund."""

    code = "refund_exceeds_charge"
    transaction: str
    refundable: Amount

    def __init__(self, transaction: str, refundable: Nanos) -> None:
        super().__init__(transaction=transaction, refundable=Amount(refundable))


class TrialUsed(Conflict):
    """The account {account!r} has had its trial."""

    code = "trial_used"
    account: str

    def __init__(self, account: str) -> None:
        super().__init__(account=account)


class AlreadyExists(Conflict):
    """The {what} {name!r} already exists."""

    code = "already_exists"
    what: str
    name: str

    def __init__(self, what: str, name: str) -> None:
        super().__init__(what=what, name=name)


class Insufficient(BursarError):
    """There is not enough."""

    code = "insufficient"
    kind = Kind.INSUFFICIENT


class InsufficientCredits(Insufficient):
    """This needs {required} credits; {available} are available."""

    code = "insufficient_credits"
    required: Amount
    available: Amount
    resets_at: int | None

    def __init__(self, required: Nanos, available: Nanos, resets_at: int | None = None) -> None:
        super().__init__(required=Amount(required), available=Amount(available), resets_at=resets_at)


class RunExhausted(InsufficientCredits):
    """This needs {required} credits; the run {run!r} has {available} left."""

    code = "run_exhausted"
    run: str

    def __init__(self, run: str, required: Nanos, available: Nanos, resets_at: int | None = None) -> None:
        super().__init__(required, available, resets_at)
        self.run = run


class LimitExceeded(Insufficient):
    """This needs {required} credits; the limit {limit!r} leaves {available}."""

    code = "limit_exceeded"
    limit: str
    scope: str
    required: Amount
    available: Amount
    resets_at: int | None

    def __init__(self, limit: str, scope: str, required: Nanos, available: Nanos, resets_at: int | None = None) -> None:
        super().__init__(
            limit=limit, scope=scope, required=Amount(required), available=Amount(available), resets_at=resets_at
        )

    def __str__(self) -> str:
        if self.resets_at is None:
            return f"{super().__str__()} It never resets."
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.resets_at)
        return f"{super().__str__()} It resets at {moment.replace(tzinfo=None).isoformat()}Z."


class Denied(BursarError):
    """This is not allowed."""

    code = "denied"
    kind = Kind.DENIED


class AccountFrozen(Denied):
    """The account {account!r} is frozen."""

    code = "account_frozen"
    account: str

    def __init__(self, account: str) -> None:
        super().__init__(account=account)


class AccountClosed(Denied):
    """The account {account!r} is closed."""

    code = "account_closed"
    account: str

    def __init__(self, account: str) -> None:
        super().__init__(account=account)


class MemberDenied(Denied):
    """The member {member!r} may not spend from this account."""

    code = "member_denied"
    member: str

    def __init__(self, member: str) -> None:
        super().__init__(member=member)


class SkillDisabled(Denied):
    """The skill {skill!r} is disabled."""

    code = "skill_disabled"
    skill: str

    def __init__(self, skill: str) -> None:
        super().__init__(skill=skill)


class ModelDisabled(Denied):
    """The model {model!r} is disabled."""

    code = "model_disabled"
    model: str

    def __init__(self, model: str) -> None:
        super().__init__(model=model)


class Unavailable(BursarError):
    """Try again later."""

    code = "unavailable"
    kind = Kind.UNAVAILABLE


class Overloaded(Unavailable):
    """Too much is queued; try again in a moment."""

    code = "overloaded"


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached: {reason}"""

    code = "database_unavailable"
    reason: str

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)


class NotMigrated(Unavailable):
    """The database is at schema {found}, this Bursar needs {wanted}: run `bursar migrate`."""

    code = "not_migrated"
    found: str
    wanted: str

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(found=found, wanted=wanted)


class EngineClosed(Unavailable):
    """This Bursar has been closed."""

    code = "closed"
