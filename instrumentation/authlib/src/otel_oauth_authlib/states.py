"""The states of a client's flows: handed out, found again at the callback, refused, cleaned."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from otel_oauth import kinds
from otel_oauth.flows import LIFETIME
from otel_oauth.hooks import Call, Hook
from otel_oauth.ledger import Status
from otel_oauth.operation import current_operation
from otel_oauth_authlib.framework import itself

if TYPE_CHECKING:
    from otel_oauth.ledger import Ledger, Sighting
    from otel_oauth.operation import Operation

_FRAMEWORK_KEYS = frozenset(("_permanent", "_session_expiry"))
"""What Flask and Django themselves put into a session that is otherwise empty."""
_MARKS_SESSION = (1, 6, 6)
"""The version of Authlib that began to mark the session of a state whose data is in a cache."""
_UNMARKED = object()
"""The note of an integration that puts nothing into the session."""


class StateLookup:
    """How the client's integration answered when it was asked for the state of a callback.

    :ivar value: the state itself: to compare it costs less than to digest it for each call into the storage.
    :ivar state: what the ledger knows of it; ``None`` until it is known which one it is.
    :ivar asked: the integration was asked; ``found``: it had the state.
    :ivar verifier: a code verifier was kept with it.
    :ivar marked: the session holds the state although a cache lost its data, or the cache alone held it and lost it.
    :ivar session_empty: the session holds nothing at all.
    :ivar started: when the flow began, in seconds since the epoch; 0 if the session does not tell.
    """

    value: str = ""
    state: Sighting | None = None
    asked: bool = False
    found: bool = False
    verifier: bool = False
    marked: bool = False
    session_empty: bool = False
    started: float = 0.0

    def sight(self, ledger: Ledger, value: str) -> None:
        """Note which state it is, and what is known of it."""
        self.value, self.state = value, ledger.sight_state(value)


# The integration's storage --------------------------------------------------------------------------------------------


def _lookup(state: object) -> StateLookup | None:
    """Return the look-up of the callback that is under way, if it is about ``state``."""
    operation = current_operation()
    callback = None if operation is None else operation.within(kinds.CALLBACK)
    found = None if callback is None else callback.local
    if callback is None or not isinstance(found, StateLookup):
        return None
    value = str(state or "")
    if found.state is None:
        # It came in a form, and nobody but Authlib has read that yet.
        found.sight(callback.telemetry.ledger, value)
    return found if found.value == value else None


def _storage(call: Call, operation: str) -> Operation | None:
    """Open a storage operation if the state is one of OAuth 2: OAuth 1 and logout keep theirs in the same place."""
    state = call.argument(1, "state")
    if _lookup(state) is None and call.telemetry.ledger.sight_state(str(state or "")).entry is None:
        return None
    return call.telemetry.operation(kinds.STORAGE, {"operation": operation, "result": "success"})


class _Held:
    """A session, and the states that it held for a client before a call of the integration."""

    def __init__(self, session: Mapping[str, Any], states: set[str]) -> None:
        self.session = session
        self.states = states


def _prefix(call: Call) -> str:
    return f"_state_{getattr(call.instance, 'name', '')}_"


@functools.cache
def _marks_session() -> bool:
    from authlib import __version__ as version  # noqa: PLC0415 Authlib is loaded when this runs

    return tuple(int(number) for number in re.findall(r"\d+", version)[:3]) >= _MARKS_SESSION


def _session(call: Call) -> Mapping[str, Any]:
    """Return the session, unless this version of Authlib would not touch it: that would show as ``Vary: Cookie``."""
    if getattr(call.instance, "cache", None) and not _marks_session():
        return {}
    session = itself(call.argument(0, "session"))
    return session if hasattr(session, "keys") and hasattr(session, "get") else {}


def _pending(call: Call, session: Mapping[str, Any]) -> set[str]:
    """Return the states that the session holds for this client."""
    prefix = _prefix(call)
    return {str(key)[len(prefix) :] for key in list(session.keys()) if str(key).startswith(prefix)}


def _gone(call: Call, states: set[str], reason: str) -> None:
    """Count states that went unused, those that had expired as such."""
    ledger = call.telemetry.ledger
    for state in states:
        entry = ledger.sight_state(state).entry
        if ledger.drop_state(state) and entry is not None:
            cleaned = "expired" if entry.expires_at <= time.time() else reason
            with call.telemetry.operation(kinds.STATE_CLEANED, {"cleaned": cleaned}):
                pass


def _begin_get(call: Call) -> Operation | None:
    return _storage(call, "get_state")


def _looked_up(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the kept data
    state = call.argument(1, "state")
    lookup = _lookup(state)
    if lookup is None or error is not None:
        return
    session = _session(call)
    lookup.asked = True
    lookup.found = result is not None
    lookup.verifier = isinstance(result, Mapping) and bool(result.get("code_verifier"))
    lookup.session_empty = not set(session.keys()) - _FRAMEWORK_KEYS
    marker = session.get(f"{_prefix(call)}{state}")
    lookup.marked = bool(marker)
    expires_at = marker.get("exp") if isinstance(marker, Mapping) else None
    if isinstance(expires_at, (int, float)):
        lookup.started = expires_at - getattr(call.instance, "expires_in", LIFETIME)
    if not lookup.found and not lookup.marked:
        lookup.marked = _cache_lost(call, lookup)


def _cache_lost(call: Call, lookup: StateLookup) -> bool:
    """Tell whether the cache no longer holds a pending state: then nothing says whose session it was.

    Asked only about a state that the ledger knows to be pending. Authlib with a cache puts nothing into the session
    before 1.6.6, with Starlette before 1.6.11; a cache that must be awaited is asked by nobody but Authlib.
    """
    cache, entry = getattr(call.instance, "cache", None), None if lookup.state is None else lookup.state.entry
    if not cache or entry is None or entry.status != Status.ISSUED:
        return False
    # Authlib awaits the cache of an asynchronous integration, of whatever kind its `get` is.
    if iscoroutinefunction(cache.get) or iscoroutinefunction(call.instance.get_state_data):
        return call.hooks.notes.get(call.instance) is _UNMARKED
    return cache.get(f"{_prefix(call)}{call.argument(1, 'state')}") is None


def _begin_set(call: Call) -> Operation | None:
    session = _session(call)
    call.note, call.watched = _Held(session, _pending(call, session)), True
    return _storage(call, "set_state")


def _stored(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 None
    """Count what a new login drops: Starlette's integration keeps one pending state in a session."""
    before = call.note
    if error is not None or not isinstance(before, _Held):
        return
    kept, state = _pending(call, before.session), str(call.argument(1, "state") or "")
    if state not in kept:
        call.hooks.notes[call.instance] = _UNMARKED
    _gone(call, before.states - kept - {state}, "server_deleted")


