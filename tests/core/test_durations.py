"""Durations reach the SDK in batches, and nobody can tell: the same points as by ``Histogram.record`` one by one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    AlwaysOnExemplarFilter,
    Counter,
    Histogram,
    MeterProvider,
    SimpleFixedSizeExemplarReservoir,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.metrics._internal.aggregation import _ExplicitBucketHistogramAggregation
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import (
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_oauth.durations import Durations, Outlet

if TYPE_CHECKING:
    from collections.abc import Callable


ATTRIBUTES = {"operation": "save_token", "result": "success"}
BUCKETS = (1.0, 5.0, 25.0)
DELTA = {Histogram: AggregationTemporality.DELTA, Counter: AggregationTemporality.DELTA}
# Values of every bucket, on their limits and between them; each third is of a sampled span.
VALUES = [0.0, 1.0, 1.5, 5.0, 4.0, 25.0, 26.0, 0.25, 3.0, 700.0, 12.0, 5.0]


def sampled(number: int) -> Context:
    return trace.set_span_in_context(
        NonRecordingSpan(SpanContext(17, number, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))),
        Context(),
    )


MEASURED = [(value, sampled(index + 1) if index % 3 == 0 else None) for index, value in enumerate(VALUES)]


class Sdk:
    """A meter provider with readers, and one histogram of it."""

    def __init__(self, *, readers: int = 1, delta: bool = False, **arguments: Any) -> None:
        self.readers = [InMemoryMetricReader(preferred_temporality=DELTA if delta else {}) for _ in range(readers)]
        self.provider = MeterProvider(self.readers, shutdown_on_exit=False, **arguments)
        self.histogram = self.provider.get_meter("m").create_histogram("h", explicit_bucket_boundaries_advisory=BUCKETS)

    def points(self) -> list[Any]:
        found = []
        for reader in self.readers:
            data = reader.get_metrics_data()
            scopes = [s for r in data.resource_metrics for s in r.scope_metrics] if data else []
            metrics = [
                m for s in scopes for m in s.metrics if s.scope.name == "m"
            ]  # not what some SDKs tell of themselves
            found.append([_comparable(point) for metric in metrics for point in metric.data.data_points])
        return found


def _comparable(point: Any) -> dict[str, Any]:
    shown = {name: getattr(point, name) for name in dir(point) if not name.startswith("_") and "time" not in name}
    shown = {name: value for name, value in shown.items() if not callable(value)}
    shown["exemplars"] = [(e.value, e.span_id, e.trace_id, dict(e.filtered_attributes or {})) for e in point.exemplars]
    return shown


SDKS: dict[str, Callable[[], Sdk]] = {
    "plain": Sdk,
    "two readers": lambda: Sdk(readers=2),
    "no reader": lambda: Sdk(readers=0),
    "delta": lambda: Sdk(delta=True),
    "view with other buckets": lambda: Sdk(
        views=[View(instrument_name="h", aggregation=ExplicitBucketHistogramAggregation((2.0, 3.0)))]
    ),
    "view without one attribute": lambda: Sdk(views=[View(instrument_name="h", attribute_keys={"operation"})]),
    "two views": lambda: Sdk(
        views=[View(instrument_name="h", name="a", attribute_keys=set()), View(instrument_name="h", name="b")]
    ),
    "dropped": lambda: Sdk(views=[View(instrument_name="h", aggregation=DropAggregation())]),
    "exponential": lambda: Sdk(views=[View(instrument_name="h", aggregation=ExponentialBucketHistogramAggregation())]),
    "exemplars of all": lambda: Sdk(exemplar_filter=AlwaysOnExemplarFilter()),
    "exemplars by trace": lambda: Sdk(exemplar_filter=TraceBasedExemplarFilter()),
    "no exemplars": lambda: Sdk(exemplar_filter=AlwaysOffExemplarFilter()),
    "one exemplar": lambda: Sdk(
        views=[
            View(
                instrument_name="h",
                exemplar_reservoir_factory=lambda _: lambda **_more: SimpleFixedSizeExemplarReservoir(99),
            )
        ]
    ),
}
IN_PLACE = (
    "plain",
    "two readers",
    "no reader",
    "delta",
    "view with other buckets",
    "view without one attribute",
    "two views",
)


def of(sdk: Sdk, attributes: dict[str, str] = ATTRIBUTES) -> Durations:
    return Durations(attributes, Outlet(sdk.histogram))


def record_all(series: Durations, sdk: Sdk, measured: list[tuple[float, Context | None]]) -> int:
    """Record a batch, and return how many of it went the public way."""
    public = []
    through = sdk.histogram.record
    sdk.histogram.record = lambda *arguments: (public.append(arguments), through(*arguments))  # type: ignore[method-assign]  # to count
    series.take(*zip(*measured, strict=True))
    del sdk.histogram.record
    return len(public)


@pytest.mark.parametrize("name", SDKS)
def test_a_batch_makes_the_points_that_single_records_make(name: str) -> None:
    ours, theirs = SDKS[name](), SDKS[name]()
    series = of(ours)
    for turn in range(3):
        public = record_all(series, ours, MEASURED)
        for value, context in MEASURED:
            theirs.histogram.record(value, ATTRIBUTES, context)
        assert ours.points() == theirs.points()
        in_place = name in IN_PLACE or name in ("exemplars by trace", "no exemplars")
        assert public == ((turn == 0) if in_place else len(MEASURED)), name


def test_after_the_first_a_single_value_goes_straight_as_well() -> None:
    sdk = Sdk()
    series = of(sdk)
    assert [record_all(series, sdk, MEASURED[at : at + 1]) for at in range(3)] == [1, 0, 0]
    assert sdk.points()[0][0]["count"] == 3


def test_several_series_of_one_histogram_stay_apart() -> None:
    sdk, other = Sdk(), {"operation": "query_client", "result": "success"}
    assert record_all(of(sdk), sdk, MEASURED) == 1
    assert record_all(of(sdk, other), sdk, MEASURED[:4]) == 1
    assert [(point["attributes"], point["count"]) for point in sdk.points()[0]] == [(ATTRIBUTES, 12), (other, 4)]


def test_what_is_no_number_is_the_sdks_matter() -> None:
    ours, theirs = Sdk(), Sdk()
    endless = [*MEASURED, (math.inf, None)]
    assert record_all(of(ours), ours, endless) == len(endless)
    for value, context in endless:
        theirs.histogram.record(value, ATTRIBUTES, context)
    assert ours.points() == theirs.points()


def test_an_sdk_that_aggregates_otherwise_gets_every_value(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    through = _ExplicitBucketHistogramAggregation.aggregate

    def aggregate(self: Any, measurement: Any, should_sample_exemplar: bool = True) -> None:  # noqa: FBT001, FBT002 the SDK's
        found.append(measurement.value)
        through(self, measurement, should_sample_exemplar)

    monkeypatch.setattr(_ExplicitBucketHistogramAggregation, "aggregate", aggregate)
    sdk = Sdk()
    series = of(sdk)
    assert [record_all(series, sdk, MEASURED) for _ in range(2)] == [len(MEASURED)] * 2
    assert found == VALUES * 2


def test_a_histogram_that_is_not_the_sdks_gets_every_value() -> None:
    recorded = []

    class Own:
        def record(self, *arguments: object) -> None:
            recorded.append(arguments)

    series = Durations(ATTRIBUTES, Outlet(Own()))  # type: ignore[arg-type]  # what another implementation may be like
    series.take(*zip(*MEASURED, strict=True))
    assert recorded == [(value, ATTRIBUTES, context) for value, context in MEASURED]


def test_an_aggregation_that_the_sdk_replaced_is_found_again() -> None:
    sdk = Sdk()
    series = of(sdk)
    record_all(series, sdk, MEASURED)
    (storage,) = sdk.provider._measurement_consumer._reader_storages.values()
    (match,) = storage._instrument_view_instrument_matches[sdk.histogram]
    match._attributes_aggregation.clear()
    assert record_all(series, sdk, MEASURED) == 1
    assert sdk.points()[0][0]["count"] == len(MEASURED)


@pytest.mark.skipif(
    not hasattr(MeterProvider, "add_metric_reader"), reason="this SDK has its readers from the beginning"
)
def test_a_reader_that_comes_later_gets_what_is_recorded_from_then_on() -> None:
    sdk = Sdk()
    series = of(sdk)
    record_all(series, sdk, MEASURED)
    sdk.readers.append(InMemoryMetricReader())
    sdk.provider.add_metric_reader(sdk.readers[-1])
    assert record_all(series, sdk, MEASURED) == 1
    assert [points[0]["count"] for points in sdk.points()] == [24, 12]
