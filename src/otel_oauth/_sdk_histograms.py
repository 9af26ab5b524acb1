"""Where the SDK aggregates the values of one series of a histogram, for each reader and view.

The SDK offers no way to record several values at once. This reads what ``Histogram.record`` would look up, in the form
that the SDK has had from 1.31 to 1.45; whatever differs from it raises :class:`OtherwiseError`, and the values go the
public way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.context import Context


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
    """

    aggregation: Any
    held_in: dict[Any, Any]
    key: Any

    @property
    def boundaries(self) -> Sequence[float]:
        """The upper limits of its buckets."""
        boundaries: Sequence[float] = self.aggregation._boundaries  # noqa: SLF001 the module's purpose
        return boundaries

    def stands(self) -> bool:
        """Tell whether the SDK still aggregates there."""
        return self.held_in.get(self.key) is self.aggregation


class Places:
    """The places of a series, once a value of it went the public way."""

    def __init__(self, attributes: Mapping[str, str]) -> None:
        self._attributes = attributes
        self._storages: tuple[object, ...] = ()
        self._places: list[Place] = []
        self._exemplars = False

    def known(self, histogram: object) -> tuple[list[Place], bool]:
        """Return the places, none if nobody reads, and whether values of sampled spans are to become exemplars.

        :raises OtherwiseError: if they cannot be told.
        """
        try:
            instrument: Any = getattr(histogram, "_real_instrument", histogram)
            consumer = instrument._measurement_consumer  # noqa: SLF001 the module's purpose
            storages = tuple(consumer._reader_storages.values())  # noqa: SLF001 as above
            if hasattr(instrument, "_is_enabled") and not instrument._is_enabled():  # noqa: SLF001 as above
                raise OtherwiseError
            if storages != self._storages or not all(place.stands() for place in self._places):
                self._exemplars = _takes_exemplars(consumer)
                self._places = [place for each in storages for place in self._of(each, instrument)]
                self._storages = storages
        except (AttributeError, ImportError, KeyError, TypeError):
            raise OtherwiseError from None
        return self._places, self._exemplars

    def _of(self, storage: Any, instrument: object) -> Iterator[Place]:  # noqa: ANN401 the SDK's, private
        for match in storage._instrument_view_instrument_matches[instrument]:  # noqa: SLF001 the module's purpose
            names = match._view._attribute_keys  # noqa: SLF001 as above
            wanted = {name: value for name, value in self._attributes.items() if names is None or name in names}
            held_in = match._attributes_aggregation  # noqa: SLF001 as above
            found = [
                Place(aggregation, held_in, key)
                for key, aggregation in list(held_in.items())
                if aggregation._attributes == wanted and _is_plain(aggregation)  # noqa: SLF001 as above
            ]
            if len(found) != 1:
                raise OtherwiseError
            yield found[0]


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
    )
