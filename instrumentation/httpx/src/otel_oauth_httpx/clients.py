"""The hook of the HTTP clients: the one method through which each request of httpx and httpx2 goes.

It runs for every request of the application. So it is a plain closure: wrapt costs three times as much here. The
method is private: where a version has none of that name and form, the transports are hooked instead.
"""

from __future__ import annotations

import functools
import inspect
import logging
import weakref
from time import perf_counter
from typing import TYPE_CHECKING, Any

import wrapt

from otel_oauth.operation import innermost
from otel_oauth_httpx.bodies import Awaited, Called
from otel_oauth_httpx.wire import HOP

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from otel_oauth_httpx.wire import Wire

    Send = Callable[[Any, Any], Any]

_log = logging.getLogger("otel_oauth")

MODULES = ("httpx", "httpx2")
"""The two libraries, which are hooked alike."""

SEND = "_send_single_request"
"""Sends one request: once for each hop of a redirect, and for each request of an authentication flow."""

CLIENTS = {"Client": False, "AsyncClient": True}
TRANSPORTS = {
    ("HTTPTransport", "handle_request"): False,
    ("WSGITransport", "handle_request"): False,
    ("MockTransport", "handle_request"): False,
    ("AsyncHTTPTransport", "handle_async_request"): True,
    ("ASGITransport", "handle_async_request"): True,
    ("MockTransport", "handle_async_request"): True,
}
_OURS = "_otel_oauth"
_REFUSALS = frozenset((401, 403))


def attach(wire: Wire) -> None:
    """Attach to the clients of httpx and httpx2, as soon as the application imports them."""
    for name in MODULES:
        wrapt.register_post_import_hook(functools.partial(_imported, wire), name)


def _imported(wire: Wire, module: ModuleType) -> None:
    if wire.hooks.active:
        wire.telemetry.guard.run("hook", _hook_module, wire, module)


def _hook_module(wire: Wire, module: ModuleType) -> None:
    missing = []
    for name, asynchronous in CLIENTS.items():
        client = getattr(module, name, None)
        if client is None or not _substitute(wire, client, SEND, asynchronous=asynchronous):
            missing.append(asynchronous)
    for (name, attribute), asynchronous in TRANSPORTS.items():
        if asynchronous in missing:
            _substitute(wire, getattr(module, name, None), attribute, asynchronous=asynchronous)
    if missing:
        _log.warning(
            "otel-oauth: %s has no %s of the form known to this version; its transports are watched instead, "
            "but not those of the application's own",
            module.__name__,
            SEND,
        )
    wire.hooks.count(missing=len(missing))


def _substitute(wire: Wire, owner: Any, attribute: str, *, asynchronous: bool) -> bool:  # noqa: ANN401 a class of httpx or httpx2
    original = vars(owner).get(attribute) if owner is not None else None
    if original is None or list(inspect.signature(original).parameters) != ["self", "request"]:
        return False
    ours = _hook(wire, original, asynchronous=asynchronous)
    setattr(owner, attribute, ours)

    def undo() -> None:
        if vars(owner).get(attribute) is ours:
            setattr(owner, attribute, original)

    wire.hooks.on_detach(undo)
    wire.hooks.count(attached=1)
    return True


def attach_to(client: Any, wire: Wire) -> None:  # noqa: ANN401 a client of httpx or httpx2
    """Attach to one client object, unless its class is hooked or somebody else's hook is on the object."""
    original = getattr(type(client), SEND, None)
    # Nobody asks for ``vars(client)`` here: an object whose dictionary was asked for answers more slowly ever after.
    taken = getattr(getattr(client, SEND, None), "__func__", None) is not original
    if original is None or taken or hasattr(original, _OURS):
        return
    ours, itself = _hook(wire, original, asynchronous=inspect.iscoroutinefunction(original)), weakref.ref(client)

    @functools.wraps(original)
    def send(request: Any) -> Any:  # noqa: ANN401 the HTTP client's
        return ours(itself(), request)  # a bound method would keep the client alive until the next collection

    setattr(send, _OURS, True)
    setattr(client, SEND, send)


def detach_from(client: Any) -> None:  # noqa: ANN401 as above
    """Take back what :func:`attach_to` did."""
    if hasattr(vars(client).get(SEND), _OURS):
        delattr(client, SEND)


def _hook(wire: Wire, original: Send, *, asynchronous: bool) -> Send:
    """Return what stands in the place of ``original``: it sends the request with it, and sees what comes."""
    ours = _async_hook(wire, original) if asynchronous else _sync_hook(wire, original)
    setattr(ours, _OURS, True)
    return ours


def _sync_hook(wire: Wire, original: Send) -> Send:
    may_be_oauth = wire.may_be_oauth

    @functools.wraps(original)
    def send(client: Any, request: Any) -> Any:  # noqa: ANN401 the HTTP client's
        closely, sent = may_be_oauth(request), None
        if closely or HOP in request.extensions or innermost() is not None:
            sent = wire.begin(request, Called, closely=closely)
        if sent is None:
            began = perf_counter()
            response = original(client, request)
            if response.status_code in _REFUSALS:
                wire.refused(request, response, began, closely=closely)
            return response
        try:
            response = original(client, request)
        except BaseException as error:
            sent.failed(error)
            raise
        sent.answered(response)
        return response

    return send


def _async_hook(wire: Wire, original: Send) -> Send:
    may_be_oauth = wire.may_be_oauth

    @functools.wraps(original)
    async def send(client: Any, request: Any) -> Any:  # noqa: ANN401 the HTTP client's
        closely, sent = may_be_oauth(request), None
        if closely or HOP in request.extensions or innermost() is not None:
            sent = wire.begin(request, Awaited, closely=closely)
        if sent is None:
            began = perf_counter()
            response = await original(client, request)
            if response.status_code in _REFUSALS:
                wire.refused(request, response, began, closely=closely)
            return response
        try:
            response = await original(client, request)
        except BaseException as error:
            sent.failed(error)
            raise
        sent.answered(response)
        return response

    return send
