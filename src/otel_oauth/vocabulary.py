"""The closed vocabularies of spans: attribute names, RFC error codes, grant types.

Text from a request or a response never becomes an attribute: what is not in a list here is recorded as
``other``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_oauth import catalogue as c
from otel_oauth.catalogue import OTHER

if TYPE_CHECKING:
    from collections.abc import Mapping

RFC_ERRORS = frozenset(
    (
        # RFC 6749 sections 4.1.2.1 and 5.2
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "access_denied",
        "unsupported_response_type",
        "server_error",
        "temporarily_unavailable",
        # RFC 6750, 7009, 7591, 8628, 8693, 9101, 9396, 9449, 9470
        "invalid_token",
        "insufficient_scope",
        "unsupported_token_type",
        "invalid_redirect_uri",
        "invalid_client_metadata",
        "invalid_software_statement",
        "unapproved_software_statement",
        "authorization_pending",
        "slow_down",
        "expired_token",
        "invalid_target",
        "invalid_request_uri",
        "invalid_request_object",
        "request_not_supported",
        "request_uri_not_supported",
        "invalid_authorization_details",
        "invalid_dpop_proof",
        "use_dpop_nonce",
        "insufficient_user_authentication",
        # OpenID Connect Core 3.1.2.6
        "interaction_required",
        "login_required",
        "account_selection_required",
        "consent_required",
        "registration_not_supported",
        # Authlib's own codes of the client side
        "missing_token",
        "token_invalid",
        "token_expired",
        "missing_authorization",
        "mismatching_state",
        "invalid_claim",
    )
)
"""The error codes that may become a span attribute."""

CANCELLED_ERRORS = frozenset(("access_denied", "login_required", "consent_required", "interaction_required"))
"""Errors of an authorization response that say that the user did not go on: no failure of the flow."""

GRANT_TYPES = {
    "authorization_code": "authorization_code",
    "refresh_token": "refresh_token",
    "client_credentials": "client_credentials",
    "password": "password",
    "implicit": "implicit",
    "urn:ietf:params:oauth:grant-type:device_code": "device_code",
    "urn:ietf:params:oauth:grant-type:jwt-bearer": "jwt_bearer",
    "urn:ietf:params:oauth:grant-type:saml2-bearer": "saml2_bearer",
    "urn:ietf:params:oauth:grant-type:token-exchange": "token_exchange",
    "urn:openid:params:grant-type:ciba": "ciba",
}
"""Grant types and the short name that stands for them in a span attribute."""

VERIFICATIONS = (
    "accepted",
    "missing",
    "malformed",
    "unknown",
    "inactive",
    "expired",
    "revoked",
    "insufficient_scope",
    "wrong_audience",
    "wrong_issuer",
    "wrong_signature",
    "refused",
)
"""How the check of a bearer token can end. ``inactive`` is what an introspection says (expired, revoked or never
issued), ``refused`` a token that is valid and lacks something other than a scope."""

SPAN_ATTRIBUTES = {
    "provider": "oauth.provider",
    "client_id": "oauth.client_id",
    "grant_type": "oauth.grant_type",
    "endpoint": "oauth.endpoint",
    "operation": "oauth.operation",
    "challenge_method": "oauth.pkce.method",
    "error": "oauth.error",
    "case": "oauth.case",
    "outcome": "oauth.outcome",
    "reason": "oauth.refresh.reason",
    "rotated": "oauth.refresh.rotated",
    "scope_changed": "oauth.scope.changed",
    "remaining_lifetime": "oauth.token.remaining_lifetime",
    "reauthorize": "oauth.reauthorization_required",
    "token_type": "oauth.token_type",
    "active": "oauth.token.active",
    "verification": "oauth.token.verification",
    "flow_seconds": "oauth.flow.duration",
    "user_seconds": "oauth.flow.user_time",
    "machine_seconds": "oauth.flow.machine_time",
    "abandoned": "oauth.flow.abandoned",
    "discovery_method": "oauth.discovery.method",
    "method": "http.request.method",
    "server_address": "server.address",
}
"""Facts of an operation that become attributes of its span, and their names. Durations and lifetimes are seconds."""

_CLOSED = {
    "method": frozenset(c.HTTP_METHODS),
    "endpoint": frozenset(c.ENDPOINTS),
    "operation": frozenset(c.STORAGE_OPERATIONS + c.PROVIDER_OPERATIONS),
    "grant_type": frozenset(GRANT_TYPES.values()),
    "error": RFC_ERRORS,
    "provider_error": frozenset(c.PROVIDER_ERRORS),
    "reason": frozenset(c.REFRESH_REASONS),
    "challenge_method": frozenset(c.CHALLENGE_METHODS),
    "client_type": frozenset(c.CLIENT_TYPES),
    "limiter": frozenset(c.LIMITERS),
    "revoked": frozenset(c.REVOCATION_REASONS),
    "cleaned": frozenset(c.CLEANED_REASONS),
    "discovery_method": frozenset(c.DISCOVERY_METHODS),
    "verification": frozenset(VERIFICATIONS),
}
"""Facts that are text of a closed list wherever they are told, and those lists."""

UNKNOWN = "_OTHER"
"""What OpenTelemetry's conventions have for an HTTP method that is not known, and for an error that has no class."""


def closed(facts: Mapping[str, object]) -> Mapping[str, object]:
    """Return the facts with ``other`` in the place of text that is not in a list: the same object if all of it is."""
    strange = [
        name for name in _CLOSED.keys() & facts if isinstance(facts[name], str) and facts[name] not in _CLOSED[name]
    ]
    if not strange:
        return facts
    return {**facts, **{name: UNKNOWN if name == "method" else OTHER for name in strange}}


CLIENT_ERROR = 400
"""The first HTTP status that is an error of the client."""

SERVER_ERROR = 500
"""The first HTTP status that is an error of the server."""

TOO_MANY_REQUESTS = 429
"""The HTTP status of a rate limit (RFC 6585 section 4)."""

EVENT_TYPE = "oauth.security.event_type"
SEVERITY = "oauth.security.severity"
ERROR_TYPE = "error.type"
HTTP_STATUS_CODE = "http.response.status_code"

EVENT_PRIORITY = "oauth.event.priority"
EVENT_RUNBOOK = "oauth.event.runbook"
EVENT_DURATION = "oauth.duration"
EVENT_SUPPRESSED = "oauth.event.suppressed"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_STACKTRACE = "exception.stacktrace"
CLIENT_ADDRESS = "client.address"
USER_AGENT = "user_agent.original"


def rfc_error(code: object) -> str:
    """Return an error code if it is a standard one, else ``other``."""
    return code if isinstance(code, str) and code in RFC_ERRORS else OTHER


def grant_type(value: object) -> str:
    """Return the short name of a grant type if it is a standard one, else ``other``."""
    return GRANT_TYPES.get(value, OTHER) if isinstance(value, str) else OTHER
