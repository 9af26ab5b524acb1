"""The ways to run a workload: bare, with what a user would take instead, with ours, with both."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from benchmarks.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_oauth.telemetry import Telemetry

_FLUSH_SECONDS = 20.0


class Workload(Protocol):
    """What is measured: objects of its own for each variant, so that one's instrumentation is not another's.

    :cvar operations: how many make a measurement of some ten milliseconds.
    :cvar moved: what one operation moves with our instrumentation: names of metrics, ``spans`` and ``events``.
    :cvar stock_moved: the same with the stock instrumentation.
    :cvar lasting: whether ours, once attached, stays with this variant's own objects, as the stock one does.
    """

    operations: int
    moved: ClassVar[dict[str, float]]
    stock_moved: ClassVar[dict[str, float]]
    lasting: ClassVar[bool]

    def ours(self, telemetry: Telemetry) -> Callable[[], None]:
        """Attach our instrumentation; return what takes it off again."""

    def stock(self, signals: Signals) -> Callable[[], None]:
        """Attach the stock instrumentation; return what takes it off again."""

    def prepare(self, operations: int) -> None:
        """Make ready what the operations consume."""

    def run(self, operations: int) -> None:
        """Do them."""


class Run:
    """One variant of a workload.

    :param ours: attach our instrumentation for each round.
    :param stock: attach the stock instrumentation for each round.
    """

    clock = staticmethod(time.process_time)

    def __init__(
        self, make: Callable[[], Workload], *, ours: Signals | None = None, stock: Signals | None = None
    ) -> None:
        self._workload = make()
        self._ours, self._stock = ours, stock
        self._telemetry = None if ours is None else ours.telemetry()
        self._detach: list[Callable[[], None]] = []
        self._before: list[dict[str, float]] = []
        self._owed = 0

    def _signals(self) -> Sequence[Signals]:
        return [signals for signals in (self._ours, self._stock) if signals is not None]

    def prepare(self, operations: int) -> None:
        """Attach, warm up, and note what was recorded so far."""
        if self._owed:  # it is attached, and what it records is asserted at the end
            return
        if self._stock is not None:
            self._detach.append(self._workload.stock(self._stock))
        if self._telemetry is not None:
            self._detach.append(self._workload.ours(self._telemetry))
        self._workload.prepare(2)
        self._workload.run(2)
        self._workload.prepare(operations)
        self._before = [signals.counted() for signals in self._signals()]

    def run(self, operations: int) -> None:
        """Do the operations, and record what they left to be recorded later."""
        self._workload.run(operations)
        if self._telemetry is not None:
            self._telemetry.recorder.flush()
            self._telemetry.emission.flush(_FLUSH_SECONDS)

    def check(self, operations: int) -> None:
        """Detach; assert that the operations were recorded, each once."""
        self._owed += operations
        if not self._workload.lasting:
            self.finish()

    def finish(self) -> None:
        """Do what :meth:`check` left: that of instrumentation which stays attached."""
        operations, self._owed = self._owed, 0
        if not operations:
            return
        after = [signals.counted() for signals in self._signals()]
        while self._detach:
            self._detach.pop()()
        moved = [
            {name: now - before.get(name, 0.0) for name, now in each.items()}
            for before, each in zip(self._before, after, strict=True)
        ]
        if self._ours is not None:
            _assert(moved[0], self._workload.moved, operations, sampled=self._ours.sampled)
        if self._stock is not None:
            _assert(moved[-1], self._workload.stock_moved, operations, sampled=self._stock.sampled)


def _assert(moved: dict[str, float], expected: dict[str, float], operations: int, *, sampled: bool) -> None:
    for name, each in expected.items():
        wanted = each * operations if sampled or name != "spans" else 0
        if moved.get(name, 0.0) != wanted:
            msg = f"{name}: {wanted} were expected in a measured round, {moved.get(name, 0.0)} were recorded"
            raise AssertionError(msg)


def variants(make: Callable[[], Workload], *, unsampled: bool = False, ledger: str = "memory") -> dict[str, Any]:
    """Return the variants of a workload by name: ``bare``, ``stock``, ``ours``, ``both``, perhaps ``unsampled``."""
    found = {
        "bare": Run(make),
        "stock": Run(make, stock=Signals()),
        "ours": Run(make, ours=Signals(ledger=ledger)),
        "both": Run(make, ours=Signals(ledger=ledger), stock=Signals()),
    }
    if unsampled:
        found["unsampled"] = Run(make, ours=Signals(sampled=False, ledger=ledger))
    return found
