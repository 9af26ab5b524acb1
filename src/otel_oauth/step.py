"""Operations without a span within another one: many in a request, so that each does as little as it can."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from otel_oauth.catalogue import STORAGE_OPERATIONS
from otel_oauth.operation import Operation, current_operation, enter, innermost, leave
from otel_oauth.plans import ended_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_oauth.emission import Told


class Step(Operation):
    """An operation without a span within another one, such as a storage call: it can only succeed or fail."""

    def start(self) -> Operation:
        """Start the clock and make this the current operation of the context."""
        around = innermost()
        self.parent = around if around is None or not around.ended else current_operation()
        self._entered = enter(self)
        self._began = perf_counter()
        return self

    def end(self, error: BaseException | None = None) -> None:
        """Leave the step and record it."""
        if self.ended:
            return
        self.ended = True
        seconds, entered = perf_counter() - self._began, self._entered
        self._entered = None
        try:
            if entered is not None:
                leave(entered)
        except ValueError:
            pass  # another context, as in `suspend`: nothing to give back
        facts, parent, telemetry = self.facts, self.parent, self.telemetry
        try:
            if self.nested:
                seconds = max(0.0, seconds - self.nested)
            if parent is not None:
                parent.nested += seconds
            plans, key = telemetry.plans, (facts.get("operation"), facts.get("result"))
            plan = plans.usual.get(key) if error is None else None
            if plan is None:
                plan = plans.of(facts, self.kind, None, None if error is None else ended_by(error))
                if error is None and key[0] in STORAGE_OPERATIONS:
                    plans.usual[key] = plan
            context = self.sampled_context() if parent is None or parent.context is None else parent.exemplar
            plan.take(seconds, context, facts)
            if plan.events:
                self._tell_whose(plan.events, seconds, error)
        except Exception as ours:  # noqa: BLE001 what Guard.run does, without the call: there are many steps in a request
            telemetry.guard.stopped("operation", ours)

    def _tell_whose(self, events: Iterable[Told], seconds: float, error: BaseException | None) -> None:
        """Tell events with whose request it was: a step knows only itself."""
        known = self.facts if self.parent is None else {**self.parent.facts, **self.facts}
        told_by = self.telemetry.emission.told
        self.tell(filter(None, [told_by(told.event, known) for told in events]), known, seconds, error)
