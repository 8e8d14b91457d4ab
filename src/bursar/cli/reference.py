"""docs/cli.md, written from the commands themselves: `python -m bursar.cli.reference > docs/cli.md`. A test compares
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import typer

from bursar.cli.main import app
from bursar.cli.session import SHARED

HEAD: Final = """# The command line

Written by `python -m bursar.cli.reference > docs/cli.md`; a test compares it with the program.

`bursar COMMAND --help` says the same. Exit codes: **0** done, **1** refused (the reason is one line on standard error,
which ends with its code), **2** usage. Settings come from `BURSAR_*` variables over `bursar.toml` over the defaults.

Every command takes these:

| option | |
|---|---|
| `--database-url URL` | `sqlite:///FILE` or `postgresql://...`; else `BURSAR_DATABASE_URL`, else `bursar.db` in the
data folder |
| `--json` | answer with one JSON document, amounts exact; a refusal is an object with its `code` on standard output |

A command that begins something (`migrate`, `serve`, `restore`, `accounts open`, `skills add`, `keys create`) makes a
database that is not there yet; all others refuse, so that a slip in a name makes none.
"""


def reference() -> str:
    """The whole document."""
    root: Any = typer.main.get_command(app)
    parts = [HEAD]
    for name, command in root.commands.items():
        if hasattr(command, "commands"):
            parts.append(f"## bursar {name}\n\n{command.help}\n")
            parts += [_section(f"{name} {below}", part, "###") for below, part in command.commands.items()]
        else:
            parts.append(_section(name, command, "##"))
    return "\n".join(parts)


def _section(name: str, command: Any, heading: str) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    usage = " ".join(["bursar", name, *(_argument(parameter) for parameter in arguments)])
    lines = [f"{heading} bursar {name}", "", command.help.strip(), "", f"    {usage}", ""]
    rows = [row for parameter in command.params if (row := _row(parameter)) is not None]
    return "\n".join([*lines, *(["| | |", "|---|---|", *rows, ""] if rows else [])])


def _argument(parameter: Any) -> str:
    name: str = parameter.metavar or parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def _row(parameter: Any) -> str | None:
    if parameter.name in SHARED or parameter.name == "help":
        return None
    if parameter.param_type_name == "argument":
        shown = _argument(parameter)
    else:
        value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
        shown = (", ".join(parameter.opts) + value).replace("|", "\\|")
    return f"| `{shown}` | {''.join(_words(parameter))} |"


def _words(parameter: Any) -> Iterator[str]:
    yield (parameter.help or "").replace("|", "\\|")
    if parameter.default not in (None, False, ()) and parameter.show_default is not False:
        yield f" Default: {parameter.default}."


if __name__ == "__main__":
    typer.echo(reference(), nl=False)
