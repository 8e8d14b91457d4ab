"""What every part of the asynchronous face stands on: a way to the engine, and receipts."""

from __future__ import annotations

from typing import TypedDict, TypeVar

from bursar import entropy
from bursar.answers import (
    AccountAnswer,
    GrantAnswer,
    HoldAnswer,
    MemberAnswer,
    Receipt,
    make_account,
    make_grant,
    make_hold,
    make_member,
)
from bursar.core.model import Transaction
from bursar.credits.ports import Port
from bursar.credits.told import Done, Told

T = TypeVar("T")


class Stamp(TypedDict):
    """What every command carries."""

    account: str
    token: str
    salt: bytes
    key: str | None
    actor: str


def stamp(account: str, actor: str, idempotency_key: str | None = None) -> Stamp:
    """A command's account and identity. The salt is used only where there is text to digest."""
    token, salt = entropy.identity()
    return {"account": account, "token": token, "salt": salt, "key": idempotency_key, "actor": actor}


class Face:
    """A part of the face."""

    def __init__(self, port: Port) -> None:
        self._port = port

    def _receipt(self, transaction: Transaction | Receipt | None) -> Receipt:
        """Of a command that always makes a transaction."""
        if isinstance(transaction, Receipt):
            return transaction
        return self._port.runtime.receipts.of(made(transaction))

    def _some_receipt(self, transaction: Transaction | Receipt | None) -> Receipt | None:
        return None if transaction is None else self._receipt(transaction)


def account_of(done: Done) -> AccountAnswer:
    """The account in the outcome of a command that always has one."""
    return made(done.account) if isinstance(done, Told) else make_account(made(done.account))


def hold_of(done: Done) -> HoldAnswer:
    """The hold in the outcome of a command that always has one."""
    return made(done.hold) if isinstance(done, Told) else make_hold(made(done.hold))


def grant_of(done: Done) -> GrantAnswer:
    """The grant in the outcome of a command that always has one."""
    return made(done.lot) if isinstance(done, Told) else make_grant(made(done.lot))


def member_of(done: Done) -> MemberAnswer:
    """The member in the outcome of a command that always has one."""
    return made(done.member) if isinstance(done, Told) else make_member(made(done.member))


def run_id_of(done: Done) -> str:
    """The id of the run that a command opened: a run is a hold."""
    return made(done.run).id if isinstance(done, Told) else made(done.hold).hold_id


def made(value: T | None) -> T:
    """What a command always makes."""
    if value is None:
        raise RuntimeError("a command did not do what it always does")
    return value
