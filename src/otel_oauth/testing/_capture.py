"""What one process would export, kept in memory and read as plain dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, trace  # noqa: PLC2701 the Logs API has no other name
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from otel_oauth.catalogue import BY_NAME, DOCUMENTED, Metric
from otel_oauth.settings import Settings
from otel_oauth.telemetry import Telemetry
from otel_oauth.testing._series import series

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan

Key = tuple[str, tuple[tuple[str, str], ...]]

_STATUSES = {StatusCode.UNSET: "unset", StatusCode.OK: "ok", StatusCode.ERROR: "error"}


class Capture:
    """Providers of its own, in memory, and the telemetry that records into them; usable as a ``with`` block.

    The ledger is the process's own unless ``settings`` says otherwise.

    :ivar telemetry: for an instrumentor (``instrument(telemetry=capture.telemetry)``) or for the manual API.
    :param settings: arguments of :class:`otel_oauth.settings.Settings`, for example ``race_window=2``.
    :raises ValueError: if a setting is unknown or invalid.
    """

    def __init__(self, **settings: object) -> None:
        self._reader = InMemoryMetricReader()
        self._exporter = InMemorySpanExporter()
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        chosen = Settings.from_environment(None, **{"ledger": "memory", **settings})
        self.logger_provider = _KeptLogs()
        self.telemetry = Telemetry(self.meter_provider, self.tracer_provider, chosen, self.logger_provider)
        self._marked: dict[Key, float] = {}

    def __enter__(self) -> Capture:  # noqa: PYI034 Self is not in Python 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Shut the providers down and close the ledger."""
        self.telemetry.postponed.close()
        self.meter_provider.shutdown()
        self.tracer_provider.shutdown()
        self.telemetry.close()

    # Metrics ---------------------------------------------------------------------------------------------

    def points(self) -> list[dict[str, Any]]:
        """Collect now and return every point, zero series included.

        Keys: ``name``, ``attributes``, ``unit``, ``exemplars``; ``value`` for numbers, ``count``, ``sum``,
        ``buckets`` and ``bounds`` for histograms.
        """
        return list(self._points())

    def _points(self) -> Iterator[dict[str, Any]]:
        self.telemetry.postponed.flush()
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        common: dict[str, Any] = {
                            "name": metric.name,
                            "attributes": dict(point.attributes or {}),
                            "unit": metric.unit,
                            "exemplars": list(point.exemplars),
                        }
                        if isinstance(point, HistogramDataPoint):
                            counts, bounds = list(point.bucket_counts), list(point.explicit_bounds)
                            common |= {"count": point.count, "sum": point.sum}
                            yield {**common, "buckets": counts, "bounds": bounds}
                        elif isinstance(point, NumberDataPoint):
                            yield {**common, "value": point.value}

    def _moving(self) -> dict[Key, float]:
        """Counter values and histogram counts that are not zero."""
        values: dict[Key, float] = {}
        for point in self._points():
            metric = BY_NAME.get(point["name"])
            value = point.get("value", point.get("count"))
            if value and metric is not None and metric.kind != "gauge":
                values[_key(metric, point["attributes"])] = value
        return values

    def counters(self) -> dict[Key, float]:
        """Return every counter that is not zero: ``{(name, ((label, value), …)): value}``."""
        return {key: value for key, value in self._moving().items() if BY_NAME[key[0]].kind == "counter"}

    def gauges(self) -> dict[str, float]:
        """Return every gauge of the catalogue by its series' text."""
        found = {}
        for point in self._points():
            metric = BY_NAME.get(point["name"])
            if metric is not None and metric.kind == "gauge":
                found[series(metric.name, point["attributes"])] = point["value"]
        return found

    def mark(self) -> None:
        """Remember the present values; :meth:`moved` then tells what moved from here on."""
        self._marked = self._moving()

    def moved(self, *, own: bool = False) -> dict[str, float]:
        """Return what moved since the last call of this method or of :meth:`mark`, and mark.

        Counters are given as their increase, histograms as the increase of their count, by their series'
        text: ``{"oauth_token_refresh_total{status=success,reason=normal}": 1}``.

        :param own: include the metrics about the instrumentation itself.
        """
        before, after = self._marked, self._moving()
        self._marked = after
        changes = {
            series(*key): value - before.get(key, 0)
            for key, value in sorted(after.items())
            if own or BY_NAME[key[0]] in DOCUMENTED
        }
        return {text: change for text, change in changes.items() if change}

    # Spans ---------------------------------------------------------------------------------------------

    def spans(self, name: str = "") -> list[dict[str, Any]]:
        """Return the finished spans whose name starts with ``name``, in the order of their ends.

        The keys are those of :meth:`otel_oauth.testing.OtlpReceiver.spans`.
        """
        return [_span(span) for span in self._exporter.get_finished_spans() if span.name.startswith(name)]

    # Events --------------------------------------------------------------------------------------------

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Return the events whose name starts with ``name``, in the order in which they happened.

        The keys are those of :meth:`otel_oauth.testing.OtlpReceiver.logs`.
        """
        self.telemetry.emission.flush()
        return [event for event in self.logger_provider.kept if event["event_name"].startswith(name)]

    def clear(self) -> None:
        """Forget spans and events and mark the metrics. The ledger keeps what it knows."""
        self._exporter.clear()
        self.telemetry.emission.flush()
        self.logger_provider.kept.clear()
        self.mark()


class _KeptLogs(_logs.LoggerProvider):
    """A provider whose only logger keeps what is emitted: the same whichever version of the SDK is there."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def get_logger(self, *scope: Any, **attributes: Any) -> _logs.Logger:  # noqa: ANN401, ARG002 the API's, which grew
        name, version = (*scope, "", "")[:2]
        return _KeptLog(self.kept, {"name": name, "version": version or ""})


