"""Measured durations on their way into the SDK's histograms.

``Histogram.record`` costs as much as a small span: for each value it copies, checks and hashes the attributes, and
looks up where they are aggregated. A series of ours has the same attributes each time, and its values come in batches
(:mod:`otel_oauth.recorder`). So of a batch one value goes the public way, and the others straight to the aggregation
that took it. What happens there is the SDK's own: views, temporalities and several readers are as they were.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from math import isfinite
from typing import TYPE_CHECKING

from otel_oauth._sdk_histograms import Measurement, OtherwiseError, Places

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram

    from otel_oauth._sdk_histograms import Place

    Measured = tuple[float, Context | None]

BOUND = 1024
"""So many values of a series wait at the most."""

_BATCH = 3


class Durations:
    """One series of a histogram: its attributes, and what was measured and is not recorded yet."""

    __slots__ = ("_places", "attributes", "pending", "queued")

    def __init__(self, attributes: dict[str, str]) -> None:
        self.attributes = attributes
        self.after_fork()

    def after_fork(self) -> None:
        """Start empty in a forked child: the parent records what it measured."""
        self.pending: deque[Measured] = deque()
        self.queued = False
        self._places = Places(self.attributes)

    def record(self, histogram: Histogram) -> None:
        """Record what is pending, each value once whichever threads come by."""
        self.queued = False  # before it is emptied: what is added from here on queues the series again
        taken = list(self._taken())
        if len(taken) >= _BATCH:
            value, context = taken.pop(0)
            histogram.record(value, self.attributes, context)
            if self._aggregated(histogram, taken):
                return
        for value, context in taken:
            histogram.record(value, self.attributes, context)

    def _taken(self) -> Iterator[Measured]:
        try:
            while True:
                yield self.pending.popleft()
        except IndexError:
            return

    def _aggregated(self, histogram: Histogram, taken: Sequence[Measured]) -> bool:
        """Give values to the aggregations of this series; false, and none given, if they must go the public way."""
        if not isfinite(sum(value for value, _ in taken)):
            return False
        try:
            places, exemplars = self._places.known(histogram)
        except OtherwiseError:
            return False
        measurement = Measurement(self.attributes, time.time_ns())
        for place in places:
            kept = _last_of_each_bucket(place, taken) if exemplars else ()
            aggregate = place.aggregation.aggregate
            for index, (measurement.value, measurement.context) in enumerate(taken):
                aggregate(measurement, index in kept)
        return True


def _last_of_each_bucket(place: Place, taken: Sequence[Measured]) -> set[int]:
    """Return which of the values the SDK would keep as exemplars: of each bucket the last that was sampled."""
    boundaries = place.boundaries
    last = {
        bisect_left(boundaries, value): index for index, (value, context) in enumerate(taken) if context is not None
    }
    return set(last.values())
