"""OpenTelemetry instrumentation of OAuth through httpx and httpx2: any client on the wire, httpx-oauth, the MCP client.

Usage::

    from otel_oauth_httpx import HttpxOAuthInstrumentor

    HttpxOAuthInstrumentor().instrument()

or no line at all: ``opentelemetry-instrument`` finds the instrumentor by its entry point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # has no stubs

from otel_oauth.hooks import HookSet
from otel_oauth.instrumentors import chosen_telemetry
from otel_oauth_httpx import clients
from otel_oauth_httpx.mcp_client import MCP_HOOKS
from otel_oauth_httpx.oauth_clients import OAUTH_CLIENT_HOOKS
from otel_oauth_httpx.version import __version__
from otel_oauth_httpx.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["HttpxOAuthInstrumentor", "__version__"]


class HttpxOAuthInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # the base has no types
    """Attaches to httpx, httpx2, httpx-oauth and the MCP client, whether they are imported yet or not.

    ``instrument(meter_provider=..., tracer_provider=..., **settings)`` records into those providers, by
    default into the global ones; settings are those of :class:`otel_oauth.settings.Settings` and go before
    environment variables. ``telemetry=`` takes a :class:`otel_oauth.telemetry.Telemetry` instead.

    :raises ValueError: from ``instrument`` if a setting is unknown or invalid.
    """

    _hooks: HookSet | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return nothing: either of httpx and httpx2 will do, and one that is never imported is never hooked."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:  # noqa: ANN401 the base's signature
        telemetry = chosen_telemetry(kwargs)
        if telemetry is None:
            return
        self._hooks = HookSet(telemetry, "httpx")
        clients.attach(Wire(self._hooks))
        for table in (OAUTH_CLIENT_HOOKS, MCP_HOOKS):
            self._hooks.attach(table)

    def _uninstrument(self, **_kwargs: Any) -> None:  # noqa: ANN401 the base's signature
        if self._hooks is not None:
            self._hooks.detach()
            self._hooks = None

    @staticmethod
    def instrument_client(client: Any, **kwargs: Any) -> None:  # noqa: ANN401 a client of httpx or httpx2
        """Attach to one client object only, a ``Client`` or ``AsyncClient`` of httpx or httpx2.

        It takes the arguments of ``instrument``. A client whose class is instrumented is left as it is.

        :raises ValueError: if a setting is unknown or invalid.
        """
        telemetry = chosen_telemetry(kwargs)
        if telemetry is not None:
            clients.attach_to(client, Wire(HookSet(telemetry, "httpx")))

    @staticmethod
    def uninstrument_client(client: Any) -> None:  # noqa: ANN401 as above
        """Give a client back what ``instrument_client`` replaced."""
        clients.detach_from(client)
