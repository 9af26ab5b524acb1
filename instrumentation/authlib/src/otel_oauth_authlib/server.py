"""The authorization server: its token, authorization and other endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_oauth import kinds, redaction, settle, vocabulary
from otel_oauth.hooks import Call, Hook
from otel_oauth_authlib import authorization, endpoints, framework
from otel_oauth_authlib.adoption import adopt
from otel_oauth_authlib.grants import settle_token_request
from otel_oauth_authlib.requests import EndpointRequest, endpoint_request
from otel_oauth_authlib.server_callbacks import learn_secrets

if TYPE_CHECKING:
    from otel_oauth.operation import Operation


# The endpoints ----------------------------------------------------------------------------------------------


def begin_endpoint(call: Call, endpoint: str, given: object, method: str = "POST") -> Operation | None:
    """Open the operation of an endpoint request, unless the same server already answers one in this context.

    :param given: the request, as the application handed it to Authlib.
    """
    around = endpoint_request(call)
    if around is not None and around.server is call.instance:
        return None
    made = adopt(call)
    facts: dict[str, object] = {"endpoint": endpoint, "method": method, "client_id": "unknown"}
    operation = call.telemetry.operation(kinds.ENDPOINT, facts)
    notes = operation.local = made()
    notes.server, notes.facts = call.instance, facts
    if endpoint == "token" and redaction.installed():
        notes.to_learn = True
    notes.arrived(operation, given)
    return operation


def end_endpoint(operation: Operation, result: Any, error: BaseException | None) -> int:  # noqa: ANN401 the framework's
    """Settle the HTTP status of an endpoint request and return it.

    What the framework answers an exception with that escapes is its own; an error handler of the application's is not
    seen.
    """
    if error is None:
        told = operation.facts.get("http_status")
        status = int(str(told)) if told else int(getattr(result, "status_code", 200))
    else:
        status = settle.raised(error)
    settle.answered(operation, status)
    return status


def _token_begin(call: Call) -> Operation | None:
    return begin_endpoint(call, "token", call.argument(0, "request"))


def _token_after(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the framework's
    operation = call.operation
    notes = None if operation is None else operation.local
    if operation is None or not isinstance(notes, EndpointRequest):
        return
    status = end_endpoint(operation, result, error)
    # What failed before anything was asked of the store may be the reading of the request: that is not tried again.
    if notes.request is not None and (error is None or notes.queried_client or notes.grant is not None):
        if notes.to_learn:
            learn_secrets(call, notes)
        settle_token_request(operation, notes, status)


def _gone_on(call: Call, marks: tuple[object, ...], endpoint: str) -> Operation | None:
    """Return the operation of this HTTP request that an earlier call opened; the answer's status is yet to come."""
    operation = framework.pending_operation(call, marks, endpoint)
    if operation is not None:
        operation.facts.pop("http_status", None)
    return operation


def _authorization_begin(call: Call) -> Operation | None:
    request, grant = call.argument(0, "request"), call.argument(2, "grant")
    going_on = _gone_on(call, (request, grant), "authorization")
    return going_on or begin_endpoint(call, "authorization", request, "GET")


def _consent_begin(call: Call) -> Operation | None:
    request = call.argument(0, "request")
    going_on = _gone_on(call, (request,), "authorization")
    return going_on or begin_endpoint(call, "authorization", request, "GET")


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
    oauth_error = None if error is None else getattr(error, "error", None)
    if oauth_error is None:
        return end_endpoint(operation, result, error)
    notes.error = str(oauth_error)
    operation.facts["error"] = vocabulary.rfc_error(oauth_error)
    operation.facts["http_status"] = str(getattr(error, "status_code", None) or 400)
    return end_endpoint(operation, None, None)


def _wait_for_response(call: Call, operation: Operation, status: int, marks: tuple[object, ...] = ()) -> None:
    if status < vocabulary.SERVER_ERROR:
        framework.defer(call, operation, marks)
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
    number = _end_or_refuse(operation, operation.local, None, error)
    authorization.settle_authorization(operation, operation.local)
    _wait_for_response(call, operation, number, _marks(call.argument(0, "request"), result))


def _endpoint_begin(call: Call) -> Operation | None:
    name, request = call.argument(0, "name"), call.argument(1, "request")
    label = endpoints.label(name)
    operation = _gone_on(call, (request,), label) or begin_endpoint(call, label, request)
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
    _wait_for_response(call, operation, number, _marks(call.argument(1, "request"), result))


_SERVER = "authlib.oauth2.rfc6749.authorization_server:AuthorizationServer."

SERVER_HOOKS: dict[str, Hook] = {
    _SERVER + "create_token_response": Hook(_token_begin, _token_after),
    _SERVER + "get_consent_grant": Hook(_consent_begin, _consent_after),
    _SERVER + "create_authorization_response": Hook(_authorization_begin, _authorization_after),
    _SERVER + "create_endpoint_response": Hook(_endpoint_begin, _endpoint_after),
    _SERVER + "validate_endpoint_request": Hook(_endpoint_begin, _validation_after, optional=True),  # Authlib 1.7
}
"""The template methods of the authorization server, which applications do not override."""
