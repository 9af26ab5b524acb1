"""What was exported: the documented metrics, summed up, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo.expectations import ANY_TIME
from demo.readings import COUNTERS, ERRORS, Series
from otel_oauth import vocabulary
from otel_oauth.catalogue import BY_NAME, DOCUMENTED, SCOPE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from demo.performance import Performance
    from demo.programs import InstrumentedProgram
    from otel_oauth.catalogue import Metric
    from otel_oauth.testing import OtlpReceiver

Span = dict[str, Any]
Event = tuple[str, str, str]
"""Type and severity of a security event, and the program in which it was counted."""

MILLISECONDS = {"s": 1000.0, "ms": 1.0}


@dataclass(frozen=True)
class Export:
    """What both programs sent over OTLP.

    :param spans: all spans.
    :param points: the newest point of each catalogued series.
    :param rejected: what was no OTLP.
    :param logs: the log events of the instrumentation.
    """

    spans: Sequence[Span]
    points: Mapping[Series, Mapping[str, Any]]
    rejected: Sequence[str]
    logs: Sequence[Mapping[str, Any]] = ()


@dataclass
class Summary:
    """One documented metric: its number of series, and per program a total.

    The total is the sum of a counter, the value of a gauge and the count of a histogram, whose mean is in milliseconds.
    """

    metric: Metric
    series: int = 0
    totals: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)

    def mean(self, program: str) -> float | None:
        """Return the mean of a histogram in milliseconds; None if it is none, or empty."""
        if self.metric.kind != "histogram" or not self.totals[program]:
            return None
        return MILLISECONDS[self.metric.unit] * self.sums[program] / self.totals[program]


@dataclass(frozen=True)
class Verdict:
    """A security verdict as its span tells it; ``at`` is in nanoseconds since the epoch."""

    at: int
    program: str
    span: str
    case: str
    event_type: str
    severity: str
    trace_id: str

    @property
    def event(self) -> Event:
        """The event that was counted for it."""
        return self.event_type, self.severity, self.program


def collect(receiver: OtlpReceiver, programs: Sequence[InstrumentedProgram]) -> Export:
    """Take what was received so far; spans get the name of their program as ``program``."""
    names = {program.service: program.name for program in programs}
    points = {}
    for point in receiver.metrics():
        metric = BY_NAME.get(point["name"])
        if metric is not None:
            values = tuple(str(point["attributes"].get(label)) for label in metric.label_names)
            points[Series(names[point["resource"]["service.name"]], metric.name, values)] = point
    spans = [{**span, "program": names[span["resource"]["service.name"]]} for span in receiver.spans()]
    logs = [
        {**log, "program": names[log["resource"]["service.name"]]}
        for log in receiver.logs()
        if log["scope"]["name"] == SCOPE
    ]
    return Export(spans, points, receiver.rejected(), logs)


def summaries(export: Export) -> list[Summary]:
    """Return the 39 documented metrics in the order of their documents."""
    found = {metric.name: Summary(metric) for metric in DOCUMENTED}
    for series, point in export.points.items():
        summary = found.get(series.metric)
        if summary is not None:
            summary.series += 1
            summary.totals[series.program] += point.get("value", point.get("count", 0))
            summary.sums[series.program] += point.get("sum", 0)
    return list(found.values())


def verdicts(export: Export) -> list[Verdict]:
    """Return the security verdicts in the order of their time."""
    found = [
        Verdict(
            span["end"],
            span["program"],
            span["name"],
            span["attributes"].get(vocabulary.SPAN_ATTRIBUTES["case"], ""),
            span["attributes"][vocabulary.EVENT_TYPE],
            span["attributes"][vocabulary.SEVERITY],
            span["trace_id"],
        )
        for span in export.spans
        if vocabulary.EVENT_TYPE in span["attributes"]
    ]
    return sorted(found, key=lambda verdict: verdict.at)


def security_events(export: Export) -> Counter[Event]:
    """Return how many security events were counted."""
    events: Counter[Event] = Counter()
    for series, point in export.points.items():
        if series.metric == "oauth_security_events_total":
            event_type, severity = series.values
            events[event_type, severity, series.program] += int(point["value"])
    return +events


def logged(export: Export) -> dict[Event, Counter[str]]:
    """Return the names of the log events of each security event, and how many there were."""
    names: dict[Event, Counter[str]] = {}
    for log in export.logs:
        attributes = log["attributes"]
        if vocabulary.EVENT_TYPE in attributes:
            event = attributes[vocabulary.EVENT_TYPE], attributes[vocabulary.SEVERITY], log["program"]
            names.setdefault(event, Counter())[attributes["event.name"]] += 1
    return names


def problems(performance: Performance, export: Export) -> Iterator[str]:
    """Yield a sentence for everything that is not as it should be."""
    for outcome in performance.outcomes:
        for complaint in outcome.complaints:
            yield f"{outcome.scenario.name}: {complaint}"
    yield from _missing(performance, export)
    yield from _contradictions(performance, export)
    for program, errors in _errors(export).items():
        yield f"the instrumentation of demo.{program} had {errors} errors of its own ({ERRORS})"
    for reason in export.rejected:
        yield f"an export was no OTLP: {reason}"


def _missing(performance: Performance, export: Export) -> Iterator[str]:
    over_otlp = {series.metric for series in export.points}
    served = {series.metric for series in performance.readings[-1].values}
    ever = {series.metric for reading in performance.readings for series, value in reading.values.items() if value}
    for metric in DOCUMENTED:
        if metric.name not in over_otlp:
            yield f"{metric.name} is missing from what was exported over OTLP"
        elif metric.name not in served:
            yield f"{metric.name} is missing from /metrics"
        elif metric.name not in ever:
            yield f"{metric.name} never moved"


def _contradictions(performance: Performance, export: Export) -> Iterator[str]:
    """Compare the ways in which the same facts were told: both exporters, and metrics with spans and log events."""
    for series, value in performance.readings[-1].values.items():
        if series.metric in COUNTERS and str(series) != ANY_TIME:
            sent = export.points.get(series, {}).get("value")
            if sent != value:
                yield f"{series} is {value:g} at /metrics and {sent} over OTLP"
    counted, told = security_events(export), Counter(verdict.event for verdict in verdicts(export))
    for event in sorted({*counted, *told}):
        if counted[event] != told[event]:
            yield f"{' '.join(event)}: {counted[event]} security events counted, {told[event]} spans tell of one"
    written = logged(export)
    for event in sorted({*counted, *written}):
        lines = sum(written.get(event, Counter()).values())
        if counted[event] != lines:
            yield f"{' '.join(event)}: {counted[event]} security events counted, {lines} in the log"


def _errors(export: Export) -> dict[str, int]:
    errors: Counter[str] = Counter()
    for series, point in export.points.items():
        if series.metric == ERRORS:
            errors[series.program] += int(point["value"])
    return dict(+errors)
