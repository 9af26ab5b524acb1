"""The authorization server: its token, authorization and other endpoints."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from otel_oauth import kinds, redaction, settle, vocabulary
from otel_oauth.hooks import Call, Hook
from otel_oauth_authlib import authorization, endpoints, framework
from otel_oauth_authlib.grants import (
    CHALLENGE_CALLBACKS,
    CLIENT_AUTH_CALLBACKS,
    GRANT_CALLBACKS,
    settle_token_request,
    token_saved,
)
from otel_oauth_authlib.requests import (
    EndpointRequest,
    client_known,
    endpoint_request,
    id_of,
)
from otel_oauth_authlib.storage import storage_hook

if TYPE_CHECKING:
    from otel_oauth.operation import Operation


# What the server's own methods tell while an endpoint runs --------------------------------------------------


def _client_queried(call: Call, result: Any) -> None:  # noqa: ANN401 the application's client object
    if result:
        client_known(call, call.argument(0, "client_id"))


def _client_authenticated(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the application's
    operation = call.within(kinds.ENDPOINT)
    if operation is None:
        return
    notes, request = operation.local, call.argument(0, "request")
    if operation.facts.get("endpoint") == "token" and redaction.installed():
        # Authlib has read the form by now, to find the grant.
        redaction.seen_parameters(getattr(request, "form", None) or {})
        redaction.seen_authorization((getattr(request, "headers", None) or {}).get("Authorization"))
    if isinstance(notes, EndpointRequest) and error is None and result:
        client_id = id_of(result)
        if client_id != notes.queried_client:
            # By a method of the application's own, which found the client elsewhere (a certificate, for example).
            client_known(call, client_id)
        notes.client_id = notes.queried_client
        notes.authenticated = getattr(request, "auth_method", "none") != "none"


def _request_created(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 Authlib's
    operation = call.within(kinds.ENDPOINT)
    if operation is not None and isinstance(operation.local, EndpointRequest) and error is None:
        operation.local.request = result
        # The integrations of Flask and Django keep the framework's request; a server of one's own is given it.
        operation.request = framework.itself(getattr(result, "_request", call.argument(0, "request")))
        operation.facts["method"] = str(getattr(result, "method", "other"))


def _responded(call: Call, _result: Any, _error: BaseException | None) -> None:  # noqa: ANN401 the framework's
    operation = call.within(kinds.ENDPOINT)
    status = call.args[0] if call.args else next(iter(call.kwargs.values()), None)
    if operation is not None and isinstance(status, int):
        operation.facts["http_status"] = str(status)


def _error_responded(call: Call) -> None:
    operation = call.within(kinds.ENDPOINT)
    error = call.argument(1, "error")
    if operation is not None and isinstance(operation.local, EndpointRequest):
        operation.local.error = str(getattr(error, "error", ""))
        operation.facts["error"] = vocabulary.rfc_error(operation.local.error)


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
    methods = getattr(getattr(server, "_client_auth", None), "_methods", {})
    registered = (
        len(methods),
        len(getattr(server, "_token_grants", ())),
        len(getattr(server, "_authorization_grants", ())),
        len(getattr(server, "_endpoints", ())),
    )
    if hooks.notes.get(server) == registered:
        return
    hooks.notes[server] = registered
    hooks.adopt(type(server), SERVER_CALLBACKS)
    _adopt_cached_client_auth(call)
    for method in methods.values():
        if hasattr(method, "validate_jti"):
            hooks.adopt(type(method), CLIENT_AUTH_CALLBACKS)
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
    bound_to_it = getattr(before, "__self__", None) is server
    if cached is None or not bound_to_it:
        return
    cached.query_client = server.query_client
    call.hooks.on_detach(partial(setattr, cached, "query_client", before))


# The endpoints ----------------------------------------------------------------------------------------------


def begin_endpoint(call: Call, endpoint: str, method: str = "POST") -> Operation | None:
    """Open the operation of an endpoint request, unless the same server already answers one in this context."""
    around = endpoint_request(call)
    if around is not None and around.server is call.instance:
        return None
    adopt(call)
    operation = call.telemetry.operation(kinds.ENDPOINT, endpoint=endpoint, method=method, client_id="unknown")
    operation.local = EndpointRequest(call.instance)
    return operation


def end_endpoint(operation: Operation, result: Any, error: BaseException | None) -> int:  # noqa: ANN401 the framework's
    """Settle the HTTP status of an endpoint request and return it; 500 if an exception escapes."""
    if error is not None:
        status = vocabulary.SERVER_ERROR
    else:
        status = int(str(operation.facts.get("http_status") or getattr(result, "status_code", 200)))
    settle.answered(operation, status)
    return status


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
    request, grant = call.argument(0, "request"), call.argument(2, "grant")
    pending = framework.pending_operation(call, request, grant, endpoint="authorization")
    return pending or begin_endpoint(call, "authorization", "GET")


def _consent_begin(call: Call) -> Operation | None:
    pending = framework.pending_operation(call, call.argument(0, "request"), endpoint="authorization")
    return pending or begin_endpoint(call, "authorization", "GET")


def _authorization_after(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the framework's
    operation = call.operation
    if operation is None or not isinstance(operation.local, EndpointRequest):
        return
    number = _end_or_refuse(operation, operation.local, result, error)
    authorization.settle_authorization(operation, operation.local)
    _wait_for_response(call, operation, number)


def _end_or_refuse(
    operation: Operation,
    notes: EndpointRequest,
    result: Any,  # noqa: ANN401 the framework's
    error: BaseException | None,
) -> int:
    """Settle an OAuth error that is raised to the application as a refusal with the status of Authlib's answer."""
    oauth_error = getattr(error, "error", None)
    if oauth_error is None:
        return end_endpoint(operation, result, error)
    notes.error = str(oauth_error)
    operation.facts["error"] = vocabulary.rfc_error(oauth_error)
    operation.facts["http_status"] = str(getattr(error, "status_code", None) or 400)
    return end_endpoint(operation, None, None)