class _KeptLog(_logs.Logger):
    def __init__(self, kept: list[dict[str, Any]], scope: dict[str, str]) -> None:
        super().__init__(scope["name"])
        self._kept = kept
        self._told_scope = scope

    def enabled(self, **_asked: Any) -> bool:  # noqa: ANN401 the API's
        return True

    def emit(  # type: ignore[override]  # noqa: PLR0913 the API's parameters changed from version to version
        self,
        *,
        timestamp: int,
        context: Context,
        severity_text: str,
        severity_number: Any,  # noqa: ANN401 the API's enumeration
        body: str,
        attributes: dict[str, Any],
        event_name: str,
    ) -> None:
        span = trace.get_current_span(context).get_span_context()
        self._kept.append(
            {
                "event_name": event_name,
                "body": body,
                "severity": severity_text,
                "severity_number": severity_number.value,
                "attributes": dict(attributes),
                "trace_id": f"{span.trace_id:032x}" if span.is_valid else "",
                "span_id": f"{span.span_id:016x}" if span.is_valid else "",
                "time": timestamp,
                "scope": self._told_scope,
            }
        )


def _key(metric: Metric, attributes: dict[str, Any]) -> Key:
    labels = (label for label in metric.label_names if label in attributes)
    return metric.name, tuple((label, str(attributes[label])) for label in labels)


def _span(span: ReadableSpan) -> dict[str, Any]:
    context, parent, scope = span.get_span_context(), span.parent, span.instrumentation_scope
    return {
        "name": span.name,
        "trace_id": f"{context.trace_id:032x}" if context is not None else "",
        "span_id": f"{context.span_id:016x}" if context is not None else "",
        "parent_id": f"{parent.span_id:016x}" if parent is not None else "",
        "kind": span.kind.name.lower(),
        "attributes": dict(span.attributes or {}),
        "events": [
            {"name": event.name, "attributes": dict(event.attributes or {}), "time": event.timestamp}
            for event in span.events
        ],
        "links": [
            {
                "trace_id": f"{link.context.trace_id:032x}",
                "span_id": f"{link.context.span_id:016x}",
                "attributes": dict(link.attributes or {}),
            }
            for link in span.links
        ],
        "status": {"code": _STATUSES[span.status.status_code], "message": span.status.description or ""},
        "start": span.start_time,
        "end": span.end_time,
        "resource": dict(span.resource.attributes),
        "scope": {"name": scope.name, "version": scope.version or ""} if scope is not None else {},
    }
