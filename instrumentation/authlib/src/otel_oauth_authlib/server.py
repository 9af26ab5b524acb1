"""The authorization server: its token, authorization and other endpoints."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from otel_oauth import kinds, vocabulary
from otel_oauth.hooks import Call, Hook
from otel_oauth_authlib import authorization, endpoints, framework
from otel_oauth_authlib.grants import CHALLENGE_CALLBACKS, GRANT_CALLBACKS, settle_token_request, token_saved
from otel_oauth_authlib.requests import EndpointRequest, endpoint_operation, endpoint_request
from otel_oauth_authlib.storage import storage_hook

if TYPE_CHECKING:
    from otel_oauth.operation import Operation


# What the server's own methods tell while an endpoint runs --------------------------------------------------


def _client_queried(call: Call, result: Any) -> None:  # noqa: ANN401 the application's client object
    client_id = call.argument(0, "client_id")
    if not result or not isinstance(client_id, str):
        return
    telemetry = call.telemetry
    telemetry.ledger.know_client(client_id)
    label = telemetry.client(client_id)
    operation, notes = endpoint_operation(), endpoint_request()
    if operation is not None and notes is not None:
        notes.queried_client = client_id
        operation.facts["client_id"] = label


def _client_authenticated(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the application's
    notes = endpoint_request()
    if notes is not None and error is None and result:
        notes.client_id = notes.queried_client
        notes.authenticated = getattr(call.argument(0, "request"), "auth_method", "none") != "none"


def _request_created(_call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 Authlib's
    notes, operation = endpoint_request(), endpoint_operation()
    if notes is not None and operation is not None and error is None:
        notes.request = result
        operation.facts["method"] = str(getattr(result, "method", "other"))


def _responded(call: Call, _result: Any, _error: BaseException | None) -> None:  # noqa: ANN401 the framework's
    operation = endpoint_operation()
    status = call.args[0] if call.args else next(iter(call.kwargs.values()), None)
    if operation is not None and isinstance(status, int):
        operation.facts["http_status"] = str(status)


def _error_responded(call: Call) -> None:
    notes, operation = endpoint_request(), endpoint_operation()
    error = call.argument(1, "error")
    if notes is not None and operation is not None:
        notes.error = str(getattr(error, "error", ""))
        operation.facts["error"] = vocabulary.rfc_error(notes.error)


SERVER_CALLBACKS: dict[str, Hook] = {
    "query_client": storage_hook("query_client", after=_client_queried),
    "save_token": storage_hook("save_token", after=token_saved),
    "authenticate_client": Hook(after=_client_authenticated),
    "create_oauth2_request": Hook(after=_request_created),
    "create_json_request": Hook(after=_request_created),
    "handle_response": Hook(after=_responded),
    "handle_error_response": Hook(begin=_error_responded),
}
"""Methods of the server's class, hooked where the application or the integration defines them."""


def adopt(call: Call) -> None:
    """Adopt the classes that this server works with: its own, its grants', its extensions' and its endpoints'."""
    server, hooks = call.instance, call.hooks
    hooks.adopt(type(server), SERVER_CALLBACKS)
    registered = (
        len(getattr(server, "_token_grants", ())),
        len(getattr(server, "_authorization_grants", ())),
        len(getattr(server, "_endpoints", ())),
    )
    if hooks.notes.get(server) == registered:
        return
    hooks.notes[server] = registered
    _adopt_cached_client_auth(call)
    for table in ("_token_grants", "_authorization_grants"):
        for grant_class, extensions in getattr(server, table, ()):
            hooks.adopt(grant_class, GRANT_CALLBACKS)
            for extension in extensions or ():
                hooks.adopt(type(extension), CHALLENGE_CALLBACKS)
    endpoints.adopt(call)


def _adopt_cached_client_auth(call: Call) -> None:
    """Give the hooked ``query_client`` to a server that authenticated a client before attach with its own."""
    server = call.instance
    cached = getattr(server, "_client_auth", None)
    before = getattr(cached, "query_client", None)
    if getattr(before, "__self__", None) is not server:
        return
    give = partial(setattr, cached, "query_client")
    give(server.query_client)
    call.hooks.on_detach(partial(give, before))


