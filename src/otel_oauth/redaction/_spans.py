"""Spans of every instrumentation: redacted when they end, before any processor or exporter gets them.

A span is inspected as a whole once, where the SDK makes the readable copy that goes to the processors: whichever
they are and whenever they were attached. Only a processor that looks at spans before their end (as it starts, as it
is ending) makes them be inspected there too.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from otel_oauth.redaction._redactor import UNINSPECTED
from otel_oauth.redaction._shared import INSPECTED, redact_attributes, redact_origin

if TYPE_CHECKING:
    from types import ModuleType

    from otel_oauth.redaction._patches import Sources
    from otel_oauth.redaction._redactor import Redactor

_log = logging.getLogger("otel_oauth")

_SIGNAL = "span"
_EARLY_METHODS = ("on_start", "_on_ending")


def patch(module: ModuleType, sources: Sources) -> None:
    """Patch ``opentelemetry.sdk.trace``."""
    span = module.Span
    missing = [name for name in ("_readable_span", "start") if name not in vars(span)]
    if missing:
        _log.error("otel-oauth: spans are not redacted, this SDK has no Span.%s", missing[0])
        return

    def made_readable(original: Any) -> Any:  # noqa: ANN401 the SDK's method
        def _readable_span(self: Any) -> Any:  # noqa: ANN401 a span
            redactor = sources.redactor
            if redactor is not None and not sources.guard.run("redaction", _redact, self, redactor):
                _empty(self)
            return original(self)

        return _readable_span

    sources.replace(span, "_readable_span", made_readable)
    _patch_processors(module, sources)


def _patch_processors(module: ModuleType, sources: Sources) -> None:
    """Look at the processors of a span before it tells them something: whenever they were added, to whichever provider.

    A fan-out's processors are looked at once, and again when one is added: what was looked at is of a class of its
    own, from which the SDK's ``+=`` makes a plain tuple again.
    """
    fans = (module.SynchronousMultiSpanProcessor, module.ConcurrentMultiSpanProcessor)

    class Known(tuple[Any, ...]):
        __slots__ = ()

    def inspecting(processor: Any) -> Any:  # noqa: ANN401 a span processor
        if type(processor) is _Early:
            if processor.sources is sources:
                return processor
            processor = processor.processor  # of an earlier installation
        return _Early(processor, sources) if _reads_early(type(processor), module.SpanProcessor) else processor

    def look(span: Any) -> None:  # noqa: ANN401 the SDK's
        processor = getattr(span, "_span_processor", None)
        if processor is None:  # no span of the SDK
            return
        if type(processor) not in fans:
            span._span_processor = inspecting(processor)  # noqa: SLF001 there is no public way to it
            return
        with processor._lock:  # noqa: SLF001 as above; the one that add_span_processor takes
            processor._span_processors = Known(map(inspecting, processor._span_processors))  # noqa: SLF001 as above

    def starting(original: Any) -> Any:  # noqa: ANN401 the SDK's method
        def start(self: Any, start_time: int | None = None, parent_context: Any = None) -> None:  # noqa: ANN401 a span
            processor = self._span_processor
            known = type(processor) in fans and type(processor._span_processors) is Known  # noqa: SLF001 as above
            if not known and sources.redactor is not None:
                sources.guard.run("redaction", look, self)
            original(self, start_time, parent_context)

        return start

    sources.replace(module.Span, "start", starting)
    look(trace.get_current_span())  # which has begun already


def _reads_early(kind: type, base: type) -> bool:
    """Tell whether a processor looks at spans before they end. Those of the SDK have methods that do nothing then."""
    if kind.__module__.startswith("opentelemetry.sdk.trace") and "Multi" not in kind.__name__:
        return False
    return any(getattr(kind, name, None) is not getattr(base, name, None) for name in _EARLY_METHODS)


class _Early:
    """A processor that looks at spans before they end: they are redacted for it."""

    def __init__(self, processor: Any, sources: Sources) -> None:  # noqa: ANN401 a span processor
        self.processor = processor
        self.sources = sources

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 a span processor's
        return getattr(self.processor, name)

    def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ANN401 the SDK's
        if self._inspect(span):
            self.processor.on_start(span, parent_context=parent_context)

    def _on_ending(self, span: Any) -> None:  # noqa: ANN401 the SDK's
        if self._inspect(span):
            self.processor._on_ending(span)  # noqa: SLF001 the SDK's experimental method

    def _inspect(self, span: Any) -> bool:  # noqa: ANN401 the SDK's
        redactor = self.sources.redactor
        return redactor is None or bool(self.sources.guard.run("redaction", _redact, span, redactor))


def _redact(span: Any, redactor: Redactor) -> bool:  # noqa: ANN401 the SDK's
    # Every span of the process comes through here: what is mostly empty is looked at before it is handed on.
    redact_attributes(span, redactor, _SIGNAL)
    name, status, context = span._name, span._status, span._context  # noqa: SLF001 no setter works after a span's end
    after = redactor.text(name, _SIGNAL)
    if after is not name:
        span._name = after  # noqa: SLF001 as above
    if status.description:
        description = redactor.text(status.description, _SIGNAL)
        if description is not status.description:
            span._status = type(status)(status.status_code, description)  # noqa: SLF001 as above
    for parts in (span._events, span._links):  # noqa: SLF001 as above
        if getattr(parts, "_dq", parts):  # without the lock of a BoundedList, and without its __len__
            _redact_parts(parts, redactor)
    if context.trace_state:
        _redact_trace_state(span, context, redactor)
    resource, scope = span._resource, span._instrumentation_scope  # noqa: SLF001 as above
    if id(resource) not in INSPECTED or id(scope) not in INSPECTED:
        redact_origin(resource, redactor, _SIGNAL)
        redact_origin(scope, redactor, _SIGNAL)
    return True


def _redact_parts(parts: Any, redactor: Redactor) -> None:  # noqa: ANN401 the SDK's events or links
    for part in tuple(parts):
        redact_attributes(part, redactor, _SIGNAL)
        name, context = getattr(part, "_name", None), getattr(part, "context", None)
        if name:
            part._name = redactor.text(name, _SIGNAL)  # noqa: SLF001 as above
        if context is not None and context.trace_state:
            _redact_trace_state(part, context, redactor)


def _redact_trace_state(owner: Any, context: Any, redactor: Redactor) -> None:  # noqa: ANN401 the SDK's
    """Drop a trace state with a secret in it: its syntax has no room for a mark."""
    text = context.trace_state.to_header()
    if redactor.text(text, _SIGNAL) is not text:
        bare = type(context)(context.trace_id, context.span_id, context.is_remote, context.trace_flags)
        owner._context = bare  # noqa: SLF001 as above


def _empty(span: Any) -> None:  # noqa: ANN401 the SDK's
    """Leave nothing of a span that could not be inspected but its place in the trace."""
    span._name = UNINSPECTED  # noqa: SLF001 as above
    span._attributes = {}  # noqa: SLF001 as above
    span._events = span._links = ()  # noqa: SLF001 as above
    span._status = type(span._status)(span._status.status_code)  # noqa: SLF001 as above
