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
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags

from otel_oauth import vocabulary as v
from otel_oauth.events import Seen
from otel_oauth.ledger import SpanIds

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from otel_oauth.cases import Case
    from otel_oauth.events import Event
    from otel_oauth.kinds import OperationKind
    from otel_oauth.ledger import Entry
    from otel_oauth.moves import Move
    from otel_oauth.telemetry import Telemetry

_current: ContextVar[Operation | None] = ContextVar("otel_oauth_operation", default=None)

enter = _current.set
"""Make an operation the current one of this context; returns what :meth:`Operation.suspend` gives back."""

innermost = _current.get
"""Return the innermost operation of this context, be it one that has just ended, or ``None``; no frame of ours."""

_SPAN_KINDS = {"client": SpanKind.CLIENT, "server": SpanKind.SERVER, "local": SpanKind.INTERNAL}


def current_operation() -> Operation | None:
    """Return the innermost operation that is under way in this context, or ``None``."""
    operation = _current.get()
    return operation if operation is None or not operation._ended else _living(operation)  # noqa: SLF001 as below


def operation_within(kind: OperationKind) -> Operation | None:
    """Return the innermost operation of ``kind`` that is under way in this context, or ``None``."""
    operation = _current.get()
    while operation is not None and (operation.kind is not kind or operation._ended):  # noqa: SLF001 as below
        operation = operation.parent
    return operation


