"""Baggage: redacted where it is written into the headers of a request to another service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import baggage
from opentelemetry import context as otel_context

if TYPE_CHECKING:
    from types import ModuleType

    from opentelemetry.context import Context

    from otel_oauth.redaction._patches import Sources
    from otel_oauth.redaction._redactor import Redactor

_SIGNAL = "baggage"


def patch(module: ModuleType, sources: Sources) -> None:
    """Patch ``opentelemetry.baggage.propagation``."""

    def injecting(original: Any) -> Any:  # noqa: ANN401 the API's method
        def inject(self: Any, carrier: Any, context: Context | None = None, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 the API's
            redactor = sources.redactor
            if redactor is not None and baggage.get_all(context):
                context = sources.guard.run("redaction", _redacted, context, redactor)
                if context is None:
                    return
            original(self, carrier, context, *args, **kwargs)

        return inject

    sources.replace(module.W3CBaggagePropagator, "inject", injecting)


def _redacted(context: Context | None, redactor: Redactor) -> Context:
    context = otel_context.get_current() if context is None else context
    for name, value in redactor.changes(dict(baggage.get_all(context)), _SIGNAL).items():
        context = baggage.set_baggage(name, value, context)
    return context
