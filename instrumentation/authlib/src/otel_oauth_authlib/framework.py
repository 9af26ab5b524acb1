"""The web framework around an endpoint, where it can tell more than Authlib, or the same at less cost."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_oauth import settle, vocabulary
from otel_oauth_authlib.requests import EndpointRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth.hooks import Call
    from otel_oauth.operation import Operation

_ENVIRON_KEY = "otel_oauth.endpoint"


def flask_request() -> Any:  # noqa: ANN401 Flask's request, if there is one
    """Return the request of Flask's context, ``None`` outside of one.

    It is the request itself: each attribute that is asked of Flask's proxy costs several times what it is worth.
    """
    flask = sys.modules.get("flask")
    if flask is None:
        return None
    try:
        return flask.request._get_current_object()  # noqa: SLF001 how Werkzeug documents it
    except RuntimeError:
        return None


def itself(request: Any) -> Any:  # noqa: ANN401 the framework's request
    """Return the request itself, where the framework hands out a proxy of the one that the context holds."""
    current = getattr(request, "_get_current_object", None)
    return request if current is None else current()


# The requests that Authlib's integrations make their objects of ----------------------------------------------


class FlaskEndpointRequest(EndpointRequest):
    """Notes of a request to a server of Authlib's integration of Flask, which reads Flask's request."""

    def arrived(self, operation: Operation, given: object) -> None:  # noqa: ARG002 the integration does not look at it
        """Note the request of Flask's context."""
        request = flask_request()
        if request is not None:
            self.request = operation.request = request
            operation.facts["method"] = request.method

    def values(self, request: Any = None) -> Mapping[str, Any]:  # noqa: ANN401, ARG002 all read the same
        """Return the parameters of the query and of the form."""
        values: Mapping[str, Any] = self.request.values
        return values

    def posted(self, name: str) -> str | None:
        """Return a parameter of the form: its first value, as ``get`` does with three times the calls."""
        return next(iter(self.request.form.getlist(name)), None)

    def authorization(self) -> object:
        """Return the header ``Authorization``."""
        return self.request.environ.get("HTTP_AUTHORIZATION")


class DjangoEndpointRequest(EndpointRequest):
    """Notes of a request to a server of Authlib's integration of Django, which reads the request that it is given."""

    def arrived(self, operation: Operation, given: object) -> None:
        """Note the request, or the one that Authlib's own object was made of."""
        request = getattr(given, "_request", given)
        if request is not None:
            self.request = operation.request = request
            operation.facts["method"] = str(getattr(request, "method", operation.facts["method"]))

    def values(self, request: Any = None) -> Mapping[str, Any]:  # noqa: ANN401, ARG002 all read the same
        """Return the parameters of the query and of the form."""
        return {**self.request.GET.dict(), **self.request.POST.dict()}

    def form(self) -> Mapping[str, Any]:
        """Return the parameters of the form."""
        form: Mapping[str, Any] = self.request.POST
        return form


_INTEGRATIONS: dict[str, type[EndpointRequest]] = {
    "authlib.integrations.flask_oauth2": FlaskEndpointRequest,
    "authlib.integrations.django_oauth2": DjangoEndpointRequest,
}


def notes_of(module: str) -> type[EndpointRequest]:
    """Return how requests are noted that a function of ``module`` makes Authlib's objects of."""
    return _INTEGRATIONS.get(".".join(module.split(".")[:3]), EndpointRequest)


# The end of the HTTP request --------------------------------------------------------------------------------


def pending_operation(call: Call, marks: tuple[object, ...] = (), endpoint: str = "callback") -> Operation | None:
    """Return the operation that this HTTP request already opened for the same endpoint of the same object.

    :param marks: what this call has in common with the one before: the framework's request, the grant.
    """
    request = flask_request()
    if request is not None:
        opened: _Opened | None = request.environ.get(_ENVIRON_KEY)
        same = opened is not None and opened.by is call.instance and opened.operation.facts["endpoint"] == endpoint
        return opened.operation if opened is not None and same else None
    waiting = call.telemetry.postponed.back(*(mark for mark in marks if mark is not None))
    if waiting is None:
        return None
    if getattr(waiting.local, "server", None) is not call.instance or waiting.facts["endpoint"] != endpoint:
        waiting.complete_as_left()
        return None
    waiting.deferred = False
    return waiting


def defer(call: Call, operation: Operation, marks: tuple[object, ...] = ()) -> None:
    """Complete the operation when the HTTP response is there, if that can be known.

    An application shows the consent page and answers the authorization in one or in two HTTP requests; each
    counts once. Under Flask the response itself tells the status.

    :param marks: what the next call of the same HTTP request would bring; none if there is no next call.
    """
    if operation.deferred:
        return  # Flask is going to tell
    request = flask_request()
    if request is None:
        operation.deferred = call.telemetry.postponed.wait(operation, *(mark for mark in marks if mark is not None))
    else:
        operation.deferred = True
        request.environ[_ENVIRON_KEY] = _Opened(call.instance, operation, request.environ.get(_ENVIRON_KEY))
        complete = _completion(operation)
        sys.modules["flask"].after_this_request(complete)


class _Opened:
    """What an HTTP request under Flask keeps of the operation that its response completes.

    Where an exception propagates (``TESTING``, ``PROPAGATE_EXCEPTIONS``) Flask makes no response, and the request goes.
    """

    def __init__(self, by: object, operation: Operation, before: _Opened | None) -> None:
        self.by = by
        self.operation = operation
        self.before = before  # of another server or client; its response is still to come as well

    def __del__(self) -> None:
        operation = self.operation
        if not operation.ended and not sys.is_finalizing():
            telemetry = operation.telemetry
            operation.leave()
            telemetry.postponed.make_later(partial(telemetry.guard.run, "operation", _failed, operation))


def _failed(operation: Operation) -> None:
    if not operation.ended:
        settle.answered(operation, vocabulary.SERVER_ERROR)
        operation.complete_as_left()


def _completion(operation: Operation) -> Any:  # noqa: ANN401 a callback of Flask's type
    def complete(response: Any) -> Any:  # noqa: ANN401 Flask's response
        operation.telemetry.guard.run("operation", _complete, operation, response)
        return response

    return complete


def _complete(operation: Operation, response: Any) -> None:  # noqa: ANN401 Flask's response
    settle.answered(operation, int(response.status_code))
    operation.complete()