def _begin_clear(call: Call) -> Operation | None:
    session = _session(call)
    call.note = _Held(session, _pending(call, session))
    return _storage(call, "clear_state")


def _cleared(call: Call, _result: Any, error: BaseException | None) -> None:  # noqa: ANN401 None
    """Count states that go unused; the one that a callback consumes is that callback's matter."""
    before = call.note
    if call.operation is None or error is not None or not isinstance(before, _Held):
        return
    state = str(call.argument(1, "state") or "")
    gone = before.states - _pending(call, before.session)
    if _lookup(state) is None:
        gone.add(state)
    else:
        gone.discard(state)
    _gone(call, gone, "manual")


_METHODS: dict[str, Hook] = {
    "get_state_data": Hook(_begin_get, _looked_up, outside=kinds.STORAGE),
    "set_state_data": Hook(_begin_set, _stored, outside=kinds.STORAGE),
    "clear_state_data": Hook(_begin_clear, _cleared, outside=kinds.STORAGE),
}
_INTEGRATIONS = (
    "authlib.integrations.base_client.framework_integration:FrameworkIntegration",
    "authlib.integrations.starlette_client.integration:StarletteIntegration",
)

STATE_HOOKS: dict[str, Hook] = {
    f"{integration}.{name}": hook for integration in _INTEGRATIONS for name, hook in _METHODS.items()
}
"""Where the integrations of all frameworks keep the states of pending flows."""


def adopt_integration(call: Call) -> None:
    """Attach to an integration of the application's own, which overrides where states are kept."""
    integration = getattr(call.instance, "framework", None)
    if integration is not None:
        call.hooks.adopt(type(integration), _METHODS)
