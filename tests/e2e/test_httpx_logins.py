"""Three programs that log in through httpx, each under ``opentelemetry-instrument``: one picture of the same login."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from pages import ROOT, free_port, wait_until_listening

from otel_oauth.catalogue import DOCUMENTED
from otel_oauth.testing import OtlpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
EXAMPLES = ROOT / "examples"
INSTRUMENT = str(Path(sys.executable).with_name("opentelemetry-instrument"))
HOST = "127.0.0.1"
LOGIN = {
    f"oauth_flows_total{{provider={HOST},status=initiated}}": 1,
    f"oauth_flows_total{{provider={HOST},status=success}}": 1,
    f"oauth_flow_duration_seconds{{provider={HOST},status=success}}": 1,
    "oauth_pkce_states_created_total": 1,
    "oauth_pkce_validations_total{status=success,reason=valid}": 1,
    "oauth_token_refresh_total{status=success,reason=normal}": 1,
    "oauth_token_refresh_duration_seconds{status=success}": 1,
    f"provider_api_calls_total{{provider={HOST},operation=token,status=200}}": 1,
    f"provider_api_duration_milliseconds{{provider={HOST},operation=token}}": 1,
    f"provider_api_calls_total{{provider={HOST},operation=refresh,status=200}}": 1,
    f"provider_api_duration_milliseconds{{provider={HOST},operation=refresh}}": 1,
}
"""What a login with PKCE and a refresh move, whichever library the program uses."""

MCP_BESIDES = {
    "oauth_discovery_attempts_total{method=www-authenticate,status=success}": 1,
    "oauth_discovery_duration_seconds{method=www-authenticate,status=success}": 1,
    "oauth_client_registrations_total{status=success}": 1,
    "oauth_client_registration_duration_seconds{status=success}": 1,
    "oauth_callback_processed{client_id=unknown,success=true}": 1,
    f"provider_api_calls_total{{provider={HOST},operation=discovery,status=200}}": 2,
    f"provider_api_duration_milliseconds{{provider={HOST},operation=discovery}}": 2,
    f"provider_api_calls_total{{provider={HOST},operation=registration,status=201}}": 1,
    f"provider_api_duration_milliseconds{{provider={HOST},operation=registration}}": 1,
    f"provider_api_calls_total{{provider={HOST},operation=api,status=401}}": 1,
    f"provider_api_duration_milliseconds{{provider={HOST},operation=api}}": 1,
    f"provider_api_errors_total{{provider={HOST},operation=api,error_type=client_error}}": 1,
}
"""What an MCP client does besides."""


def variables(receiver: OtlpReceiver | None, service: str, directory: Path) -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    found |= {"AUTHLIB_INSECURE_TRANSPORT": "1", "NO_PROXY": HOST, "PYTHONWARNINGS": "ignore"}
    if receiver is not None:
        found |= {
            "OTEL_SERVICE_NAME": service,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_METRIC_EXPORT_INTERVAL": "60000",
            "OTEL_OAUTH_LEDGER": f"host:{directory / service}",
            "OTEL_OAUTH_RAISE_INTERNAL_ERRORS": "1",
        }
    return found


@contextmanager
def serving(command: list[str], port: int, environment: dict[str, str]) -> Iterator[str]:
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT
    ) as process:
        try:
            wait_until_listening(port, process)
            yield f"http://{HOST}:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=20)
            finally:
                process.kill()


def program(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / name), *arguments]


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtlpReceiver]:
    """The three programs log in, one after the other; all that they exported."""
    directory = tmp_path_factory.mktemp("ledger")
    plain_server, resource, web = free_port(), free_port(), free_port()
    with OtlpReceiver() as receiver:
        bare = variables(None, "", directory)
        with (
            serving(program("first_login/server.py", "--port", str(plain_server)), plain_server, bare) as server,
            serving(program("httpx_logins/resource.py", "--port", str(resource)), resource, bare) as clock,
        ):
            command = [INSTRUMENT, *program("httpx_logins/plain.py", server)]
            assert run(command, variables(receiver, "plain", directory)) == "logged in\nrefreshed\n"
            command = [INSTRUMENT, *program("httpx_logins/agent.py", f"{clock}/mcp")]
            assert run(command, variables(receiver, "mcp", directory)) == "logged in\nrefreshed\n"
            command = [INSTRUMENT, *program("httpx_logins/web.py", "--server", server, "--port", str(web))]
            with serving(command, web, variables(receiver, "httpx-oauth", directory)) as shop:
                visit(shop)
        yield receiver


def visit(shop: str) -> None:
    """Log in as a user would, with a browser."""
    browser = requests.Session()
    browser.trust_env = False
    consent = browser.get(f"{shop}/login", allow_redirects=False).headers["Location"]
    back = browser.get(consent, allow_redirects=False).headers["Location"]
    # The application is served on a port of this test, its registered redirect URI names another.
    assert browser.get(f"{shop}/callback?{back.partition('?')[2]}").json() == "logged in and refreshed"


def moved(receiver: OtlpReceiver, service: str) -> dict[str, float]:
    """Every counter and histogram of the documented ones that is not zero at the end."""
    names = {metric.name for metric in DOCUMENTED if metric.kind != "gauge"}
    points = receiver.latest(service_name=service)
    values = {text: point.get("value", point.get("count")) for text, point in points.items() if point["name"] in names}
    return {text: value for text, value in values.items() if value}


def test_by_hand_and_with_httpx_oauth_the_picture_is_the_same(exported: OtlpReceiver) -> None:
    assert moved(exported, "plain") == LOGIN
    assert moved(exported, "httpx-oauth") == LOGIN


def test_the_mcp_client_shows_the_same_login_and_what_it_does_besides(exported: OtlpReceiver) -> None:
    assert moved(exported, "mcp") == {**LOGIN, **MCP_BESIDES}


@pytest.mark.parametrize("service", ["plain", "httpx-oauth", "mcp"])
def test_the_spans_of_each_are_one_linked_login(exported: OtlpReceiver, service: str) -> None:
    spans = [span for span in exported.spans() if span["resource"]["service.name"] == service]
    ours = [span for span in spans if span["scope"]["name"] == "otel_oauth"]
    by_name = {span["name"]: span for span in ours}
    authorize, exchange = by_name[f"oauth.authorize {HOST}"], by_name[f"oauth.code_exchange {HOST}"]
    end = by_name.get(f"oauth.callback {HOST}", exchange)
    assert [link["span_id"] for link in end["links"]] == [authorize["span_id"]]
    assert end["attributes"]["oauth.flow.duration"] > 0
    below = [span for span in spans if span["parent_id"] == exchange["span_id"]]
    assert [(span["name"], span["kind"]) for span in below] == [("POST", "client")], "the stock instrumentation's"
    assert by_name[f"oauth.refresh {HOST}"]["attributes"]["oauth.refresh.rotated"] == "true"


def test_nothing_went_wrong_within(exported: OtlpReceiver) -> None:
    for service in ("plain", "httpx-oauth", "mcp"):
        points: dict[str, Any] = exported.latest(service_name=service)
        assert not [
            text for text, point in points.items() if point["name"] == "otel_oauth_errors_total" and point["value"]
        ]
