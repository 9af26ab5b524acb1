"""Start the two programs under ``opentelemetry-instrument``, and stop them again whatever happens."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from demo.serving import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

EXAMPLES = Path(__file__).resolve().parents[1]
START_SECONDS = 60.0
STOP_SECONDS = 5.0
POLL_SECONDS = 0.05
LOG_LINES = 12
PRIVATE = ("OTEL_", "PYTHONPATH", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
"""What the demonstration sets itself: the variables of the shell must not change what it shows."""


class DemoError(Exception):
    """The demonstration cannot go on; the text says why and what can be done, and is all that is shown."""


def free_ports(wanted: Mapping[str, int]) -> list[int]:
    """Return a port for each option in ``wanted``: the given one, or a free one in place of 0.

    :raises DemoError: if a given port is taken.
    """
    with ExitStack() as held:
        return [held.enter_context(_listener(option, port)).getsockname()[1] for option, port in wanted.items()]


def _listener(option: str, port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        message = f"port {port} of {HOST} cannot be had ({reason}): give {option} another one, or leave it out"
        raise DemoError(message) from None


def instrument_command() -> str:
    """Return the path of ``opentelemetry-instrument``: the one beside this interpreter.

    :raises DemoError: if there is none.
    """
    beside = str(Path(sys.executable).parent)
    found = shutil.which("opentelemetry-instrument", path=beside) or shutil.which("opentelemetry-instrument")
    if found is None:
        message = "opentelemetry-instrument is not installed beside this Python: run `make demo`, which installs it"
        raise DemoError(message)
    return found


class InstrumentedProgram:
    """One program under ``opentelemetry-instrument``, started on entering and stopped on leaving.

    Its standard input is a pipe whose other end is here: should the demonstration be killed, the pipe closes and
    the program stops. It has a session of its own, so that Ctrl-C reaches the demonstration alone.

    :param name: ``server`` or ``client``; ``demo.{name}`` is the module and ``demo-{name}`` the service.
    :param settings: environment variables beside those of :func:`environment`.
    :param log: the file that gets its output.
    """

    def __init__(self, name: str, port: int, arguments: Sequence[str], settings: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.service = f"demo-{name}"
        self.url = f"http://{HOST}:{port}"
        self.metrics_port = int(settings["OTEL_EXPORTER_PROMETHEUS_PORT"])
        self.metrics_url = f"http://{HOST}:{self.metrics_port}/metrics"
        module = ("-m", f"demo.{name}", "--port", str(port), "--with-parent")
        self._command = (instrument_command(), sys.executable, *module, *arguments)
        self._environment = {**environment(), **settings, "OTEL_SERVICE_NAME": self.service}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> InstrumentedProgram:  # noqa: PYI034 Self is not in Python 3.10
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 the command is this project's own
                self._command,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait_until_ready(self) -> None:
        """Wait until the program accepts requests and serves its metrics.

        :raises DemoError: if it ends instead, or takes too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while not (self._says_ready() and self._serves_metrics()):
            self.check()
            if time.monotonic() > deadline:
                self.give_up(f"demo.{self.name} was not ready, with {self.metrics_url}, in {START_SECONDS:g} s")
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        """Check that the program still runs.

        :raises DemoError: if it ended.
        """
        status = self._process.poll() if self._process is not None else None
        if status is not None:
            self.give_up(f"demo.{self.name} ended with status {status}")

    def _says_ready(self) -> bool:
        return any(line.startswith("ready ") for line in self._lines())

    def _serves_metrics(self) -> bool:
        try:
            socket.create_connection((HOST, self.metrics_port), timeout=1).close()
        except OSError:
            return False
        return True

    def _lines(self) -> list[str]:
        return self._log.read_text(encoding="utf-8", errors="replace").splitlines()

    def said(self) -> list[str]:
        """Return the last lines of its output, beside that it is ready: normally none."""
        return [line for line in self._lines() if not line.startswith("ready ")][-LOG_LINES:]

    def give_up(self, what: str) -> NoReturn:
        """Say what is wrong with the program, with the end of its output.

        :raises DemoError: always.
        """
        last = "\n".join(f"  | {line}" for line in self._lines()[-LOG_LINES:])
        message = f"{what}; the end of {self._log}:\n{last or '  | (nothing)'}"
        raise DemoError(message)


def environment() -> dict[str, str]:
    """Return the environment of both programs, without what the shell says about telemetry and proxies."""
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(PRIVATE)}
    return {
        **inherited,
        "PYTHONPATH": str(EXAMPLES),
        "NO_PROXY": HOST,
        "no_proxy": HOST,
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp,oauth_prometheus",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_BLRP_SCHEDULE_DELAY": "200",
        "OTEL_EXPORTER_PROMETHEUS_HOST": HOST,
        "OTEL_OAUTH_PROVIDERS": f"{HOST}=demo",
    }
