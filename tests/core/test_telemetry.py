"""Telemetry under the real SDK: readers, temporality, views, exemplars, late providers, gauges, names of providers."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import Counter as SdkCounter
from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_oauth import catalogue as c
from otel_oauth import cells, kinds
from otel_oauth import telemetry as telemetry_module
from otel_oauth.telemetry import get_telemetry
from otel_oauth.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def points(reader: Any, name: str) -> Any:
    data = reader.get_metrics_data()
    return [
        point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


def limited(recording: Any, limiter: str = "ip") -> None:
    with recording.telemetry.operation(kinds.RATE_LIMITED, {"limiter": limiter}):
        pass


def test_two_readers_see_the_same_sums(record: Callable[..., Any]) -> None:
    second = InMemoryMetricReader()
    recording = record(readers=(second,))
    for _ in range(3):
        limited(recording)
        for reader in (recording.reader, second):
            [value] = [
                p.value for p in points(reader, "oauth_rate_limit_exceeded") if p.attributes["limiter_type"] == "ip"
            ]
        assert value == recording.values("oauth_rate_limit_exceeded")["ip",]
    assert value == 3


def test_a_reader_with_delta_temporality_gets_the_differences(record: Callable[..., Any]) -> None:
    delta = InMemoryMetricReader(
        preferred_temporality={
            SdkCounter: AggregationTemporality.DELTA,
            ObservableCounter: AggregationTemporality.DELTA,
        }
    )
    recording = record(readers=(delta,))
    seen = []
    for amount in (2, 0, 5):
        for _ in range(amount):
            limited(recording)
        recording.reader.get_metrics_data()
        found = [p.value for p in points(delta, "oauth_rate_limit_exceeded") if p.attributes["limiter_type"] == "ip"]
        seen.append(sum(found))
    assert seen == [2, 0, 5]
    assert recording.values("oauth_rate_limit_exceeded")["ip",] == 7


def test_a_view_that_drops_client_id_sums_the_cells(record: Callable[..., Any]) -> None:
    view = View(instrument_name="oauth_token_refreshed", attribute_keys={"rotated"})
    recording = record(views=(view,))
    for client, rotated, times in (("a", "true", 2), ("b", "true", 3), ("b", "false", 4)):
        for _ in range(times):
            recording.telemetry.table.add(c.TOKEN_REFRESHED, (recording.telemetry.client(client), rotated))
    found = {p.attributes["rotated"]: p.value for p in points(recording.reader, "oauth_token_refreshed")}
    assert found == {"true": 5, "false": 4}
    assert all(set(p.attributes) == {"rotated"} for p in points(recording.reader, "oauth_token_refreshed"))


def test_the_exemplar_of_a_counter_leads_to_the_sampled_span(recording: Any) -> None:
    telemetry = recording.telemetry
    with telemetry.operation(
        kinds.ENDPOINT, {"method": "POST", "endpoint": "token", "http_status": "400"}
    ) as operation:
        pass
    context = operation.span.get_span_context()
    point = recording.series("oauth_http_requests_total")["POST", "token", "400"]
    assert [(e.trace_id, e.span_id) for e in point.exemplars] == [(context.trace_id, context.span_id)]
    duration = recording.series("oauth_http_request_duration_milliseconds")["token",]
    assert duration.count == 1


def test_an_exemplar_is_given_to_each_reader_and_not_for_ever(record: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other, now = InMemoryMetricReader(), [1000.0]
    monkeypatch.setattr(cells, "monotonic", lambda: now[0])
    recording = record(readers=(other,))
    with recording.tracer_provider.get_tracer("app").start_as_current_span("request"):
        limited(recording)
    now[0] += 300  # nobody collected meanwhile

    def shown(reader: Any) -> int:
        return sum(len(point.exemplars) for point in points(reader, "oauth_rate_limit_exceeded"))

    assert [shown(recording.reader), shown(other), shown(other)] == [1, 1, 1]
    now[0] += 61
    assert [shown(recording.reader), shown(other)] == [0, 0]


def test_a_collection_gives_up_waiting_before_the_sdk_gives_up_the_collection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beyond the timeout of a collection the SDK drops everything that it collected, the application's own included."""
    hung = threading.Event()
    with Capture() as capture:
        reader = capture._reader
        capture.telemetry.count_with(c.STORAGE_TOKENS, lambda: hung.wait(20), timeout=12)
        assert capture.telemetry.emission._pipeline.available()
        monkeypatch.setattr(capture.telemetry.emission._pipeline, "_emit", lambda *_record: hung.wait(20))
        capture.telemetry.emission.queue.add(hung.wait, 20)
        capture.meter_provider.get_meter("application").create_counter("orders").add(1)
        reader.collect(timeout_millis=2000)
        data = reader._metrics_data
        hung.set()
    names = [m.name for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics]
    assert "orders" in names


