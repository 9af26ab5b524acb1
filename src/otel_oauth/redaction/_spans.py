"""Spans of every instrumentation: redacted when they end, before any processor or exporter gets them.

A span is inspected as a whole once, where the SDK makes the readable copy that goes to the processors: whichever
they are and whenever they were attached. Only a processor that looks at spans before their end (as it starts, as it
is ending) makes them be inspected there too.
"""

from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING, Any

from otel_oauth.redaction._redactor import UNINSPECTED
from otel_oauth.redaction._shared import inspected, redact_attributes, redact_origin

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from otel_oauth.redaction._patches import Sources
    from otel_oauth.redaction._redactor import Redactor

_log = logging.getLogger("otel_oauth")

_SIGNAL = "span"
_EARLY_METHODS = ("on_start", "_on_ending")


def patch(module: ModuleType, sources: Sources) -> None:
    """Patch ``opentelemetry.sdk.trace``."""
    span = module.Span
    missing = [name for name in ("_readable_span",) if name not in vars(span)]
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
    """See every processor as it is added, and those that were added before."""
    fans = (module.SynchronousMultiSpanProcessor, module.ConcurrentMultiSpanProcessor)

    def inspecting(processor: Any) -> Any:  # noqa: ANN401 a span processor
        if type(processor) is _Early:  # of an earlier installation
            processor = processor.processor
        return _Early(processor, sources) if _reads_early(type(processor), module.SpanProcessor) else processor

    def adding(original: Any) -> Any:  # noqa: ANN401 the SDK's method
        def add_span_processor(self: Any, span_processor: Any) -> None:  # noqa: ANN401 the SDK's
            original(self, inspecting(span_processor))

        return add_span_processor

    def making(original: Any) -> Any:  # noqa: ANN401 the SDK's method
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401, N807 a provider
            original(self, *args, **kwargs)
            if type(self._active_span_processor) not in fans:
                self._active_span_processor = inspecting(self._active_span_processor)

        return __init__

    for fan in fans:
        sources.replace(fan, "add_span_processor", adding)
    sources.replace(module.TracerProvider, "__init__", making)
    _replace_processors(module, fans, inspecting)


def _replace_processors(module: ModuleType, fans: tuple[type, ...], inspecting: Callable[[Any], Any]) -> None:
    """Give the tracers, providers and fan-outs that were made before what ``inspecting`` makes of their processors."""
    for found in gc.get_objects():
        kind = type(found)  # not isinstance(), which would ask a lazy object of the application for its class
        if kind in fans:
            found._span_processors = tuple(map(inspecting, found._span_processors))  # noqa: SLF001 there is no public way to them
        elif issubclass(kind, module.TracerProvider) and type(found._active_span_processor) not in fans:  # noqa: SLF001 as above
            found._active_span_processor = inspecting(found._active_span_processor)  # noqa: SLF001 as above
        elif issubclass(kind, module.Tracer) and type(found.span_processor) not in fans:
            found.span_processor = inspecting(found.span_processor)


def _reads_early(kind: type, base: type) -> bool:
    """Tell whether a processor looks at spans before they end. Those of the SDK have methods that do nothing then."""
    if kind.__module__.startswith("opentelemetry.sdk.trace") and "Multi" not in kind.__name__:
        return False
    return any(getattr(kind, name, None) is not getattr(base, name, None) for name in _EARLY_METHODS)


class _Early:
    """A processor that looks at spans before they end: they are redacted for it."""

    def __init__(self, processor: Any, sources: Sources) -> None:  # noqa: ANN401 a span processor
        self.processor = processor
        self._sources = sources

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 a span processor's
        return getattr(self.processor, name)

    def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ANN401 the SDK's
        if self._inspect(span):
            self.processor.on_start(span, parent_context=parent_context)

    def _on_ending(self, span: Any) -> None:  # noqa: ANN401 the SDK's
        if self._inspect(span):
            self.processor._on_ending(span)  # noqa: SLF001 the SDK's experimental method

    def _inspect(self, span: Any) -> bool:  # noqa: ANN401 the SDK's
        redactor = self._sources.redactor
        return redactor is None or bool(self._sources.guard.run("redaction", _redact, span, redactor))


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
    if not inspected(resource, scope):
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
