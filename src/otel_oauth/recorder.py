"""Histograms are recorded, and events emitted, beside the request and not in it.

One ``Histogram.record`` of the SDK costs as much as the rest of a storage operation, one ``Logger.emit`` more. So an
operation only appends what it measured, with the context of its span for the exemplar; a thread of ours records it
shortly after, and every collection first records what is still pending, so that no export misses anything. The queue
is bounded. Beyond the bound (a process in which threads do not run) each operation records two pending values
itself; an event, whose way out may be blocked, is dropped and counted instead.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth._guard import Guard

_BOUND = 8192
_MANY = _BOUND // 4
"""So many pending calls do not wait for the thread's next turn."""
_CHUNK = 64
_DELAY_SECONDS = 1.0
_LOOK_SECONDS = 30.0

Pending = tuple["Callable[..., object]", tuple[Any, ...]]


class Recorder:
    """A bounded queue of calls and the thread that makes them.

    :param guard: stops and counts what goes wrong while recording.
    :param look: called by the thread whenever it looks for pending calls, at least every half minute.
    :param dropped: called instead of queueing when the queue is full; ``None``: whoever adds makes two calls itself.
    :param name: the thread's name.
    """

    def __init__(
        self,
        guard: Guard,
        look: Callable[[], None] | None = None,
        *,
        dropped: Callable[[], None] | None = None,
        name: str = "otel-oauth-recorder",
    ) -> None:
        self._guard = guard
        self._look = look
        self._dropped = dropped
        self._name = name
        self._pending: deque[Pending] = deque()
        self._start_over()

    def _start_over(self) -> None:
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._awake = False
        self._starting = threading.Lock()
        self.recording = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def add(self, call: Callable[..., object], *arguments: Any) -> None:  # noqa: ANN401 the call's own
        """Queue one call; its arguments must not change afterwards."""
        if self._dropped is not None and len(self._pending) >= _BOUND:
            self._dropped()
            return
        self._pending.append((call, arguments))
        if not self._awake:
            self._awake = True
            self._wake.set()
            if self._thread is None:
                self._start()
        if len(self._pending) > _MANY:
            self._hurry.set()
            # Not while somebody records: that may be this very thread, which the garbage collector has interrupted.
            if len(self._pending) > _BOUND and self.recording.acquire(blocking=False):
                try:
                    self._make(2)
                finally:
                    self.recording.release()

    def hurry(self) -> None:
        """Have the pending calls made now and not at the thread's next turn."""
        self._hurry.set()
        self._wake.set()

    def flush(self, most: int | None = None) -> None:
        """Make the pending calls here and now, at the most ``most``."""
        with self.recording:
            self._make(len(self._pending) if most is None else most)

    def _make(self, most: int) -> None:
        for _ in range(most):
            try:
                call, arguments = self._pending.popleft()
            except IndexError:
                return
            self._guard.run("operation", call, *arguments)

    def wait(self, seconds: float) -> None:
        """Wait until the thread has made the calls that are pending now, but no longer than ``seconds``.

        For calls that may block: then it is the thread that hangs, and not whoever wants them made.
        """
        if self._stopped or (self._thread is None and not self._pending):
            return
        made = threading.Event()
        self._pending.append((made.set, ()))
        self.hurry()
        if self._thread is None:
            self._start()
        if self._thread is None:
            self.flush()
        made.wait(seconds)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._stopped:
                thread = threading.Thread(
                    target=_run, args=(weakref.ref(self), self._wake, self._hurry), name=self._name, daemon=True
                )
                # The interpreter may be shutting down: what is pending is then made by whoever asks for it. Or there
                # are too many threads: the next call tries again.
                self._thread = thread
                try:
                    thread.start()
                except RuntimeError:
                    self._thread, self._awake = None, False

    def _drain(self) -> bool:
        """Make the calls that are pending now, not those that come in meanwhile; tell whether to come by again."""
        pending = len(self._pending)
        if self._look is not None:
            self._guard.run("operation", self._look)
        for left in range(pending, 0, -_CHUNK):
            self.flush(min(left, _CHUNK))
            time.sleep(0)  # gives the interpreter to whoever waits for it
        if not pending:
            self._awake = False  # first: what is added from here on wakes the thread
            self._awake = bool(self._pending)
        return not self._stopped

    def stop(self, seconds: float | None = None) -> None:
        """Have what is pending made, and end the thread.

        :param seconds: leave it to the thread and wait no longer than this.
        """
        if seconds is None:
            self.flush()
        else:
            self.wait(seconds)
        self._stopped = True
        self.hurry()

    def after_fork(self) -> None:
        """Start empty in a forked child: the parent records what it measured."""
        self._pending.clear()
        self._start_over()


def _run(reference: weakref.ref[Recorder], wake: threading.Event, hurry: threading.Event) -> None:
    awake = False
    while True:
        # While calls come in it takes turns of its own: to be woken costs those who are at work more than to sleep.
        if awake or wake.wait(_LOOK_SECONDS):
            hurry.wait(_DELAY_SECONDS)
            hurry.clear()
        wake.clear()
        recorder = reference()
        if recorder is None:
            return
        # The thread is a part of the recorder, which it must not keep alive.
        try:
            if not recorder._drain():  # noqa: SLF001 see above
                return
        except BaseException:  # a processor's of the application: the next call starts another thread
            recorder._thread, recorder._awake = None, False  # noqa: SLF001 see above
            raise
        awake = recorder._awake  # noqa: SLF001 see above
        del recorder
