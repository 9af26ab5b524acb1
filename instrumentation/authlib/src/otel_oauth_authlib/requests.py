"""What one request to an endpoint of the authorization server is known to be, while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_oauth import kinds
from otel_oauth.operation import operation_within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth.hooks import Call
    from otel_oauth.judge import CodePresented, RefreshPresented
    from otel_oauth.operation import Operation


@dataclass
class EndpointRequest:
    """Notes of one request, kept on its operation and never exported.

    :param server: the authorization server that answers it.
    :param request: Authlib's request object, once it exists.
    :param client_id: the id of the client that authenticated itself or was looked up; empty before.
    :param authenticated: the client proved who it is by other means than its mere id.
    :param code: what is known of a presented code; ``refresh`` likewise of a refresh token.
    :param token: the token that was saved in this request.
    :param found: a token look-up of the revocation endpoint returned one; ``expired``: its lifetime was over
        when it was revoked; ``revoked_before``: it was revoked already; ``revoking``: the store was asked to revoke it.
    :param device_found: the look-up of a device code returned it.
    :param registration_token: a registration access token was found, and ``registered`` the client of it;
        ``permission_asked``: the token was taken to be that client's.
    """

    server: Any
    request: Any = None
    queried_client: str = ""
    client_id: str = ""
    authenticated: bool = False
    code: CodePresented | None = None
    refresh: RefreshPresented | None = None
    token: Mapping[str, Any] = field(default_factory=dict)
    user_asked: bool = False
    old_credential_revoked: bool = False
    found: bool = False
    expired: bool = False
    revoked_before: bool = False
    revoking: bool = False
    device_found: bool = False
    registration_token: bool = False
    registered: bool = False
    permission_asked: bool = False
    error: str = ""


endpoint_operation = partial(operation_within, kinds.ENDPOINT)
"""Return the operation of the endpoint request that is under way in this context, or ``None``."""


def endpoint_request() -> EndpointRequest | None:
    """Return the notes of the endpoint request that is under way in this context, or ``None``."""
    return notes_of(endpoint_operation())


def notes_of(operation: Operation | None) -> EndpointRequest | None:
    """Return the notes of an endpoint's operation."""
    notes = None if operation is None else operation.local
    return notes if isinstance(notes, EndpointRequest) else None


def client_known(call: Call, client_id: object) -> None:
    """Note a client that the application's store returned."""
    if not isinstance(client_id, str):
        return
    telemetry = call.telemetry
    telemetry.ledger.know_client(client_id)
    label = telemetry.client(client_id)
    operation = endpoint_operation()
    notes = notes_of(operation)
    if operation is not None and notes is not None:
        notes.queried_client = client_id
        operation.facts["client_id"] = label


def id_of(client: Any) -> object:  # noqa: ANN401 the application's client object
    """Return the id of a client, as Authlib asks for it."""
    read = getattr(client, "get_client_id", None)
    return read() if callable(read) else None


def parameter(request: Any, name: str) -> str | None:  # noqa: ANN401 Authlib's request, of any version
    """Return a parameter of an authorization or token request, as Authlib itself reads it.

    ``request.data`` warns from Authlib 1.6 on, where the payload took its place.
    """
    payload = getattr(request, "payload", None)
    data = request.data if payload is None else payload.data
    value = data.get(name)
    return value if isinstance(value, str) else None


def form_parameter(request: Any, name: str) -> str | None:  # noqa: ANN401 Authlib's request, of any version
    """Return a parameter of the request's body."""
    value = request.form.get(name)
    return value if isinstance(value, str) else None