def _wait_for_response(call: Call, operation: Operation, status: int, *marks: object) -> None:
    if status < vocabulary.SERVER_ERROR:
        framework.defer(call, operation, *marks)
    else:
        operation.deferred = False


def _marks(request: object, validated: object) -> tuple[object, ...]:
    """Return what the next call of the same HTTP request will bring; after a refusal there is none."""
    return () if validated is None else (request, validated)


def _consent_after(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 Authlib's grant
    operation = call.operation
    if operation is None or not isinstance(operation.local, EndpointRequest):
        return
    if error is None:
        operation.facts["http_status"] = "200"
        operation.local.request = getattr(result, "request", operation.local.request)
    number = _end_or_refuse(operation, operation.local, None, error)
    authorization.settle_authorization(operation, operation.local)
    _wait_for_response(call, operation, number, *_marks(call.argument(0, "request"), result))


def _endpoint_begin(call: Call) -> Operation | None:
    name, request = call.argument(0, "name"), call.argument(1, "request")
    label = endpoints.label(name)
    operation = framework.pending_operation(call, request, endpoint=label) or begin_endpoint(call, label)
    if operation is not None and isinstance(operation.local, EndpointRequest):
        endpoints.begin(operation, name)
    return operation


def _endpoint_after(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the framework's
    operation = call.operation
    if operation is None or not isinstance(operation.local, EndpointRequest):
        return
    status = end_endpoint(operation, result, error)
    endpoints.settle(operation, operation.local, status)
    if result is None or operation.deferred:
        # The application answers by itself (end session), or has asked before.
        _wait_for_response(call, operation, status)


def _validation_after(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 Authlib's
    operation = call.operation
    if operation is None or not isinstance(operation.local, EndpointRequest):
        return
    number = _end_or_refuse(operation, operation.local, None, error)
    _wait_for_response(call, operation, number, *_marks(call.argument(1, "request"), result))


_SERVER = "authlib.oauth2.rfc6749.authorization_server:AuthorizationServer."

SERVER_HOOKS: dict[str, Hook] = {
    _SERVER + "create_token_response": Hook(_token_begin, _token_after),
    _SERVER + "get_consent_grant": Hook(_consent_begin, _consent_after),
    _SERVER + "create_authorization_response": Hook(_authorization_begin, _authorization_after),
    _SERVER + "create_endpoint_response": Hook(_endpoint_begin, _endpoint_after),
    _SERVER + "validate_endpoint_request": Hook(_endpoint_begin, _validation_after, optional=True),  # Authlib 1.7
}
"""The template methods of the authorization server, which applications do not override."""
