"""What was recognised of a request, and what its response came to: data, on the way from the wire to an operation.

Nobody changes it; frozen it would take three times as long to make.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from otel_oauth import kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth.kinds import OperationKind

TOKEN_KINDS = (kinds.CODE_EXCHANGE, kinds.REFRESH, kinds.TOKEN)
"""The operations that ask for a token."""

DiscoveryMethod = Literal["", "rfc9728", "www-authenticate", "manual"]
"""How metadata was discovered, a value of the label ``method``; empty for anything else."""


@dataclass
class Recognised:
    """An HTTP request that is an OAuth operation.

    :param kind: the operation. ``AUTHORIZE`` is an authorization request on the wire (a login without a browser). A
        request with ``token`` whose path does not tell revocation from introspection is a revocation until its
        response says otherwise (:attr:`Outcome.kind`).
    :param method: the HTTP method.
    :param origin: ``scheme://authority`` of the URL, without userinfo: for the provider's name and ``server.address``.
    :param url: the URL without userinfo, query and fragment; never exported.
    :param parameters: what the request sends, under the names of RFC 6749 and family whatever the provider calls
        them: ``code``, ``code_verifier``, ``refresh_token``, ``token`` (to revoke or introspect),
        ``token_type_hint``, ``device_code``, ``redirect_uri``, ``scope``, ``state``, ``code_challenge`` and
        ``code_challenge_method``. Secrets: to be digested by the ledger, never kept or exported. Secrets that
        nothing is correlated by (client secrets, passwords, assertions) are not among them.
    :ivar grant_type: for a token request, the short name of the grant (:data:`otel_oauth.vocabulary.GRANT_TYPES`),
        ``other`` for one that no RFC names; empty for any other request.
    :ivar client_id: the client's own id, from the body, the query or the ``Authorization: Basic`` header; empty if
        the request does not say it (``private_key_jwt``, mutual TLS).
    :ivar discovery_method: for a discovery request, the label value: ``rfc9728``, ``www-authenticate`` or ``manual``.
        Metadata of an authorization server that a protected resource named has the method of that resource.
    :ivar document: for a discovery request, whose metadata it asks for.
    :ivar standard: its response is one of the RFC of its kind; some documented endpoints of providers have their own.
    :ivar manages: a request of RFC 7592: it reads (GET), updates (PUT) or deletes (DELETE) a registration.
    """

    kind: OperationKind
    method: str
    origin: str
    url: str = field(default="", repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    # Defaults of the class and not of each instance: most requests leave most of them as they are.
    grant_type: str = field(default="", init=False)
    client_id: str = field(default="", init=False)
    discovery_method: DiscoveryMethod = field(default="", init=False)
    document: Literal["", "protected_resource", "authorization_server"] = field(default="", init=False)
    manages: bool = field(default=False, init=False)
    standard: bool = field(default=True, init=False)


@dataclass(eq=False)
class Outcome:
    """What a response says of a recognised request.

    :param kind: the operation, now that the response is known.
    :param facts: what the operation is told: ``http_status`` and, where they apply, ``error`` (a standard code or
        ``other``), ``provider_error``, ``status``, ``outcome`` (``pending``: a device is polling, RFC 8628),
        ``active`` (introspection), ``revoked``, ``registration``.
    :param token: the members of a token response (RFC 6749 section 5.1) under their standard names and with their
        types checked: ``access_token``, ``refresh_token``, ``scope``, ``token_type`` (text), ``expires_in``
        (seconds). Secrets: to be digested by the ledger, never exported.
    :ivar issuers: for the metadata of a protected resource, the origins of its authorization servers.
    :ivar client_id: the id that a registration (RFC 7591) gave to the client; empty for anything else.
    """

    kind: OperationKind
    facts: dict[str, object] = field(default_factory=dict)
    token: Mapping[str, Any] = field(default_factory=dict, repr=False)
    issuers: tuple[str, ...] = field(default=(), init=False)
    client_id: str = field(default="", init=False)

    @property
    def granted(self) -> bool:
        """Whether the response is a token response with an access token."""
        return "access_token" in self.token
