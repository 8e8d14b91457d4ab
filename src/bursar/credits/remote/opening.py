"""The one door to the rest of this package, which is imported when somebody first goes through it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal

from bursar.core.errors import Invalid
from bursar.credits.remote.place import Place

if TYPE_CHECKING:
    from bursar.credits.asynchronous import AsyncCredits


def remote(
    way: Literal["open_on_loop", "open_for_threads"],
) -> Callable[[Place], Coroutine[Any, Any, AsyncCredits]]:
    """That function of `face`. Raises `Invalid` where httpx is not installed."""
    try:
        from bursar.credits.remote import face  # noqa: PLC0415 - imports httpx, and the face that imports this
    except ModuleNotFoundError as missing:
        if missing.name != "httpx":
            raise
        raise Invalid("url", 'a ledger behind HTTP needs httpx: pip install "bursar[client]"') from None
    ways: dict[str, Callable[[Place], Coroutine[Any, Any, AsyncCredits]]] = {
        "open_on_loop": face.open_on_loop,
        "open_for_threads": face.open_for_threads,
    }
    return ways[way]
