"""The gate: programs under ``opentelemetry-instrument`` with everything on, and no secret in what leaves them.

Each secret that a login can have is a random string that the test knows. The same run without redaction must find them:
a gate that cannot fail guards nothing.
"""

from __future__ import annotations

import base64
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from canaries import Canaries, forms
from canary_visits import Visits
from otlp_grpc import GrpcReceiver

from otel_oauth.testing import OtlpReceiver

HERE = Path(__file__).parent
SUPPORT = HERE.parent / "support"
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
    """A program of this directory under ``opentelemetry-instrument``; its output goes to files."""

    names: tuple[str, ...]
    env: dict[str, str]
    directory: Path
    program: str = "program.py"
    started: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Program:  # noqa: PYI034 Self is not in Python 3.10
        self.out = (self.directory / f"{self.env['OTEL_SERVICE_NAME']}.out").open("w+b")
        self.err = (self.directory / f"{self.env['OTEL_SERVICE_NAME']}.err").open("w+b")
        command = [str(INSTRUMENT), sys.executable, str(HERE / self.program), *self.names]
        self.process = subprocess.Popen(command, env=self.env, stdout=self.out, stderr=self.err)
        return self

    @property
    def url(self) -> str:
        """The address, as soon as the program has said its port."""
        while time.monotonic() < self.started + 40 and self.process.poll() is None:
            for line in Path(self.out.name).read_text(errors="replace").splitlines():
                if line.isdecimal():
                    return f"http://127.0.0.1:{line}"
            time.sleep(0.05)
        pytest.fail(f"{self.names} did not start: {Path(self.err.name).read_text()[-3000:]}")

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
        return self.canaries.found_in(self.left)


def run_in_one_process(directory: Path, redaction: str) -> Run:
    """Drive server and shop in one process, which exports over OTLP/HTTP and to the console."""
    seed = secrets.token_hex(16)
    canaries = Canaries(seed)
    with OtlpReceiver() as receiver:
        more = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_OAUTH_REDACTION": redaction}
        env = environment(seed, f"both-{redaction}", directory, **more)
        with Program(("server", "shop"), env, directory) as program:
            Visits(canaries, program.url + "/server", program.url + "/shop").everything()
            program.stop()
            left = [program.written(), *files(directory)]
        return Run(canaries, b"\n".join([*left, receiver.raw()]), receiver)


def files(directory: Path) -> list[bytes]:
    """Return what was written to the ledger, and to any other file."""
    output = (".out", ".err")
    return [path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.suffix not in output]


@pytest.fixture(scope="module")
def redacted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_in_one_process(tmp_path_factory.mktemp("on"), "on")


@pytest.fixture(scope="module")
def unredacted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_in_one_process(tmp_path_factory.mktemp("off"), "off")


def test_no_secret_leaves_a_process(redacted: Run) -> None:
    assert redacted.leaks() == set()


def test_the_gate_was_looking_at_everything(redacted: Run) -> None:
    """The stock instrumentations and every logger were at work, and their secrets were replaced, not their lines."""
    spans, logs = redacted.receiver.spans(), redacted.receiver.logs()
    scopes = {span["scope"]["name"].removeprefix("opentelemetry.instrumentation.") for span in spans}
    assert {"flask", "httpx", "requests", "otel_oauth"} <= scopes
    loggers = {record["scope"]["name"] for record in logs}
    assert {"authlib.oauth2.rfc6749.grants.authorization_code", "httpcore.http11", "urllib3.connectionpool"} <= loggers
    assert {"website", "shop", "werkzeug"} <= loggers
    exposed = redacted.left.decode(errors="replace")
    for readable in ("'token_type': 'Bearer'", "grant_type", "client_id=web", "error=access_denied", "scope=profile"):
        assert readable in exposed
    for kind in ("code", "state", "access_token", "refresh_token", "code_verifier", "client_secret", "cookie", "nonce"):
        assert f"[redacted:{kind}:" in exposed
    assert "uninspected" not in exposed
    points = redacted.receiver.latest().values()
    counted = {point["attributes"]["signal"] for point in points if point["name"] == "otel_oauth_redactions_total"}
    assert counted >= {"span", "log"}
    assert not [p for p in points if p["name"] == "otel_oauth_errors_total" and p["value"]]


