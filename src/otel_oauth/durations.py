"""Measured durations on their way into the SDK's histograms.

``Histogram.record`` costs as much as a small span: for each value it copies, checks and hashes the attributes, and
looks up where they are aggregated. A series of ours has the same attributes each time, and its values come in batches
(:mod:`otel_oauth.plans`). So the first value of a series goes the public way, and the others straight to the
aggregation that took it, as long as that stands. What happens there is the SDK's own: views, temporalities and several
readers are as they were.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from otel_oauth._sdk_histograms import OtherwiseError, Places

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram

    from otel_oauth._sdk_histograms import Place

    Known = Callable[[Histogram], tuple[Sequence[Place], bool]]


class Outlet(NamedTuple):
    """Where the values of one histogram go.

    :param histogram: the instrument.
    :param scale: how many of its units are a second.
    """

    histogram: Histogram
    scale: float = 1.0


class Durations:
    """One series of a histogram.

    :param attributes: its labels.
    :param outlet: where what was measured goes; without one it is dropped.
    """

    __slots__ = ("_outlet", "_places", "attributes")

    def __init__(self, attributes: dict[str, str], outlet: Outlet | None = None) -> None:
        self.attributes = attributes
        self._outlet = outlet
        self._places = Places(attributes)

    def take(self, seconds: Sequence[float], contexts: Sequence[Context | None]) -> None:
        """Record durations that several operations measured, one at least.

        :param contexts: that of the exemplar of each, ``None`` without one.
        """
        if self._outlet is None:
            return
        histogram, scale = self._outlet
        values = seconds if scale == 1.0 else [each * scale for each in seconds]
        finite = isfinite(sum(values))  # what is not is the SDK's matter, and what came with it
        if finite and self._given(self._places.standing, histogram, values, contexts):
            return
        histogram.record(values[0], self.attributes, contexts[0])
        if not finite or not self._given(self._places.found, histogram, values[1:], contexts[1:]):
            for value, context in zip(values[1:], contexts[1:], strict=True):
                histogram.record(value, self.attributes, context)

    @staticmethod
    def _given(known: Known, histogram: Histogram, values: Sequence[float], contexts: Sequence[Context | None]) -> bool:
        """Give values to the aggregations of this series; false, and none given, if they must go the public way."""
        try:
            places, exemplars = known(histogram)
        except OtherwiseError:
            return False
        for place in places if values else ():
            place.add(values, contexts if exemplars else [None] * len(values))
        return True