def test_the_exemplar_of_a_histogram_leads_to_the_sampled_span(recording: Any) -> None:
    with recording.telemetry.operation(
        kinds.ENDPOINT, {"method": "POST", "endpoint": "token", "http_status": "200"}
    ) as operation:
        pass
    [exemplar] = recording.series("oauth_http_request_duration_milliseconds")["token",].exemplars
    assert exemplar.span_id == operation.span.get_span_context().span_id


def test_an_operation_without_a_span_has_the_span_around_it_as_exemplar(recording: Any) -> None:
    with recording.tracer_provider.get_tracer("app").start_as_current_span("request") as span:
        limited(recording)
    [exemplar] = recording.series("oauth_rate_limit_exceeded")["ip",].exemplars
    assert exemplar.span_id == span.get_span_context().span_id


def test_an_unsampled_increment_keeps_the_exemplar_of_the_last_sampled_one(record: Callable[..., Any]) -> None:
    recording = record()
    with recording.tracer_provider.get_tracer("app").start_as_current_span("request") as span:
        limited(recording)
    unsampled = record(sampler=ALWAYS_OFF)
    with unsampled.tracer_provider.get_tracer("app").start_as_current_span("request"):
        limited(recording)
    point = recording.series("oauth_rate_limit_exceeded")["ip",]
    assert point.value == 2
    assert [e.span_id for e in point.exemplars] == [span.get_span_context().span_id]


def test_without_sampling_there_are_no_exemplars_and_no_spans_but_all_figures(record: Callable[..., Any]) -> None:
    recording = record(sampler=ALWAYS_OFF)
    with recording.telemetry.operation(kinds.ENDPOINT, {"method": "POST", "endpoint": "token", "http_status": "200"}):
        pass
    point = recording.series("oauth_http_requests_total")["POST", "token", "200"]
    assert (point.value, list(point.exemplars)) == (1, [])
    assert recording.spans() == []


GLOBAL_PROVIDERS = textwrap.dedent("""
    import json
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from otel_oauth import kinds
    from otel_oauth.telemetry import get_telemetry

    early = get_telemetry(ledger="memory", buckets={"oauth_http_request_duration_milliseconds": (1.0, 7.0)})
    with early.operation(kinds.RATE_LIMITED, {"limiter": "ip"}):
        pass
    reader, exporter = InMemoryMetricReader(), InMemorySpanExporter()
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
    metrics.set_meter_provider(MeterProvider([reader]))
    trace.set_tracer_provider(tracer_provider)
    assert get_telemetry() is early
    assert get_telemetry(metrics.get_meter_provider(), tracer_provider) is early
    with early.operation(kinds.ENDPOINT, {"method": "POST", "endpoint": "token", "http_status": "200"}):
        pass
    found = {}
    for resource in reader.get_metrics_data().resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                assert metric.name not in found, metric.name
                found[metric.name] = [
                    [sorted(p.attributes.values()), getattr(p, "value", None), list(getattr(p, "explicit_bounds", ()))]
                    for p in metric.data.data_points
                ]
    print(json.dumps([found, [span.name for span in exporter.get_finished_spans()]]))
""")


