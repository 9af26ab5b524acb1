"""Where the SDK aggregates the values of one series of a histogram, for each reader and view.

The SDK offers no way to record several values at once. This reads what ``Histogram.record`` would look up, in the form
that the SDK has had from 1.31 to 1.45; whatever differs from it raises :class:`OtherwiseError`, and the values go the
public way.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.context import Context


_AGGREGATES = frozenset(
    (
        *("_lock", "_value", "_get_empty_bucket_counts", "value", "_sum", "_record_min_max", "_min", "_max"),
        *("min", "max", "bisect_left", "_boundaries", "_sample_exemplar"),
    )
)
"""All names that the SDK's own way of aggregating a value uses: with one more or less it does something else."""


class OtherwiseError(Exception):
    """The SDK is made or configured in another way: every value must go through all of it."""


class Measurement:
    """What an aggregation reads of a measurement, and does not keep: one serves for many values."""

    __slots__ = ("attributes", "context", "time_unix_nano", "value")

    def __init__(self, attributes: Mapping[str, str], time_unix_nano: int) -> None:
        self.attributes = attributes
        self.time_unix_nano = time_unix_nano
        self.value = 0.0
        self.context: Context | None = None


class Place(NamedTuple):
    """The aggregation of one series for one reader and view.

    :param held_in: where the SDK keeps it, under ``key``.
    :param attributes: all labels of the series, of which views may leave out some.
    """

    aggregation: Any
    held_in: dict[Any, Any]
    key: Any
    attributes: Mapping[str, str]

    def add(self, values: Sequence[float], contexts: Sequence[Context | None]) -> None:
        """Aggregate finite values: what :data:`_AGGREGATES` does for each is done for all of them.

        :param contexts: those of the values that are to be offered as exemplars, ``None`` for the others; only the last
            one of each bucket is offered, as it would overwrite those before.
        """
        to = self.aggregation
        boundaries = to._boundaries  # noqa: SLF001 the module's purpose
        buckets = [bisect_left(boundaries, value) for value in values]
        with to._lock:  # noqa: SLF001 as above
            if to._value is None:  # noqa: SLF001 as above
                to._value = to._get_empty_bucket_counts()  # noqa: SLF001 as above
            counts = to._value  # noqa: SLF001 as above
            for bucket in buckets:
                counts[bucket] += 1
            to._sum = sum(values, to._sum)  # noqa: SLF001 as above
            if to._record_min_max:  # noqa: SLF001 as above
                to._min = min(to._min, *values)  # noqa: SLF001 as above
                to._max = max(to._max, *values)  # noqa: SLF001 as above
        sampled = {bucket: index for index, bucket in enumerate(buckets) if contexts[index] is not None}
        if sampled:
            measurement = Measurement(self.attributes, time.time_ns())
            for index in sampled.values():
                measurement.value, measurement.context = values[index], contexts[index]
                to._sample_exemplar(measurement, True)  # noqa: FBT003, SLF001 the SDK's, positional in every version

    def stands(self) -> bool:
        """Tell whether the SDK still aggregates there."""
        return self.held_in.get(self.key) is self.aggregation


class Places:
    """The places of a series, once a value of it went the public way."""

    def __init__(self, attributes: Mapping[str, str]) -> None:
        self._attributes = attributes
        self._storages: tuple[object, ...] | None = None
        self._places: list[Place] = []
        self._exemplars = False

    def standing(self, histogram: object) -> tuple[list[Place], bool]:
        """Return what :meth:`found` returned, if the SDK still aggregates there for the very same readers.

        :raises OtherwiseError: if it does not, or nothing was found yet.
        """
        try:
            _, _, storages = _behind(histogram)
        except (AttributeError, TypeError):
            raise OtherwiseError from None
        if storages != self._storages:
            raise OtherwiseError
        for place in self._places:
            if not place.stands():
                raise OtherwiseError
        return self._places, self._exemplars

    def found(self, histogram: object) -> tuple[list[Place], bool]:
        """Return the places, none if nobody reads, and whether values of sampled spans are to become exemplars.

        :raises OtherwiseError: if they cannot be told.
        """
        self._storages = None
        try:
            instrument, consumer, storages = _behind(histogram)
            self._exemplars = _takes_exemplars(consumer)
            self._places = [place for each in storages for place in self._of(each, instrument)]
        except (AttributeError, ImportError, KeyError, TypeError):
            raise OtherwiseError from None
        self._storages = storages
        return self._places, self._exemplars

    def _of(self, storage: Any, instrument: object) -> Iterator[Place]:  # noqa: ANN401 the SDK's, private
        for match in storage._instrument_view_instrument_matches[instrument]:  # noqa: SLF001 the module's purpose
            names = match._view._attribute_keys  # noqa: SLF001 as above
            wanted = {name: value for name, value in self._attributes.items() if names is None or name in names}
            held_in = match._attributes_aggregation  # noqa: SLF001 as above
            found = [
                Place(aggregation, held_in, key, self._attributes)
                for key, aggregation in list(held_in.items())
                if aggregation._attributes == wanted and _is_plain(aggregation)  # noqa: SLF001 as above
            ]
            if len(found) != 1:
                raise OtherwiseError
            yield found[0]


def _behind(histogram: object) -> tuple[Any, Any, tuple[Any, ...]]:
    """Return the SDK's instrument, the consumer of its measurements and what that keeps for each reader."""
    instrument: Any = getattr(histogram, "_real_instrument", histogram)
    if hasattr(instrument, "_is_enabled") and not instrument._is_enabled():  # noqa: SLF001 the module's purpose
        raise OtherwiseError
    consumer = instrument._measurement_consumer  # noqa: SLF001 as above
    return instrument, consumer, tuple(consumer._reader_storages.values())  # noqa: SLF001 as above


def _takes_exemplars(consumer: Any) -> bool:  # noqa: ANN401 the SDK's, private
    from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, TraceBasedExemplarFilter  # noqa: PLC0415 as below

    chosen = type(consumer._sdk_config.exemplar_filter)  # noqa: SLF001 the module's purpose
    if chosen not in (AlwaysOffExemplarFilter, TraceBasedExemplarFilter):
        raise OtherwiseError
    return chosen is TraceBasedExemplarFilter


def _is_plain(aggregation: Any) -> bool:  # noqa: ANN401 as above
    # Imported here: an application without the SDK has the API alone.
    from opentelemetry.sdk.metrics import AlignedHistogramBucketExemplarReservoir  # noqa: PLC0415 see above
    from opentelemetry.sdk.metrics._internal.aggregation import (  # noqa: PLC0415, PLC2701 see above; the module's purpose
        _ExplicitBucketHistogramAggregation,
    )

    return (
        type(aggregation) is _ExplicitBucketHistogramAggregation
        and type(aggregation._reservoir) is AlignedHistogramBucketExemplarReservoir  # noqa: SLF001 the module's purpose
        and frozenset(aggregation.aggregate.__code__.co_names) == _AGGREGATES
    )
