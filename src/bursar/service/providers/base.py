"""What a provider is: it makes texts and pictures, or raises `ProviderFailed`. It knows nothing of credits.

Where a call is priced by its model, `text_call` and `picture_call` say what it may take at most, and `measured` hears
what it took.
"""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

from bursar.core.model import Usage

VARIANTS: Final = 3
"""Texts per generation."""

MAX_TOKENS: Final = {"short": 300, "medium": 800, "long": 2_000}
"""The most that one text may have, where a call is priced by its model."""


FRAME_TOKENS: Final = 16
"""What a message takes beside its text, generously."""


class Call(Struct, frozen=True):
    """A call before it is made: of which model, and what it takes at most."""

    model: str
    at_most: Usage


class Measured(Struct):
    """What a generation took, over all calls that it needed; None where nobody says so for every one of them."""

    usage: Usage | None = None
    unknown: bool = False

    def add(self, usage: Usage | None) -> None:
        """What one more call took; None: it does not say."""
        self.unknown = self.unknown or usage is None
        self.usage = None if usage is None or self.unknown else _sum(self.usage, usage)


class Provider(Protocol):
    """One source of texts and pictures."""

    name: str

    async def write(self, prompt: str, tone: str, length: str, *, measured: Measured | None = None) -> list[str]:
        """`VARIANTS` texts, within `MAX_TOKENS` where it is measured. Raises `ProviderFailed`."""

    async def draw(self, prompt: str, width: int, height: int, *, measured: Measured | None = None) -> bytes:
        """One PNG of exactly that size. Raises `ProviderFailed`."""

    def text_call(self, prompt: str, tone: str, length: str) -> Call:
        """What `write` would take."""

    def picture_call(self, prompt: str, width: int, height: int) -> Call:
        """What `draw` would take."""

    async def reply(self, instruction: str, prompt: str) -> str:
        """One text that does what the instruction says. Raises `ProviderFailed`."""

    async def close(self) -> None: ...


def tokens_at_most(*texts: str) -> int:
    """No tokenizer makes more tokens than bytes; what frames a message counts as well."""
    return sum(len(text.encode("utf-8", "replace")) + FRAME_TOKENS for text in texts)


def _sum(first: Usage | None, second: Usage) -> Usage:
    """Both as one. What texts and pictures take are tokens, whose counts are whole."""
    if first is None:
        return second
    custom = {
        unit: str(int(first.custom.get(unit, "0")) + int(second.custom.get(unit, "0")))
        for unit in first.custom.keys() | second.custom.keys()
    }
    return Usage(
        calls=first.calls + second.calls,
        input_tokens=first.input_tokens + second.input_tokens,
        cached_input_tokens=first.cached_input_tokens + second.cached_input_tokens,
        cache_write_tokens=first.cache_write_tokens + second.cache_write_tokens,
        output_tokens=first.output_tokens + second.output_tokens,
        reasoning_tokens=first.reasoning_tokens + second.reasoning_tokens,
        custom=custom,
    )
