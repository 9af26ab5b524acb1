"""Which classes a server works with, and which of their methods are hooked: decided when they are first seen."""

from __future__ import annotations

import weakref
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any

from otel_oauth_authlib import endpoints, framework
from otel_oauth_authlib.grants import CHALLENGE_CALLBACKS, CLIENT_AUTH_CALLBACKS, GRANT_CALLBACKS, OWN_GRANT_CALLBACKS
from otel_oauth_authlib.server_callbacks import AUTHENTICATION_CALLBACKS, OWN_SERVER_CALLBACKS, SERVER_CALLBACKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_oauth.hooks import Call
    from otel_oauth_authlib.requests import EndpointRequest

_LIBRARY = "authlib."
_NONE: Mapping[str, Any] = {}


def adopt(call: Call) -> type[EndpointRequest]:
    """Adopt the classes that this server works with: its own, its grants', its extensions' and its endpoints'.

    Return how its requests are noted.
    """
    server, notes = call.instance, call.hooks.notes
    authentication = getattr(server, "_client_auth", None)
    methods = getattr(authentication, "_methods", _NONE)
    # By their ids: what is noted of a server must not keep it alive, as a method of its own would.
    registered = (
        *map(id, methods.values()),
        id(authentication),
        len(getattr(server, "_token_grants", ())),
        len(getattr(server, "_authorization_grants", ())),
        len(getattr(server, "_endpoints", ())),
    )
    seen: tuple[object, type[EndpointRequest]] | None = notes.get(server)
    if seen is not None and seen[0] == registered:
        return seen[1]
    made = framework.notes_of(call.hooks.origin(type(server), "create_oauth2_request"))
    _adopt_server(call, authentication, methods)
    _adopt_grants(call)
    endpoints.adopt(call)
    notes[server] = registered, made  # last: another thread's first request must not find the classes as they were
    return made


def _adopt_server(call: Call, authentication: object, methods: Mapping[str, Any]) -> None:
    hooks, cls = call.hooks, type(call.instance)
    hooks.adopt(cls, SERVER_CALLBACKS)
    hooks.adopt(cls, OWN_SERVER_CALLBACKS, beyond=_LIBRARY)
    # Authlib's own methods of authentication ask the server for the client; others may find it elsewhere.
    known = all(str(getattr(found, "__module__", "")).startswith(_LIBRARY) for found in methods.values())
    standard = authentication is None or (known and type(authentication).__module__.startswith(_LIBRARY))
    hooks.adopt(cls, AUTHENTICATION_CALLBACKS, beyond=_LIBRARY if standard else "")
    _adopt_cached_client_auth(call, authentication)
    for method in methods.values():
        if hasattr(method, "validate_jti"):
            hooks.adopt(type(method), CLIENT_AUTH_CALLBACKS)


def _adopt_grants(call: Call) -> None:
    hooks = call.hooks
    for table in ("_token_grants", "_authorization_grants"):
        for grant_class, extensions in getattr(call.instance, table, ()):
            hooks.adopt(grant_class, GRANT_CALLBACKS)
            hooks.adopt(grant_class, OWN_GRANT_CALLBACKS, beyond=_LIBRARY)
            for extension in extensions or ():
                hooks.adopt(type(extension), CHALLENGE_CALLBACKS)


def _adopt_cached_client_auth(call: Call, cached: Any) -> None:  # noqa: ANN401 Authlib's, or the application's
    """Give the hooked ``query_client`` to a server that authenticated a client before attach with its own.

    Only if it is the very function that ours stands in the place of: whatever else is there, the application put there.
    """
    before, ours = getattr(cached, "query_client", None), getattr(type(call.instance), "query_client", None)
    function = getattr(before, "__func__", None)
    theirs = function is getattr(ours, "__wrapped__", None) and getattr(before, "__self__", None) is call.instance
    if function is None or ours is None or not theirs:
        return
    cached.query_client = MethodType(ours, call.instance)
    call.hooks.on_detach(partial(_give_back, weakref.ref(cached), ours, function))


def _give_back(cached: weakref.ref[Any], ours: object, function: Callable[..., Any]) -> None:
    found = cached()
    if found is not None and getattr(found.query_client, "__func__", None) is ours:
        found.query_client = MethodType(function, found.query_client.__self__)