@pytest.mark.slow
def test_the_gate_can_fail(unredacted: Run) -> None:
    found = unredacted.leaks()
    assert {leak.partition(" ")[0] for leak in found} >= {
        "code",
        "state",
        "nonce",
        "verifier",
        "access_token",
        "refresh_token",
        "id_token",
        "client_secret",
        "password",
        "device_code",
        "cookie",
        "unlucky_refresh",
    }
    assert "client_secret base64" in found


# The whole: separate processes, gRPC, Prometheus, another framework ---------------------------------------------------


def run_apart(directory: Path, redaction: str, *, grpc: bool, shop: Program | str) -> Run:
    """Drive a server and a shop in processes of their own; both serve /metrics as well."""
    seed = secrets.token_hex(16)
    canaries = Canaries(seed)
    with ExitStack() as stack:
        receiver = stack.enter_context(OtlpReceiver())
        over_grpc = stack.enter_context(GrpcReceiver()) if grpc else None
        more = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint if over_grpc is None else over_grpc.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf" if over_grpc is None else "grpc",
            "OTEL_METRICS_EXPORTER": "console,otlp,oauth_prometheus",
            "OTEL_OAUTH_REDACTION": redaction,
        }
        ports = free_port(), free_port()
        env = environment(seed, "server", directory, **more, OTEL_EXPORTER_PROMETHEUS_PORT=str(ports[0]))
        server = stack.enter_context(Program(("server",), env, directory))
        more |= {"CANARY_ISSUER": server.url, "OTEL_EXPORTER_PROMETHEUS_PORT": str(ports[1])}
        env = environment(seed, "shop", directory, **more)
        names = ("shop",) if shop == "program.py" else ()
        client = stack.enter_context(Program(names, env, directory, program=str(shop)))
        Visits(canaries, server.url, client.url).everything()
        pages = [requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).content for port in ports]
        assert all(b"oauth_http_requests_total" in page for page in pages)
        client.stop()
        server.stop()
        left = [*pages, server.written(), client.written(), *files(directory), receiver.raw()]
        left.append(b"" if over_grpc is None else over_grpc.raw())
        return Run(canaries, b"\n".join(left), receiver)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("shop", ["program.py", "async_shop.py"])
@pytest.mark.parametrize("grpc", [False, True], ids=["http", "grpc"])
def test_no_secret_leaves_processes_apart(tmp_path: Path, shop: str, *, grpc: bool) -> None:
    run = run_apart(tmp_path, "on", grpc=grpc, shop=shop)
    assert run.leaks() == set()
    assert b"[redacted:access_token:" in run.left


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("shop", ["program.py", "async_shop.py"])
def test_the_same_run_without_redaction_leaks(tmp_path: Path, shop: str) -> None:
    kinds = {leak.partition(" ")[0] for leak in run_apart(tmp_path, "off", grpc=True, shop=shop).leaks()}
    assert kinds >= {"code", "state", "access_token", "refresh_token", "client_secret", "cookie"}


def test_every_form_of_a_secret_is_searched_for() -> None:
    canaries = Canaries("a seed")
    secret = canaries.also("code", canaries.of("code")[:30] + "+/=~" + canaries.of("code")[30:])
    del canaries.known[canaries.of("code")]
    for form, text, length in forms(secret):
        for start in (0, len(text) // 2, len(text) - length):
            found = canaries.found_in(f"before {text[start : start + length]} after".encode())
            assert {leak.partition(" ")[0] for leak in found} == {"code"}, form
        assert not canaries.found_in(text[: length - 1].encode())
    surrounded = base64.b64encode(f"x{secret}y".encode())
    assert canaries.found_in(surrounded)
