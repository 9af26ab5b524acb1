"""The tools for tests: the OTLP receiver against the real exporters, the capture, the pytest fixture."""

from __future__ import annotations

import os
import subprocess
import sys
from inspect import signature
from typing import TYPE_CHECKING, Any

import pytest
import requests
from opentelemetry._logs import Logger
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanKind, StatusCode

from otel_oauth import cases, kinds, testing
from otel_oauth.testing import Capture, OtlpReceiver, series

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RESOURCE = Resource({"service.name": "shop"})


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as found:
        yield found


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture() as found:
        yield found


# The receiver ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", list(Compression))
def test_spans_arrive_whole(receiver: OtlpReceiver, compression: Compression) -> None:
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{receiver.endpoint}/v1/traces", compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("app", "1.2")
    with tracer.start_as_current_span("outer", kind=SpanKind.SERVER) as outer:
        link = Link(outer.get_span_context(), {"why": "login"})
        with tracer.start_as_current_span("inner", attributes={"a": 1, "b": ["x", "y"]}, links=[link]) as inner:
            inner.add_event("found", {"severity": "high"})
            inner.set_status(StatusCode.ERROR, "no")
    provider.shutdown()
    found, root = receiver.spans()
    assert (root["name"], root["kind"], root["parent_id"], root["status"]["code"]) == ("outer", "server", "", "unset")
    assert found["parent_id"] == root["span_id"]
    assert found["trace_id"] == root["trace_id"] == f"{outer.get_span_context().trace_id:032x}"
    assert found["attributes"] == {"a": 1, "b": ["x", "y"]}
    assert [(event["name"], event["attributes"]) for event in found["events"]] == [("found", {"severity": "high"})]
    expected = {"trace_id": root["trace_id"], "span_id": root["span_id"], "attributes": {"why": "login"}}
    assert found["links"] == [expected]
    assert found["status"] == {"code": "error", "message": "no"}
    assert root["start"] <= found["start"] <= found["end"] <= root["end"]
    assert found["resource"] == {"service.name": "shop"}
    assert (found["scope"]["name"], found["scope"]["version"]) == ("app", "1.2")


def test_every_kind_of_metric_arrives(receiver: OtlpReceiver) -> None:
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{receiver.endpoint}/v1/metrics"), 60_000)
    provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
    meter = provider.get_meter("app")
    counter = meter.create_counter("done", unit="{thing}")
    counter.add(2, {"a": "b"})
    meter.create_up_down_counter("open").add(-1)
    meter.create_gauge("level").set(0.5)
    meter.create_histogram("wait", "s", explicit_bucket_boundaries_advisory=[1.0, 2.0]).record(1.5)
    provider.force_flush()
    counter.add(3, {"a": "b"})
    provider.shutdown()
    points = {(point["name"], point["kind"]): point for point in receiver.metrics()}
    assert set(points) == {
        ("done", "counter"),
        ("open", "up_down_counter"),
        ("level", "gauge"),
        ("wait", "histogram"),
    }
    assert points["open", "up_down_counter"]["value"] == -1
    assert points["level", "gauge"]["value"] == 0.5
    wait = points["wait", "histogram"]
    assert (wait["count"], wait["sum"], wait["buckets"], wait["bounds"]) == (1, 1.5, [0, 1, 0], [1.0, 2.0])
    assert (wait["unit"], wait["temporality"]) == ("s", "cumulative")
    assert [point["value"] for point in receiver.metrics() if point["name"] == "done"] == [2, 5]
    assert receiver.latest(service_name="shop")["done{a=b}"]["value"] == 5
    assert receiver.latest(service_name="other") == {}


