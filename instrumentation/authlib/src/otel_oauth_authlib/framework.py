"""The web framework around an endpoint, where it can tell more than Authlib: the status of the whole HTTP request."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_oauth.hooks import Call
    from otel_oauth.operation import Operation

_ENVIRON_KEY = "otel_oauth.authorization"


def _flask_request() -> Any:  # noqa: ANN401 Flask's request, if there is one
    flask = sys.modules.get("flask")
    if flask is None or not flask.has_request_context():
        return None
    return flask.request


def pending_operation(call: Call) -> Operation | None:
    """Return the operation of the authorization request that this HTTP request already opened on the same server."""
    request = _flask_request()
    if request is None:
        return None
    server, operation = request.environ.get(_ENVIRON_KEY, (None, None))
    return operation if server is call.instance else None


def defer(call: Call, operation: Operation) -> None:
    """Under Flask, complete the operation when the HTTP response is there, with its status.

    An application shows the consent page and answers the authorization in one or in two HTTP requests; each
    counts once.
    """
    request = _flask_request()
    if request is None or operation.deferred:
        return
    operation.deferred = True
    request.environ[_ENVIRON_KEY] = (call.instance, operation)
    complete = _completion(operation)
    sys.modules["flask"].after_this_request(complete)


def _completion(operation: Operation) -> Any:  # noqa: ANN401 a callback of Flask's type
    def complete(response: Any) -> Any:  # noqa: ANN401 Flask's response
        operation.telemetry.guard.run("operation", _complete, operation, response)
        return response

    return complete


def _complete(operation: Operation, response: Any) -> None:  # noqa: ANN401 Flask's response
    status = int(response.status_code)
    operation.facts["http_status"] = str(status)
    operation.facts["status"] = "failure" if status >= 400 else "success"  # noqa: PLR2004 a client error
    operation.complete()
