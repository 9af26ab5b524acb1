"""What happens once under ``opentelemetry-instrument``, before and after the instrumentors are loaded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from otel_oauth import catalogue as c
from otel_oauth import redaction
from otel_oauth._guard import Guard
from otel_oauth._version import __version__
from otel_oauth.settings import SETTINGS, Settings
from otel_oauth.telemetry import get_telemetry

if TYPE_CHECKING:
    from otel_oauth.telemetry import Telemetry

_log = logging.getLogger("otel_oauth")

_SHARED = {
    0: "memory of this process",
    1: "shared by the processes of this host and service",
    2: "shared by the hosts of this service",
}


def pre_instrument() -> None:
    """Begin to redact, before any instrumentor is loaded: one that fails ends the loading of all others.

    The entry point ``opentelemetry_pre_instrument`` calls it; it never raises.
    """
    guard = Guard(lambda _component: None)
    if guard.run("redaction", redaction.install):
        guard.run("redaction", lambda: begin_redaction(get_telemetry()))


def begin_redaction(telemetry: Telemetry) -> None:
    """Redact in this whole process, as the settings of ``telemetry`` say, and count in its metrics."""
    table = telemetry.table
    if redaction.install(telemetry.settings):
        redaction.count_into(
            lambda signal, kind, amount: table.add(c.REDACTIONS, (signal, kind), amount=amount),
            lambda component: table.add(c.INTERNAL_ERRORS, (component,)),
        )


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
        f"{name}={getattr(settings, name)!r}" for name in SETTINGS if getattr(settings, name) != getattr(defaults, name)
    ]
    _log.info(
        "otel-oauth %s records OAuth operations; ledger: %s; settings: %s",
        __version__,
        _SHARED.get(telemetry.ledger.shared, "other"),
        ", ".join(changed) or "defaults",
    )
