"""A plain server and a plain client under ``opentelemetry-instrument``: all that they export is compared."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from otel_oauth.catalogue import BY_NAME, DOCUMENTED
from otel_oauth.testing import OtlpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")


class Process:
    """A program under ``opentelemetry-instrument`` that prints its port."""

    def __init__(self, program: str, service: str, receiver: OtlpReceiver, directory: Path, *arguments: str) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
            "AUTHLIB_INSECURE_TRANSPORT": "1",
            "NO_PROXY": "127.0.0.1",
            "PYTHONWARNINGS": "ignore",
            "OTEL_SERVICE_NAME": service,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_METRIC_EXPORT_INTERVAL": "60000",
            "OTEL_OAUTH_LEDGER": f"host:{directory / service}",
            "OTEL_OAUTH_RACE_WINDOW": "0",
            "OTEL_OAUTH_RAISE_INTERNAL_ERRORS": "1",
        }
        self.process = subprocess.Popen(
            [str(INSTRUMENT), sys.executable, str(HERE / program), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.strip().isdecimal():
            self.process.kill()
            pytest.fail(f"{program} did not start: {line}{self.process.communicate()[1]}")
        self.url = f"http://127.0.0.1:{line.strip()}"

    def stop(self) -> str:
        """Interrupt the program, so that it exports what it has, and return what it wrote to stderr."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.communicate(timeout=20)[1]
        finally:
            self.process.kill()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """One login, one refresh, one revocation and one replay of the code by the client itself, then both end."""
    directory = tmp_path_factory.mktemp("ledger")
    with OtlpReceiver() as receiver:
        server = Process("plain_server.py", "e2e-server", receiver, directory)
        client = Process("plain_client.py", "e2e-client", receiver, directory, server.url)
        try:
            secrets = _drive(server.url, client.url)
        finally:
            stderr = client.stop() + server.stop()
        yield {"receiver": receiver, "secrets": secrets, "stderr": stderr}


def _drive(server: str, client: str) -> list[str]:
    browser = requests.Session()
    browser.trust_env = False
    to_server = browser.get(client + "/login", allow_redirects=False).headers["Location"]
    callback = browser.get(to_server, allow_redirects=False).headers["Location"]
    assert browser.get(callback).text == "welcome"
    assert browser.get(client + "/refresh").text == "refreshed"
    assert browser.get(client + "/revoke").json() == {"status": 200}
    values = {name: found[0] for name, found in parse_qs(urlsplit(callback).query).items()}
    replay = {"grant_type": "authorization_code", "code": values["code"], "redirect_uri": client + "/callback"}
    answer = browser.post(server + "/token", data=replay, auth=("web", "web-secret"))
    assert answer.json()["error"] == "invalid_grant"
    return [values["code"], values["state"], "web-secret"]


def _moved(receiver: OtlpReceiver, service: str) -> dict[str, float]:
    """Every counter and histogram of the documented ones that is not zero at the end, as «series: value or count»."""
    names = {metric.name for metric in DOCUMENTED if metric.kind != "gauge"}
    found = {}
    for text, point in receiver.latest(service_name=service).items():
        value = point.get("value", point.get("count"))
        if point["name"] in names and value:
            found[text] = value
    return found


def _with_durations(counters: dict[str, float], histograms: dict[str, float]) -> dict[str, float]:
    return {**counters, **histograms}


def _storage(**operations: int) -> dict[str, float]:
    counts = {f"storage_operation_total{{operation={name},result=success}}": n for name, n in operations.items()}
    durations = {f"storage_operation_duration_milliseconds{{operation={name}}}": n for name, n in operations.items()}
    return {**counts, **durations}


def test_the_server_exported_exactly_this(exported: dict[str, Any]) -> None:
    assert _moved(exported["receiver"], "e2e-server") == {
        "oauth_authorization_started{client_id=web}": 1,
        "oauth_pkce_states_created_total": 1,
        "oauth_pkce_validations_total{status=success,reason=valid}": 1,
        "oauth_code_exchanged{client_id=web,pkce_method=S256}": 1,
        "oauth_token_refresh_total{status=success,reason=normal}": 1,
        "oauth_token_refresh_duration_seconds{status=success}": 1,
        "oauth_token_refreshed{client_id=web,rotated=true}": 1,
        "oauth_token_revocations_total{reason=manual}": 1,
        "oauth_token_revoked{client_id=web}": 1,
        "oauth_code_reuse_detected": 1,
        "oauth_security_events_total{event_type=token_reuse,severity=high}": 1,
        "oauth_http_requests_total{method=GET,endpoint=authorization,status=302}": 1,
        "oauth_http_requests_total{method=POST,endpoint=token,status=200}": 2,
        "oauth_http_requests_total{method=POST,endpoint=token,status=400}": 1,
        "oauth_http_requests_total{method=POST,endpoint=revocation,status=200}": 1,
        "oauth_http_request_duration_milliseconds{endpoint=authorization}": 1,
        "oauth_http_request_duration_milliseconds{endpoint=token}": 3,
        "oauth_http_request_duration_milliseconds{endpoint=revocation}": 1,
        **_storage(
            query_client=6,
            save_code=1,
            query_code=2,
            delete_code=1,
            query_user=2,
            save_token=2,
            query_token=2,
            revoke_token=2,
        ),
    }


