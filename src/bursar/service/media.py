"""What providers made, kept for those who paid for it: in the database, and pictures on disk as well.

The database is the truth, so that every process can serve every picture; the folder is for people.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from msgspec import Struct

from bursar import clock
from bursar.core.errors import NotFound
from bursar.core.model import Instant
from bursar.service.writing import write
from bursar.store.base import Store, Tx

PNG: Final = "image/png"
JSON: Final = "application/json"

_ID = re.compile(r"[0-9a-f-]{36}")


class MediaNotFound(NotFound):
    """There is no such picture, or it is somebody else's."""

    code = "media_not_found"


class Medium(Struct, frozen=True):
    """A row of `media`, in the order of its columns."""

    id: str
    account_id: str
    content_type: str
    content: bytes
    created_at: Instant
    replaces: bool = False
    """No column: whether it takes the place of what was kept under its id."""


COLUMNS: Final = Medium.__struct_fields__[:-1]


class Media:
    """What was made for the accounts of one database."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder

    async def keep(self, *made: Medium) -> None:
        """Keep all of these, or none."""

        async def insert(tx: Tx) -> None:
            for medium in made:
                statement = "put_media" if medium.replaces else "insert_media"
                await tx.execute(statement, *(getattr(medium, name) for name in COLUMNS))

        for medium in made:
            if medium.content_type == PNG:
                await asyncio.to_thread(self._write, medium)
        await write(self._store, insert)

    async def find(self, account: str, medium_id: str) -> Medium | None:
        """What was made for this account under that id."""
        if not _ID.fullmatch(medium_id):
            return None
        rows = await self._store.read(lambda tx: tx.fetch("find_media", medium_id))
        medium = Medium(*rows[0]) if rows else None
        return medium if medium is not None and medium.account_id == account else None

    async def get_picture(self, account: str, medium_id: str) -> Medium:
        """The account's own picture. Raises `MediaNotFound`."""
        medium = await self.find(account, medium_id)
        if medium is None or medium.content_type != PNG:
            raise MediaNotFound
        return medium

    def _write(self, medium: Medium) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{medium.id}"
        draft.write_bytes(medium.content)
        draft.rename(self._folder / f"{medium.id}.png")


def picture(medium_id: str, account: str, content: bytes) -> Medium:
    """A PNG that was drawn for this account just now."""
    return Medium(medium_id, account, PNG, content, clock.now())


def answer(medium_id: str, account: str, content: bytes) -> Medium:
    """What a request was answered, so that a repeat of it is answered the same."""
    return Medium(medium_id, account, JSON, content, clock.now())


def newest(medium_id: str, account: str, content: bytes) -> Medium:
    """The same, in the place of what was answered before."""
    return Medium(medium_id, account, JSON, content, clock.now(), replaces=True)
