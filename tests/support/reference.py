"""The tables of docs/reference.md, made from the code: `python -m tests.support.reference` writes them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from bursar.core import errors
from bursar.core.errors import BursarError
from bursar.service.problems import STATUS, Refusal
from bursar.settings import PREFIX, Settings

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


def page() -> str:
    """The whole page."""
    return "\n".join(
        [
            "# Reference",
            "",
            "Made from the code by `python -m tests.support.reference`; a test keeps it up to date.",
            "",
            "## Settings",
            "",
            "From the environment, over `bursar.toml` (the same names in lower case, without the prefix), over the",
            "default.",
            "",
            "| variable | default | |",
            "|---|---|---|",
            *(f"| `{PREFIX}{name.upper()}` | {default} | {text} |" for name, default, text in _settings()),
            "",
            "## Errors",
            "",
            "`code` is what programs rely on; `kind` says what can be done about it. Over HTTP an error is",
            "`application/problem+json` with the status beside it; the published contracts have shapes of their own.",
            "",
            "| code | kind | status | |",
            "|---|---|---|---|",
            *(f"| `{code}` | {kind} | {status} | {text} |" for code, kind, status, text in _errors()),
            "",
        ]
    )


def _settings() -> Iterator[tuple[str, str, str]]:
    texts = _docstrings_of_fields(Settings)
    for name, default in zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True):
        shown = "" if default in (None, "") else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        yield name, shown, " ".join(texts[name].split())


def _docstrings_of_fields(cls: type) -> dict[str, str]:
    """The string that stands below each field of a class."""
    (tree,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(tree, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(below, ast.Expr), f"{field.target.id} has no text below it"
            texts[field.target.id] = str(ast.literal_eval(below.value))
    return texts


def _errors() -> list[tuple[str, str, str, str]]:
    """The ledger's own errors, then what only HTTP can refuse."""
    leaves = [error for error in _below(BursarError) if error.__module__ == errors.__name__ and _is_raised(error)]
    own = [(error.code, error.kind.value, str(STATUS[error.kind]), _first_line(error)) for error in leaves]
    http = [(error.code, "", str(error.status), _first_line(error)) for error in Refusal.__subclasses__()]
    return sorted(own) + sorted(row for row in http if row[0] not in {code for code, *_ in own})


def _is_raised(error: type[BursarError]) -> bool:
    """Whether the class is no mere family of errors."""
    return error is errors.Invalid or not any(sub.__module__ == errors.__name__ for sub in error.__subclasses__())


def _below(error: type[BursarError]) -> Iterator[type[BursarError]]:
    for sub in error.__subclasses__():
        yield sub
        yield from _below(sub)


def _first_line(error: type[Exception]) -> str:
    return (error.__doc__ or "").splitlines()[0].replace("!r", "").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
