"""Histograms are recorded beside the request, not in it.

One ``Histogram.record`` of the SDK costs as much as the rest of a storage operation. So an operation only
appends what it measured, with the context of its span for the exemplar; a thread of ours records it shortly
after, and every collection first records what is still pending, so that no export misses anything. The queue
is bounded: beyond the bound (a process in which threads do not run) each operation records two pending values
itself.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram

    from otel_oauth._guard import Guard

_BOUND = 8192
_CHUNK = 64
_DELAY_SECONDS = 0.25
_LOOK_SECONDS = 30.0

Pending = tuple["Histogram", float, "dict[str, str]", "Context | None"]


class Recorder:
    """A bounded queue of measured values and the thread that records them.

    :param guard: stops and counts what goes wrong while recording.
    :param look: called by the thread whenever it looks for pending values, at least every half minute.
    """

    def __init__(self, guard: Guard, look: Callable[[], None] | None = None) -> None:
        self._guard = guard
        self._look = look
        self._pending: deque[Pending] = deque()
        self._start_over()

    def _start_over(self) -> None:
        self._wake = threading.Event()
        self._awake = False
        self._starting = threading.Lock()
        self.recording = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def add(self, histogram: Histogram, value: float, attributes: dict[str, str], context: Context | None) -> None:
        """Queue one value; ``attributes`` must not change afterwards."""
        self._pending.append((histogram, value, attributes, context))
        if not self._awake:
            self._awake = True
            self._wake.set()
            if self._thread is None:
                self._start()
        if len(self._pending) > _BOUND:
            self.flush(2)

    def flush(self, most: int | None = None) -> None:
        """Record what is pending, at the most ``most`` values."""
        with self.recording:
            for _ in range(len(self._pending) if most is None else most):
                try:
                    histogram, value, attributes, context = self._pending.popleft()
                except IndexError:
                    return
                self._guard.run("operation", histogram.record, value, attributes, context)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(
                    target=_run, args=(weakref.ref(self), self._wake), name="otel-oauth-recorder", daemon=True
                )
                self._thread.start()

    def _drain(self) -> bool:
        self._awake = False  # before the queue is emptied: what is added from here on wakes the thread again
        if self._look is not None:
            self._guard.run("operation", self._look)
        while self._pending:
            self.flush(_CHUNK)
            time.sleep(0)  # gives the interpreter to whoever waits for it
        return not self._stopped

    def stop(self) -> None:
        """Record what is pending and end the thread."""
        self.flush()
        self._stopped = True
        self._wake.set()

    def after_fork(self) -> None:
        """Start empty in a forked child: the parent records what it measured."""
        self._pending.clear()
        self._start_over()


def _run(reference: weakref.ref[Recorder], wake: threading.Event) -> None:
    while True:
        woken = wake.wait(_LOOK_SECONDS)
        if woken:
            wake.clear()
            time.sleep(_DELAY_SECONDS)
        recorder = reference()
        if recorder is None or not recorder._drain():  # noqa: SLF001 the thread is a part of the recorder, which it must not keep alive
            return
        del recorder
