"""What the server's own methods tell while one of its endpoints runs."""

from __future__ import annotations

from typing import Any

from otel_oauth import kinds, redaction, vocabulary
from otel_oauth.hooks import Call, Hook, StoreHook
from otel_oauth_authlib import framework
from otel_oauth_authlib.grants import token_saved
from otel_oauth_authlib.requests import EndpointRequest, client_known, endpoint_request, id_of


def learn_secrets(call: Call, notes: EndpointRequest) -> None:
    """Tell redaction the secrets of a token request; Authlib has read its form by now, to find the grant."""
    if notes.request is not None:
        notes.to_learn = False
        call.telemetry.guard.run("redaction", _learn, notes)


def _learn(notes: EndpointRequest) -> None:
    redaction.seen_parameters(notes.form())
    redaction.seen_authorization(notes.authorization())


def _client_asked(call: Call) -> None:
    notes = call.note = endpoint_request(call)
    if notes is not None and notes.to_learn:
        learn_secrets(call, notes)


def _client_queried(call: Call, result: Any) -> None:  # noqa: ANN401 the application's client object
    if result:
        notes = call.note
        client_known(call, notes if isinstance(notes, EndpointRequest) else None, call.argument(0, "client_id"))


def _client_authenticated(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 the application's
    """Note a client that was perhaps found elsewhere than by ``query_client``: by a certificate, for example."""
    notes = endpoint_request(call)
    if notes is not None and error is None and result:
        client_id = id_of(result)
        if client_id != notes.queried_client:
            client_known(call, notes, client_id)
        notes.client_id = notes.queried_client
        notes.authenticated = getattr(call.argument(0, "request"), "auth_method", "none") != "none"


def _request_created(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 Authlib's
    operation = call.enclosing(kinds.ENDPOINT)
    if operation is not None and isinstance(operation.local, EndpointRequest) and error is None:
        operation.local.request = result
        operation.request = framework.itself(getattr(result, "_request", call.argument(0, "request")))
        operation.facts["method"] = str(getattr(result, "method", "other"))


def _responded(call: Call, _result: Any, _error: BaseException | None) -> None:  # noqa: ANN401 the framework's
    operation = call.enclosing(kinds.ENDPOINT)
    status = call.args[0] if call.args else next(iter(call.kwargs.values()), None)
    if operation is not None and isinstance(status, int):
        operation.facts["http_status"] = str(status)


def _error_responded(call: Call) -> None:
    notes = endpoint_request(call)
    if notes is not None:
        notes.error = str(getattr(call.argument(1, "error"), "error", ""))
        notes.facts["error"] = vocabulary.rfc_error(notes.error)
        if notes.to_learn:
            learn_secrets(call, notes)


SERVER_CALLBACKS: dict[str, Hook] = {
    "query_client": StoreHook("query_client", before=_client_asked, stored=_client_queried),
    "save_token": StoreHook("save_token", stored=token_saved),
    "handle_error_response": Hook(begin=_error_responded),
}
"""Methods of the server's class, hooked where the application or the integration defines them."""

AUTHENTICATION_CALLBACKS: dict[str, Hook] = {"authenticate_client": Hook(after=_client_authenticated)}
"""The same where clients are authenticated by something of the application's."""

OWN_SERVER_CALLBACKS: dict[str, Hook] = {
    "create_oauth2_request": Hook(after=_request_created),
    "create_json_request": Hook(after=_request_created),
    "handle_response": Hook(after=_responded),
}
"""The same where the application defines them: of Authlib's own the framework's request and response tell as much."""
