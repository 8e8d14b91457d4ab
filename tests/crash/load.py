"""The load of the crash tests, in a process of its own: `python -m tests.crash.load URL KEY LOG SEED`.

Workers charge and hold under idempotency keys and ask again until they are answered, however often the server dies.
The log is the judge: a line before an intent is first sent, a line once it is acknowledged. SIGTERM: finish what was
begun, then end.
"""

from __future__ import annotations

import http.client
import json
import signal
import sys
import threading
import time
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

WORKERS = 12
ACCOUNTS = tuple(f"account-{n}" for n in range(5))
PATIENCE_SECONDS = 60.0
AGAIN_SECONDS = 0.02


class Log:
    """Lines that survive this process; one writer at a time."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def write(self, **line: object) -> None:
        with self._lock:
            self._file.write(json.dumps(line) + "\n")


class Worker(threading.Thread):
    """One caller: an intent at a time, each under its own key."""

    def __init__(self, number: int, url: str, key: str, log: Log, seed: int, stop: threading.Event) -> None:
        super().__init__()
        self._number = number
        self._place = urlsplit(url).netloc
        self._key = key
        self._log = log
        self._random = Random(f"{seed}-{number}")
        self._stop_asked = stop
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        count = 0
        while not self._stop_asked.is_set():
            count += 1
            name = f"w{self._number}-{count}"
            account = self._random.choice(ACCOUNTS)
            amount = self._random.randrange(1, 4)
            if self._random.random() < 0.5:
                self._intend("charge", name, account, amount, f"accounts/{account}/charges", {"amount": amount})
            else:
                self._hold(name, account, amount)

    def _hold(self, name: str, account: str, amount: int) -> None:
        """A hold that is captured, for as much or less, or left to its fate."""
        hold = self._intend(
            "hold", name, account, amount, f"accounts/{account}/holds", {"amount": amount, "dispatched": True}
        )
        if self._random.random() < 0.2:
            return
        cost = self._random.randrange(amount + 1)
        path = f"accounts/{account}/holds/{hold['id']}/capture"
        self._intend("capture", f"{name}c", account, cost, path, {"amount": cost}, hold=hold["id"])

    def _intend(
        self, kind: str, name: str, account: str, amount: int, path: str, body: dict[str, Any], **more: str
    ) -> dict[str, Any]:
        line = {"kind": kind, "name": name, "account": account, "amount": amount, **more}
        self._log.write(asked=True, **line)
        answer = self._ask(path, body | {"description": name, "idempotency_key": name})
        self._log.write(acknowledged=True, id=answer["id"], **line)
        return answer

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask until it is answered. Anything but 201 and 503 is a fault."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection(self._place, timeout=10)
                self._connection.request("POST", f"/api/v1/{path}", json.dumps(body), headers)
                answer = self._connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                self._connection = None
                time.sleep(AGAIN_SECONDS)  # the server is dead: ask again until it is back
                continue
            if answer.status == http.HTTPStatus.CREATED:
                found: dict[str, Any] = json.loads(text)
                return found
            if answer.status != http.HTTPStatus.SERVICE_UNAVAILABLE:
                self._log.write(fault=f"{answer.status} {text.decode()}", path=path)
                raise SystemExit(1)
        self._log.write(fault="never answered", path=path)
        raise SystemExit(1)


def main(url: str, key: str, log: str, seed: str) -> None:
    """Start the workers; end them on SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    book = Log(Path(log))
    workers = [Worker(number, url, key, book, int(seed), stop) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        while worker.is_alive():
            worker.join(0.2)  # in small steps, so that the signal is heard


if __name__ == "__main__":
    main(*sys.argv[1:])
