"""What happens once under ``opentelemetry-instrument``, after every instrumentor was loaded."""

from __future__ import annotations

import logging
from dataclasses import fields

from otel_oauth._guard import Guard
from otel_oauth._version import __version__
from otel_oauth.settings import Settings
from otel_oauth.telemetry import get_telemetry

_log = logging.getLogger("otel_oauth")

_SHARED = {0: "memory of this process", 1: "shared by the processes of this host and service"}


def post_instrument() -> None:
    """Make the default telemetry, so that zero series exist before the first login, and say what is in force.

    The entry point ``opentelemetry_post_instrument`` calls it. It logs one line at INFO with the settings
    that differ from their defaults, none of which is a secret, and never raises.
    """
    Guard(lambda _component: None).run("hook", _begin)


def _begin() -> None:
    if Settings.from_environment().disabled:
        _log.info("otel-oauth %s is switched off (OTEL_OAUTH_DISABLED)", __version__)
        return
    telemetry = get_telemetry()
    defaults, settings = Settings(), telemetry.settings
    changed = [
        f"{item.name}={getattr(settings, item.name)!r}"
        for item in fields(Settings)
        if getattr(settings, item.name) != getattr(defaults, item.name)
    ]
    _log.info(
        "otel-oauth %s records OAuth operations; ledger: %s; settings: %s",
        __version__,
        _SHARED.get(telemetry.ledger.shared, "other"),
        ", ".join(changed) or "defaults",
    )
