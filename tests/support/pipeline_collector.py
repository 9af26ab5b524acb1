"""A Collector in the role of an agent between an SDK and a receiver, both in the test's process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

from stack.pipeline import AGENT, CollectorProcess

if TYPE_CHECKING:
    from pathlib import Path

    from otel_oauth.testing import OtlpReceiver


class Application:
    """The providers of an application that exports over OTLP to ``endpoint``."""

    def __init__(self, endpoint: str, **resource: str) -> None:
        attributes = {"service.name": "shop", "service.instance.id": "shop-1"}
        attributes.update({name.replace("_", "."): value for name, value in resource.items()})
        described = Resource(attributes)
        self.tracers = TracerProvider(resource=described)
        self.tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(f"{endpoint}/v1/metrics"), export_interval_millis=3_600_000
        )
        self.meters = MeterProvider([reader], resource=described)
        self.loggers = LoggerProvider(described)
        self.loggers.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{endpoint}/v1/logs")))

    def flush(self) -> None:
        """Export what there is."""
        for provider in (self.tracers, self.meters, self.loggers):
            assert provider.force_flush()

    def shutdown(self) -> None:
        """Export the last and end."""
        for provider in (self.tracers, self.meters, self.loggers):
            provider.shutdown()


class Agent:
    """A running agent, and what comes out of it.

    :param extra: more files of the configuration.
    """

    def __init__(self, place: Path, receiver: OtlpReceiver, *extra: str) -> None:
        self.logs = place / "applications"
        self.logs.mkdir()
        self.receiver = receiver
        settings = {"OTELCOL_GATEWAY": receiver.endpoint, "OTELCOL_LOG_FILES": f"{self.logs}/*.jsonl"}
        self.collector = CollectorProcess("agent", (*AGENT, "file-log", *extra), place, settings, {})

    def __enter__(self) -> Agent:  # noqa: PYI034 Self is not in Python 3.10
        self.collector.start()
        self.collector.wait_until_ready()
        self.application = Application(self.collector.otlp)
        return self

    def __exit__(self, *_: object) -> None:
        self.application.shutdown()
        self.collector.stop()

    def left_on_disk(self) -> bytes:
        """Return the content of its queue and of its own log."""
        files = [path for path in self.collector.queue.rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in (*files, self.collector.log))

    def wait_for(self, what: Any) -> None:
        """Wait until ``what(receiver)`` is true."""
        self.receiver.wait_for(what, 60)
