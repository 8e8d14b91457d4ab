"""Arguments and options that commands share, and how their text is read. What makes no sense is a usage error: exit
code 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

import typer

Account: TypeAlias = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id.", show_default=False)]
Amount: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="AMOUNT", help="Credits, exact: 5 or 0.25.", show_default=False)
]
HoldId: TypeAlias = Annotated[str, typer.Argument(metavar="HOLD", help="The hold's id.", show_default=False)]
Skill: TypeAlias = Annotated[str | None, typer.Option(help="The skill whose price applies.")]
Model: TypeAlias = Annotated[
    str | None, typer.Option(help="The model that was called; without skill and amount, its price applies.")
]
Quantity: TypeAlias = Annotated[int, typer.Option(help="How many calls of the skill.")]
Member: TypeAlias = Annotated[str | None, typer.Option(help="Who spends from the account.")]
Run: TypeAlias = Annotated[str | None, typer.Option(help="The run whose budget pays.")]
UsageText: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--usage",
        metavar="NAME=NUMBER",
        help="Measured usage, such as input_tokens=812; again for more; custom.NAME=NUMBER for a unit of your own.",
    ),
]
Description: TypeAlias = Annotated[str | None, typer.Option(help="Free text, kept with it.")]
MetadataText: TypeAlias = Annotated[
    str | None, typer.Option("--metadata", metavar="JSON", help="A JSON object, kept with it.")
]
Key: TypeAlias = Annotated[
    str | None,
    typer.Option("--idempotency-key", metavar="KEY", help="The name of this intent: again with it answers the same."),
]
Reason: TypeAlias = Annotated[str | None, typer.Option(help="Why, kept with it.")]
CostUsd: TypeAlias = Annotated[
    str | None, typer.Option("--provider-cost-usd", metavar="USD", help="What the provider charged.")
]
Limit: TypeAlias = Annotated[int, typer.Option(help="At most so many, up to 1000.")]
Cursor: TypeAlias = Annotated[str | None, typer.Option(help="Where the page before ended: its next_cursor.")]
Overage: TypeAlias = Annotated[
    Literal["debt", "cap", "reject"] | None,
    typer.Option(metavar="debt|cap|reject", help="When a real cost exceeds everything there is."),
]
OnExpiry: TypeAlias = Annotated[
    Literal["capture_held", "capture_measured", "release"],
    typer.Option(
        metavar="capture_held|capture_measured|release", help="What a dispatched hold costs when nobody settles it."
    ),
]
Rounding: TypeAlias = Annotated[
    Literal["1", "0.01", "1e-9"], typer.Option(metavar="1|0.01|1e-9", help="Up to which step of credits.")
]
Components: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--component",
        metavar="UNIT=CREDITS/PER",
        help="Instead of COST: input_token=0.5/1000; image,1024x1024,hd=8; input_token=1/1000@200000 where the prompt"
        " is longer than that; again for more.",
    ),
]
ValidFrom: TypeAlias = Annotated[str | None, typer.Option(metavar="TIME", help="From when on, RFC 3339; else at once.")]
ValidTo: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="Until when; then the price before it holds again.")
]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_COMPONENT = re.compile(r"([^=,]+)(?:,([^=,]*))?(?:,([^=,]+))?=([^/@=]+)(?:/(\d{1,18}))?(?:@(\d{1,18}))?")


def time_of(name: str, text: str | None) -> datetime | None:
    """An RFC 3339 time."""
    if text is None:
        return None
    from bursar.core.periods import parse_instant, to_datetime

    try:
        return to_datetime(parse_instant(text))
    except ValueError as error:
        raise typer.BadParameter(f"{error}, such as 2026-01-31T00:00:00Z", param_hint=name) from None


def object_of(name: str, text: str | None) -> dict[str, Any] | None:
    """A JSON object."""
    if text is None:
        return None
    try:
        value = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise typer.BadParameter("must be a JSON object", param_hint=name)
    return value


def usage_of(pairs: Iterable[str] | None) -> dict[str, Any] | None:
    """What `--usage input_tokens=812 --usage custom.pages=3` says."""
    if not pairs:
        return None
    usage: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise typer.BadParameter(f"{pair!r} is not NAME=NUMBER", param_hint="--usage")
        value: int | str = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text
        if name.startswith("custom."):
            usage.setdefault("custom", {})[name.removeprefix("custom.")] = value
        else:
            usage[name] = value
    return usage


def components_of(
    texts: Iterable[str] | None, option: str = "--component", amount: str = "credits"
) -> list[dict[str, Any]] | None:
    """What `--component input_token=0.5/1000` says."""
    return [_component(text, option, amount) for text in texts] if texts else None


def _component(text: str, option: str, amount: str) -> dict[str, Any]:
    match = _COMPONENT.fullmatch(text)
    if match is None:
        shape = f"UNIT={amount.upper()} or UNIT[,SIZE[,QUALITY]]={amount.upper()}/PER[@PROMPT]"
        raise typer.BadParameter(f"{text!r} is not {shape}", param_hint=option)
    unit, size, quality, number, per, above = match.groups()
    component = {"unit": unit, amount: number, "per": int(per or 1), "above": int(above or 0)}
    return component | {name: word for name, word in (("size", size), ("quality", quality)) if word}
