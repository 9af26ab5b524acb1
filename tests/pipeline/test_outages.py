"""Parts of the pipeline go away and come back: what was sent arrives, and the application never waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from pipeline_run import SCRAPE_SECONDS, wait_until

from stack.pipeline import Stack
from stack.queries import Loki, Prometheus, Zipkin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

AWAY_SECONDS = 12
A_MOMENT = 0.05
"""Seconds that a call of the application may take on a busy machine: far less than any time-out of an exporter."""


class BusyApplication:
    """An application that exports in batches in the background, as under ``opentelemetry-instrument``."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.name = name
        resource = Resource({"service.name": name, "service.instance.id": f"{name}-1"})
        self._loggers = LoggerProvider(resource)
        self._loggers.add_log_record_processor(
            BatchLogRecordProcessor(OTLPLogExporter(f"{endpoint}/v1/logs"), schedule_delay_millis=200)
        )
        self._tracers = TracerProvider(resource=resource)
        self._tracers.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces"), schedule_delay_millis=200)
        )
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{endpoint}/v1/metrics"), 1000)
        self._meters = MeterProvider([reader], resource=resource)
        self._logger = self._loggers.get_logger("otel_oauth")
        self._tracer = self._tracers.get_tracer("otel_oauth")
        self._counter = self._meters.get_meter("otel_oauth").create_counter("oauth_code_injection_attempts_total")
        self.sent = 0
        self.longest = 0.0

    def work(self, seconds: float, per_second: int = 40) -> None:
        """Emit one event, span and count after the other, and take the time of each."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.perf_counter()
            with self._tracer.start_as_current_span("oauth.endpoint token"):
                self._counter.add(1)
                self._logger.emit(
                    LogRecord(
                        timestamp=time.time_ns(),
                        body=f"number {self.sent}",
                        severity_text="WARN",
                        severity_number=SeverityNumber.WARN,
                        attributes={"event.name": "oauth_code_injection_attempt", "number": self.sent},
                    )
                )
            self.longest = max(self.longest, time.perf_counter() - began)
            self.sent += 1
            time.sleep(1 / per_second)

    def end(self) -> None:
        """Export the last and end."""
        for provider in (self._loggers, self._tracers, self._meters):
            provider.shutdown()


class Outage:
    """The stack without the demonstration."""

    def __init__(self, place: Path) -> None:
        self.stack = Stack(place, scrape_seconds=SCRAPE_SECONDS, usual=False)
        self.prometheus = Prometheus(self.stack.prometheus_url)
        self.loki = Loki(self.stack.loki_url)
        self.zipkin = Zipkin(self.stack.zipkin_url)

    def numbers_in_loki(self, name: str) -> list[int]:
        lines = self.loki.lines(f'{{service_name="{name}"}}', limit=5000)
        return sorted(int(line["labels"]["number"]) for line in lines)

    def all_arrived(self, application: BusyApplication) -> None:
        """Wait until every event is in Loki and the counter in Prometheus has the number that was sent."""
        wanted = set(range(application.sent))
        wait_until(lambda: wanted <= set(self.numbers_in_loki(application.name)), 90, "every event is in Loki")
        query = f'oauth_code_injection_attempts_total{{job="{application.name}"}}'
        wait_until(lambda: self.prometheus.value(query) == application.sent, 60, f"{query} is {application.sent}")


@pytest.fixture(scope="module")
def outage(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    assert binaries.is_dir()
    outage = Outage(tmp_path_factory.mktemp("outage"))
    with outage.stack:
        yield outage


def came_back(child: Any) -> None:
    child.start()
    child.wait_until_ready()


def test_loki_and_prometheus_away_and_the_collector_killed_meanwhile(outage: Outage) -> None:
    application = BusyApplication(outage.stack.collector.otlp, "backends-away")
    application.work(3)
    outage.stack.loki.kill()
    outage.stack.prometheus.kill()
    application.work(AWAY_SECONDS / 2)
    outage.stack.collector.kill()
    came_back(outage.stack.collector)
    application.work(AWAY_SECONDS / 2)
    came_back(outage.stack.loki)
    came_back(outage.stack.prometheus)
    application.work(3)
    outage.all_arrived(application)
    assert application.longest < A_MOMENT
    application.end()


def test_zipkin_away_and_the_collector_stopped_meanwhile(outage: Outage) -> None:
    application = BusyApplication(outage.stack.collector.otlp, "zipkin-away")
    outage.stack.zipkin.kill()
    application.work(3)
    outage.stack.collector.stop()
    came_back(outage.stack.collector)
    application.work(1)
    came_back(outage.stack.zipkin)
    application.work(1)

    def spans() -> int:
        return sum(
            span["localEndpoint"]["serviceName"] == application.name
            for trace in outage.zipkin.traces(5000)
            for span in trace
        )

    wait_until(lambda: spans() == application.sent, 90, "every span is in Zipkin")
    application.end()


def test_the_collector_away_for_seconds_the_application_keeps_what_it_has(outage: Outage) -> None:
    application = BusyApplication(outage.stack.collector.otlp, "collector-away")
    application.work(2)
    outage.stack.collector.stop()
    application.work(3)
    came_back(outage.stack.collector)
    application.work(2)
    outage.all_arrived(application)
    assert application.longest < A_MOMENT
    application.end()
