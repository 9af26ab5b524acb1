"""Every backend is away for two minutes, and the Collector is killed and stopped meanwhile: nothing is lost.

One run of two minutes, in which all of it happens; each test looks at another consequence. Nothing here depends on how
fast the machine is: what counts is what was sent and what arrived.
"""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

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

from stack.pipeline import CollectorProcess, Stack
from stack.queries import Loki, Prometheus, Zipkin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stack.processes import Child

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

AWAY_SECONDS = 120
PER_SECOND = 20
PATIENCE = 60
"""Seconds for which the SDK's exporters try to reach the Collector: a busy machine starts it slowly."""
CATCH_UP = 180
"""Seconds within which all is there; the Collector's next attempt may be three quarters of a minute away."""
A_WAIT = 0.5
"""Seconds: an exporter that meets no Collector pauses for 0.8 s at least, and a call that exported would too."""
WRITER = ("receive", "redaction", "own", "scopes", "remote-write", "loki", "traces-zipkin")
NAME = "oauth_code_injection_attempts_total"


class BusyApplication:
    """An application that exports in batches in the background, as under ``opentelemetry-instrument``."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.name = name
        resource = Resource({"service.name": name, "service.instance.id": f"{name}-1"})
        self._loggers = LoggerProvider(resource)
        logs = OTLPLogExporter(f"{endpoint}/v1/logs", timeout=PATIENCE)
        self._loggers.add_log_record_processor(BatchLogRecordProcessor(logs, schedule_delay_millis=200))
        self._tracers = TracerProvider(resource=resource)
        spans = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=PATIENCE)
        self._tracers.add_span_processor(BatchSpanProcessor(spans, schedule_delay_millis=200))
        metrics = OTLPMetricExporter(f"{endpoint}/v1/metrics", timeout=PATIENCE)
        self._meters = MeterProvider([PeriodicExportingMetricReader(metrics, 1000)], resource=resource)
        self._logger = self._loggers.get_logger("otel_oauth")
        self._tracer = self._tracers.get_tracer("otel_oauth")
        self._counter = self._meters.get_meter("otel_oauth").create_counter(NAME)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.durations: list[float] = []

    @property
    def sent(self) -> int:
        """How many events, spans and counts were recorded."""
        return len(self.durations)

    def __enter__(self) -> BusyApplication:  # noqa: PYI034 Self is not in Python 3.10
        self._thread.start()
        return self

    def _work(self) -> None:
        while not self._ended.wait(1 / PER_SECOND):
            began = time.perf_counter()
            self._one(len(self.durations))
            self.durations.append(time.perf_counter() - began)

    def _one(self, number: int) -> None:
        with self._tracer.start_as_current_span("oauth.endpoint token"):
            self._counter.add(1)
            self._logger.emit(
                LogRecord(
                    timestamp=time.time_ns(),
                    body=f"number {number}",
                    severity_text="WARN",
                    severity_number=SeverityNumber.WARN,
                    attributes={"event.name": "oauth_code_injection_attempt", "number": number},
                )
            )

    def __exit__(self, *_: object) -> None:
        """End, and export the last."""
        self._ended.set()
        self._thread.join()
        for provider in (self._loggers, self._tracers, self._meters):
            provider.shutdown()


class Outage:
    """The pipeline with two Collectors: one that Prometheus scrapes, and one that writes to it."""

    def __init__(self, place: Path) -> None:
        self.stack = Stack(place, scrape_seconds=SCRAPE_SECONDS, usual=False)
        settings = {
            "OTELCOL_LOKI": self.stack.loki_url,
            "OTELCOL_ZIPKIN": self.stack.zipkin_url,
            "OTELCOL_REMOTE_WRITE": f"{self.stack.prometheus_url}/api/v1/write",
        }
        self.writer = CollectorProcess("writer", WRITER, self.stack.place, settings, {})
        # Zipkin is away all the time: its store is in memory, what it had before would be gone
        self.stack.children = [self.stack.loki, self.stack.prometheus, self.stack.collector, self.writer]
        self.prometheus = Prometheus(self.stack.prometheus_url)
        self.loki = Loki(self.stack.loki_url)
        self.zipkin = Zipkin(self.stack.zipkin_url)
        self.scraped = BusyApplication(self.stack.collector.otlp, "scraped")
        self.written = BusyApplication(self.writer.otlp, "written")
        self.applications = (self.scraped, self.written)

    def happen(self) -> None:
        """Let it happen; both applications work all the time."""
        collector = self.stack.collector
        backends = (self.stack.loki, self.stack.prometheus)
        for application in self.applications:
            query = f'{NAME}{{job="{application.name}"}}'
            wait_until(lambda query=query: self.prometheus.query(query), 60, "the counts arrive")
        back = time.monotonic() + AWAY_SECONDS
        for backend in backends:
            backend.kill()
        time.sleep(AWAY_SECONDS / 3)
        collector.kill()
        come_back(collector)
        time.sleep(AWAY_SECONDS / 3)
        collector.stop()
        time.sleep(3)
        come_back(collector)
        time.sleep(max(0.0, back - time.monotonic()))
        come_back(*backends, self.stack.zipkin)
        time.sleep(3)

    def all_arrived(self, application: BusyApplication) -> None:
        """Wait until every event and span is there."""
        every = list(range(application.sent))
        lines = f'{{service_name="{application.name}"}}'

        def numbers() -> list[int]:
            return sorted({int(line["labels"]["number"]) for line in self.loki.lines(lines)})

        wait_until(lambda: numbers() == every, CATCH_UP, f"every event of {application.name} is in Loki")

        def spans() -> int:
            return sum(len(trace) for trace in self.zipkin.traces(5000, application.name))

        wait_until(lambda: spans() == application.sent, CATCH_UP, f"every span of {application.name} is in Zipkin")

    def counted(self, application: BusyApplication) -> None:
        """Wait until Prometheus has the number that was sent."""
        query = f'{NAME}{{job="{application.name}"}}'
        sent = application.sent
        wait_until(lambda: self.prometheus.value(query) == sent, CATCH_UP, f"{query} is {sent}")


def come_back(*children: Child) -> None:
    """Start what is away, all at once."""
    for child in children:
        child.start()
    for child in children:
        child.wait_until_ready(CATCH_UP)


@pytest.fixture(scope="module")
def outage(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    assert binaries.is_dir()
    outage = Outage(tmp_path_factory.mktemp("outage"))
    with outage.stack:
        try:
            with outage.scraped, outage.written:
                outage.happen()
            yield outage
        finally:
            outage.stack.zipkin.stop()


def test_every_event_and_span_arrived(outage: Outage) -> None:
    for application in outage.applications:
        assert application.sent > AWAY_SECONDS
        outage.all_arrived(application)


def test_the_counts_are_right_behind_the_hole(outage: Outage) -> None:
    outage.counted(outage.scraped)
    raw = outage.prometheus.query(f'{NAME}{{job="{outage.scraped.name}"}}[10m]')
    assert longest_gap(raw) > AWAY_SECONDS / 2, "Prometheus was not away"


def test_remote_write_catches_up_and_leaves_no_hole(outage: Outage) -> None:
    outage.counted(outage.written)
    raw = outage.prometheus.query(f'{NAME}{{job="{outage.written.name}"}}[10m]')
    assert longest_gap(raw) < AWAY_SECONDS / 8
    values = [float(value) for _, value in raw[0]["values"]]
    assert values == sorted(values)


def longest_gap(raw: list[dict[str, list[tuple[float, str]]]]) -> float:
    """Return the longest time between two samples of the only series."""
    (series,) = raw
    return max(after - before for (before, _), (after, _) in pairwise(series["values"]))


def test_the_applications_never_waited(outage: Outage) -> None:
    for application in outage.applications:
        waits = [duration for duration in application.durations if duration > A_WAIT]
        # a busy machine leaves a process aside now and then; who waits for an exporter does it a hundred times
        assert len(waits) < 5, waits