def test_the_client_exported_exactly_this(exported: dict[str, Any]) -> None:
    receiver = exported["receiver"]
    host = "127.0.0.1"
    assert _moved(receiver, "e2e-client") == {
        "oauth_flows_total{provider=demo,status=initiated}": 1,
        "oauth_flows_total{provider=demo,status=success}": 1,
        "oauth_flow_duration_seconds{provider=demo,status=success}": 1,
        "oauth_pkce_states_created_total": 1,
        "oauth_pkce_validations_total{status=success,reason=valid}": 1,
        "oauth_callback_processed{client_id=web,success=true}": 1,
        "oauth_http_requests_total{method=GET,endpoint=callback,status=200}": 1,
        "oauth_http_request_duration_milliseconds{endpoint=callback}": 1,
        "oauth_token_refresh_total{status=success,reason=normal}": 1,
        "oauth_token_refresh_duration_seconds{status=success}": 1,
        "oauth_token_revocations_total{reason=manual}": 1,
        "provider_api_calls_total{provider=demo,operation=token,status=200}": 1,
        "provider_api_duration_milliseconds{provider=demo,operation=token}": 1,
        f"provider_api_calls_total{{provider={host},operation=refresh,status=200}}": 1,
        f"provider_api_duration_milliseconds{{provider={host},operation=refresh}}": 1,
        f"provider_api_calls_total{{provider={host},operation=revoke,status=200}}": 1,
        f"provider_api_duration_milliseconds{{provider={host},operation=revoke}}": 1,
        **_storage(set_state=1, get_state=1, clear_state=1),
    }


def test_all_39_names_came_with_their_kind_and_unit_and_labels(exported: dict[str, Any]) -> None:
    for service in ("e2e-server", "e2e-client"):
        points = exported["receiver"].latest(service_name=service).values()
        kinds = {point["name"]: (point["kind"], point["unit"]) for point in points if point["name"] in BY_NAME}
        without_zero = {
            m.name for m in DOCUMENTED if m.kind == "histogram" or not m.zero_series() or None in m.zero_series()[0]
        }
        assert {metric.name for metric in DOCUMENTED} - kinds.keys() <= without_zero
        assert all(kinds[name] == (BY_NAME[name].kind, BY_NAME[name].unit) for name in kinds)
        for point in points:
            if point["name"] in BY_NAME:
                assert set(point["attributes"]) == set(BY_NAME[point["name"]].label_names), point


def test_the_spans_make_one_linked_login(exported: dict[str, Any]) -> None:
    ours = [span for span in exported["receiver"].spans() if span["scope"]["name"] == "otel_oauth"]
    assert Counter(span["name"] for span in ours) == {
        "oauth.authorize demo": 1,
        "oauth.callback demo": 1,
        "oauth.code_exchange demo": 1,
        "oauth.refresh 127.0.0.1": 1,
        "oauth.revoke 127.0.0.1": 1,
        "oauth.endpoint authorization": 1,
        "oauth.endpoint token": 3,
        "oauth.endpoint revocation": 1,
    }
    by_name = {span["name"]: span for span in ours}
    callback, exchange = by_name["oauth.callback demo"], by_name["oauth.code_exchange demo"]
    assert exchange["parent_id"] == callback["span_id"]
    token = next(
        span for span in ours if span["name"] == "oauth.endpoint token" and span["trace_id"] == callback["trace_id"]
    )
    assert [link["span_id"] for link in callback["links"]] == [by_name["oauth.authorize demo"]["span_id"]]
    assert [link["span_id"] for link in token["links"]] == [by_name["oauth.endpoint authorization"]["span_id"]]


def test_a_replayed_code_is_a_security_event_on_its_span(exported: dict[str, Any]) -> None:
    spans = exported["receiver"].spans()
    (replay,) = [span for span in spans if span["attributes"].get("oauth.case") == "code_replayed"]
    assert [event["name"] for event in replay["events"]] == ["oauth_code_reuse_detected"]
    assert replay["attributes"]["oauth.security.severity"] == "high"


def test_the_spans_of_ours_hold_no_secret_and_the_programs_said_nothing_wrong(exported: dict[str, Any]) -> None:
    receiver = exported["receiver"]
    ours = repr([span for span in receiver.spans() if span["scope"]["name"] == "otel_oauth"]) + repr(receiver.metrics())
    assert [secret for secret in exported["secrets"] if secret in ours] == []
    assert receiver.rejected() == []
    # The stock log handler starts a thread in its last flush, which Python 3.12 refuses with a traceback: not ours.
    assert not re.search(r'File ".*otel_oauth', exported["stderr"])
    assert "Instrumenting of" not in exported["stderr"]
