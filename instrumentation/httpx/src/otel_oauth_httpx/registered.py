"""Client ids that were registered by a request (RFC 7591): a new one each time, so they are no label values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_oauth.hooks import HookSet
    from otel_oauth.telemetry import Telemetry

_MOST = 1024


class Registered:
    """The ids that are known to have been registered; the oldest ones are forgotten first."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._ids: dict[str, None] = {}

    def note(self, client_id: object) -> None:
        """Remember an id that an authorization server gave out."""
        if not isinstance(client_id, str) or not client_id:
            return
        while len(self._ids) >= _MOST:
            self._ids.pop(next(iter(self._ids)), None)
        self._ids[client_id] = None

    def label(self, client_id: object) -> str:
        """Return the label value of a client: its id only if the application was configured with it."""
        if not isinstance(client_id, str):
            return self._telemetry.client(None)
        return self._telemetry.client(client_id, known=client_id not in self._ids)


def registered(hooks: HookSet) -> Registered:
    """Return the registered ids that the plugin knows of while it is attached."""
    found = hooks.notes.get(hooks)
    if not isinstance(found, Registered):
        found = hooks.notes[hooks] = Registered(hooks.telemetry)
    return found
