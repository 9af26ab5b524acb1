"""The telemetry of one variant: real SDK providers whose spans and metrics end in the process, counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor  # noqa: PLC2701 the SDK has no other name
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from otel_oauth.settings import Settings
from otel_oauth.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator


class Counting(SpanProcessor):
    """Counts spans where a real processor would queue them: what an exporter costs is the same for everybody."""

    def __init__(self) -> None:
        self.spans = 0

    def on_end(self, span: ReadableSpan) -> None:  # noqa: ARG002 the interface's
        """Count one finished span."""
        self.spans += 1


class CountingLogs(LogRecordProcessor):
    """Counts log records likewise."""

    def __init__(self) -> None:
        self.records = 0

    def on_emit(self, _log_record: object) -> None:
        """Count one record."""
        self.records += 1

    def shutdown(self) -> None:
        """Hold nothing."""

    def force_flush(self, timeout_millis: int = 0) -> bool:  # noqa: ARG002 the interface's
        """Have nothing to wait for."""
        return True


@dataclass
class Signals:
    """Providers, and what they were given; no event is held back by a rate.

    :param sampled: whether spans are sampled.
    :param ledger: where the ledger of our telemetry lives.
    :param settings: what else of our telemetry is configured.
    """

    sampled: bool = True
    ledger: str = "memory"
    settings: dict[str, object] = field(default_factory=dict)
    counting: Counting = field(default_factory=Counting)
    logs: CountingLogs = field(default_factory=CountingLogs)

    def __post_init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)
        sampler = ALWAYS_ON if self.sampled else ALWAYS_OFF
        self.tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(self.counting)
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(self.logs)

    def telemetry(self) -> Telemetry:
        """Return a telemetry of ours that records into these providers."""
        settings: dict[str, object] = {"ledger": self.ledger, "event_rate": 0, **self.settings}
        chosen = Settings.from_environment({}, **settings)
        return Telemetry(self.meter_provider, self.tracer_provider, chosen, self.logger_provider)

    def points(self) -> Iterator[tuple[Any, Any]]:
        """Return each metric with each of its points; a collection first records what is pending."""
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        yield metric, point

    def counted(self) -> dict[str, float]:
        """Return the sum of each counter's series, the count of each histogram's, and how many spans and events."""
        points = list(self.points())  # first: it records what is pending
        totals = {"spans": float(self.counting.spans), "events": float(self.logs.records)}
        for metric, point in points:
            counted = point.count if hasattr(point, "count") else point.value
            totals[metric.name] = totals.get(metric.name, 0.0) + float(counted)
        return totals

    def series(self) -> int:
        """Return how many series are exported."""
        return sum(1 for _ in self.points())
