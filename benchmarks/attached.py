"""How a workload is instrumented: by ours, and by what a user would take instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor

from otel_oauth_authlib import AuthlibInstrumentor

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.signals import Signals
    from otel_oauth.telemetry import Telemetry


def stay() -> None:
    """Take nothing off: what was instrumented belongs to one variant."""


def providers(signals: Signals) -> dict[str, Any]:
    """Return the arguments with which the stock instrumentations are told where to record."""
    return {"tracer_provider": signals.tracer_provider, "meter_provider": signals.meter_provider}


def instrument_client(session: Any, signals: Signals) -> Callable[[], None]:  # noqa: ANN401 Authlib ships no types
    """Attach the stock instrumentation of httpx2 to one session, once."""
    if not getattr(session, "_is_instrumented_by_opentelemetry", False):
        HTTPX2ClientInstrumentor.instrument_client(session, **providers(signals))
    return stay


class AuthlibWorkload:
    """Observed by our instrumentation of Authlib, which is attached for each round: it is one for all objects."""

    lasting: ClassVar[bool] = False

    @staticmethod
    def ours(telemetry: Telemetry) -> Callable[[], None]:
        """Attach ours to Authlib."""
        instrumentor = AuthlibInstrumentor()
        instrumentor.instrument(telemetry=telemetry)
        return lambda: instrumentor.uninstrument()  # noqa: PLW0108 that has no types
