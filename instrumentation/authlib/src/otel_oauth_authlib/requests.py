"""What one request to an endpoint of the authorization server is known to be, while it runs."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from otel_oauth import kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth.hooks import Call
    from otel_oauth.judge import CodePresented, RefreshPresented


class EndpointRequest:
    """Notes of one request, kept on its operation and never exported.

    :ivar server: the authorization server that answers it.
    :ivar request: Authlib's request object, once it exists.
    :ivar queried_client: the id of the client that was looked up; empty before.
    :ivar client_id: the id of the client that authenticated itself or was looked up; empty before.
    :ivar authenticated: the client proved who it is by other means than its mere id.
    :ivar code: what is known of a presented code; ``refresh`` likewise of a refresh token.
    :ivar token: the token that was saved in this request.
    :ivar found: a token look-up of the revocation endpoint returned one; ``expired``: its lifetime was over
        when it was revoked; ``revoked_before``: it was revoked already; ``revoking``: the store was asked to revoke it.
    :ivar device_found: the look-up of a device code returned it.
    :ivar registration_token: a registration access token was found, and ``registered`` the client of it;
        ``permission_asked``: the token was taken to be that client's.
    """

    # Defaults of the class and not of each instance: a request leaves most of them as they are.
    request: Any = None
    queried_client = ""
    client_id = ""
    authenticated = False
    code: CodePresented | None = None
    refresh: RefreshPresented | None = None
    token: Mapping[str, Any] = MappingProxyType({})
    user_asked = False
    old_credential_revoked = False
    found = False
    expired = False
    revoked_before = False
    revoking = False
    device_found = False
    registration_token = False
    registered = False
    permission_asked = False
    error = ""

    def __init__(self, server: object) -> None:
        self.server = server


def endpoint_request(call: Call) -> EndpointRequest | None:
    """Return the notes of the endpoint request that is under way around a call, or ``None``."""
    operation = call.within(kinds.ENDPOINT)
    notes = None if operation is None else operation.local
    return notes if isinstance(notes, EndpointRequest) else None


def client_known(call: Call, client_id: object) -> None:
    """Note a client that the application's store returned."""
    if not isinstance(client_id, str):
        return
    telemetry = call.telemetry
    telemetry.ledger.know_client(client_id)
    label = telemetry.client(client_id)
    operation = call.within(kinds.ENDPOINT)
    if operation is not None and isinstance(operation.local, EndpointRequest):
        operation.local.queried_client = client_id
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
