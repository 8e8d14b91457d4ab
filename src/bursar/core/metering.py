"""What a provider says it measured, as a `Usage`: kinds of tokens that are disjoint, whatever it counts twice.

    OpenAI       `prompt_tokens` (`input_tokens`) holds cached, cache-write and audio tokens, `completion_tokens`
                 (`output_tokens`) holds reasoning. A provider that speaks this form and counts reasoning beside the
                 completion says so by its `total_tokens`.
    Anthropic    the kinds of input stand beside one another; writes for an hour stand in `cache_creation`, and
                 `output_tokens` holds thinking.
    Google       `promptTokenCount` holds cached tokens; tool results come on top of it, as thoughts do on top of
                 `candidatesTokenCount`. Audio, images and video are told apart in lists by modality.

A usage is a mapping (decoded JSON) or an object of a provider's SDK. What it lacks counts as 0; what does not add up
is refused, for it would be charged wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from msgspec import Struct

from bursar.core.errors import Invalid
from bursar.core.model import Usage

MODALITIES: Final = ("audio", "image", "video")
"""What is told apart from text; a document counts as images do."""

Counts: TypeAlias = dict[str, int]
"""Tokens of each modality but text."""


class Counted(Struct, frozen=True, kw_only=True):
    """What was counted, each provider's way undone: `prompt` and `output` are everything, the others their parts.

    `heard`, `kept` and `spoken` are the tokens that are no text: of the prompt, of what was cached of it, of the
    output.
    """

    prompt: int
    cached: int = 0
    written: int = 0
    written_1h: int = 0
    output: int
    reasoning: int = 0
    searches: int = 0
    heard: Counts = {}
    kept: Counts = {}
    spoken: Counts = {}

    def usage(self) -> Usage:
        """The kinds, disjoint. Raises `Invalid` where the parts are more than the whole."""
        kept = sum(self.kept.values())
        text = _rest("cached_input_tokens", self.cached, kept)
        custom = {"cache_write_1h_token": self.written_1h, "web_search": self.searches}
        for modality in MODALITIES:
            cached = self.kept.get(modality, 0)
            custom[f"cached_{modality}_token"] = cached
            custom[f"input_{modality}_token"] = _rest(f"{modality}_tokens", self.heard.get(modality, 0), cached)
            custom[f"output_{modality}_token"] = self.spoken.get(modality, 0)
        heard = sum(self.heard.values())
        return Usage(
            input_tokens=_rest("input_tokens", self.prompt, text, self.written, heard),
            cached_input_tokens=text,
            cache_write_tokens=_rest("cache_write_tokens", self.written, self.written_1h),
            output_tokens=_rest("output_tokens", self.output, self.reasoning, sum(self.spoken.values())),
            reasoning_tokens=self.reasoning,
            custom={unit: str(count) for unit, count in custom.items() if count},
        )


def usage_from_openai(usage: object) -> Usage:
    """Of `usage` in a chat completion or a response of OpenAI, or of anybody who speaks that form. Raises `Invalid`."""
    _require(usage, "OpenAI", "prompt_tokens", "input_tokens", "completion_tokens", "output_tokens")
    prompt = _count(usage, "prompt_tokens", "input_tokens")
    details = _part(usage, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    cached, written = _count(details, "cached_tokens"), _count(details, "cache_write_tokens")
    heard = _named(details)
    split = _part(details, "cached_tokens_details")
    kept = _named(split)
    if split is None and heard.get("audio"):
        # Audio may be among what was cached, and nobody says how much: text is, as far as there is any.
        kept = {"audio": max(cached + written + sum(heard.values()) - prompt, 0)}
    completion = _count(usage, "completion_tokens", "output_tokens")
    details = _part(usage, "completion_tokens_details", "output_tokens_details", "output_token_details")
    reasoning = _count(details, "reasoning_tokens")
    beside = reasoning and _count(usage, "total_tokens") == prompt + completion + reasoning
    return Counted(
        prompt=prompt,
        cached=cached,
        written=written,
        output=completion + reasoning if beside else completion,
        reasoning=reasoning,
        heard=heard,
        kept=kept,
        spoken=_named(details),
    ).usage()


def usage_from_anthropic(usage: object) -> Usage:
    """Of `usage` in a message of Anthropic. Raises `Invalid`."""
    _require(usage, "Anthropic", "input_tokens", "output_tokens")
    creation = _part(usage, "cache_creation")
    for_an_hour = _count(creation, "ephemeral_1h_input_tokens")
    split = for_an_hour + _count(creation, "ephemeral_5m_input_tokens")
    written = _count(usage, "cache_creation_input_tokens") or split
    cached = _count(usage, "cache_read_input_tokens")
    return Counted(
        prompt=_count(usage, "input_tokens") + cached + written,
        cached=cached,
        written=written,
        written_1h=for_an_hour,
        output=_count(usage, "output_tokens"),
        reasoning=_count(_part(usage, "output_tokens_details"), "thinking_tokens"),
        searches=_count(_part(usage, "server_tool_use"), "web_search_requests"),
    ).usage()


def usage_from_google(usage: object) -> Usage:
    """Of `usageMetadata` (`usage_metadata`) in an answer of Gemini. Raises `Invalid`."""
    _require(usage, "Google", "promptTokenCount", "prompt_token_count", "totalTokenCount", "total_token_count")
    tools = _count(usage, "toolUsePromptTokenCount", "tool_use_prompt_token_count")
    thoughts = _count(usage, "thoughtsTokenCount", "thoughts_token_count")
    said = _count(usage, "candidatesTokenCount", "candidates_token_count", "responseTokenCount", "response_token_count")
    return Counted(
        prompt=_count(usage, "promptTokenCount", "prompt_token_count") + tools,
        cached=_count(usage, "cachedContentTokenCount", "cached_content_token_count"),
        output=said + thoughts,
        reasoning=thoughts,
        heard=_modalities(
            usage,
            ("promptTokensDetails", "prompt_tokens_details"),
            ("toolUsePromptTokensDetails", "tool_use_prompt_tokens_details"),
        ),
        kept=_modalities(usage, ("cacheTokensDetails", "cache_tokens_details")),
        spoken=_modalities(
            usage,
            ("candidatesTokensDetails", "candidates_tokens_details"),
            ("responseTokensDetails", "response_tokens_details"),
        ),
    ).usage()


FORMS: Final[Mapping[str, Callable[[object], Usage]]] = {
    "openai": usage_from_openai,
    "anthropic": usage_from_anthropic,
    "google": usage_from_google,
}
"""Each provider's form."""


