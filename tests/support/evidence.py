"""What a test made move, and which cases it compared whole: the evidence for docs/coverage.md and docs/decisions.md."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest import mock

from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_oauth.catalogue import BY_NAME, OTHER, UNKNOWN
from otel_oauth.operation import Operation
from otel_oauth.testing import Capture, series

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.metrics.export import MetricsData

KNOWN = "known"
"""What stands for each value of a capped label that is neither ``unknown`` nor ``other``."""


@dataclass
class Evidence:
    """What was seen while a test ran.

    :ivar series: every series that was exported with a value other than 0, spelled as ``otel_oauth.testing`` does.
    :ivar compared: the cases whose increments were compared, all of them and with success.
    :ivar pending: the cases since the increments were last asked for.
    :ivar equal: how often all increments were compared, with success and not with nothing.
    """

    series: set[str] = field(default_factory=set)
    compared: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    equal: int = 0

    def exported(self, data: MetricsData | None) -> None:
        """Note what a reader collected."""
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        if metric.name in BY_NAME and getattr(point, "value", getattr(point, "count", 0)):
                            self.series.add(_spelled(metric.name, point.attributes or {}))


class _Moved(dict[str, float]):
    """What ``Capture.moved`` gave, until it is compared."""

    def __init__(self, moved: dict[str, float], evidence: Evidence) -> None:
        super().__init__(moved)
        self._evidence = evidence
        self._cases, evidence.pending = evidence.pending, set()

    def __eq__(self, other: object) -> bool:
        equal = super().__eq__(other)
        if equal and self:
            self._evidence.compared |= self._cases
            self._evidence.equal += 1
        return equal

    __hash__ = None  # type: ignore[assignment]  # as of any dict


def _spelled(name: str, attributes: Any) -> str:
    labels = {label.name: label for label in BY_NAME[name].labels}
    return series(
        name,
        {
            label: KNOWN if labels[label].cap and value not in (OTHER, UNKNOWN) else value
            for label, value in attributes.items()
        },
    )


@contextmanager
def gathered() -> Iterator[Evidence]:
    """Gather evidence while the block lasts."""
    evidence = Evidence()
    collect, judge, moved, mark = InMemoryMetricReader.get_metrics_data, Operation.judge, Capture.moved, Capture.mark

    def collecting(reader: InMemoryMetricReader) -> MetricsData | None:
        data = collect(reader)
        evidence.exported(data)
        return data

    def judging(operation: Operation, case: Any) -> None:
        judge(operation, case)
        if operation.case is not None:
            evidence.pending.add(operation.case.name)

    def moving(capture: Capture, **arguments: Any) -> dict[str, float]:
        return _Moved(moved(capture, **arguments), evidence)

    def marking(capture: Capture) -> None:
        mark(capture)
        evidence.pending.clear()

    with (
        mock.patch.object(InMemoryMetricReader, "get_metrics_data", collecting),
        mock.patch.object(Operation, "judge", judging),
        mock.patch.object(Capture, "moved", moving),
        mock.patch.object(Capture, "mark", marking),
    ):
        yield evidence
