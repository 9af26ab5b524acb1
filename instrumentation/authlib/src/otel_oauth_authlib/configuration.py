"""Management of a registration by its client (RFC 7592)."""

from __future__ import annotations

from typing import Any

from otel_oauth import kinds
from otel_oauth.hooks import Call, Hook, StoreHook
from otel_oauth_authlib.requests import EndpointRequest, client_known, endpoint_request, id_of


def _token_queried(call: Call, result: Any) -> None:  # noqa: ANN401 the application's token object
    notes = endpoint_request(call)
    if notes is not None:
        notes.registration_token = bool(result)


def _client_queried(call: Call, result: Any) -> None:  # noqa: ANN401 the application's client object
    notes = endpoint_request(call)
    if notes is not None and result:
        notes.registered = True
        client_known(call, notes, id_of(result))


def _permission_asked(call: Call) -> None:
    notes = endpoint_request(call)
    if notes is not None:
        notes.permission_asked = True


def _token_revoked(call: Call, _result: Any) -> None:  # noqa: ANN401 the application's
    operation = call.enclosing(kinds.ENDPOINT)
    if operation is not None:
        operation.facts["revoked_for_security"] = True


def _client_deleted(call: Call, _result: Any) -> None:  # noqa: ANN401 the application's
    notes = endpoint_request(call)
    if notes is not None and notes.queried_client:
        call.telemetry.ledger.forget_client(notes.queried_client)


CONFIGURATION_CALLBACKS: dict[str, Hook] = {
    "authenticate_token": StoreHook("query_token", stored=_token_queried),
    "authenticate_client": StoreHook("query_client", stored=_client_queried),
    "check_permission": Hook(begin=_permission_asked),
    "revoke_access_token": StoreHook("revoke_token", stored=_token_revoked),
    "update_client": StoreHook("update_client"),
    "delete_client": StoreHook("delete_client", stored=_client_deleted),
}
"""The callbacks of the endpoint, which all are the application's."""


def of_other_client(notes: EndpointRequest) -> bool:
    """Tell whether a request was refused because its registration token is another client's.

    Authlib checks that in its newest versions only; before, it is left to ``check_permission``.
    """
    refused = notes.registration_token and notes.registered and not notes.permission_asked
    return refused and notes.error == "access_denied"
