"""What every part of the asynchronous face stands on: a way to the engine, and receipts."""

from __future__ import annotations

from typing import TypedDict, TypeVar

from bursar import entropy
from bursar.answers import AccountAnswer, HoldAnswer, Receipt, make_account, make_hold
from bursar.core.book import Outcome
from bursar.core.model import Transaction
from bursar.credits.ports import Port

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

    def _receipt(self, transaction: Transaction | None) -> Receipt:
        """Of a command that always makes a transaction."""
        return self._port.runtime.receipts.of(made(transaction))

    def _some_receipt(self, transaction: Transaction | None) -> Receipt | None:
        return None if transaction is None else self._receipt(transaction)


def account_of(outcome: Outcome) -> AccountAnswer:
    """The account in the outcome of a command that always has one."""
    return make_account(made(outcome.account))


def hold_of(outcome: Outcome) -> HoldAnswer:
    """The hold in the outcome of a command that always has one."""
    return make_hold(made(outcome.hold))


def made(value: T | None) -> T:
    """What a command always makes."""
    if value is None:
        raise RuntimeError("a command did not do what it always does")
    return value
