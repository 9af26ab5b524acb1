"""What one request to an endpoint of the authorization server is known to be, while it runs."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from otel_oauth import kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth.hooks import Call
    from otel_oauth.judge import CodePresented, RefreshPresented
    from otel_oauth.operation import Operation


class EndpointRequest:
    """Notes of one request, kept on its operation and never exported; made for each one, so without an ``__init__``.

    :ivar server: the authorization server that answers it.
    :ivar facts: those of its operation.
    :ivar request: what its parameters are read of, once that exists: Authlib's request object, or the framework's.
    :ivar grant: Authlib's grant, once a callback of it told.
    :ivar to_learn: redaction is in force and has not been told the request's secrets yet.
    :ivar queried_client: the id of the client that was looked up; empty before.
    :ivar client_id: the id of the client that authenticated itself; empty before.
    :ivar authenticated: the client proved who it is by other means than its mere id.
    :ivar code: what is known of a presented code; ``presented``: the code itself.
    :ivar refresh: what is known of a presented refresh token.
    :ivar compared: how the check of PKCE ended: ``matched``, ``unchecked``, an error code; empty before.
    :ivar token: the token that was saved in this request.
    :ivar started: the ledger was asked whether an authorization starts with this request.
    :ivar found: a token look-up of the revocation endpoint returned one; ``expired``: its lifetime was over
        when it was revoked; ``revoked_before``: it was revoked already; ``revoking``: the store was asked to revoke it.
    :ivar device_found: the look-up of a device code returned it.
    :ivar registration_token: a registration access token was found, and ``registered`` the client of it;
        ``permission_asked``: the token was taken to be that client's.
    """

    # Defaults of the class and not of each instance: a request leaves most of them as they are.
    server: object
    facts: dict[str, object]
    request: Any = None
    grant: Any = None
    to_learn = False
    queried_client = ""
    client_id = ""
    authenticated = False
    code: CodePresented | None = None
    presented = ""
    refresh: RefreshPresented | None = None
    compared = ""
    token: Mapping[str, Any] = MappingProxyType({})
    old_credential_revoked = False
    started = False
    found = False
    expired = False
    revoked_before = False
    revoking = False
    device_found = False
    registration_token = False
    registered = False
    permission_asked = False
    error = ""

    def arrived(self, operation: Operation, given: object) -> None:
        """Note the framework's request, where it can be told before Authlib made an object of it.

        :param given: what the application handed to Authlib.
        """

    def values(self, request: Any = None) -> Mapping[str, Any]:  # noqa: ANN401 Authlib's request, of any version
        """Return the parameters of an authorization or token request, as Authlib itself reads them.

        ``request.data`` warns from Authlib 1.6 on, where the payload took its place.

        :param request: another of Authlib's objects for the same request.
        """
        if request is None:
            request = self.request
        payload = getattr(request, "payload", None)
        values: Mapping[str, Any] = request.data if payload is None else payload.data
        return values

    def form(self) -> Mapping[str, Any]:
        """Return the parameters of the request's body, which Authlib has read before."""
        return getattr(self.request, "form", None) or {}

    def posted(self, name: str) -> str | None:
        """Return a parameter of the request's body that is text."""
        return parameter(self.form(), name)

    def authorization(self) -> object:
        """Return the header ``Authorization``."""
        return (getattr(self.request, "headers", None) or {}).get("Authorization")


def endpoint_request(call: Call) -> EndpointRequest | None:
    """Return the notes of the endpoint request that is under way around a call, or ``None``."""
    operation = call.around
    if operation is None:
        return None
    notes = operation.local
    if isinstance(notes, EndpointRequest) and not operation.ended:
        return notes  # nearly always
    operation = call.enclosing(kinds.ENDPOINT)
    notes = None if operation is None else operation.local
    return notes if isinstance(notes, EndpointRequest) else None


def client_known(call: Call, notes: EndpointRequest | None, client_id: object) -> None:
    """Note a client that the application's store returned; a request may ask for the same one twice."""
    if not isinstance(client_id, str) or (notes is not None and notes.queried_client == client_id):
        return
    telemetry = call.telemetry
    telemetry.ledger.know_client(client_id)
    label = telemetry.client(client_id)
    if notes is not None:
        notes.queried_client = client_id
        notes.facts["client_id"] = label


def id_of(client: Any) -> object:  # noqa: ANN401 the application's client object
    """Return the id of a client, as Authlib asks for it."""
    read = getattr(client, "get_client_id", None)
    return read() if callable(read) else None


def parameter(parameters: Mapping[str, Any], name: str) -> str | None:
    """Return a parameter that is text."""
    value = parameters.get(name)
    return value if isinstance(value, str) else None
