"""The ways to run a workload: bare, with what a user would take instead, with ours, with both, and the floor."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from benchmarks.floor import Replay
from benchmarks.signals import Signals
from benchmarks.turn import Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.floor import Emitted
    from otel_oauth.telemetry import Telemetry

WARM = 150
"""So many operations run before the first that is measured: Python has specialised its bytecode by then."""
_FLUSH_SECONDS = 20.0


class Workload(Protocol):
    """What is measured; each variant has objects of its own, in a process of its own.

    :cvar operations: how many make a measurement of a tenth of a second: our threads record what came in in
        batches of a second, and caches are warm soon after a process has its turn.
    :cvar moved: what one operation moves with our instrumentation: names of metrics, ``spans`` and ``events``.
    :cvar stock_moved: the same with the stock instrumentation.
    :ivar after: called after each operation: does nothing, or emits what the floor is made of.
    """

    operations: int
    moved: ClassVar[dict[str, float]]
    stock_moved: ClassVar[dict[str, float]]
    after: Callable[[], None]

    def ours(self, telemetry: Telemetry) -> None:
        """Attach our instrumentation, for good."""

    def stock(self, signals: Signals) -> None:
        """Attach the stock instrumentation, for good."""

    def prepare(self, operations: int) -> None:
        """Make ready what the operations consume."""

    def run(self, operations: int) -> None:
        """Do them."""


class Run(Variant):
    """One variant of a workload, attached once and for good, as in production.

    :param ours: attach our instrumentation; ``stock``: attach the stock instrumentation.
    :param floor: where what ours emits for an operation is emitted by hand; ``emitted`` is that.
    """

    def __init__(
        self,
        make: Callable[[], Workload],
        *,
        ours: Signals | None = None,
        stock: Signals | None = None,
        floor: Signals | None = None,
        emitted: Emitted | None = None,
    ) -> None:
        self.workload = make()
        self._ours, self._stock, self._floor = ours, stock, floor
        self._telemetry = None if ours is None else ours.telemetry()
        self._before: list[dict[str, float]] = []
        if stock is not None:
            self.workload.stock(stock)
        if self._telemetry is not None:
            self.workload.ours(self._telemetry)
        self._replay: Replay | None = None
        if floor is not None and emitted is not None:
            self._replay = Replay(emitted, floor.tracer_provider, floor.logger_provider, floor.meter_provider)
            self.workload.after = self._replay.operation

    def _expected(self) -> Sequence[tuple[Signals, Mapping[str, float]]]:
        return [
            (signals, moved)
            for signals, moved in (
                (self._ours, self.workload.moved),
                (self._stock, self.workload.stock_moved),
                (self._floor, {name: self.workload.moved[name] for name in ("spans", "events")}),
            )
            if signals is not None
        ]

    def warm(self, operations: int = WARM) -> None:
        """Run so many operations that are not measured."""
        self.workload.prepare(operations)
        self.run(operations)

    def prepare(self, operations: int) -> None:
        """Make ready what the operations consume, and note what was recorded so far."""
        self.workload.prepare(operations)
        self._before = [signals.counted() for signals, _ in self._expected()]

    def run(self, operations: int) -> None:
        """Do the operations, and record what they left to be recorded later."""
        self.workload.run(operations)
        if self._telemetry is not None:
            self._telemetry.recorder.flush()
            self._telemetry.emission.flush(_FLUSH_SECONDS)
        if self._replay is not None:
            self._replay.batch()

    def run_in_line(self, operations: int) -> None:
        """Do the same, and what a thread of ours would do, in this thread."""
        self.workload.run(operations)
        if self._telemetry is not None:
            self._telemetry.recorder.flush()
            self._telemetry.emission.queue.flush()

    def check(self, operations: int) -> None:
        """Assert that the operations were recorded, each once."""
        for before, (signals, expected) in zip(self._before, self._expected(), strict=True):
            moved = {name: now - before.get(name, 0.0) for name, now in signals.counted().items()}
            _assert(moved, expected, operations, sampled=signals.sampled)


def _assert(moved: Mapping[str, float], expected: Mapping[str, float], operations: int, *, sampled: bool) -> None:
    for name, each in expected.items():
        wanted = each * operations if sampled or name != "spans" else 0
        if moved.get(name, 0.0) != wanted:
            msg = f"{name}: {wanted} were expected in a measured round, {moved.get(name, 0.0)} were recorded"
            raise AssertionError(msg)


VARIANTS: Mapping[str, Callable[[Callable[[], Workload], Emitted], Run]] = {
    "bare": lambda make, _: Run(make),
    "again": lambda make, _: Run(make),
    "stock": lambda make, _: Run(make, stock=Signals()),
    "floor": lambda make, emitted: Run(make, floor=Signals(), emitted=emitted),
    "ours": lambda make, _: Run(make, ours=Signals()),
    "both": lambda make, _: Run(make, ours=Signals(), stock=Signals()),
    "unsampled floor": lambda make, emitted: Run(make, floor=Signals(sampled=False), emitted=emitted),
    "unsampled": lambda make, _: Run(make, ours=Signals(sampled=False)),
}
"""Makes each variant, in the process in which it stays; ``again`` is the bare one once more, to show the noise."""
