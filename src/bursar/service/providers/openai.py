"""Any server that speaks OpenAI's chat completions and images: asked once, within a time limit, and never trusted.

Nothing that it answers reaches a user as it is: texts are checked, pictures are decoded, brought to the asked size
and encoded again. Pictures are taken as base64 only: an address in an answer is not fetched. Answers are bounded.
What went wrong is logged; the user is told that the provider failed, never with what key or words.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import logging
from typing import Final, TypeVar

import httpx
import msgspec
from msgspec import Struct
from PIL import Image, ImageOps

from bursar.core.errors import Invalid
from bursar.core.metering import usage_from_openai
from bursar.core.model import Usage
from bursar.service.problems import ProviderFailed
from bursar.service.providers.base import MAX_TOKENS, VARIANTS, Call, Measured, tokens_at_most
from bursar.settings import Settings

MAX_ANSWER_BYTES: Final = 48 * 1024 * 1024
MAX_PIXELS: Final = 4_096 * 4_096
LONGEST_TEXT: Final = 20_000
WORDS: Final = {"short": "one or two sentences", "medium": "one paragraph", "long": "three or four paragraphs"}

SIZES: Final = {
    "dall-e-2": ((256, 256), (512, 512), (1024, 1024)),
    "dall-e-3": ((1024, 1024), (1792, 1024), (1024, 1792)),
    "gpt-image-1": ((1024, 1024), (1536, 1024), (1024, 1536)),
}
"""What a model can draw; a model that is not listed is asked for the very size."""

MEASURED_MODELS: Final = "gpt-image"
"""How the models begin whose pictures are measured in tokens."""
MOST_PICTURE_TOKENS: Final = 6_240
"""What the largest picture of the best quality takes of them."""

logger = logging.getLogger("bursar.provider")

T = TypeVar("T")


class _Message(Struct):
    content: str | None = None


class _Choice(Struct):
    message: _Message


class _Completion(Struct):
    choices: list[_Choice]
    usage: object = None


class _Picture(Struct):
    b64_json: str | None = None


class _Pictures(Struct):
    data: list[_Picture]
    usage: object = None


class OpenAI:
    """See the module."""

    name = "openai"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = httpx.AsyncClient(
            base_url=settings.openai_base_url,
            headers={"Authorization": f"Bearer {settings.openai_api_key}"},
            timeout=settings.provider_timeout_seconds,
            follow_redirects=False,
        )

    async def write(self, prompt: str, tone: str, length: str, *, measured: Measured | None = None) -> list[str]:
        """All variants in one call; a server that makes only one at a time is asked again for the others."""
        texts = await self._complete(prompt, tone, length, VARIANTS, measured)
        if len(texts) < VARIANTS:
            more = (self._complete(prompt, tone, length, 1, measured) for _ in range(VARIANTS - len(texts)))
            texts += [text for answer in await asyncio.gather(*more) for text in answer]
        if len(texts) < VARIANTS:
            raise ProviderFailed("The provider answered with too few texts.")
        return texts[:VARIANTS]

    async def draw(self, prompt: str, width: int, height: int, *, measured: Measured | None = None) -> bytes:
        model = self._settings.image_model
        asked = _nearest_size(model, width, height)
        request: dict[str, object] = {"model": model, "prompt": prompt, "n": 1, "size": f"{asked[0]}x{asked[1]}"}
        if model.startswith("dall-e"):
            request["response_format"] = "b64_json"
        made = await self._post("images/generations", request, _Pictures)
        _measure(measured, made.usage)
        pictures = made.data
        if not pictures or not pictures[0].b64_json:
            raise ProviderFailed("The provider answered without a picture.")
        return await asyncio.to_thread(_to_png, pictures[0].b64_json, width, height)

    async def reply(self, instruction: str, prompt: str) -> str:
        texts = await self._ask(instruction, prompt, 1)
        if not texts:
            raise ProviderFailed("The provider answered without a text.")
        return texts[0]

    async def close(self) -> None:
        await self._client.aclose()

    def text_call(self, prompt: str, tone: str, length: str) -> Call:
        usage = Usage(
            input_tokens=tokens_at_most(_instruction(tone, length), prompt),
            output_tokens=VARIANTS * _most(length),
        )
        return Call(self._settings.text_model, usage)

    def picture_call(self, prompt: str, width: int, height: int) -> Call:
        model = self._settings.image_model
        if model.startswith(MEASURED_MODELS):
            return Call(model, Usage(input_tokens=tokens_at_most(prompt), output_tokens=MOST_PICTURE_TOKENS))
        size = _nearest_size(model, width, height)
        return Call(model, Usage(images=1, image_size=f"{size[0]}x{size[1]}"))

    async def _complete(self, prompt: str, tone: str, length: str, count: int, measured: Measured | None) -> list[str]:
        most = None if measured is None else _most(length)
        return await self._ask(_instruction(tone, length), prompt, count, most, measured)

    async def _ask(
        self,
        instruction: str,
        prompt: str,
        count: int,
        max_tokens: int | None = None,
        measured: Measured | None = None,
    ) -> list[str]:
        request: dict[str, object] = {
            "model": self._settings.text_model,
            "n": count,
            "messages": [{"role": "system", "content": instruction}, {"role": "user", "content": prompt}],
        }
        if max_tokens is not None:
            request["max_completion_tokens"] = max_tokens
        completion = await self._post("chat/completions", request, _Completion)
        _measure(measured, completion.usage)
        texts = [choice.message.content or "" for choice in completion.choices]
        return [text.strip()[:LONGEST_TEXT] for text in texts if text.strip()]

    async def _post(self, path: str, request: dict[str, object], answer: type[T]) -> T:
        """One call. Every way in which it can go wrong becomes a `ProviderFailed`, with a log line for the operator."""
        try:
            async with asyncio.timeout(self._settings.provider_timeout_seconds):
                status, body = await self._exchange(path, request)
        except (httpx.TimeoutException, TimeoutError):
            raise _failed(path, "it took too long", "The provider took too long to answer.") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise _failed(path, type(error).__name__, "The provider cannot be reached.") from None
        if status != httpx.codes.OK:
            raise _failed(path, f"status {status}", f"The provider refused the request (status {status}).")
        try:
            return msgspec.json.decode(body, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _failed(
                path, f"bad answer: {type(error).__name__}", "The provider's answer makes no sense."
            ) from None

    async def _exchange(self, path: str, request: dict[str, object]) -> tuple[int, bytes]:
        async with self._client.stream("POST", path, json=request) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise _failed(path, "answer too large", "The provider's answer is too large.")
            return response.status_code, bytes(body)


def _instruction(tone: str, length: str) -> str:
    return f"Write {WORDS.get(length, length)} in a {tone} tone about what the user asks for. Only the text itself."


def _most(length: str) -> int:
    return MAX_TOKENS.get(length, max(MAX_TOKENS.values()))


def _measure(measured: Measured | None, usage: object) -> None:
    """Add what this call took. Where a server says nothing of it, or nonsense, what was held is charged."""
    if measured is None:
        return
    try:
        measured.add(None if usage is None else usage_from_openai(usage))
    except Invalid as error:
        logger.warning("the provider's usage makes no sense: %s", error)
        measured.add(None)


def _failed(path: str, reason: str, shown: str) -> ProviderFailed:
    logger.warning("❌ Provider openai failed: %s (%s)", reason, path, extra={"path": path, "reason": reason})
    return ProviderFailed(shown)


def _nearest_size(model: str, width: int, height: int) -> tuple[int, int]:
    """The size whose shape is nearest, and of those the smallest that is large enough."""
    sizes = SIZES.get(model, ((width, height),))
    shape = width / height
    return min(sizes, key=lambda size: (abs(size[0] / size[1] - shape), size[0] < width, abs(size[0] - width)))


def _to_png(encoded: str, width: int, height: int) -> bytes:
    """A picture of exactly that size, whatever came."""
    try:
        image = Image.open(io.BytesIO(base64.b64decode(encoded, validate=True)))
        if image.width * image.height > MAX_PIXELS:
            raise ProviderFailed("The provider's picture is too large.")
        fitted = ImageOps.fit(image.convert("RGBA" if image.has_transparency_data else "RGB"), (width, height))
        file = io.BytesIO()
        fitted.save(file, "PNG")
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise ProviderFailed("The provider's picture cannot be read.") from None
    return file.getvalue()