@pytest.mark.skipif("body" not in signature(Logger.emit).parameters, reason="this OpenTelemetry takes records only")
def test_logs_arrive(receiver: OtlpReceiver) -> None:
    provider = LoggerProvider(RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{receiver.endpoint}/v1/logs")))
    provider.get_logger("app").emit(body="said", event_name="found", attributes={"n": 1}, severity_text="WARN")
    provider.shutdown()
    (record,) = receiver.logs()
    assert (record["body"], record["event_name"], record["attributes"]) == ("said", "found", {"n": 1})
    assert record["severity"] == "WARN"


def test_raw_holds_text_even_if_it_was_compressed(receiver: OtlpReceiver) -> None:
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{receiver.endpoint}/v1/traces", compression=Compression.Gzip)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("app").start_span("one", attributes={"leak": "canary-7f3a"}).end()
    provider.shutdown()
    assert b"canary-7f3a" in receiver.raw()
    receiver.clear()
    assert (receiver.raw(), receiver.spans()) == (b"", [])


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v1/traces", b"\xff\xff", {}, 400),
        ("/v1/metrics", b"not gzip", {"Content-Encoding": "gzip"}, 400),
        ("/v1/logs", b"not deflate", {"Content-Encoding": "deflate"}, 400),
        ("/v1/profiles", b"", {}, 404),
    ],
)
def test_what_is_not_otlp_is_refused(
    receiver: OtlpReceiver, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert requests.post(receiver.endpoint + path, body, headers=headers, timeout=5).status_code == status
    assert len(receiver.rejected()) == 1
    assert path in receiver.rejected()[0]


def test_waiting_ends_with_what_was_received(receiver: OtlpReceiver) -> None:
    receiver.wait_for(lambda found: not found.spans(), 0.1)
    with pytest.raises(TimeoutError, match="0 spans, 0 metrics, 0 logs, 0 rejected"):
        receiver.wait_for(lambda found: found.spans(), 0.1)


def test_there_is_no_port_before_the_block() -> None:
    with pytest.raises(RuntimeError, match="with block"):
        _ = OtlpReceiver().endpoint


def test_a_closed_receiver_gives_its_port_back() -> None:
    with OtlpReceiver() as closed:
        address = closed.endpoint
    with pytest.raises(requests.ConnectionError):
        requests.post(address, timeout=5)


# The capture ----------------------------------------------------------------------------------------------------------


def _refresh(capture: Capture) -> None:
    provider = capture.telemetry.provider(name="example")
    with capture.telemetry.operation(kinds.REFRESH, {"provider": provider, "refresh": "success", "reason": "normal"}):
        pass


def test_moved_is_the_difference_since_it_was_last_asked(capture: Capture) -> None:
    expected = {
        "oauth_token_refresh_total{status=success,reason=normal}": 1,
        "oauth_token_refresh_duration_seconds{status=success}": 1,
    }
    _refresh(capture)
    assert capture.moved() == expected
    assert capture.moved() == {}
    _refresh(capture)
    capture.mark()
    assert capture.moved() == {}
    _refresh(capture)
    assert capture.moved() == expected
    labels = (("status", "success"), ("reason", "normal"))
    assert capture.counters() == {("oauth_token_refresh_total", labels): 3}


def test_metrics_about_the_instrumentation_are_asked_for(capture: Capture) -> None:
    capture.telemetry.guard.failed("hook", ValueError("x"))
    assert capture.moved(own=True) == {"otel_oauth_errors_total{component=hook}": 1}
    capture.telemetry.guard.failed("hook", ValueError("x"))
    assert capture.moved() == {}


def test_gauges_and_points(capture: Capture) -> None:
    capture.telemetry.ledger.issue_state("s", verifier=True)
    gauges = capture.gauges()
    assert gauges["oauth_active_pkce_states"] == gauges["storage_flows_count"] == 1
    assert gauges["otel_oauth_ledger_shared"] == 0
    _refresh(capture)
    (duration,) = [point for point in capture.points() if point["name"] == "oauth_token_refresh_duration_seconds"]
    assert (duration["count"], duration["bounds"][0], len(duration["buckets"])) == (1, 0.1, 7)


def test_captured_spans_have_the_receivers_form(capture: Capture, receiver: OtlpReceiver) -> None:
    exporter = OTLPSpanExporter(f"{receiver.endpoint}/v1/traces")
    capture.tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
    capture.telemetry.ledger.issue_code("c", "shop")
    with capture.telemetry.operation(
        kinds.ENDPOINT, {"endpoint": "token", "method": "POST", "http_status": "500"}
    ) as operation:
        operation.facts["status"] = "failure"
        operation.judge(cases.CODE_REPLAYED)
        _refresh(capture)
    captured, received = capture.spans(), receiver.spans()
    assert [span["name"] for span in captured] == ["oauth.refresh example", "oauth.endpoint token"]
    for ours, theirs in zip(captured, received, strict=True):
        theirs["scope"].pop("attributes")
        assert ours == theirs
    assert [span["name"] for span in capture.spans("oauth.endpoint")] == ["oauth.endpoint token"]
    capture.clear()
    assert capture.spans() == []


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="race_window must be a number"):
        Capture(race_window=99)


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("oauth_active_tokens", {}, "oauth_active_tokens"),
        (
            "storage_operation_total",
            {"result": "error", "operation": "x"},
            "storage_operation_total{operation=x,result=error}",
        ),
        ("app_done", {"b": 1, "a": 2}, "app_done{a=2,b=1}"),
        ("oauth_flows_total", {"zone": "eu", "status": "success"}, "oauth_flows_total{status=success,zone=eu}"),
    ],
)
def test_series(name: str, attributes: dict[str, Any], expected: str) -> None:
    assert series(name, attributes) == expected


