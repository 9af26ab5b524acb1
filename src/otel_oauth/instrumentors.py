"""What the instrumentors of all plugins have in common: which telemetry the arguments of ``instrument()`` ask for."""

from __future__ import annotations

from typing import Any

from otel_oauth._attach import begin_redaction
from otel_oauth.settings import Settings
from otel_oauth.telemetry import Telemetry, get_telemetry

_PROVIDERS = ("meter_provider", "tracer_provider", "logger_provider")


def chosen_telemetry(arguments: dict[str, Any]) -> Telemetry | None:
    """Return the telemetry that the arguments of ``instrument()`` ask for; ``None`` where all is switched off.

    ``telemetry`` goes before all; else it is that of the given providers, by default of the global ones, with the other
    arguments as settings. Nothing is attached where the result is ``None``. Redaction begins, unless it is switched off
    or a ``telemetry`` was given; :func:`otel_oauth.redaction.uninstall` ends it.

    :raises ValueError: if an argument is not a setting or its value is invalid.
    """
    arguments = dict(arguments)
    telemetry = arguments.pop("telemetry", None)
    if isinstance(telemetry, Telemetry):
        return telemetry
    providers = {name: arguments.pop(name, None) for name in _PROVIDERS}
    if Settings.from_environment(**arguments).disabled:
        return None
    telemetry = get_telemetry(**providers, **arguments)
    telemetry.guard.run("redaction", begin_redaction, telemetry)
    return telemetry
