"""The floor: the signals of an operation by the SDK's own calls, and nothing else.

What our instrumentation emits for one operation of a workload is taken from a real run: its spans with their
attributes, its log records with theirs, the series of its histograms. The floor variant emits the same after each
operation of the bare workload. Counters cost it nothing, since ours are read at collection, and of a batch of a
histogram's values only the first is recorded: no instrumentation that emits these signals through the SDK's public
calls can cost less.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags

from benchmarks.signals import Counting, CountingLogs, Signals

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry import metrics
    from opentelemetry._logs import LoggerProvider, LogRecord
    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Span, TracerProvider

    from benchmarks.variants import Run

_SCOPE = "benchmarks.floor"
Attributes = dict[str, Any]


@dataclass(frozen=True)
class EmittedSpan:
    """One span.

    :param parent: the number of the span of the same operation in which it is, or ``None``.
    :param links: trace and span ids, and attributes, of what it links to; ``events``: names and attributes.
    """

    name: str
    kind: SpanKind
    attributes: Attributes
    parent: int | None
    links: tuple[tuple[int, int, Attributes], ...]
    events: tuple[tuple[str, Attributes], ...]


@dataclass(frozen=True)
class EmittedRecord:
    """One log record; ``span`` is the number of its span, or ``None``."""

    fields: Attributes
    span: int | None


@dataclass(frozen=True)
class EmittedSeries:
    """One series of a histogram that got a value."""

    name: str
    unit: str
    boundaries: tuple[float, ...]
    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Emitted:
    """What one operation emits; as plain data, so that one process can tell another."""

    spans: tuple[EmittedSpan, ...] = ()
    records: tuple[EmittedRecord, ...] = ()
    series: tuple[EmittedSeries, ...] = ()


# Taking ---------------------------------------------------------------------------------------------------------------


class _Keeping(Counting):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        super().on_end(span)
        self.kept.append(span)


class _KeepingLogs(CountingLogs):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[ReadWriteLogRecord] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:  # type: ignore[override]  # that counts anything
        super().on_emit(log_record)
        self.kept.append(log_record)


class Kept(Signals):
    """Providers that keep what they are given."""

    def __init__(self) -> None:
        self._spans, self._records = _Keeping(), _KeepingLogs()
        super().__init__(counting=self._spans, logs=self._records)

    def of_one_operation(self, run: Run, *, warm: int) -> Emitted:
        """Return what one operation of ours emits, after some that are not looked at."""
        run.warm(warm)
        run.workload.prepare(1)
        before = self._counts()
        self._spans.kept.clear()
        self._records.kept.clear()
        run.run(1)
        spans = sorted(self._spans.kept, key=lambda span: span.start_time or 0)
        numbers = {_id(span): number for number, span in enumerate(spans)}
        return Emitted(
            tuple(_span(span, numbers) for span in spans),
            tuple(_record(record.log_record, numbers) for record in self._records.kept),
            tuple(series for series, count in self._counts().items() if count > before.get(series, 0)),
        )

    def _counts(self) -> dict[EmittedSeries, int]:
        return {
            EmittedSeries(
                metric.name, metric.unit, tuple(point.explicit_bounds), tuple(sorted(point.attributes.items()))
            ): point.count
            for metric, point in self.points()
            if hasattr(point, "bucket_counts")
        }


def _id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    return 0 if context is None else context.span_id


def _span(span: ReadableSpan, numbers: dict[int, int]) -> EmittedSpan:
    return EmittedSpan(
        span.name,
        span.kind,
        dict(span.attributes or {}),
        None if span.parent is None else numbers.get(span.parent.span_id),
        tuple((link.context.trace_id, link.context.span_id, dict(link.attributes or {})) for link in span.links),
        tuple((event.name, dict(event.attributes or {})) for event in span.events),
    )


def _record(record: LogRecord, numbers: dict[int, int]) -> EmittedRecord:
    fields = {name: getattr(record, name) for name in ("severity_text", "severity_number", "body", "event_name")}
    return EmittedRecord({**fields, "attributes": dict(record.attributes or {})}, numbers.get(record.span_id or 0))


# Emitting -------------------------------------------------------------------------------------------------------------


class Replay:
    """Emits the same, by the SDK's public calls.

    :param tracers: where to, as are ``loggers`` and ``meters``.
    """

    def __init__(
        self, emitted: Emitted, tracers: TracerProvider, loggers: LoggerProvider, meters: metrics.MeterProvider
    ) -> None:
        self._records, self._series = emitted.records, emitted.series
        self._tracer = tracers.get_tracer(_SCOPE)
        self._logger = loggers.get_logger(_SCOPE)
        self._spans = [(span, [_link(*link) for link in span.links]) for span in emitted.spans]
        meter = meters.get_meter(_SCOPE)
        self._histograms = {
            name: meter.create_histogram(name, unit, explicit_bucket_boundaries_advisory=boundaries)
            for name, unit, boundaries in {(each.name, each.unit, each.boundaries) for each in emitted.series}
        }
        self._context = self._last = otel_context.Context()

    def operation(self) -> None:
        """Emit the spans and records of one operation; each span is the current one while it is open."""
        open_spans: list[tuple[Span, Context, Token[Context]]] = []
        for planned, links in self._spans:
            around = self._context if planned.parent is None else open_spans[planned.parent][1]
            span = self._tracer.start_span(planned.name, around, planned.kind, planned.attributes, links)
            context = trace.set_span_in_context(span, around)
            open_spans.append((span, context, otel_context.attach(context)))
            for name, attributes in planned.events:
                span.add_event(name, attributes)
        for record in self._records:
            context = self._context if record.span is None else open_spans[record.span][1]
            self._logger.emit(timestamp=time.time_ns(), context=context, **record.fields)
        self._last = open_spans[-1][1] if open_spans else self._context
        for span, _, token in reversed(open_spans):
            otel_context.detach(token)
            span.end()

    def batch(self) -> None:
        """Record the first value of each series."""
        for each in self._series:
            self._histograms[each.name].record(0.01, dict(each.attributes), self._last)


def _link(trace_id: int, span_id: int, attributes: Attributes) -> Link:
    return Link(SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags.get_default()), attributes)
