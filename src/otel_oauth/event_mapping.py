"""What our events are called elsewhere: classes of the Open Cybersecurity Schema Framework (OCSF 1.3), Auth0, Okta.

The codes of Auth0 are those of its log event types, the names of Okta those of its System Log; where neither has a
counterpart the field is empty. An OCSF class is at once category (its thousands) and class; the type is the class
times hundred plus the activity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from otel_oauth import vocabulary as v
from otel_oauth._version import __version__
from otel_oauth.events import EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_oauth.events import Event

COMPLIANCE_FINDING, DETECTION_FINDING, AUTHENTICATION, ENTITY_MANAGEMENT = 2003, 2004, 3002, 3004
API_ACTIVITY, DATASTORE_ACTIVITY = 6003, 6005

CLASSES: dict[int, tuple[str, dict[int, str]]] = {
    COMPLIANCE_FINDING: ("Compliance Finding", {1: "Create"}),
    DETECTION_FINDING: ("Detection Finding", {1: "Create"}),
    AUTHENTICATION: (
        "Authentication",
        {
            1: "Logon",
            2: "Logoff",
            3: "Authentication Ticket",
            4: "Service Ticket Request",
            5: "Service Ticket Renew",
            6: "Preauth",
            99: "Other",
        },
    ),
    ENTITY_MANAGEMENT: ("Entity Management", {1: "Create"}),
    API_ACTIVITY: ("API Activity", {1: "Create", 2: "Read", 99: "Other"}),
    DATASTORE_ACTIVITY: ("Datastore Activity", {99: "Other"}),
}
"""The OCSF classes that our events fall into: caption, and the activities that are used of each."""

_UNKNOWN, _SUCCESS, _FAILURE = 0, 1, 2
_SEVERITIES = {"P0": 5, "P1": 4, "P2": 3, "P3": 2, "P4": 1}
_SCHEMA_VERSION = "1.3.0"


class Mapped(NamedTuple):
    """The counterparts of one event.

    :param ocsf: class and activity; ``status`` is 0 unknown, 1 success, 2 failure.
    :param auth0: the code of the log event type; ``okta`` the event type of the System Log. Empty if there is none.
    """

    ocsf: tuple[int, int]
    status: int = _UNKNOWN
    auth0: str = ""
    okta: str = ""


_FOUND, _FORBIDDEN = (DETECTION_FINDING, 1), (COMPLIANCE_FINDING, 1)
_LOGON, _TICKET, _RENEWAL, _PREAUTH = (AUTHENTICATION, 1), (AUTHENTICATION, 3), (AUTHENTICATION, 5), (AUTHENTICATION, 6)
_OTHER, _CREATED = (AUTHENTICATION, 99), (ENTITY_MANAGEMENT, 1)
_READ, _CALLED, _STORED = (API_ACTIVITY, 2), (API_ACTIVITY, 99), (DATASTORE_ACTIVITY, 99)
_RENEWED_AT_OKTA, _REUSED_AT_OKTA = "app.oauth2.as.token.grant.refresh_token", "app.oauth2.as.token.detect_reuse"
_CODE_AT_OKTA, _TOKEN_AT_OKTA = "app.oauth2.as.authorize.code", "app.oauth2.as.token.grant.access_token"

MAPPING: dict[str, Mapped] = {
    "oauth_refresh_token_reuse_detected": Mapped(_FOUND, _FAILURE, "ferrt", _REUSED_AT_OKTA),
    "oauth_code_injection_attempt": Mapped(_FOUND, _FAILURE, "feacft", "app.oauth2.as.token.grant"),
    "oauth_integrity_violation": Mapped(_FOUND, _FAILURE, "feacft", "app.oauth2.as.token.grant"),
    "oauth_ownership_violation": Mapped(_FOUND, _FAILURE, "fertft", "app.oauth2.as.token.grant"),
    "pkce_replay_detected": Mapped(_FOUND, _FAILURE),
    "oauth_code_reuse_detected": Mapped(_FOUND, _FAILURE, "feacft", "app.oauth2.as.token.grant"),
    "oauth_refresh_race": Mapped(_RENEWAL, _UNKNOWN, "fertft", _RENEWED_AT_OKTA),
    "oauth_code_double_submit": Mapped(_TICKET, _UNKNOWN, "feacft", "app.oauth2.as.token.grant"),
    "oauth_state_reloaded": Mapped(_OTHER, _UNKNOWN),
    "oauth_state_session_lost": Mapped(_LOGON, _FAILURE, "f"),
    "oauth_nonce_replayed": Mapped(_PREAUTH, _UNKNOWN),
    "oauth_flow_initiated": Mapped(_PREAUTH, _UNKNOWN),
    "oauth_flow_completed": Mapped(_LOGON, _SUCCESS, "s", "user.authentication.auth_via_social"),
    "oauth_flow_failed": Mapped(_LOGON, _FAILURE, "f", "user.authentication.auth_via_social"),
    "oauth_flow_abandoned": Mapped(_LOGON, _UNKNOWN),
    "oauth_authorization_started": Mapped(_PREAUTH, _UNKNOWN, "", _CODE_AT_OKTA),
    "oauth_code_exchanged": Mapped(_TICKET, _SUCCESS, "seacft", _TOKEN_AT_OKTA),
    "oauth_token_refreshed": Mapped(_RENEWAL, _SUCCESS, "sertft", _RENEWED_AT_OKTA),
    "oauth_token_refresh_failed": Mapped(_RENEWAL, _FAILURE, "fertft", _RENEWED_AT_OKTA),
    "oauth_token_revoked": Mapped((AUTHENTICATION, 2), _SUCCESS, "srrt", "app.oauth2.as.token.revoke"),
    "oauth_discovery_completed": Mapped(_READ, _SUCCESS),
    "oauth_discovery_failed": Mapped(_READ, _FAILURE),
    "oauth_client_registration_completed": Mapped(_CREATED, _SUCCESS, "sapi", "app.oauth2.client.lifecycle.create"),
    "oauth_client_registration_failed": Mapped(_CREATED, _FAILURE, "fapi", "app.oauth2.client.lifecycle.create"),
    "oauth_rate_limit_exceeded": Mapped(_CALLED, _FAILURE, "api_limit", "system.operation.rate_limit.violation"),
    "oauth_storage_error": Mapped(_STORED, _FAILURE),
    "oauth_provider_error": Mapped(_CALLED, _FAILURE),
    "oauth_pkce_validation_refused": Mapped(_TICKET, _FAILURE, "feacft"),
    "oauth_pkce_validated": Mapped(_TICKET, _SUCCESS),
    "oauth_pkce_state_created": Mapped(_PREAUTH, _UNKNOWN),
    "oauth_pkce_state_cleaned": Mapped(_OTHER, _UNKNOWN),
    "oauth_http_request": Mapped(_CALLED, _UNKNOWN),
    "oauth_provider_call": Mapped(_CALLED, _UNKNOWN),
    "oauth_pkce_not_used": Mapped(_FORBIDDEN, _FAILURE, "depnote"),
    "oauth_pkce_plain_used": Mapped(_FORBIDDEN, _FAILURE, "depnote"),
    "oauth_implicit_grant_used": Mapped(
        _FORBIDDEN, _FAILURE, "depnote", "app.oauth2.as.authorize.implicit.access_token"
    ),
    "oauth_password_grant_used": Mapped(_FORBIDDEN, _FAILURE, "sepft", "app.oauth2.as.token.grant"),
    "oauth_redirect_uri_insecure": Mapped(_FORBIDDEN, _FAILURE),
    "oauth_bearer_token_in_query": Mapped(_FORBIDDEN, _FAILURE),
}
"""The counterparts of every event."""


def ocsf_attributes(event: Event, attributes: Mapping[str, Any], at: int) -> dict[str, Any]:
    """Return the OCSF fields of an event, each under ``ocsf.``; ``at`` is in nanoseconds since the epoch."""
    mapped = MAPPING[event.name]
    class_uid, activity = mapped.ocsf
    fields = {
        "category_uid": class_uid // 1000,
        "class_uid": class_uid,
        "activity_id": activity,
        "type_uid": class_uid * 100 + activity,
        "severity_id": _SEVERITIES[event.priority],
        "status_id": mapped.status,
        "time": at // 1_000_000,
        "message": event.when,
        "metadata.version": _SCHEMA_VERSION,
        "metadata.product.name": "otel-oauth",
        "metadata.product.version": __version__,
        "metadata.event_code": event.name,
        "src_endpoint.ip": attributes.get(v.CLIENT_ADDRESS),
        "user.uid": attributes.get("user.hash"),
    }
    return {f"ocsf.{name}": value for name, value in fields.items() if value is not None}


if set(MAPPING) != set(EVENTS):  # pragma: no cover  # at import time of the tables, like a move with a wrong label
    raise ValueError(set(MAPPING) ^ set(EVENTS))
