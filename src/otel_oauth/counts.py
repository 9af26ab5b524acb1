"""The application's own counts, which go before the ledger's in the gauges.

A count that asks a database may hang, and a collection must not: with a timeout it is taken in a thread of
its own, at most one at a time, and a collection waits for it no longer than that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_oauth._guard import Guard
    from otel_oauth.catalogue import Metric

LONGEST_WAIT = 60.0
"""The highest timeout in seconds."""

_STALE_SECONDS = 300.0

Taken = Iterable[tuple["Metric", int]]
"""What one taking of counts yields: each gauge's metric and its value, as it becomes known."""


class BackgroundCounts:
    """Counts that are taken in a thread, once for each collection, and never twice at the same time.

    A collection that waited in vain gets the values of the last taking that ended, for five minutes. A taking that
    fails leaves out what it did not yield. Both are counted as errors of the component ``gauge``.

    :param take: yields the counts; runs in the thread.
    :param timeout: seconds that a collection waits.
    :raises ValueError: if ``timeout`` is not above 0 and at most a minute.
    """

    def __init__(self, take: Callable[[], Taken], timeout: float, guard: Guard) -> None:
        if not 0 < timeout <= LONGEST_WAIT:
            msg = f"timeout must be above 0 and at most {LONGEST_WAIT:g} seconds"
            raise ValueError(msg)
        self._take = take
        self._timeout = timeout
        self._guard = guard
        self.after_fork()

    def after_fork(self) -> None:
        """Start over in a forked child: the thread that may have been taking counts is not there."""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._ended.set()
        self._deadline = 0.0
        self._late = False
        self._values: dict[Metric, int] = {}
        self._taken_at = 0.0

    def begin(self, limit: float) -> None:
        """Let a taking begin for this collection, unless the last one has not ended.

        :param limit: seconds that the collection can wait: beyond its own timeout all its metrics are lost.
        """
        with self._lock:
            now = monotonic()
            if self._ended.is_set():
                self._ended.clear()
                self._deadline = now + min(self._timeout, limit)
                self._start()
            self._late = False

    def _start(self) -> None:
        ended = self._ended
        thread = threading.Thread(target=self._run, args=(ended,), name="otel-oauth-counts", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            ended.set()
            # From Python 3.12 on, no thread starts when the interpreter ends and collects a last time.
            if "shutdown" not in str(error):
                self._guard.failed("gauge", error)

    def _run(self, ended: threading.Event) -> None:
        values: dict[Metric, int] = {}
        try:
            self._guard.run("gauge", lambda: values.update(self._take()))
        finally:
            self._values, self._taken_at = values, monotonic()
            ended.set()

    def value(self, metric: Metric) -> int | None:
        """Return the count of ``metric`` that is in force; wait for it within the timeout of this collection."""
        if not self._ended.wait(max(0.0, self._deadline - monotonic())) and not self._late:
            self._late = True
            self._guard.run("gauge", self._gave_up)
        if monotonic() - self._taken_at > _STALE_SECONDS:
            return None
        return self._values.get(metric)

    def _gave_up(self) -> None:
        msg = f"a count took longer than {self._timeout:g} s"
        raise TimeoutError(msg)


class Counts:
    """Which gauge has a count of the application's own, and how that is taken."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._direct: dict[Metric, Callable[[], int]] = {}
        self._background: dict[Metric, BackgroundCounts] = {}

    def take_directly(self, metric: Metric, count: Callable[[], int]) -> None:
        """Take the count of ``metric`` within the collection, in the thread that collects."""
        self.forget(metric)
        self._direct[metric] = count

    def take_in_background(self, metrics: Iterable[Metric], take: Callable[[], Taken], timeout: float) -> None:
        """Take the counts of ``metrics`` in a thread.

        :raises ValueError: if ``timeout`` is not a time to wait.
        """
        background = BackgroundCounts(take, timeout, self._guard)
        for metric in metrics:
            self.forget(metric)
            self._background[metric] = background

    def forget(self, metric: Metric) -> None:
        """Leave ``metric`` to the ledger again."""
        self._direct.pop(metric, None)
        self._background.pop(metric, None)

    def begin(self, limit: float) -> None:
        """Begin what is taken in threads; called when a collection begins that can wait ``limit`` seconds for it."""
        for background in set(self._background.values()):
            background.begin(limit)

    def __contains__(self, metric: Metric) -> bool:
        return metric in self._direct or metric in self._background

    def value(self, metric: Metric) -> int | None:
        """Return the count of ``metric``, or ``None`` where it is not known now."""
        background = self._background.get(metric)
        if background is not None:
            found = background.value(metric)
        else:
            found = self._guard.run("gauge", lambda: int(self._direct[metric]()))
        return None if found is None else max(0, found)

    def after_fork(self) -> None:
        """Make the counts usable in a forked child."""
        for background in set(self._background.values()):
            background.after_fork()
