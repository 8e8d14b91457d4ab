"""The embedded provider: no key, no network, no model. It says so in what it makes.

The same request makes the same texts and the same picture; another prompt, tone, length or size makes others. Where
calls are priced by their model it measures as if the models of the settings had been asked: four bytes are a token.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from bursar.core.model import Usage
from bursar.service.providers.base import MAX_TOKENS, VARIANTS, Call, Measured, tokens_at_most

NOTICE: Final = "[sandbox: no model was asked]"
SENTENCES: Final = {"short": 1, "medium": 3, "long": 6}
LONGEST_QUOTE: Final = 200
BYTES_PER_TOKEN: Final = 4
PIXELS_PER_TOKEN: Final = 1_024

OPENINGS: Final = {
    "friendly": (
        "Hey there! Let's talk about {topic}.",
        "Good to see you! Here's {topic}.",
        "Hi! You'll like {topic}.",
    ),
    "formal": (
        "We are pleased to present {topic}.",
        "Please find below our view of {topic}.",
        "This text concerns {topic}.",
    ),
    "professional": (
        "{topic}: what matters, in brief.",
        "Here is what our team says about {topic}.",
        "A closer look at {topic}.",
    ),
    "casual": ("So, {topic}.", "Okay, {topic} - here we go.", "Quick one about {topic}."),
    "humorous": (
        "{topic} walks into a bar.",
        "Nobody expects {topic}. Well, you did.",
        "They said {topic} could not be funny. They were right.",
    ),
}
"""How a text begins, by tone."""

ANY_TONE: Final = (
    "In a {tone} voice: {topic}.",
    "Here is {topic}, as {tone} as it gets.",
    "Something {tone} about {topic}.",
)

MIDDLES: Final = (
    "It begins with a simple idea and keeps to it.",
    "What makes it stand out is the care in every detail.",
    "People notice the difference on the first day.",
    "There is more to it than meets the eye.",
    "It saves time where time is short.",
    "You can try it today and decide tomorrow.",
    "The best part is how little there is to learn.",
    "Nothing about it is left to chance.",
    "It works as well on a Monday as on a Friday.",
    "Ask anyone who has used it for a week.",
)

Colour = tuple[int, int, int]


class Sandbox:
    """See the module."""

    name = "sandbox"

    def __init__(self, text_model: str, image_model: str) -> None:
        self._text_model = text_model
        self._image_model = image_model

    async def write(self, prompt: str, tone: str, length: str, *, measured: Measured | None = None) -> list[str]:
        texts = [_variant(prompt, tone, length, number) for number in range(VARIANTS)]
        if measured is not None:
            measured.add(Usage(input_tokens=_tokens(prompt, tone, length), output_tokens=_tokens(*texts)))
        return texts

    async def draw(self, prompt: str, width: int, height: int, *, measured: Measured | None = None) -> bytes:
        if measured is not None:
            measured.add(Usage(input_tokens=_tokens(prompt), output_tokens=_picture_tokens(width, height)))
        return await asyncio.to_thread(_draw, prompt, width, height)

    def text_call(self, prompt: str, tone: str, length: str) -> Call:
        at_most = VARIANTS * MAX_TOKENS.get(length, max(MAX_TOKENS.values()))
        return Call(self._text_model, Usage(input_tokens=tokens_at_most(prompt, tone, length), output_tokens=at_most))

    def picture_call(self, prompt: str, width: int, height: int) -> Call:
        usage = Usage(input_tokens=tokens_at_most(prompt), output_tokens=_picture_tokens(width, height))
        return Call(self._image_model, usage)

    async def reply(self, instruction: str, prompt: str) -> str:
        topic = " ".join(prompt.split())[:LONGEST_QUOTE]
        seed = _seed(instruction, prompt)
        start = seed[0]
        body = [MIDDLES[(start + i) % len(MIDDLES)] for i in range(SENTENCES["long"])]
        return "\n".join([f"{instruction} ({topic})", *body, NOTICE])

    async def close(self) -> None:
        """Nothing is open."""


def _tokens(*texts: str) -> int:
    return sum(-(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN) for text in texts)


def _picture_tokens(width: int, height: int) -> int:
    return -(-width * height // PIXELS_PER_TOKEN)


def _variant(prompt: str, tone: str, length: str, number: int) -> str:
    topic = " ".join(prompt.split())[:LONGEST_QUOTE]
    openings = OPENINGS.get(tone.strip().lower(), ANY_TONE)
    opening = openings[number % len(openings)].format(topic=f'"{topic}"', tone=tone.strip())
    seed = _seed(prompt, tone, length, str(number))
    start, step = seed[0], 1 + 2 * (seed[1] % 2)  # 1 and 3 are coprime with ten middles: no sentence comes twice
    count = SENTENCES.get(length, 2) + (number if length == "long" else 0)
    body = [MIDDLES[(start + step * i) % len(MIDDLES)] for i in range(count)]
    return " ".join([opening, *body, NOTICE])


def _draw(prompt: str, width: int, height: int) -> bytes:
    seed = _seed(prompt, "picture")
    image = _gradient(seed, width, height)
    draw = ImageDraw.Draw(image)
    for at in range(6, 26, 5):
        x, y = seed[at] * width // 256, seed[at + 1] * height // 256
        radius = (seed[at + 2] + 64) * min(width, height) // 1024
        colour = _colour(seed[at + 3 : at + 5] + seed[at : at + 1])
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    size = max(10, min(width, height) // 16)
    label = f"sandbox: {' '.join(prompt.split())}"[: max(8, width * 2 // size)]
    draw.text((size // 2, height - 2 * size), label, fill=(255, 255, 255), font=ImageFont.load_default(size))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _gradient(seed: bytes, width: int, height: int) -> Image.Image:
    """Bands of colour: flat areas compress quickly, and well."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    top, bottom, bands = _colour(seed[:3]), _colour(seed[3:6]), 16
    for band in range(bands):
        colour = tuple(a + (b - a) * band // bands for a, b in zip(top, bottom, strict=True))
        draw.rectangle((0, height * band // bands, width, height), fill=colour)
    return image


def _colour(seed: Sequence[int]) -> Colour:
    """Never so bright that white text could not be read on it."""
    return (seed[0] * 3 // 4, seed[1] * 3 // 4, seed[2] * 3 // 4)


def _seed(*parts: str) -> bytes:
    return sha256("\0".join(parts).encode("utf-8", "replace")).digest()