def _living(operation: Operation | None) -> Operation | None:
    """Skip what has ended: a task or a copy of the context may outlive the operation that it was made in."""
    while operation is not None and operation._ended:  # noqa: SLF001 the class is in this module
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
    :ivar request: the web framework's request that it answers, for the source address of its events; or an
        :class:`~otel_oauth.sources.Source`.
    """

    # Defaults of the class and not of each instance: most operations leave most of them as they are.
    case: Case | None = None
    local: object = None
    request: object = None
    deferred = False
    ago = 0.0
    parent: Operation | None = None
    span: Span = trace.INVALID_SPAN
    _context: Context | None = None
    _exemplar: Context | None = None
    _attached: Token[Context] | None = None
    _entered: Token[Operation | None] | None = None
    _ended = False
    _nested = 0.0
    _began = 0.0
    _left: tuple[float, int] | None = None

    def __init__(self, telemetry: Telemetry, kind: OperationKind, facts: dict[str, object]) -> None:
        self.telemetry = telemetry
        self.kind = kind
        self.facts = facts
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
        self.parent = current_operation()
        kind = self.kind
        if kind.span or (self.telemetry.settings.storage_spans and kind.name == "storage"):
            self.telemetry.guard.run("operation", self._start_span, kind)
        self.resume()
        self._began = perf_counter() - self.ago
        return self

    def _start_span(self, kind: OperationKind) -> None:
        side = _SPAN_KINDS[kind.side]
        if side is SpanKind.SERVER and trace.get_current_span().get_span_context().is_valid:
            side = SpanKind.INTERNAL
        name = f"oauth.{kind.name} {self.facts.get(kind.target, 'other')}"
        self.span = self.telemetry.tracer.start_span(
            name,
            kind=side,
            start_time=time_ns() - int(self.ago * 1e9) if self.ago else None,
            record_exception=False,
            set_status_on_exception=False,
        )
        self._context = trace.set_span_in_context(self.span)
        if self.span.get_span_context().trace_flags.sampled:
            self._exemplar = self._context

    def resume(self) -> None:
        """Make this the current operation again, in the context that calls."""
        self._entered = _current.set(self)
        if self._context is not None:
            self._attached = otel_context.attach(self._context)

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
            self._left = perf_counter(), time_ns()
        else:
            self.complete(error)

    def complete(self, error: BaseException | None = None) -> None:
        """Record the operation and end its span, exactly once however often it is called."""
        self._complete(perf_counter(), None, error)

    def complete_as_left(self) -> None:
        """Record a deferred operation as of the moment when it was left: nobody came back to it."""
        left, ended_at = self._left or (perf_counter(), None)
        self._complete(left, ended_at, None)

    @property
    def left_at(self) -> float:
        """When a deferred operation was left, on the clock of ``perf_counter``; infinity before."""
        return self._left[0] if self._left is not None else inf

    def _complete(self, now: float, ended_at: int | None, error: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        self.telemetry.guard.run("operation", self._finish, now - self._began, error)
        if self._context is not None:
            self.telemetry.guard.run("operation", self.span.end, ended_at)

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
        self.span.update_name(f"oauth.{kind.name} {self.facts.get(kind.target, 'other')}")

    def judge(self, case: Case | None) -> None:
        """Settle the case of this operation; of two verdicts the higher one stands."""
        if case is not None and (self.case is None or case.rank >= self.case.rank):
            self.case = case

    def link(self, entry: Entry | None) -> None:
        """Link the span to the one that issued ``entry``, if the ledger knows it."""
        if entry is None or not self.span.is_recording():
            return
        trace_id, span_id = int.from_bytes(entry.trace_id, "big"), int.from_bytes(entry.span_id, "big")
        if trace_id and span_id:
            origin = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            self.span.add_link(origin)

    @property
    def span_ids(self) -> SpanIds:
        """The ids of this operation's span, to be remembered with what it issues."""
        context = self.span.get_span_context()
        return SpanIds(context.trace_id, context.span_id)

    # Recording ----------------------------------------------------------------------------------------------

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        facts = self.facts
        if self.case is not None:
            facts.update(self.case.facts)
            facts["case"] = self.case.name
        if error is not None:
            self._failed(error)
        if self.kind.span or self._context is not None:
            facts.setdefault("status", "success")
            facts.setdefault("outcome", facts["status"])
            facts.setdefault("initiated", facts["status"] == "success")
        if self._nested and (self.kind.operation == "api" or self.kind.name == "storage"):
            seconds = max(0.0, seconds - self._nested)
        if self.parent is not None:
            self.parent._nested += seconds  # noqa: SLF001 the same class
        self._record_all(seconds, error)
        if self.span.is_recording():
            self._describe(error)

    def _record_all(self, seconds: float, error: BaseException | None) -> None:
        """Apply the moves of kind and case, and tell the events that they are."""
        case, facts = self.case, self.facts
        happened = self._apply(self.kind.moves if case is None else self.kind.moves + case.moves, seconds)
        if case is not None and case.event is not None:
            happened.append(case.event)
        for occurrence in self.kind.occurrences:
            if occurrence.happened(facts):
                happened.append(occurrence.event)
        if happened:
            self._tell(happened, seconds, error)

    def _tell(self, happened: list[Event], seconds: float, error: BaseException | None) -> None:
        """Give what happened to the log, with the context of this moment."""
        told_by: Operation | None = self
        while told_by is not None and told_by.request is None:
            told_by = told_by.parent
        request = None if told_by is None else told_by.request
        context = self._surrounding_context()
        seen = Seen(self.facts, context, seconds, error, request)
        for event in happened:
            self.telemetry.emission.happened(event, seen)

    def _failed(self, error: BaseException) -> None:
        facts = self.facts
        # Cancellation, GeneratorExit, SystemExit, and what other loops cancel with.
        if not isinstance(error, Exception):
            facts["outcome"] = "cancelled"
            facts["flow"] = facts["flow_timed"] = facts["handled"] = facts["provider_error"] = False
        facts["status"] = "failure"
        facts["result"] = "error"

    def _surrounding_context(self) -> Context:
        around: Operation | None = self
        while around is not None:
            if around._context is not None:  # noqa: SLF001 the same class
                return around._context  # noqa: SLF001 as above
            around = around.parent
        return otel_context.get_current()

    def _sampled_context(self) -> Context | None:
        """Return the context whose span is to be the exemplar of what this operation records, if it is sampled."""
        around = self if self._context is not None else self.parent
        if around is not None and around._context is not None:  # noqa: SLF001 the same class
            return around._exemplar  # noqa: SLF001 as above
        sampled = trace.get_current_span().get_span_context().trace_flags.sampled
        return otel_context.get_current() if sampled else None

    def _apply(self, moves: tuple[Move, ...], seconds: float) -> list[Event]:
        """Apply the moves whose condition holds, and return the events that they are."""
        facts, telemetry, exemplar = self.facts, self.telemetry, self._sampled_context()
        happened: list[Event] = []
        add, known = telemetry.table.add, facts.get
        for move in moves:
            if move.when is not None and not known(move.when):
                continue
            key = move.literal
            if key is None:
                key = move.key(facts)
            if move.counts:
                add(move.metric, key, exemplar)
                if move.rule is not None:
                    event = move.rule.event(key)
                    if event is not None:
                        happened.append(event)
                continue
            value = seconds if move.value is None else facts.get(move.value, seconds if move.or_own else None)
            if isinstance(value, (int, float)):
                # Never negative: the start of a flow may come from another host's clock.
                telemetry.record(move.metric, key, max(0.0, value), exemplar)
        return happened

    def _describe(self, error: BaseException | None) -> None:
        facts, span = self.facts, self.span
        names = v.SPAN_ATTRIBUTES
        attributes = {names[fact]: value for fact, value in facts.items() if fact in names and value is not None}
        status, answered = facts.get("http_status"), 0
        if isinstance(status, str) and status.isdecimal() and status != "0":
            attributes[v.HTTP_STATUS_CODE] = answered = int(status)
        case = self.case
        if case is not None and case.security is not None:
            attributes[v.EVENT_TYPE], attributes[v.SEVERITY] = case.security
            if case.event is not None:
                span.add_event(case.event.name, {v.EVENT_TYPE: case.security[0], v.SEVERITY: case.security[1]})
        failed = facts["status"] == "failure" and facts["outcome"] == "failure"
        if failed or error is not None:
            attributes[v.ERROR_TYPE] = self._error_type(error)
        if failed and (self.kind.side != "server" or answered >= v.SERVER_ERROR):
            span.set_status(StatusCode.ERROR)
        span.set_attributes(attributes)  # type: ignore[arg-type]  # facts that are attributes are text, numbers or booleans

    def _error_type(self, error: BaseException | None) -> str:
        known = self.facts.get("error") or self.facts.get("provider_error")
        if known and known != "other":
            return str(known)
        if error is None:
            return "_OTHER"
        return f"{type(error).__module__}.{type(error).__qualname__}"
