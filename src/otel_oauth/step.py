"""Operations without a span within another one: many in a request, so that each does as little as it can."""

from __future__ import annotations

from time import perf_counter

from otel_oauth.operation import Operation, current_operation, enter, innermost, leave


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
        seconds = perf_counter() - self._began
        entered, self._entered = self._entered, None
        try:
            if entered is not None:
                leave(entered)
        except ValueError:
            pass  # another context, as in `suspend`: nothing to give back
        try:
            self._record(seconds, error)
        except Exception as ours:  # noqa: BLE001 what Guard.run does, without the call: there are many steps in a request
            self.telemetry.guard.stopped("operation", ours)

    def _record(self, seconds: float, error: BaseException | None) -> None:
        facts, parent, telemetry = self.facts, self.parent, self.telemetry
        if error is not None:
            facts["result"] = "error"
        if self.nested:
            seconds = max(0.0, seconds - self.nested)
        if parent is not None:
            parent.nested += seconds
        plan = telemetry.plans.of(facts, self.kind, None)
        telemetry.plans.apply(plan, facts, seconds, self.sampled_context())
        if plan.events:
            if parent is not None:
                # Whose request it was: a step knows only itself.
                self.facts = {**parent.facts, **facts}
            self.tell(plan.events, seconds, error)
