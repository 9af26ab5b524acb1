"""Revocation (RFC 7009), introspection (RFC 7662), dynamic registration (RFC 7591), device authorization (RFC 8628)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_oauth import cases, kinds
from otel_oauth.catalogue import ENDPOINTS, OTHER
from otel_oauth.hooks import Call, Hook, StoreHook
from otel_oauth.vocabulary import CLIENT_ERROR
from otel_oauth_authlib import configuration
from otel_oauth_authlib.configuration import CONFIGURATION_CALLBACKS
from otel_oauth_authlib.requests import EndpointRequest, endpoint_request, parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth.operation import Operation

_LABELS = {"client_registration": "registration", "client_configuration": "registration"}


def label(name: object) -> str:
    """Return the value of the label ``endpoint`` for an endpoint's registered name."""
    known = _LABELS.get(str(name), str(name))
    return known if known in ENDPOINTS else OTHER


def _token_queried(call: Call, result: Any) -> None:  # noqa: ANN401 the application's token object
    notes = endpoint_request(call)
    if notes is not None:
        notes.found = bool(result)


def _token_about_to_be_revoked(call: Call) -> None:
    operation, notes = call.enclosing(kinds.ENDPOINT), endpoint_request(call)
    if operation is None or notes is None or operation.facts.get("endpoint") != "revocation":
        return
    notes.revoking = True
    alive = call.telemetry.ledger.revoke(parameter(notes.form(), "token") or "")
    token = call.argument(0, "token")
    notes.revoked_before = alive is None and _says(token, "is_revoked")
    notes.expired = alive is None and _says(token, "is_expired")


def _says(token: object, name: str) -> bool:
    """Return what the application's token object says of itself; Authlib's revocation asks for neither."""
    asked = getattr(token, name, None)
    try:
        return asked is not None and bool(asked())
    except Exception:  # noqa: BLE001 the application's; of Authlib's own mixin each raises NotImplementedError
        return False


def _token_revoked(call: Call, _result: Any) -> None:  # noqa: ANN401 the application's
    operation, notes = call.enclosing(kinds.ENDPOINT), endpoint_request(call)
    if operation is None or notes is None or notes.revoked_before:
        return
    if operation.facts.get("endpoint") == "revocation":
        operation.facts["revoked"] = "expired" if notes.expired else "manual"


def _client_saved(call: Call, _result: Any) -> None:  # noqa: ANN401 the application's client object
    operation = call.enclosing(kinds.ENDPOINT)
    info: Mapping[str, Any] = call.argument(0, "client_info") or {}
    metadata: Mapping[str, Any] = call.argument(1, "client_metadata") or {}
    client_id = info.get("client_id")
    if operation is None or not isinstance(client_id, str):
        return
    call.telemetry.ledger.know_client(client_id)
    operation.facts["client_id"] = call.telemetry.client(client_id)
    public = metadata.get("token_endpoint_auth_method") == "none"
    operation.facts["client_type"] = "public" if public else "confidential"


def _payload_created(call: Call, result: Any, error: BaseException | None) -> None:  # noqa: ANN401 Authlib's
    operation = call.enclosing(kinds.ENDPOINT)
    if operation is not None and error is None and isinstance(result, dict):
        operation.facts["active"] = bool(result.get("active"))


ENDPOINT_CALLBACKS: dict[str, Hook] = {
    "query_token": StoreHook("query_token", stored=_token_queried),
    "revoke_token": StoreHook("revoke_token", before=_token_about_to_be_revoked, stored=_token_revoked),
    "save_client": StoreHook("save_client", stored=_client_saved),
    "save_device_credential": StoreHook("save_device_code"),
    "create_introspection_payload": Hook(after=_payload_created),
}
"""The callbacks of endpoint classes, hooked where the application defines them."""


def adopt(call: Call) -> None:
    """Adopt the classes of the endpoints that are registered with the server."""
    for registered in getattr(call.instance, "_endpoints", {}).values():
        for endpoint in registered if isinstance(registered, list) else [registered]:
            cls = endpoint if isinstance(endpoint, type) else type(endpoint)
            managed = hasattr(cls, "create_configuration_response")
            call.hooks.adopt(cls, CONFIGURATION_CALLBACKS if managed else ENDPOINT_CALLBACKS)


def begin(operation: Operation, name: object) -> None:
    """Note what kind of endpoint it is."""
    if name == "client_registration":
        operation.facts["registration"] = True


def settle(operation: Operation, notes: EndpointRequest, status: int) -> None:
    """Judge a request to an endpoint that was answered with ``status``."""
    facts = operation.facts
    if status >= CLIENT_ERROR:
        facts["revoked"] = facts["client_type"] = False
        refused_owner = facts.get("endpoint") == "revocation" and notes.found and notes.error == "invalid_grant"
        if refused_owner or configuration.of_other_client(notes):
            operation.judge(cases.TOKEN_OF_OTHER_CLIENT)
    elif facts.get("endpoint") == "revocation" and not notes.revoking and notes.queried_client:
        # A store that looks only among the client's own tokens does not find it, and Authlib before 1.3.2 answers as if
        # it had not been found; the ledger knows whose it is.
        token = parameter(notes.form(), "token") or ""
        if operation.telemetry.ledger.owner_differs(token, notes.queried_client):
            operation.judge(cases.TOKEN_OF_OTHER_CLIENT)