def test_providers_that_are_set_after_the_telemetry_was_made_get_everything_once() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", GLOBAL_PROVIDERS], capture_output=True, text=True, check=True, timeout=50
    )
    assert done.stderr == ""
    found, spans = json.loads(done.stdout)
    assert [["ip"], 1, []] in found["oauth_rate_limit_exceeded"]
    assert [["200", "POST", "token"], 1, []] in found["oauth_http_requests_total"]
    assert found["oauth_http_request_duration_milliseconds"] == [[["token"], None, [1.0, 7.0]]]
    assert spans == ["oauth.endpoint token"]


def test_the_same_providers_give_the_same_telemetry_and_instruments_once(
    recording: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry_module, "_by_provider", {})
    provider, tracer_provider = (
        MeterProvider([reader := InMemoryMetricReader()], shutdown_on_exit=False),
        recording.tracer_provider,
    )
    first = get_telemetry(provider, tracer_provider, ledger="memory")
    assert get_telemetry(provider, tracer_provider) is first
    assert get_telemetry(provider, tracer_provider, ledger="memory", race_window=3) is first
    assert first.settings.race_window == 30.0
    assert recording.telemetry is not first
    first.table.add(c.CODE_REUSE)
    assert [p.value for p in points(reader, "oauth_code_reuse_detected")] == [1]
    assert "already been created" not in caplog.text
    provider.shutdown()


def test_an_invalid_argument_makes_no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry_module, "_by_provider", {})
    provider = MeterProvider(shutdown_on_exit=False)
    with pytest.raises(ValueError, match="race_window must be a number from 0 to 60"):
        get_telemetry(provider, race_window=61)
    assert telemetry_module._by_provider == {}


def test_gauges_count_what_the_ledger_holds_and_fall_by_themselves(recording: Any, clock: Any) -> None:
    ledger = recording.telemetry.ledger
    ledger.issue_code("code", "client", method="S256", lifetime=60)
    ledger.issue_state("state", verifier=True, lifetime=60)
    ledger.issue_state("plain state", verifier=False, lifetime=60)
    ledger.know_client("client")
    ledger.granted("client", "access", expires_in=100, refresh_token="refresh")

    def gauges() -> Any:
        names = [metric.name for metric in c.DOCUMENTED if metric.kind == "gauge"]
        exported = recording.metrics()
        return {name.removeprefix("oauth_"): exported[name].data.data_points[0].value for name in names}

    assert gauges() == {
        "active_tokens": 1,
        "active_pkce_states": 2,
        "storage_tokens_count": 1,
        "storage_clients_count": 1,
        "storage_flows_count": 3,
        "storage_families_count": 1,
        "storage_refresh_tokens_count": 1,
    }
    clock.pass_(61)
    assert (gauges()["active_pkce_states"], gauges()["storage_flows_count"]) == (0, 0)
    assert recording.values("oauth_pkce_states_cleaned_total")["expired",] == 2
    clock.pass_(40)
    assert (gauges()["active_tokens"], gauges()["storage_tokens_count"], gauges()["storage_refresh_tokens_count"]) == (
        0,
        0,
        1,
    )
    clock.pass_(31 * 86400)
    assert set(gauges().values()) == {0}
    assert recording.values("oauth_pkce_states_cleaned_total")["expired",] == 2


def test_a_count_of_the_application_goes_before_the_ledger(recording: Any) -> None:
    telemetry = recording.telemetry
    telemetry.count_with(c.STORAGE_TOKENS, lambda: 42)
    telemetry.count_with(c.STORAGE_CLIENTS, lambda: -3)
    assert recording.values("storage_tokens_count") == {(): 42}
    assert recording.values("storage_clients_count") == {(): 0}
    telemetry.count_with(c.STORAGE_TOKENS, None)
    assert recording.values("storage_tokens_count") == {(): 0}
    with pytest.raises(ValueError, match="oauth_flows_total is not a gauge that can be counted"):
        telemetry.count_with(c.FLOWS, lambda: 1)


@pytest.mark.parametrize("count", [lambda: 1 / 0, lambda: "many", lambda: float("nan"), lambda: None])
def test_a_count_that_fails_leaves_the_gauge_out_and_is_counted(
    recording: Any, caplog: pytest.LogCaptureFixture, count: Any
) -> None:
    recording.telemetry.guard.reraise = False
    recording.telemetry.count_with(c.STORAGE_TOKENS, count)
    assert recording.values("storage_tokens_count") == {}
    assert recording.values("otel_oauth_errors_total")["gauge",] >= 1
    assert "Callback failed" not in caplog.text


