"""From OTLP protobuf messages to plain dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar, Metric
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

SPAN_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUS_CODES = ("unset", "ok", "error")
TEMPORALITIES = ("unspecified", "delta", "cumulative")


def _value(value: AnyValue) -> Any:  # noqa: ANN401 OTLP's value is a union of every type
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        return [_value(item) for item in value.array_value.values]
    if which == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, which)


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _scope(scope: InstrumentationScope) -> dict[str, Any]:
    return {"name": scope.name, "version": scope.version, "attributes": _attributes(scope.attributes)}


def spans(request: ExportTraceServiceRequest) -> Iterator[dict[str, Any]]:
    """Yield the spans of one export."""
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scoped in group.scope_spans:
            scope = _scope(scoped.scope)
            for span in scoped.spans:
                yield {**_span(span), "resource": resource, "scope": scope}


def _span(span: Span) -> dict[str, Any]:
    return {
        "name": span.name,
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex(),
        "kind": SPAN_KINDS[span.kind],
        "attributes": _attributes(span.attributes),
        "events": [
            {"name": event.name, "attributes": _attributes(event.attributes), "time": event.time_unix_nano}
            for event in span.events
        ],
        "links": [
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "attributes": _attributes(link.attributes),
            }
            for link in span.links
        ],
        "status": {"code": STATUS_CODES[span.status.code], "message": span.status.message},
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
    }


def metrics(request: ExportMetricsServiceRequest) -> Iterator[dict[str, Any]]:
    """Yield the points of one export, one dict for each series."""
    for group in request.resource_metrics:
        resource = _attributes(group.resource.attributes)
        for scoped in group.scope_metrics:
            scope = _scope(scoped.scope)
            for metric in scoped.metrics:
                for point in _points(metric):
                    yield {**point, "resource": resource, "scope": scope}


def _points(metric: Metric) -> Iterator[dict[str, Any]]:
    which = metric.WhichOneof("data")
    if which is None:
        return
    data = getattr(metric, which)
    common: dict[str, Any] = {"name": metric.name, "kind": which, "unit": metric.unit}
    common["description"] = metric.description
    if which == "sum":
        common["kind"] = "counter" if data.is_monotonic else "up_down_counter"
    if which not in ("gauge", "summary"):
        common["temporality"] = TEMPORALITIES[data.aggregation_temporality]
    for point in data.data_points:
        found = {
            **common,
            "attributes": _attributes(point.attributes),
            "start": point.start_time_unix_nano,
            "time": point.time_unix_nano,
            "exemplars": [_exemplar(exemplar) for exemplar in getattr(point, "exemplars", ())],
        }
        if which in ("sum", "gauge"):
            number = point.WhichOneof("value")
            found["value"] = getattr(point, number) if number else None
        else:
            found |= {"count": point.count, "sum": point.sum}
        if which == "histogram":
            found |= {"buckets": list(point.bucket_counts), "bounds": list(point.explicit_bounds)}
        yield found


def _exemplar(exemplar: Exemplar) -> dict[str, Any]:
    number = exemplar.WhichOneof("value")
    return {
        "value": getattr(exemplar, number) if number else None,
        "trace_id": exemplar.trace_id.hex(),
        "span_id": exemplar.span_id.hex(),
        "time": exemplar.time_unix_nano,
        "attributes": _attributes(exemplar.filtered_attributes),
    }


def logs(request: ExportLogsServiceRequest) -> Iterator[dict[str, Any]]:
    """Yield the log records of one export."""
    for group in request.resource_logs:
        resource = _attributes(group.resource.attributes)
        for scoped in group.scope_logs:
            scope = _scope(scoped.scope)
            for record in scoped.log_records:
                yield {**_record(record), "resource": resource, "scope": scope}


def _record(record: LogRecord) -> dict[str, Any]:
    return {
        "event_name": getattr(record, "event_name", ""),  # younger than the oldest protocol we accept
        "body": _value(record.body),
        "severity": record.severity_text,
        "severity_number": int(record.severity_number),
        "attributes": _attributes(record.attributes),
        "trace_id": record.trace_id.hex(),
        "span_id": record.span_id.hex(),
        "time": record.time_unix_nano,
        "observed": record.observed_time_unix_nano,
    }
