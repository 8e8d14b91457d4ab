"""The face's own tests, taken over for a ledger behind HTTP: the same functions under this folder's fixtures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


def adopt(module: ModuleType, leaving: Mapping[str, str]) -> dict[str, Callable[..., Any]]:
    """Its tests by name, but those that are left out, each with the reason."""
    tests = {name: test for name, test in vars(module).items() if name.startswith("test_")}
    unknown = leaving.keys() - tests.keys()
    assert not unknown, f"no such tests: {unknown}"
    return {name: test for name, test in tests.items() if name not in leaving}
