"""Who generates: `sandbox` (embedded, needs nothing) and `openai` (any server that speaks its API).

`make_provider` chooses by the settings; a provider's own libraries are loaded when it is chosen, or first used.
"""

from __future__ import annotations

from bursar.service.providers.base import Provider
from bursar.settings import Settings

__all__ = ["Provider", "make_provider"]


def make_provider(settings: Settings) -> Provider:
    """The provider that the settings name."""
    if settings.provider_name == "openai":
        from bursar.service.providers.openai import OpenAI  # noqa: PLC0415 - HTTP client, only where it is used

        return OpenAI(settings)
    from bursar.service.providers.sandbox import Sandbox  # noqa: PLC0415 - see above

    return Sandbox(settings.text_model, settings.image_model)
