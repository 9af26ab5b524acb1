"""A counter, a gauge, a histogram, an operation with its span, a collection."""

from __future__ import annotations

import itertools
import time

import prometheus_client
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import NoOpTracerProvider

from benchmarks.signals import Signals
from benchmarks.steps import Step, nothing
from otel_oauth import catalogue as c
from otel_oauth import kinds
from otel_oauth.telemetry import GAUGE_KINDS

LABELS = {"status": "success", "reason": "normal"}
KEY = ("success", "normal")
ATTRIBUTES = {"oauth.grant_type": "refresh_token", "oauth.client_id": "web", "oauth.case": "token_live"}
FLUSH_SECONDS = 20.0
_RECORDS = 10_000


def _sdk_meter() -> MeterProvider:
    return MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)


def empty() -> dict[str, Step]:
    """Return a call of Python that does nothing: what a step is a multiple of."""
    return {"empty call": Step(nothing)}


def counters() -> dict[str, Step]:
    """Return one increment of a counter with two labels."""
    table = Signals().telemetry().table
    sdk = _sdk_meter().get_meter("m").create_counter("n", unit="{refresh}")
    idle = NoOpMeterProvider().get_meter("m").create_counter("n", unit="{refresh}")
    prometheus = prometheus_client.Counter("n", "d", list(LABELS), registry=prometheus_client.CollectorRegistry())
    return {
        "counter ours": Step(
            lambda: table.add(c.TOKEN_REFRESH, KEY), recorded=lambda: table.value(c.TOKEN_REFRESH, KEY)
        ),
        "counter sdk": Step(lambda: sdk.add(1, LABELS)),
        "counter prometheus_client": Step(lambda: prometheus.labels(**LABELS).inc()),
        "counter no-op": Step(lambda: idle.add(1, LABELS)),
    }


def gauges() -> dict[str, Step]:
    """Return a gauge: ours is read from the ledger at a collection and costs a request nothing, others are set."""
    ledger = Signals().telemetry().ledger
    for number in range(_RECORDS):
        ledger.issue_code(f"code-{number}", "web")
    read = GAUGE_KINDS[c.STORAGE_FLOWS]
    sdk = _sdk_meter().get_meter("m").create_gauge("n")
    idle = NoOpMeterProvider().get_meter("m").create_gauge("n")
    prometheus = prometheus_client.Gauge("n", "d", registry=prometheus_client.CollectorRegistry())
    return {
        "gauge ours (read at a collection, of 10,000)": Step(lambda: ledger.count(read)),
        "gauge sdk": Step(lambda: sdk.set(5)),
        "gauge prometheus_client": Step(lambda: prometheus.set(5)),
        "gauge no-op": Step(lambda: idle.set(5)),
    }


def histograms() -> dict[str, Step]:
    """Return one recording of a duration; a thread of ours pays what the SDK takes, beside the request."""
    telemetry = Signals().telemetry()
    sdk = _sdk_meter().get_meter("m").create_histogram("n")
    idle = NoOpMeterProvider().get_meter("m").create_histogram("n")
    prometheus = prometheus_client.Histogram("n", "d", ["status"], registry=prometheus_client.CollectorRegistry())

    plan = telemetry.plans.of({}, kinds.STORAGE)
    plan.cells, facts = (), dict[str, object]()

    def ours() -> None:
        plan.take(0.05, None, facts)

    flush = telemetry.recorder.flush
    return {
        "histogram ours, in the request": Step(ours, drain=flush, clock=time.thread_time),
        "histogram ours, with its thread": Step(ours, settle=flush),
        "histogram sdk": Step(lambda: sdk.record(0.05, LABELS)),
        "histogram prometheus_client": Step(lambda: prometheus.labels("success").observe(0.05)),
        "histogram no-op": Step(lambda: idle.record(0.05, LABELS)),
    }


def spans() -> dict[str, Step]:
    """Return one operation with its span and all that it records, and one span of the SDK with as many attributes."""
    signals = Signals()
    telemetry = signals.telemetry()
    tracer = Signals().tracer_provider.get_tracer("t")
    idle = NoOpTracerProvider().get_tracer("t")

    def ours() -> None:
        with telemetry.operation(kinds.REFRESH, {"provider": "example", "status": "success", "reason": "normal"}):
            pass

    def settle() -> None:
        telemetry.recorder.flush()
        telemetry.emission.flush(FLUSH_SECONDS)

    def sdk() -> None:
        with tracer.start_as_current_span("refresh") as span:
            span.set_attributes(ATTRIBUTES)

    def none() -> None:
        with idle.start_as_current_span("refresh") as span:
            span.set_attributes(ATTRIBUTES)

    return {
        "operation ours (span, counters, histograms, event)": Step(
            ours, settle=settle, recorded=lambda: signals.counting.spans
        ),
        "span sdk": Step(sdk),
        "span no-op": Step(none),
    }


def collections() -> dict[str, Step]:
    """Return one collection with our tables full, and of as many series by the SDK and by prometheus_client."""
    signals = Signals()
    telemetry = signals.telemetry()
    for number in range(telemetry.settings.client_id_cap):
        telemetry.client(f"client-{number}")
    for number in range(telemetry.settings.provider_cap):
        telemetry.provider(f"provider-{number}")
    for number in range(_RECORDS):
        telemetry.ledger.issue_code(f"code-{number}", "web")
    series = signals.series()
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("m")
    registry = prometheus_client.CollectorRegistry()
    for name, labels in zip("abcdefghij", itertools.repeat(list(LABELS)), strict=False):
        sdk, prometheus = meter.create_counter(name), prometheus_client.Counter(name, "d", labels, registry=registry)
        for number in range(series // 10):
            sdk.add(1, {"status": f"s-{number}", "reason": "normal"})
            prometheus.labels(f"s-{number}", "normal").inc()
    return {
        f"collection ours, {series:,} series": Step(signals.reader.get_metrics_data),
        "collection sdk, as many": Step(reader.get_metrics_data),
        "collection prometheus_client, as many": Step(lambda: prometheus_client.generate_latest(registry)),
    }
