"""What a provider is: it makes texts and pictures, or raises `ProviderFailed`. It knows nothing of credits."""

from __future__ import annotations

from typing import Final, Protocol

VARIANTS: Final = 3
"""Texts per generation."""


class Provider(Protocol):
    """One source of texts and pictures."""

    name: str

    async def write(self, prompt: str, tone: str, length: str) -> list[str]:
        """`VARIANTS` texts. Raises `ProviderFailed`."""

    async def draw(self, prompt: str, width: int, height: int) -> bytes:
        """One PNG of exactly that size. Raises `ProviderFailed`."""

    async def reply(self, instruction: str, prompt: str) -> str:
        """One text that does what the instruction says. Raises `ProviderFailed`."""

    async def close(self) -> None: ...