def _rest(kind: str, total: int, *parts: int) -> int:
    rest = total - sum(parts)
    if rest < 0:
        raise Invalid(f"usage.{kind}", "do not add up: the parts are more than the whole")
    return rest


def _named(details: object) -> Counts:
    """The counts in fields such as `audio_tokens`."""
    counts = {modality: _count(details, f"{modality}_tokens") for modality in MODALITIES}
    return {modality: count for modality, count in counts.items() if count}


def _modalities(usage: object, *lists: tuple[str, ...]) -> Counts:
    """The counts in lists of `{modality, tokenCount}`."""
    counts: Counts = {}
    for names in lists:
        parts = _part(usage, *names)
        for part in parts if isinstance(parts, list | tuple) else ():
            word = _part(part, "modality")
            modality = str(getattr(word, "value", word)).lower()
            modality = "image" if modality == "document" else modality
            if modality in MODALITIES:
                counts[modality] = counts.get(modality, 0) + _count(part, "tokenCount", "token_count")
    return counts


def _require(usage: object, provider: str, *names: str) -> None:
    """Refuse what is no usage: it would cost nothing."""
    if _part(usage, *names) is None:
        raise Invalid("usage", f"is none of {provider}'s: it has none of {', '.join(names)}")


def _count(whole: object, *names: str) -> int:
    """The count of the first of these names that is there."""
    count = _part(whole, *names)
    if count is None:
        return 0
    if type(count) is not int or count < 0:
        raise Invalid(f"usage.{names[0]}", "must be a whole number, zero or more")
    return count


def _part(whole: object, *names: str) -> object:
    """The first of these names that is there: a key of a mapping, an attribute of an object."""
    for name in names:
        part = whole.get(name) if isinstance(whole, Mapping) else getattr(whole, name, None)
        if part is not None:
            return part
    return None