def test_ledger_entries_evictions_and_reach_are_exported(record: Callable[..., Any]) -> None:
    recording = record(ledger_size=100)
    for number in range(130):
        recording.telemetry.ledger.know_client(f"client{number}")
    assert recording.values("otel_oauth_ledger_entries")["client",] == 100
    assert recording.values("otel_oauth_ledger_evictions_total")["client",] == 30
    assert recording.values("otel_oauth_ledger_evictions_total")["client",] == 30
    assert recording.values("otel_oauth_ledger_shared") == {(): 0}


def test_the_host_ledger_says_that_it_is_shared(record: Callable[..., Any], tmp_path: Path) -> None:
    recording = record(ledger=f"host:{tmp_path / 'ledger'}")
    assert recording.values("otel_oauth_ledger_shared") == {(): 1}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://accounts.google.com/o/oauth2/auth?client_id=1", "google"),
        ("https://LOGIN.microsoftonline.com:443/common", "microsoft"),
        ("https://idp.example:8443/token", "mine"),
        ("https://idp.example/token", "idp.example"),
        ("https://user:secret@idp.example/token", "idp.example"),
        ("https://idp.example#access_token=secret", "idp.example"),
        ("https://idp.example?code=secret", "idp.example"),
        ("https://[2001:db8::1]:9000/token", "[2001:db8::1]"),
        ("idp.example/token", "idp.example"),
        ("", "unknown"),
    ],
)
def test_a_provider_is_called_by_its_host(record: Callable[..., Any], url: str, name: str) -> None:
    recording = record(providers={"idp.example:8443": "mine"})
    assert recording.telemetry.provider(url=url) == name
    assert recording.telemetry.provider("registered", url) == "registered"


def test_a_client_is_unknown_unless_somebody_vouches_for_it(recording: Any) -> None:
    telemetry = recording.telemetry
    assert telemetry.client("abc") == "abc"
    assert telemetry.client("abc", known=False) == "unknown"
    assert telemetry.client(None) == telemetry.client("") == "unknown"


ONE_METER_PROVIDER = textwrap.dedent("""
    import os, sys, time, warnings
    from opentelemetry import metrics
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from otel_oauth import kinds
    from otel_oauth.telemetry import get_telemetry

    warnings.simplefilter("ignore", DeprecationWarning)  # fork in a process with threads is what is tested
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    which = sys.argv[1]
    if which == "late":
        first = get_telemetry(provider, ledger="memory")
        metrics.set_meter_provider(provider)
        second = get_telemetry(ledger="memory")
    else:
        metrics.set_meter_provider(provider)
        first = get_telemetry(ledger="memory")
        others = {"tracer": TracerProvider, "logger": LoggerProvider}
        second = get_telemetry(**{f"{which}_provider": others[which]()})
    assert first is not second

    def record():
        for telemetry in (first, second):
            with telemetry.operation(kinds.RATE_LIMITED, {"limiter": "ip"}):
                pass

    def counted():
        resources = reader.get_metrics_data().resource_metrics
        metrics = [metric for each in resources for scope in each.scope_metrics for metric in scope.metrics]
        counters = [metric for metric in metrics if metric.name == "oauth_rate_limit_exceeded"]
        return [point.value for metric in counters for point in metric.data.data_points if point.value]

    record()
    second.ledger.issue_code("code", "client")
    print(counted(), first.ledger.sight_code("code").entry is not None, flush=True)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        record()
        print(counted(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print(time.monotonic() - began < 0.9)  # each of the shared locks is taken once
    second.close()
    record()
    print(counted())
""")


@pytest.mark.parametrize("which", ["tracer", "logger", "late"])
def test_telemetries_with_one_meter_provider_share_what_is_measured(which: str) -> None:
    """The instruments of a meter provider exist once: a second set of callbacks would never be asked."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_METER_PROVIDER, which], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.stdout.splitlines(), done.stderr) == (["[2] True", "[2]", "True", "[4]"], "")
