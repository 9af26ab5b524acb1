"""Measured durations on their way into the SDK's histograms.

``Histogram.record`` costs as much as a small span: for each value it copies, checks and hashes the attributes, and
looks up where they are aggregated. A series of ours has the same attributes each time, and its values come in batches
(:mod:`otel_oauth.recorder`). So the first value of a series goes the public way, and the others straight to the
aggregation that took it, as long as that stands. What happens there is the SDK's own: views, temporalities and several
readers are as they were.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from otel_oauth._sdk_histograms import Measurement, OtherwiseError, Places

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram

    from otel_oauth._sdk_histograms import Place
    from otel_oauth.recorder import Recorder

    Measured = tuple[float, Context | None]
    Known = Callable[[Histogram], tuple[Sequence[Place], bool]]

BOUND = 1024
"""So many values of a series wait at the most."""


class Outlet(NamedTuple):
    """Where the values of one histogram go.

    :param histogram: the instrument.
    :param scale: how many of its units are a second.
    :param recorder: has them recorded.
    """

    histogram: Histogram
    scale: float
    recorder: Recorder


class Durations:
    """One series of a histogram: its attributes, and what was measured and is not recorded yet.

    :param outlet: where :meth:`add` sends what was measured; without one it is dropped.
    """

    __slots__ = ("_outlet", "_places", "attributes", "pending", "queued")

    def __init__(self, attributes: dict[str, str], outlet: Outlet | None = None) -> None:
        self.attributes = attributes
        self._outlet = outlet
        self.after_fork()

    def after_fork(self) -> None:
        """Start empty in a forked child: the parent records what it measured."""
        self.pending: deque[Measured] = deque()
        self.queued = False
        self._places = Places(self.attributes)

    def add(self, seconds: float, context: Context | None) -> None:
        """Have a duration recorded, with ``context`` as its exemplar."""
        outlet = self._outlet
        if outlet is None:
            return
        self.pending.append((seconds * outlet.scale, context))
        if not self.queued:
            self.queued = True
            outlet.recorder.add(self.record, outlet.histogram)
        elif len(self.pending) > BOUND:
            self.record(outlet.histogram)

    def record(self, histogram: Histogram) -> None:
        """Record what is pending, each value once whichever threads come by."""
        self.queued = False  # before it is emptied: what is added from here on queues the series again
        taken = list(self._taken())
        if not taken or self._aggregated(self._places.standing, histogram, taken):
            return
        value, context = taken.pop(0)
        histogram.record(value, self.attributes, context)
        if not self._aggregated(self._places.found, histogram, taken):
            for value, context in taken:
                histogram.record(value, self.attributes, context)

    def _taken(self) -> Iterator[Measured]:
        try:
            while True:
                yield self.pending.popleft()
        except IndexError:
            return

    def _aggregated(self, known: Known, histogram: Histogram, taken: Sequence[Measured]) -> bool:
        """Give values to the aggregations of this series; false, and none given, if they must go the public way."""
        try:
            places, exemplars = known(histogram)
        except OtherwiseError:
            return False
        values = [value for value, _ in taken]
        if not isfinite(sum(values)):
            return False
        for place in places:
            kept = _last_of_each_bucket(place, taken) if exemplars else ()
            if kept:
                measurement = Measurement(self.attributes, time.time_ns())
                for index in kept:
                    measurement.value, measurement.context = taken[index]
                    place.aggregation.aggregate(measurement, True)  # noqa: FBT003 the SDK's, positional in every version
            place.add([value for index, value in enumerate(values) if index not in kept] if kept else values)
        return True


def _last_of_each_bucket(place: Place, taken: Sequence[Measured]) -> Collection[int]:
    """Return which of the values the SDK would keep as exemplars: of each bucket the last that was sampled."""
    boundaries = place.boundaries
    last = {
        bisect_left(boundaries, value): index for index, (value, context) in enumerate(taken) if context is not None
    }
    return last.values()
