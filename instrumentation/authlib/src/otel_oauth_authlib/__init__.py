"""OpenTelemetry instrumentation of Authlib: OAuth 2.1 clients, authorization servers and resource servers.

Usage::

    from otel_oauth_authlib import AuthlibInstrumentor

    AuthlibInstrumentor().instrument()

or no line at all: ``opentelemetry-instrument`` finds the instrumentor by its entry point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # has no stubs

from otel_oauth.hooks import HookSet
from otel_oauth.instrumentors import chosen_telemetry
from otel_oauth_authlib.client import CLIENT_HOOKS
from otel_oauth_authlib.registry import REGISTRY_HOOKS
from otel_oauth_authlib.resource import RESOURCE_HOOKS
from otel_oauth_authlib.server import SERVER_HOOKS
from otel_oauth_authlib.version import __version__

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["AuthlibInstrumentor", "__version__"]


class AuthlibInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # the base has no types
    """Attaches to Authlib, whether its modules are imported yet or not.

    ``instrument(meter_provider=..., tracer_provider=..., logger_provider=..., **settings)`` records into those
    providers, by default into the global ones; settings are those of :class:`otel_oauth.settings.Settings` and go
    before environment variables. ``telemetry=`` takes a :class:`otel_oauth.telemetry.Telemetry` instead.

    :raises ValueError: from ``instrument`` if a setting is unknown or invalid.
    """

    _hooks: HookSet | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the versions of Authlib that this attaches to."""
        return ("authlib >= 1.3",)

    def _instrument(self, **kwargs: Any) -> None:  # noqa: ANN401 the base's signature
        telemetry = chosen_telemetry(kwargs)
        if telemetry is None:
            return
        self._hooks = HookSet(telemetry, "authlib")
        for table in (CLIENT_HOOKS, REGISTRY_HOOKS, SERVER_HOOKS, RESOURCE_HOOKS):
            self._hooks.attach(table)

    def _uninstrument(self, **_kwargs: Any) -> None:  # noqa: ANN401 the base's signature
        if self._hooks is not None:
            self._hooks.detach()
            self._hooks = None
