"""Operations without a span within another one: many in a request, so that each does as little as it can."""

from __future__ import annotations

from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING

from otel_oauth.operation import Operation, current_operation, enter

if TYPE_CHECKING:
    from otel_oauth.catalogue import Metric
    from otel_oauth.events import Event
    from otel_oauth.kinds import OperationKind
    from otel_oauth.moves import Move

    Row = tuple[Metric, tuple[str, ...], bool, Event | None]


class Step(Operation):
    """An operation without a span within another one, such as a storage call: it can only succeed or fail."""

    def start(self) -> Operation:
        """Start the clock and make this the current operation of the context."""
        self.parent = current_operation()
        self._entered = enter(self)
        self._began = perf_counter()
        return self

    def end(self, error: BaseException | None = None) -> None:
        """Leave the step and record it."""
        if self._ended:
            return
        self._ended = True
        seconds = perf_counter() - self._began
        self.suspend()
        try:
            self._record(seconds, error)
        except Exception as ours:  # noqa: BLE001 what Guard.run does, without the call: there are many steps in a request
            self.telemetry.guard.stopped("operation", ours)

    def _record(self, seconds: float, error: BaseException | None) -> None:
        facts, parent, telemetry = self.facts, self.parent, self.telemetry
        if error is not None:
            facts["result"] = "error"
        if self._nested:
            seconds = max(0.0, seconds - self._nested)
        if parent is not None:
            parent._nested += seconds  # noqa: SLF001 the same class
        exemplar, happened = self._sampled_context(), None
        for metric, key, counts, event in _step_rows(self.kind, *facts.items()):
            if not counts:
                telemetry.record(metric, key, seconds, exemplar)
                continue
            telemetry.table.add(metric, key, exemplar)
            if event is not None:
                happened = event
        if happened is not None:
            if parent is not None:
                # Whose request it was: a step knows only itself.
                self.facts = {**parent.facts, **facts}
            self._tell([happened], seconds, error)


@lru_cache(maxsize=256)
def _step_rows(kind: OperationKind, *facts: tuple[str, object]) -> tuple[Row, ...]:
    """Return what a step with these facts moves: there are few of them, and each comes often."""
    known = dict(facts)
    return tuple(_row(move, move.key(known)) for move in kind.moves)


def _row(move: Move, key: tuple[str, ...]) -> Row:
    return move.metric, key, move.counts, None if move.rule is None else move.rule.event(key)
