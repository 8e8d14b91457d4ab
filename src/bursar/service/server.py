"""`bursar serve`: one process, from its first line to its last.

Whatever keeps it from starting is one clear line on standard error and exit code 1: a setting, the database, the
port. Once it serves, a lost database is answered with 503 until it is back. SIGINT and SIGTERM end it cleanly, with
exit code 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

import uvicorn

from bursar.collector import calm
from bursar.core.errors import BursarError
from bursar.service.app import App, create_app, version
from bursar.service.context import Context
from bursar.service.logs import configure
from bursar.settings import BadSettings, Settings, unknown_variables
from bursar.store.base import StoreError

KEEP_ALIVE_SECONDS: Final = 75
"""Longer than load balancers keep a connection idle, so that it is they who close it."""

BACKLOG: Final = 2_048


class CannotStart(Exception):
    """Why the server did not start, in one line."""


class _Server(uvicorn.Server):
    """Uvicorn, without its signal handlers, and with a word when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def serve(settings: Settings) -> int:
    """Serve until asked to stop; the exit code."""
    configure(settings.log_format)
    for name in unknown_variables():
        _complain(f"{name} is no setting and is ignored")
    try:
        with _listener(settings) as listener:
            _run(_serve(settings, listener))
    except (CannotStart, BadSettings, BursarError, StoreError) as error:
        _complain(str(error))
        return 1
    except OSError as error:
        _complain(f"{settings.data_dir}: {error.strerror or error}")
        return 1
    return 0


def _complain(line: str) -> None:
    sys.stderr.write(f"bursar: {line}\n")


def _listener(settings: Settings) -> socket.socket:
    """The port, taken before anything else is opened; who connects meanwhile waits for the answer."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(0)
    except OSError as error:
        listener.close()
        raise CannotStart(f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}") from None
    return listener


def _run(main: Coroutine[Any, Any, None]) -> None:
    """On uvloop where there is one."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None
    try:
        from uvloop import new_event_loop as factory  # noqa: PLC0415 - absent on Windows
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


async def _serve(settings: Settings, listener: socket.socket) -> None:
    stop = _Stop()
    app = create_app(settings)
    try:
        async with app.opened() as context:
            first_key = await context.keys.create_first()
            host, port = listener.getsockname()[:2]
            server = _Server(_configuration(app, settings), lambda: _announce(context, host, port, first_key))
            stop.server = server
            calm()
            await server.serve(sockets=[listener])
    except asyncio.CancelledError:
        if stop.server is not None:
            raise


class _Stop:
    """What SIGINT and SIGTERM do: give up opening, or have the server finish what is under way."""

    def __init__(self) -> None:
        self.server: _Server | None = None
        self._opening = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop, number)

    def _stop(self, number: int) -> None:
        if self.server is not None:
            self.server.handle_exit(number, None)
        elif self._opening is not None:
            self._opening.cancel()


def _configuration(app: App, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        forwarded_allow_ips=settings.trusted_proxies,
        server_header=False,
        headers=[("Server", "bursar")],
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


def _announce(context: Context, host: str, port: int, first_key: str | None) -> None:
    """What a person needs to know, and to paste."""
    settings = context.settings
    shown = f"[{host}]" if ":" in host else host
    everywhere = ipaddress.ip_address(host).is_unspecified
    here = f"http://{'127.0.0.1' if everywhere else shown}:{port}"
    lines = [
        f"Bursar {version()} serves http://{shown}:{port} (pages: {here}/docs)",
        f"  database  {settings.shown_url}",
        f"  provider  {_provider_line(context)}",
    ]
    if settings.test_clock:
        lines.append(f"  ⚠️  BURSAR_TEST_CLOCK={settings.test_clock}: TIME IS NOT REAL. For tests and demos only.")
    if first_key is not None:
        lines += ["", f"The administrator's key, shown this once: {first_key}"]
    lines += ["", "Paste these to try it:", *_curl_lines(here), ""]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _provider_line(context: Context) -> str:
    if context.provider.name == "sandbox":
        return "sandbox: no model is asked (set BURSAR_OPENAI_API_KEY for a real one)"
    return f"{context.provider.name} at {context.settings.openai_base_url}"


def _curl_lines(here: str) -> list[str]:
    """Each run of the first line registers somebody new."""
    body = r"{\"email\":\"you+$(date +%s)@example.com\",\"password\":\"correct horse\"}"
    first_field = r"""sed 's/.*"token":"\([^"]*\)".*/\1/'"""
    send_it = '-H "Authorization: Bearer $TOKEN"'
    send_json = "-H 'Content-Type: application/json'"
    ask = """'{"prompt":"Test","tone":"friendly","length":"short"}'"""
    return [
        f'  TOKEN=$(curl -s {here}/api/auth/register {send_json} -d "{body}" | {first_field})',
        f"  curl {here}/api/ai/credits {send_it}",
        f"  curl {here}/api/ai/generate-text {send_json} {send_it} -d {ask}",
    ]
