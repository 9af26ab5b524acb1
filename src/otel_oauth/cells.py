"""Counters as cells of our own, read at collection, and the bounds of their labels.

``Counter.add`` of the SDK costs 5 to 11 microseconds because it builds and hashes an attribute set each time.
A cell is one dict look-up and an addition under one lock; an *observable* counter reads the table at
collection and exports the same monotonic cumulative sum. From the table follow by construction: zero series
(it is born with them), the caps (a value that is not admitted lands in ``other``), and fork safety (a child
empties it).
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import NonRecordingSpan, get_current_span, set_span_in_context

from otel_oauth.catalogue import LABEL_OVERFLOW, OTHER, UNKNOWN, Label, Metric
from otel_oauth.durations import Durations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_oauth.durations import Outlet

Key = tuple[str, ...]

_NEW_SECONDS = 60.0


class Cell:
    """One series: its value, its attributes, and the span of its last sampled increment, in a context of its own.

    :ivar until: the monotonic time until which the context is given out, 0 if no collection has seen it yet.
    """

    __slots__ = ("attributes", "context", "until", "value")

    def __init__(self, attributes: dict[str, str]) -> None:
        self.value = 0
        self.attributes = attributes
        self.context: Context | None = None
        self.until = 0.0

    def observed(self, now: float) -> Observation:
        """Return the value, with an exemplar as long as that is new: for every reader, but not for ever."""
        if self.context is not None:
            if not self.until:
                self.until = now + _NEW_SECONDS
            elif now > self.until:
                self.context = None
        return Observation(self.value, self.attributes, self.context)


class Table:
    """The counters of one set of providers.

    :param metrics: the catalogue entries; of histograms the table has the series, see :meth:`durations`.
    :param caps: the highest number of values of each capped label.
    :ivar outlets: where the values of each histogram go.
    """

    def __init__(self, metrics: Iterable[Metric], caps: dict[str, int]) -> None:
        self._metrics = tuple(metrics)
        self._caps = caps
        # Re-entrant: a collected coroutine may end its operation while this thread holds it.
        self._lock = threading.RLock()
        self._counters: dict[Metric, dict[Key, Cell]] = {
            metric: {} for metric in self._metrics if metric.kind == "counter"
        }
        self._histograms: dict[Metric, dict[Key, Durations]] = {
            metric: {} for metric in self._metrics if metric.kind == "histogram"
        }
        self.outlets: dict[Metric, Outlet] = {}
        self._admitted: dict[str, set[str]] = {cap: set() for cap in caps}
        self._overflowed: set[str] = set()
        self._fill()

    def _fill(self) -> None:
        for metric, cells in self._counters.items():
            for values in metric.zero_series():
                if None not in values:
                    self._cell(metric, cells, tuple(str(value) for value in values))

    @staticmethod
    def _cell(metric: Metric, cells: dict[Key, Cell], key: Key) -> Cell:
        cell = cells.get(key)
        if cell is None:
            cell = cells[key] = Cell(dict(zip(metric.label_names, key, strict=True)))
        return cell

    def add(self, metric: Metric, key: Key = (), context: Context | None = None, amount: int = 1) -> None:
        """Add ``amount`` to the series of ``metric`` with label values ``key``; keep ``context`` as its exemplar."""
        self.add_to((self.cell(metric, key),), context, amount)

    def add_to(self, cells: Iterable[Cell], context: Context | None = None, amount: int = 1) -> None:
        """Add ``amount`` to each of the series ``cells``; keep the span of ``context`` as their exemplar."""
        kept = None
        if context is not None:
            # Not the context itself: it holds whatever the application has put into it.
            span = NonRecordingSpan(get_current_span(context).get_span_context())
            kept = set_span_in_context(span, Context())
        with self._lock:
            for cell in cells:
                cell.value += amount
                if kept is not None:
                    cell.context, cell.until = kept, 0.0

    def cell(self, metric: Metric, key: Key) -> Cell:
        """Return the series of a counter that counts ``key``: the same object each time, in a forked child as well.

        Beyond a cap that is the series of ``other``, and the overflow is counted: ask anew for each increment, unless
        the series is the :meth:`own <has_own>` one.
        """
        cells = self._counters[metric]
        cell = cells.get(key)
        if cell is None:
            with self._lock:
                cell = self._cell(metric, cells, self._bounded(metric, key))
        return cell

    def has_own(self, metric: Metric, key: Key) -> bool:
        """Tell whether a series has these very label values, so that it may be kept for them."""
        return key in (self._counters if metric.kind == "counter" else self._histograms)[metric]

    def durations(self, metric: Metric, key: Key) -> Durations:
        """Return a histogram's series, its label values bounded like a counter's; the same object each time."""
        known = self._histograms[metric]
        found = known.get(key)
        if found is None:
            with self._lock:
                key = self._bounded(metric, key)
                found = known.get(key)
                if found is None:
                    attributes = dict(zip(metric.label_names, key, strict=True))
                    found = known[key] = Durations(attributes, self.outlets.get(metric))
        return found

    def admit(self, label: Label, value: str) -> str:
        """Return ``value`` if it is, or now becomes, one of the label's values, else ``other``.

        A new value gets the zero series of every counter that has the label. Only values that the application
        vouches for are to be admitted: a registered provider, a client that a look-up returned.
        """
        cap = label.cap or ""
        admitted = self._admitted[cap]
        if value in admitted:
            return value
        with self._lock:
            if len(admitted) >= self._caps[cap]:
                if self._caps[cap]:  # with a cap of 0 the label is switched off on purpose
                    self._overflow(cap)
                if cap not in self._overflowed:
                    self._overflowed.add(cap)
                    self._zeros_for(label, OTHER)
                return OTHER
            admitted.add(value)
            self._zeros_for(label, value)
        return value

    def _zeros_for(self, label: Label, value: str) -> None:
        for metric, cells in self._counters.items():
            if label in metric.labels:
                for values in metric.zero_series():
                    self._cell(metric, cells, tuple(value if part is None else part for part in values))

    def _bounded(self, metric: Metric, key: Key) -> Key:
        return tuple([self._value(label, value) for label, value in zip(metric.labels, key, strict=True)])

    def _value(self, label: Label, value: str) -> str:
        if label.cap is None:
            if value in label.closed or value == OTHER:
                return value
            self._overflow("closed")
            return OTHER
        if value in self._admitted[label.cap] or value in (OTHER, UNKNOWN):
            return value
        self._overflow(label.cap)
        return OTHER

    def _overflow(self, label: str) -> None:
        cells = self._counters.get(LABEL_OVERFLOW)
        if cells is not None:
            cells[label,].value += 1

    def observe(self, metric: Metric, _options: CallbackOptions) -> Sequence[Observation]:
        """Return the observations of one counter; called by the SDK at each collection of each reader."""
        with self._lock:
            now = monotonic()
            return [cell.observed(now) for cell in self._counters[metric].values()]

    def value(self, metric: Metric, key: Key = ()) -> int:
        """Return the present value of one series, 0 if it does not exist; without what waits with its plan."""
        cell = self._counters[metric].get(key)
        return 0 if cell is None else cell.value

    def after_fork(self) -> None:
        """Start from zero in a forked child: the parent goes on exporting what it counted."""
        self._lock = threading.RLock()
        for cells in self._counters.values():
            for cell in cells.values():
                cell.value = 0
                cell.context = None
