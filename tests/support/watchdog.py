"""A process that outlives the tests just long enough to end the servers that they started.

The test process tells it, over a pipe, which processes and folders it is responsible for. When the pipe
closes - because the test process ended, was killed, or crashed - the watchdog ends exactly those processes,
by id, removes those folders and exits. It runs in a session of its own, so Ctrl-C never reaches it first.

    watchdog = Watchdog.of_this_process()
    watchdog.watch_process(server.pid, signal.SIGQUIT)
    ...
    watchdog.forget_process(server.pid)
"""

import atexit
import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

GRACE_SECONDS = 5.0
POLL_SECONDS = 0.5


class Watchdog:
    """One per test process, started when first needed; a forked child starts its own."""

    _instance: ClassVar["Watchdog | None"] = None
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._write_lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, str(self._owner)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        atexit.register(self._close)

    @classmethod
    def of_this_process(cls) -> "Watchdog":
        with cls._guard:
            if cls._instance is None or cls._instance._owner != os.getpid():
                cls._instance = cls()
            return cls._instance

    def watch_process(self, pid: int, end_with: signal.Signals = signal.SIGKILL) -> None:
        """End process `pid` with signal `end_with` (then, after a grace, SIGKILL) should this process die."""
        self._tell(f"process {pid} {int(end_with)}")

    def forget_process(self, pid: int) -> None:
        self._tell(f"forget {pid}")

    def watch_folder(self, folder: Path) -> None:
        """Remove `folder` should this process die."""
        self._tell(f"folder {folder}")

    def _tell(self, line: str) -> None:
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("the watchdog has no pipe")
        with self._write_lock:
            stdin.write(line.encode() + b"\n")
            stdin.flush()

    def _close(self) -> None:
        if self._owner != os.getpid() or self._process.stdin is None:
            return
        self._process.stdin.close()
        self._process.wait()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether the process has ended and only waits for its parent (Linux; elsewhere the grace passes)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "Z"


def _end(processes: dict[int, int]) -> None:
    """Signal every process; kill those that are still there after the grace."""
    running = {pid: number for pid, number in processes.items() if _is_running(pid)}
    for pid, number in running.items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    deadline = time.monotonic() + GRACE_SECONDS
    while running and time.monotonic() < deadline:
        time.sleep(0.02)
        running = {pid: number for pid, number in running.items() if _is_running(pid)}
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _read_orders(owner: int) -> tuple[dict[int, int], set[str]]:
    """What to end and what to remove, once `owner` has closed the pipe or is gone.

    A forked child of the owner may hold the pipe open for longer, so the parent's id is watched as well.
    """
    processes: dict[int, int] = {}
    folders: set[str] = set()
    pending = b""
    while os.getppid() == owner:
        readable, _, _ = select.select([0], [], [], POLL_SECONDS)
        if not readable:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            break
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            verb, _, rest = line.decode().partition(" ")
            if verb == "process":
                pid, number = rest.split()
                processes[int(pid)] = int(number)
            elif verb == "forget":
                processes.pop(int(rest), None)
            elif verb == "folder":
                folders.add(rest)
    return processes, folders


def main() -> None:
    """Wait for the owner's end; then end and remove what it left."""
    processes, folders = _read_orders(owner=int(sys.argv[1]))
    _end(processes)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
