"""The smallest whole thing: a ledger in a file, spent from a plain script.

    python examples/plain_script.py

It makes `bursar.db` in the current folder and may be run again: what is kept is kept.
"""

from __future__ import annotations

from bursar import Credits, InsufficientCredits


def draw_picture() -> str:
    """Stand in for a call to a model."""
    return "a picture"


def fail() -> str:
    """Stand in for a call that breaks."""
    raise ConnectionError("the model did not answer")


def main() -> None:
    """Open an account, then spend from it in four ways."""
    with Credits.open("sqlite:///bursar.db") as credits:
        account = credits.open_account("alice")
        print(f"alice has {account.available} credits")

        # A charge: the key makes it safe to repeat, whatever happens to the answer.
        receipt = credits.charge("alice", skill="TEXT_GENERATION", idempotency_key="request-1")
        assert receipt.price is not None
        print(f"the text cost {-receipt.amount} ({receipt.price.rule}), {receipt.available} left")

        # A hold: set aside while the call runs, charged when it has succeeded.
        with credits.hold("alice", skill="IMAGE_GENERATION") as hold:
            draw_picture()
            receipt = hold.capture()
        print(f"the picture cost {-receipt.amount}, {receipt.available} left")

        # An exception inside releases the hold.
        try:
            with credits.hold("alice", skill="IMAGE_GENERATION"):
                fail()
        except ConnectionError:
            print(f"the call failed and cost nothing, {credits.balance('alice').available} left")

        try:
            credits.charge("alice", 1_000)
        except InsufficientCredits as refusal:
            print(f"refused: {refusal}")


if __name__ == "__main__":
    main()
