"""A table of hooks, attached to a library whose modules are imported for it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from otel_oauth.hooks import HookSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth.hooks import Hook
    from otel_oauth.telemetry import Telemetry


def attached(telemetry: Telemetry, table: Mapping[str, Hook], library: str = "authlib") -> HookSet:
    """Import what the table names, and attach it."""
    for target in table:
        import_module(target.partition(":")[0])
    hooks = HookSet(telemetry, library)
    hooks.attach(table)
    return hooks