def test_exact_names() -> None:
    assert testing.__all__ == ["Capture", "OtlpReceiver", "series"]
    assert all(getattr(testing, name).__doc__ for name in testing.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = testing.nothing


# The pytest plugin ----------------------------------------------------------------------------------------------------

USER_TESTS = """
import sys
from otel_oauth_authlib import AuthlibInstrumentor

AT_COLLECTION = [name for name in ("opentelemetry.sdk", "google.protobuf") if name in sys.modules]

def test_uses_it(oauth_telemetry):
    assert AT_COLLECTION == []
    assert AuthlibInstrumentor().is_instrumented_by_opentelemetry
    from authlib.integrations.requests_client import OAuth2Session
    session = OAuth2Session("shop", redirect_uri="https://shop.example/cb", code_challenge_method="S256")
    session.create_authorization_url("https://id.example/authorize", code_verifier="v" * 43)
    assert oauth_telemetry.moved()["oauth_flows_total{provider=id.example,status=initiated}"] == 1

def test_uses_it_not():
    assert not AuthlibInstrumentor().is_instrumented_by_opentelemetry

def test_starts_from_zero(oauth_telemetry):
    assert oauth_telemetry.moved() == {}
    assert oauth_telemetry.spans() == []
"""


def test_the_fixture_in_somebody_elses_tests(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(USER_TESTS, encoding="utf-8")
    # Of the plugins only ours: the others take seconds to load.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "otel_oauth", "test_user.py"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_plugin_alone_imports_neither_the_sdk_nor_the_core() -> None:
    program = (
        "import sys, otel_oauth.testing.plugin as plugin\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'lmdb', 'google', 'otel_oauth'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    ours = ["otel_oauth", "otel_oauth._version", "otel_oauth.testing", "otel_oauth.testing.plugin"]
    loaded = [name for name in eval(done.stdout) if name != "google"]  # noqa: S307 a list of names that this test printed
    assert sorted(loaded) == ours


def test_receiving_is_not_logged(receiver: OtlpReceiver, capfd: pytest.CaptureFixture[str]) -> None:
    assert requests.post(f"{receiver.endpoint}/v1/logs", b"", timeout=5).status_code == 200
    assert capfd.readouterr() == ("", "")