# The endpoints ----------------------------------------------------------------------------------------------


def begin_endpoint(call: Call, endpoint: str, method: str = "POST") -> Operation | None:
    """Open the operation of an endpoint request, unless the same server already answers one in this context."""
    around = endpoint_request()
    if around is not None and around.server is call.instance:
        return None
    adopt(call)
    operation = call.telemetry.operation(kinds.ENDPOINT, endpoint=endpoint, method=method, client_id="unknown")
    operation.local = EndpointRequest(call.instance)
    return operation


def end_endpoint(operation: Operation, result: Any, error: BaseException | None) -> int:  # noqa: ANN401 the framework's
    """Settle the HTTP status of an endpoint request and return it; 500 if an exception escapes."""
    facts = operation.facts
    if error is not None:
        facts["http_status"] = "500"
    elif "http_status" not in facts:
        facts["http_status"] = str(getattr(result, "status_code", 200))
    status = str(facts["http_status"])
    number = int(status) if status.isdecimal() else 200
    facts["status"] = "failure" if number >= 400 else "success"  # noqa: PLR2004 a client error
    if number == 429:  # noqa: PLR2004 too many requests
        facts["limiter"] = "endpoint"
    elif facts.get("error") == "slow_down":
        facts["limiter"] = "device"
    return number


def _token_begin(call: Call) -> Operation | None:
    return begin_endpoint(call, "token")


def _token_after(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the framework's
    operation = call.operation
    if operation is None or not isinstance(operation.local, EndpointRequest):
        return
    status = end_endpoint(operation, result, error)
    if operation.local.request is not None:
        settle_token_request(operation, operation.local, status)


def _authorization_begin(call: Call) -> Operation | None:
    pending = framework.pending_operation(call)
    if pending is not None:
        return pending
    return begin_endpoint(call, "authorization", "GET")


def _authorization_after(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the framework's
    operation = call.operation
    if operation is None or not isinstance(operation.local, EndpointRequest):
        return
    oauth_error = getattr(error, "error", None)
    if oauth_error is not None:
        operation.local.error = str(oauth_error)
        operation.facts["error"] = vocabulary.rfc_error(oauth_error)
        operation.facts["http_status"] = str(getattr(error, "status_code", None) or 400)
        number = end_endpoint(operation, None, None)
    else:
        number = end_endpoint(operation, result, error)
    authorization.settle_authorization(operation, operation.local)
    if number < 500:  # noqa: PLR2004 a server error
        framework.defer(call, operation)


def _consent_after(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 Authlib's grant
    operation = call.operation
    if operation is not None and error is None:
        operation.facts["http_status"] = "200"
        if isinstance(operation.local, EndpointRequest):
            operation.local.request = getattr(result, "request", operation.local.request)
    _authorization_after(call, None, error)


def _endpoint_begin(call: Call) -> Operation | None:
    name = call.argument(0, "name")
    operation = begin_endpoint(call, endpoints.label(name))
    if operation is not None and isinstance(operation.local, EndpointRequest):
        endpoints.begin(operation, name)
    return operation


def _endpoint_after(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the framework's
    operation = call.operation
    if operation is None or not isinstance(operation.local, EndpointRequest):
        return
    status = end_endpoint(operation, result, error)
    endpoints.settle(operation, operation.local, status)


_SERVER = "authlib.oauth2.rfc6749.authorization_server:AuthorizationServer."

SERVER_HOOKS: dict[str, Hook] = {
    _SERVER + "create_token_response": Hook(_token_begin, _token_after),
    _SERVER + "get_consent_grant": Hook(_authorization_begin, _consent_after),
    _SERVER + "create_authorization_response": Hook(_authorization_begin, _authorization_after),
    _SERVER + "create_endpoint_response": Hook(_endpoint_begin, _endpoint_after),
}
"""The template methods of the authorization server, which applications do not override."""
