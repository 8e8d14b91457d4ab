"""Small benches on databases of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bursar.bench.options import Options
from tests.backup.conftest import new_url
from tests.engine.databases import servers

__all__ = ["new_url", "servers"]

MakeOptions = Callable[..., Options]


@pytest.fixture
def make_options(tmp_path: Path) -> MakeOptions:
    """As little as can be measured."""

    def make(url: str, *only: str, **more: object) -> Options:
        small = {"seconds": 0.2, "rounds": 2, "accounts": 30, "callers": 20, "connections": (2, 4)}
        return Options(url=url, folder=tmp_path, only=frozenset(only), **(small | more))  # type: ignore[arg-type]

    return make
