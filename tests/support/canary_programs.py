"""The programs of tests/canary as processes under ``opentelemetry-instrument``, and what they left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from canaries import Canaries

    from otel_oauth.testing import OtlpReceiver

SUPPORT = Path(__file__).parent
PROGRAMS = SUPPORT.parent / "canary"
INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")
EVERYTHING = ".*"


def environment(canary_seed: str, service: str, directory: Path, **more: str) -> dict[str, str]:
    """Return an environment in which the stock instrumentations say all that they can."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    sides = ("CLIENT_REQUEST", "CLIENT_RESPONSE", "SERVER_REQUEST", "SERVER_RESPONSE")
    headers = {f"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_{side}": EVERYTHING for side in sides}
    return {
        **kept,
        **headers,
        "CANARY_SEED": canary_seed,
        "PYTHONPATH": str(SUPPORT),
        "PYTHONFAULTHANDLER": "1",
        "PYTHONWARNINGS": "ignore",
        "AUTHLIB_INSECURE_TRANSPORT": "1",
        "NO_PROXY": "127.0.0.1",
        "OTEL_SERVICE_NAME": service,
        "OTEL_TRACES_EXPORTER": "console,otlp",
        "OTEL_METRICS_EXPORTER": "console,otlp",
        "OTEL_LOGS_EXPORTER": "console,otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true",
        "OTEL_PYTHON_LOG_CORRELATION": "true",
        "OTEL_PYTHON_LOG_LEVEL": "debug",
        "OTEL_LOG_LEVEL": "debug",
        "OTEL_METRIC_EXPORT_INTERVAL": "60000",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http/dup",
        "OTEL_OAUTH_LEDGER": f"host:{directory / service}",
        "OTEL_OAUTH_RAISE_INTERNAL_ERRORS": "0",
        **more,
    }


@dataclass
class Program:
    """A program of tests/canary under ``opentelemetry-instrument``; its output goes to files."""

    names: tuple[str, ...]
    env: dict[str, str]
    directory: Path
    program: str = "program.py"
    started: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Program:  # noqa: PYI034 Self is not in Python 3.10
        self.out = (self.directory / f"{self.env['OTEL_SERVICE_NAME']}.out").open("w+b")
        self.err = (self.directory / f"{self.env['OTEL_SERVICE_NAME']}.err").open("w+b")
        command = [str(INSTRUMENT), sys.executable, str(PROGRAMS / self.program), *self.names]
        self.process = subprocess.Popen(command, env=self.env, stdout=self.out, stderr=self.err)
        return self

    @property
    def url(self) -> str:
        """The address, as soon as the program has said its port."""
        return self.urls(1)[0]

    def urls(self, number: int) -> list[str]:
        """Return the addresses of a program with several ports, as soon as it has said them all."""
        while time.monotonic() < self.started + 40 and self.process.poll() is None:
            lines = Path(self.out.name).read_text(errors="replace").splitlines()
            ports = [line for line in lines if line.isdecimal()]
            if len(ports) >= number:
                return [f"http://127.0.0.1:{port}" for port in ports[:number]]
            time.sleep(0.05)
        ended = self.process.poll()
        if ended is None:
            self.process.send_signal(signal.SIGABRT)  # the fault handler says where each thread is
            self.process.wait(20)
        how = "hangs" if ended is None else f"ended with {ended}"
        pytest.fail(f"{self.program} {self.names} {how} at start: {Path(self.err.name).read_text()[-6000:]}")

    def stop(self) -> None:
        """Interrupt the program, so that it exports what it has."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def __exit__(self, *_error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.out.close()
        self.err.close()

    def written(self) -> bytes:
        """Return what it wrote to stdout and stderr."""
        return Path(self.out.name).read_bytes() + b"\n" + Path(self.err.name).read_bytes()


@dataclass
class Run:
    """One run: the secrets, and what left the processes."""

    canaries: Canaries
    left: bytes
    receiver: OtlpReceiver

    def leaks(self) -> set[str]:
        """Return the kinds of secrets that left, and their forms."""
        return self.canaries.found_in(self.left)

    def scopes(self) -> set[str]:
        """Return the short names of the instrumentations whose spans came."""
        return {span["scope"]["name"].removeprefix("opentelemetry.instrumentation.") for span in self.receiver.spans()}


def files(directory: Path) -> list[bytes]:
    """Return what was written to the ledger, and to any other file."""
    output = (".out", ".err")
    return [path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.suffix not in output]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
