"""The gate: programs under ``opentelemetry-instrument`` with everything on, and no secret in what leaves them.

Each secret that a login can have is a random string that the test knows. The same run without redaction must find them:
a gate that cannot fail guards nothing.
"""

from __future__ import annotations

import base64
import json
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import requests
from canaries import Canaries, forms
from canary_programs import Program, Run, environment, files, free_port
from canary_visits import Visits
from otlp_grpc import GrpcReceiver

from otel_oauth.testing import OtlpReceiver

if TYPE_CHECKING:
    from pathlib import Path

NOT_IN_USE = "django,fastapi,starlette"
"""Stock instrumentations without a part in the short form: they import their frameworks at start."""


def run_in_one_process(directory: Path, redaction: str) -> Run:
    """Drive server and shop in one process, which exports over OTLP/HTTP and to the console."""
    seed = secrets.token_hex(16)
    canaries = Canaries(seed)
    with OtlpReceiver() as receiver:
        more = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_OAUTH_REDACTION": redaction}
        more["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"] = NOT_IN_USE
        env = environment(seed, f"both-{redaction}", directory, **more)
        with Program(("server", "shop"), env, directory) as program:
            Visits(canaries, program.url + "/server", program.url + "/shop").everything()
            program.stop()
            left = [program.written(), *files(directory)]
        return Run(canaries, b"\n".join([*left, receiver.raw()]), receiver)


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
    assert {"flask", "httpx", "requests", "otel_oauth"} <= redacted.scopes()
    loggers = {record["scope"]["name"] for record in redacted.receiver.logs()}
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


# Servers that are nobody's library: Django, Starlette, WSGI ----------------------------------------------------------


def run_by_hand(directory: Path, redaction: str) -> Run:
    """Drive a server and a client that were written by hand, three times, each in another framework."""
    seed = secrets.token_hex(16)
    canaries = Canaries(seed)
    with OtlpReceiver() as receiver:
        more = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_OAUTH_REDACTION": redaction}
        env = environment(seed, "by-hand", directory, **more, DJANGO_SETTINGS_MODULE="canary_django")
        with Program((), env, directory, program="by_hand.py") as program:
            threaded, starlette = program.urls(2)
            for url in (f"{threaded}/django", f"{threaded}/wsgi", starlette):
                Visits(canaries, f"{url}/server", f"{url}/shop").of_every_server()
            program.stop()
            left = [program.written(), *files(directory)]
        for kind in ("code", "access_token", "refresh_token", "cookie", "state", "verifier"):
            canaries.expect(kind, 100)
        return Run(canaries, b"\n".join([*left, receiver.raw()]), receiver)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_secret_leaves_servers_written_by_hand(tmp_path: Path) -> None:
    run = run_by_hand(tmp_path, "on")
    assert run.leaks() == set()
    assert {"django", "starlette", "wsgi", "httpx", "otel_oauth"} <= run.scopes()
    exposed = run.left.decode(errors="replace")
    for kind in (
        "code",
        "state",
        "access_token",
        "refresh_token",
        "code_verifier",
        "client_secret",
        "cookie",
        "password",
    ):
        assert f"[redacted:{kind}:" in exposed
    for line in ("logged in: <[redacted:access_token:", "looking for <[redacted:code:", "renewed to <[redacted:"):
        assert line in exposed, "known by its value alone, because httpx sent or got it"
    assert "uninspected" not in exposed


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_servers_written_by_hand_leak_without_redaction(tmp_path: Path) -> None:
    kinds = {leak.partition(" ")[0] for leak in run_by_hand(tmp_path, "off").leaks()}
    assert kinds >= {
        "code",
        "state",
        "verifier",
        "access_token",
        "refresh_token",
        "client_secret",
        "password",
        "cookie",
    }


# The client of the MCP SDK -------------------------------------------------------------------------------------------


def run_agent(directory: Path, redaction: str) -> Run:
    """Let an agent log in by itself, with the MCP SDK's own server in its process."""
    seed = secrets.token_hex(16)
    canaries = Canaries(seed)
    notes = directory / "notes.json"
    left = directory / "left"
    left.mkdir()
    with OtlpReceiver() as receiver:
        more = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_OAUTH_REDACTION": redaction}
        env = environment(seed, "agent", left, **more, CANARY_NOTES=str(notes))
        with Program((), env, left, program="agent.py") as program:
            assert program.process.wait(120) == 0, program.written()[-3000:]
            written = [program.written(), *files(left)]
        for kind, values in json.loads(notes.read_text()).items():
            for value in values:
                canaries.also(kind, value)
        for kind in ("code", "access_token", "refresh_token", "id_token", "forged_state", "forged_code"):
            canaries.expect(kind, 20)
        return Run(canaries, b"\n".join([*written, receiver.raw()]), receiver)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_secret_leaves_an_agent(tmp_path: Path) -> None:
    run = run_agent(tmp_path, "on")
    assert run.leaks() == set()
    exposed = run.left.decode(errors="replace")
    for line in ("answered 200, holding <[redacted:", "Invalid refresh response", "OAuth flow error"):
        assert line in exposed
    assert "uninspected" not in exposed


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_agent_leaks_without_redaction(tmp_path: Path) -> None:
    kinds = {leak.partition(" ")[0] for leak in run_agent(tmp_path, "off").leaks()}
    assert kinds >= {"code", "state", "access_token", "refresh_token", "forged_state"}
