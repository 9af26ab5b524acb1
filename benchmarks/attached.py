"""How a workload is instrumented: by ours, and by what a user would take instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor

from otel_oauth_authlib import AuthlibInstrumentor

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.signals import Signals
    from otel_oauth.telemetry import Telemetry


def providers(signals: Signals) -> dict[str, Any]:
    """Return the arguments with which the stock instrumentations are told where to record."""
    return {"tracer_provider": signals.tracer_provider, "meter_provider": signals.meter_provider}


def instrument_client(session: Any, signals: Signals) -> None:  # noqa: ANN401 Authlib ships no types
    """Attach the stock instrumentation of httpx2 to one session."""
    HTTPX2ClientInstrumentor.instrument_client(session, **providers(signals))


def nothing() -> None:
    """Do nothing."""


class AuthlibWorkload:
    """Observed by our instrumentation of Authlib, which is one for all objects of the process."""

    def __init__(self) -> None:
        self.after: Callable[[], None] = nothing

    @staticmethod
    def ours(telemetry: Telemetry) -> None:
        """Attach ours to Authlib."""
        AuthlibInstrumentor().instrument(telemetry=telemetry)
