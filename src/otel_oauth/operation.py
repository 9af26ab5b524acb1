"""The one place that starts a clock, makes a span, records and emits.

An operation is entered before the instrumented call and left after it, on success, error, cancellation and
``GeneratorExit`` alike, and records exactly once. In between, whoever translates the library sets facts on it.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from math import inf
from time import perf_counter, time_ns
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from otel_oauth.plans import ended_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from otel_oauth.cases import Case
    from otel_oauth.emission import Told
    from otel_oauth.kinds import OperationKind
    from otel_oauth.ledger import Entry
    from otel_oauth.telemetry import Telemetry

    Facts = Mapping[str, object]

_current: ContextVar[Operation | None] = ContextVar("otel_oauth_operation", default=None)

enter = _current.set
"""Make an operation the current one of this context; returns what :meth:`Operation.suspend` gives back."""

leave = _current.reset
"""Make the operation current again that was so before :data:`enter`, whose result it takes, in the same context."""

innermost = _current.get
"""Return the innermost operation of this context, be it one that has just ended, or ``None``; no frame of ours."""

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SERVER = SpanKind.SERVER
_SPAN_KINDS = {"client": SpanKind.CLIENT, "server": _SERVER, "local": SpanKind.INTERNAL}


def current_operation() -> Operation | None:
    """Return the innermost operation that is under way in this context, or ``None``."""
    operation = _current.get()
    return operation if operation is None or not operation.ended else _living(operation)


def nearest(operation: Operation | None, kind: OperationKind) -> Operation | None:
    """Return the innermost operation of ``kind`` that is under way, ``operation`` itself or one around it."""
    while operation is not None and (operation.kind is not kind or operation.ended):
        operation = operation.parent
    return operation


def _living(operation: Operation | None) -> Operation | None:
    """Skip what has ended: a task or a copy of the context may outlive the operation that it was made in."""
    while operation is not None and operation.ended:
        operation = operation.parent
    return operation


class Operation:
    """One OAuth operation under way.

    :ivar facts: what is known of it: the label values and conditions that the moves of its kind and case
        refer to.
    :ivar parent: the operation around it in the same context, or ``None``.
    :ivar span: its span; a non-recording one where its kind has none.
    :ivar local: a place for the translator's own notes, never exported.
    :ivar ago: seconds that it had been under way when it was started: only its answer told that it was one.
    :ivar ended: whether it is over.
    :ivar context: the context with its span; ``None`` where its kind has none.
    :ivar exemplar: the same if the span is sampled.
    :ivar nested: seconds of the operations within it that have ended.
    :ivar request: the web framework's request that it answers, for the source address of its events; or an
        :class:`~otel_oauth.sources.Source`.
    """

    # Defaults of the class and not of each instance: most operations leave most of them as they are. What is read more
    # than once is the instance's: that is read in a fifth of the time.
    case: Case | None = None
    local: object = None
    request: object = None
    deferred = False
    ago = 0.0
    parent: Operation | None = None
    span: Span = trace.INVALID_SPAN
    context: Context | None = None
    exemplar: Context | None = None
    _attached: Token[Context] | None = None
    _entered: Token[Operation | None] | None = None
    _began = 0.0
    _left: tuple[float, int] | None = None

    def __init__(self, telemetry: Telemetry, kind: OperationKind, facts: dict[str, object]) -> None:
        self.telemetry = telemetry
        self.kind = kind
        self.facts = facts
        self.ended = False
        self.nested = 0.0
        if kind.operation:
            facts["operation"] = kind.operation

    # Life cycle ---------------------------------------------------------------------------------------------

    def __enter__(self) -> Operation:  # noqa: PYI034 Self is not in Python 3.10
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end(error)

    def start(self) -> Operation:
        """Start clock and span, and make this the current operation of the context; a deferred one just goes on."""
        if self._began:
            self.resume()
            return self
        parent = _current.get()
        self.parent = parent if parent is None or not parent.ended else _living(parent)
        kind, telemetry = self.kind, self.telemetry
        if kind.span or (kind.name == "storage" and telemetry.settings.storage_spans):
            try:
                self._start_span()
            except Exception as ours:  # noqa: BLE001 what Guard.run does, without the call: each operation comes by here
                telemetry.guard.stopped("operation", ours)
        self.resume()
        self._began = perf_counter() - self.ago
        return self

    def _start_span(self) -> None:
        kind, around = self.kind, otel_context.get_current()
        side = _SPAN_KINDS[kind.side]
        if side is _SERVER and around and trace.get_current_span(around).get_span_context().is_valid:
            side = SpanKind.INTERNAL
        began = time_ns() - int(self.ago * 1e9) if self.ago else None
        # No exception of the application is for the span: its message may hold anything.
        span = self.telemetry.tracer.start_span(
            self._span_name(), around, side, None, (), began, record_exception=False, set_status_on_exception=False
        )
        self.span = span
        self.context = context = trace.set_span_in_context(span, around)
        if span.get_span_context().trace_flags & _SAMPLED:
            self.exemplar = context

    def _span_name(self) -> str:
        return f"oauth.{self.kind.name} {self.facts.get(self.kind.target, 'other')}"

    def resume(self) -> None:
        """Make this the current operation again, in the context that calls."""
        self._entered = _current.set(self)
        if self.context is not None:
            self._attached = otel_context.attach(self.context)

    def suspend(self) -> None:
        """Give the context back as it was before; the operation goes on."""
        entered, attached = self._entered, self._attached
        self._entered = self._attached = None
        if entered is not None:
            try:
                _current.reset(entered)
            except ValueError:
                # Another context, where a generator is closed by the collector or another thread ends it:
                # nothing to give back.
                return
        if attached is not None:
            otel_context.detach(attached)

    def end(self, error: BaseException | None = None) -> None:
        """Leave the operation; record it, unless it is ``deferred``, which :meth:`complete` then does."""
        self.suspend()
        if self.deferred:
            self.leave()
        else:
            self._complete(perf_counter(), None, error)

    def leave(self) -> None:
        """Note this moment as the end, in case that nobody comes back: see :meth:`complete_as_left`."""
        self._left = perf_counter(), time_ns()

    def complete(self, error: BaseException | None = None) -> None:
        """Record the operation and end its span, exactly once however often it is called."""
        self._complete(perf_counter(), None, error)

    def complete_as_left(self) -> None:
        """Record the operation as of the moment when it was left: nobody came back to it."""
        left, ended_at = self._left or (perf_counter(), None)
        self._complete(left, ended_at, None)

    @property
    def left_at(self) -> float:
        """When a deferred operation was left, on the clock of ``perf_counter``; infinity before."""
        return self._left[0] if self._left is not None else inf

    def _complete(self, now: float, ended_at: int | None, error: BaseException | None) -> None:
        """Move what kind and case move, tell the events that they are, say it of the span and end that."""
        if self.ended:
            return
        self.ended = True
        telemetry, facts, kind, context, span = self.telemetry, self.facts, self.kind, self.context, self.span
        try:
            try:
                seconds, parent = now - self._began, self.parent
                if self.nested and (kind.operation == "api" or kind.name == "storage"):
                    seconds = max(0.0, seconds - self.nested)
                if parent is not None:
                    parent.nested += seconds
                plan = telemetry.plans.of(facts, kind, self.case, None if error is None else ended_by(error))
                plan.take(seconds, self.sampled_context() if context is None else self.exemplar, facts)
                if plan.events:
                    self.tell(plan.events, facts, seconds, error)
                if context is not None and span.is_recording():
                    plan.description.put(span, facts, error)
            finally:
                if context is not None:
                    span.end(ended_at)
        except Exception as ours:  # noqa: BLE001 what Guard.run does, without the call: each operation comes by here
            telemetry.guard.stopped("operation", ours)

    # Facts --------------------------------------------------------------------------------------------------

    def within(self, *kinds: OperationKind) -> Operation | None:
        """Return the nearest operation around this one (or itself) that is of one of ``kinds``."""
        found: Operation | None = self
        while found is not None and found.kind not in kinds:
            found = found.parent
        return found

    def become(self, kind: OperationKind) -> None:
        """Take another kind: only the answer told which of two operations this is."""
        self.kind = kind
        if kind.operation:
            self.facts["operation"] = kind.operation
        self.span.update_name(self._span_name())

    def judge(self, case: Case | None) -> None:
        """Settle the case of this operation; of two verdicts the higher one stands."""
        if case is not None and (self.case is None or case.rank >= self.case.rank):
            self.case = case

    def link(self, entry: Entry | None) -> None:
        """Link the span to the one that issued ``entry``, if the ledger knows it."""
        if entry is None or not self.span.is_recording():
            return
        trace_id, span_id = int.from_bytes(entry.trace_id, "big"), int.from_bytes(entry.span_id, "big")
        origin = SpanContext(trace_id, span_id, True, _SAMPLED)  # noqa: FBT003 by name it takes a third more
        if origin.is_valid:
            self.span.add_link(origin)

    # Recording ----------------------------------------------------------------------------------------------

    def tell(self, events: Iterable[Told], facts: Facts, seconds: float, error: BaseException | None) -> None:
        """Give what happened to the log, with the context of this moment."""
        context = self.context if self.context is not None else self._surrounding_context()
        happened = self.telemetry.emission.happened
        for told in events:
            request = self._answered() if told.event.source else None
            happened(told, facts, context, seconds, error, request)

    def _answered(self) -> object:
        """Return the request that this operation, or one around it, answers."""
        told_by: Operation | None = self
        while told_by is not None and told_by.request is None:
            told_by = told_by.parent
        return None if told_by is None else told_by.request

    def _surrounding_context(self) -> Context:
        around = self.parent
        while around is not None:
            if around.context is not None:
                return around.context
            around = around.parent
        return otel_context.get_current()

    def sampled_context(self) -> Context | None:
        """Return the context whose span is to be the exemplar of what this operation records, if it is sampled."""
        around = self if self.context is not None else self.parent
        if around is not None and around.context is not None:
            return around.exemplar
        sampled = trace.get_current_span().get_span_context().trace_flags.sampled
        return otel_context.get_current() if sampled else None
