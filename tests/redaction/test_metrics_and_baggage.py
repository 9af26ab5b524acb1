"""Attributes and exemplars of metrics, at every collection; baggage, where it leaves; and what is counted of all."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.sdk.metrics import MeterProvider, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.trace import TracerProvider

from otel_oauth import _attach, redaction
from otel_oauth import catalogue as c
from otel_oauth.settings import Settings
from otel_oauth.telemetry import Telemetry

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

SECRET = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5kL7nP9r"


def points(reader: InMemoryMetricReader) -> list[Any]:
    data = reader.get_metrics_data()
    assert data is not None
    return [
        point
        for group in data.resource_metrics
        for scoped in group.scope_metrics
        for metric in scoped.metrics
        for point in metric.data.data_points
    ]


def test_attributes_and_exemplars_of_metrics(install: Callable[..., None], counted: Counter[tuple[str, str]]) -> None:
    reader = InMemoryMetricReader()
    views = [View(instrument_name="requests", attribute_keys={"url.query", "client_id"})]
    meters = MeterProvider([reader], views=views, exemplar_filter=TraceBasedExemplarFilter())
    install()
    counter = meters.get_meter("stock").create_counter("requests")
    with TracerProvider().get_tracer("stock").start_as_current_span("work"):
        counter.add(1, {"url.query": f"code={SECRET}&x=1", "http.url": f"/?state={SECRET}", "client_id": SECRET})
    for _ in range(2):
        (point,) = points(reader)
        assert point.attributes["url.query"].startswith("code=[redacted:code:")
        assert point.attributes["client_id"] == SECRET
        assert SECRET not in repr([exemplar.filtered_attributes for exemplar in point.exemplars])
        counter.add(1, {"url.query": f"code={SECRET}&x=1", "client_id": SECRET})
        assert point.value in (1, 2)
    assert counted["metric", "code"] == 2
    assert counted["metric", "state"] == 1


def test_metrics_that_cannot_be_inspected_are_not_exported(install: Callable[..., None], monkeypatch: Any) -> None:
    install()
    assert redaction._sources is not None
    redaction._sources.guard.reraise = False
    reader = InMemoryMetricReader()
    MeterProvider([reader]).get_meter("stock").create_counter("requests").add(1, {"url.query": "code=abc&x=1"})
    assert redaction._sources.redactor is not None
    monkeypatch.setattr(redaction._sources.redactor, "changes", lambda *_: 1 / 0)
    assert reader.get_metrics_data() is None


def test_baggage_leaves_without_secrets(install: Callable[..., None]) -> None:
    context = baggage.set_baggage("refresh_token", SECRET, baggage.set_baggage("tenant", "a1"))
    carrier: dict[str, str] = {}
    install()
    W3CBaggagePropagator().inject(carrier, context)
    assert carrier["baggage"].startswith("tenant=a1,refresh_token=%5Bredacted%3Arefresh_token%3A")
    assert baggage.get_baggage("refresh_token", context) == SECRET
    redaction.uninstall()
    W3CBaggagePropagator().inject(carrier, context)
    assert SECRET in carrier["baggage"]


def test_redactions_are_counted_in_a_metric_those_before_it_as_well() -> None:
    redaction.count_into(lambda *_: None, lambda _component: None)
    redaction._counts.redaction = None
    redaction.install()
    redaction.redact("/cb?code=abc&state=x")
    telemetry = Telemetry(settings=Settings(ledger="memory"))
    try:
        _attach.begin_redaction(telemetry)
        redaction.redact("/cb?code=abcd&state=x")
        assert telemetry.table.value(c.REDACTIONS, ("log", "code")) == 2
        assert telemetry.table.value(c.REDACTIONS, ("log", "state")) == 2
    finally:
        redaction.count_into(lambda *_: None, lambda _component: None)
        telemetry.close()


def test_modules_of_the_sdk_are_not_imported_for_it() -> None:
    program = (
        "import sys; from otel_oauth import redaction; redaction.install();"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.sdk')], sorted(sys.modules);"
        "from opentelemetry.sdk.trace import Span; assert '_readable_span' in vars(Span);"
        "assert Span._readable_span.__module__ != 'x' and hasattr(Span._readable_span, '__wrapped__')"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
