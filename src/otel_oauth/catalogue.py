"""The catalogue: every metric, label and label value of the product, as data.

The 39 documented metrics come from two sources: ``plugged.in`` (17, written mostly from the client's side)
and ``mcp-oauth`` (22, written from the server's side). Instruments, zero series, the metric reference of the
documentation and the exposition endpoint are made by looping over this module; no other module spells a
metric or label name.

Names are literal: an instrument carries the documented Prometheus name. Units are ``s``, ``ms`` or an
annotation such as ``{flow}``, never ``1`` (a Collector that adds suffixes would append ``_ratio``).
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Final, Literal

SCOPE = "otel_oauth"
"""The instrumentation scope of every signal of this product."""

OTHER = "other"
"""The value that stands for every label value outside its closed set or beyond its cap."""

UNKNOWN = "unknown"
"""The value of ``client_id`` for an id that the server does not know, or for a request without one."""

InstrumentKind = Literal["counter", "histogram", "gauge"]


class Label:
    """One label of a metric: closed (``values``) or capped (``cap`` names the setting that bounds it).

    A value outside a closed set is recorded as ``other``. A capped label holds at most the configured number
    of values, then ``other``; ``client_id`` has ``unknown`` besides.
    """

    def __init__(
        self, name: str, values: tuple[str, ...] = (), cap: Literal["provider", "client_id"] | None = None
    ) -> None:
        self.name: Final = name
        self.values: Final = values
        self.cap: Final = cap
        self.closed: Final = frozenset(values)
        """The closed values as a set; empty for a capped label."""

    def max_values(self, caps: dict[str, int]) -> int:
        """Return how many values this label can have at most under ``caps`` (``other`` and ``unknown`` included)."""
        if self.cap is None:
            return len(self.values) + 1
        return caps[self.cap] + 2


class Metric:
    """One metric: the instrument's name, kind, unit, labels, buckets and the series that exist from the start.

    ``zeros`` lists the label combinations that a counter is born with, one value per label and ``None`` at a
    capped label (filled in when a provider or client becomes known). ``None`` instead of a tuple means every
    combination of the closed labels. ``source`` is the document that names the metric: ``plugged.in``,
    ``mcp-oauth`` or ``otel-oauth``.
    """

    def __init__(  # noqa: PLR0913, PLR0917 one argument for each column of the table
        self,
        name: str,
        kind: InstrumentKind,
        unit: str,
        description: str,
        labels: tuple[Label, ...] = (),
        buckets: tuple[float, ...] = (),
        zeros: tuple[tuple[str | None, ...], ...] | None = None,
        source: Literal["plugged.in", "mcp-oauth", "otel-oauth"] = "plugged.in",
    ) -> None:
        self.name: Final = name
        self.kind: Final = kind
        self.unit: Final = unit
        self.description: Final = description
        self.labels: Final = labels
        self.buckets: Final = buckets
        self.zeros: Final = zeros
        self.source: Final = source
        self.label_names: Final = tuple([label.name for label in labels])
        """The names of the labels, in the order in which their values are given."""

    def zero_series(self) -> tuple[tuple[str | None, ...], ...]:
        """Return the label combinations that start at 0, with ``None`` in place of a capped value."""
        if self.zeros is not None:
            return self.zeros
        return tuple(product(*(label.values or (None,) for label in self.labels)))

    def max_series(self, caps: dict[str, int]) -> int:
        """Return the highest number of series under ``caps`` (setting name -> cap)."""
        return prod(label.max_values(caps) for label in self.labels)


# Labels -----------------------------------------------------------------------------------------------------

PROVIDER = Label("provider", cap="provider")
CLIENT_ID = Label("client_id", cap="client_id")
STATUS = Label("status", ("success", "failure"))
HTTP_STATUSES = (
    "200",
    "201",
    "202",
    "204",
    "301",
    "302",
    "303",
    "307",
    "308",
    "400",
    "401",
    "403",
    "404",
    "405",
    "406",
    "409",
    "410",
    "413",
    "415",
    "422",
    "429",
    "500",
    "501",
    "502",
    "503",
    "504",
)
REVOCATION_REASONS = ("reuse_detected", "manual", "expired", "security")
CLEANED_REASONS = ("expired", "manual", "server_deleted")
DISCOVERY_METHODS = ("rfc9728", "www-authenticate", "manual")
CHALLENGE_METHODS = ("S256", "plain", "none")
CLIENT_TYPES = ("public", "confidential")
LIMITERS = ("ip", "user", "client_registration", "endpoint", "device")
HTTP_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
ENDPOINTS = (
    "authorization",
    "callback",
    "token",
    "revocation",
    "introspection",
    "registration",
    "device_authorization",
    "userinfo",
    "metadata",
    "end_session",
)
PROVIDER_OPERATIONS = (
    "token",
    "refresh",
    "revoke",
    "introspect",
    "userinfo",
    "discovery",
    "jwks",
    "registration",
    "api",
)
PROVIDER_ERRORS = ("client_error", "server_error", "timeout", "network", "invalid_response")
STORAGE_OPERATIONS = (
    "query_client",
    "save_client",
    "update_client",
    "delete_client",
    "query_code",
    "save_code",
    "delete_code",
    "query_token",
    "save_token",
    "revoke_token",
    "query_user",
    "query_nonce",
    "query_jti",
    "query_device_code",
    "save_device_code",
    "get_state",
    "set_state",
    "clear_state",
)
REFRESH_REASONS = ("normal", "no_refresh_token", "no_record", "ownership_failed", "reuse_detected", "exception")

_FLOW_STATUS = Label("status", ("initiated", "success", "failure"))
_REFRESH_STATUS = Label("status", ("success", "failure", "reuse_detected"))
_REFRESH_REASON = Label("reason", REFRESH_REASONS)
_REVOCATION_REASON = Label("reason", REVOCATION_REASONS)
_PKCE_REASON = Label("reason", ("valid", "expired", "invalid_hash", "not_found"))
_CLEANED_REASON = Label("reason", CLEANED_REASONS)
_EVENT_TYPE = Label("event_type", ("token_reuse", "integrity_violation", "code_injection"))
_SEVERITY = Label("severity", ("low", "medium", "high", "critical"))
_VIOLATION = Label("violation_type", ("hash_mismatch", "state_reuse", "user_mismatch"))
_DISCOVERY_METHOD = Label("method", DISCOVERY_METHODS)
_HTTP_METHOD = Label("method", HTTP_METHODS)
_ENDPOINT = Label("endpoint", ENDPOINTS)
_HTTP_STATUS = Label("status", HTTP_STATUSES)
_BOOL_SUCCESS = Label("success", ("true", "false"))
_ROTATED = Label("rotated", ("true", "false"))
_PKCE_METHOD = Label("pkce_method", CHALLENGE_METHODS)
_CHALLENGE_METHOD = Label("method", CHALLENGE_METHODS)
_CLIENT_TYPE = Label("client_type", CLIENT_TYPES)
_LIMITER = Label("limiter_type", LIMITERS)
_STORAGE_OPERATION = Label("operation", STORAGE_OPERATIONS)
_STORAGE_RESULT = Label("result", ("success", "error"))
_PROVIDER_OPERATION = Label("operation", PROVIDER_OPERATIONS)
_PROVIDER_STATUS = Label("status", ("0", *HTTP_STATUSES))
_ERROR_TYPE = Label("error_type", PROVIDER_ERRORS)

_SLOW = (0.5, 1.0, 2.0, 5.0, 10.0)
_ENDPOINT_MS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0)
_STORAGE_MS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)

# P: the 17 metrics of plugged.in ----------------------------------------------------------------------------

FLOWS = Metric(
    "oauth_flows_total",
    "counter",
    "{flow}",
    "OAuth authorization flows by provider and outcome.",
    (PROVIDER, _FLOW_STATUS),
)
FLOW_DURATION = Metric(
    "oauth_flow_duration_seconds",
    "histogram",
    "s",
    "Time from the initiation of a flow until its token is stored.",
    (PROVIDER, STATUS),
    (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
)
TOKEN_REFRESH = Metric(
    "oauth_token_refresh_total",
    "counter",
    "{refresh}",
    "Token refreshes by outcome and reason.",
    (_REFRESH_STATUS, _REFRESH_REASON),
    zeros=(
        ("success", "normal"),
        *(("failure", reason) for reason in REFRESH_REASONS),
        ("reuse_detected", "reuse_detected"),
    ),
)
TOKEN_REFRESH_DURATION = Metric(
    "oauth_token_refresh_duration_seconds",
    "histogram",
    "s",
    "Duration of a token refresh.",
    (_REFRESH_STATUS,),
    (0.1, 0.5, 1.0, 2.0, 5.0, 10.0),
)
TOKEN_REVOCATIONS = Metric(
    "oauth_token_revocations_total", "counter", "{token}", "Tokens revoked, by reason.", (_REVOCATION_REASON,)
)
ACTIVE_TOKENS = Metric("oauth_active_tokens", "gauge", "{token}", "Unexpired access tokens.")
PKCE_VALIDATIONS = Metric(
    "oauth_pkce_validations_total",
    "counter",
    "{validation}",
    "PKCE validations by outcome and reason.",
    (STATUS, _PKCE_REASON),
    zeros=(("success", "valid"), ("failure", "expired"), ("failure", "invalid_hash"), ("failure", "not_found")),
)
PKCE_CREATED = Metric("oauth_pkce_states_created_total", "counter", "{state}", "PKCE states created.")
PKCE_CLEANED = Metric(
    "oauth_pkce_states_cleaned_total",
    "counter",
    "{state}",
    "PKCE states cleaned up unused, by reason.",
    (_CLEANED_REASON,),
)
ACTIVE_PKCE_STATES = Metric("oauth_active_pkce_states", "gauge", "{state}", "Pending, unexpired PKCE states.")
SECURITY_EVENTS = Metric(
    "oauth_security_events_total",
    "counter",
    "{event}",
    "Security verdicts by type and severity; severity low is the benign twin of an attack.",
    (_EVENT_TYPE, _SEVERITY),
    zeros=(
        ("token_reuse", "low"),
        ("token_reuse", "high"),
        ("token_reuse", "critical"),
        ("integrity_violation", "low"),
        ("integrity_violation", "medium"),
        ("integrity_violation", "high"),
        ("code_injection", "critical"),
    ),
)
INTEGRITY_VIOLATIONS = Metric(
    "oauth_integrity_violations_total", "counter", "{violation}", "Integrity violations by type.", (_VIOLATION,)
)
CODE_INJECTIONS = Metric(
    "oauth_code_injection_attempts_total", "counter", "{attempt}", "Authorization code injection attempts."
)
DISCOVERY = Metric(
    "oauth_discovery_attempts_total",
    "counter",
    "{attempt}",
    "Metadata discovery attempts by method and outcome.",
    (_DISCOVERY_METHOD, STATUS),
)
DISCOVERY_DURATION = Metric(
    "oauth_discovery_duration_seconds",
    "histogram",
    "s",
    "Duration of a metadata discovery.",
    (_DISCOVERY_METHOD, STATUS),
    _SLOW,
)
CLIENT_REGISTRATIONS = Metric(
    "oauth_client_registrations_total",
    "counter",
    "{registration}",
    "Dynamic client registrations (RFC 7591) by outcome.",
    (STATUS,),
)
CLIENT_REGISTRATION_DURATION = Metric(
    "oauth_client_registration_duration_seconds",
    "histogram",
    "s",
    "Duration of a dynamic client registration.",
    (STATUS,),
    _SLOW,
)

# M: the 22 metrics of mcp-oauth -----------------------------------------------------------------------------

HTTP_REQUESTS = Metric(
    "oauth_http_requests_total",
    "counter",
    "{request}",
    "HTTP requests to the server's OAuth endpoints.",
    (_HTTP_METHOD, _ENDPOINT, _HTTP_STATUS),
    zeros=tuple(
        (method, endpoint, status)
        for method, endpoint in (
            ("GET", "authorization"),
            ("POST", "authorization"),
            ("GET", "callback"),
            ("POST", "token"),
            ("POST", "revocation"),
            ("POST", "introspection"),
            ("POST", "registration"),
            ("POST", "device_authorization"),
            ("GET", "userinfo"),
            ("GET", "metadata"),
            ("GET", "end_session"),
        )
        for status in ("200", "302", "400", "401", "429", "500")
    ),
    source="mcp-oauth",
)
HTTP_DURATION = Metric(
    "oauth_http_request_duration_milliseconds",
    "histogram",
    "ms",
    "Duration of an HTTP request to an OAuth endpoint of the server.",
    (_ENDPOINT,),
    _ENDPOINT_MS,
    source="mcp-oauth",
)
AUTHORIZATION_STARTED = Metric(
    "oauth_authorization_started", "counter", "{flow}", "Authorizations started.", (CLIENT_ID,), source="mcp-oauth"
)
CALLBACK_PROCESSED = Metric(
    "oauth_callback_processed",
    "counter",
    "{callback}",
    "Callbacks processed by a client.",
    (CLIENT_ID, _BOOL_SUCCESS),
    source="mcp-oauth",
)
CODE_EXCHANGED = Metric(
    "oauth_code_exchanged",
    "counter",
    "{code}",
    "Authorization codes exchanged for tokens; the method is that of the stored challenge, "
    "none if it was not compared.",
    (CLIENT_ID, _PKCE_METHOD),
    source="mcp-oauth",
)
TOKEN_REFRESHED = Metric(
    "oauth_token_refreshed",
    "counter",
    "{token}",
    "Tokens refreshed; rotated tells whether another refresh token was issued.",
    (CLIENT_ID, _ROTATED),
    source="mcp-oauth",
)
TOKEN_REVOKED = Metric(
    "oauth_token_revoked", "counter", "{token}", "Tokens really revoked.", (CLIENT_ID,), source="mcp-oauth"
)
CLIENT_REGISTERED = Metric(
    "oauth_client_registered",
    "counter",
    "{client}",
    "Clients registered, by type.",
    (_CLIENT_TYPE,),
    source="mcp-oauth",
)
RATE_LIMIT_EXCEEDED = Metric(
    "oauth_rate_limit_exceeded", "counter", "{violation}", "Rate limits exceeded.", (_LIMITER,), source="mcp-oauth"
)
PKCE_FAILED = Metric(
    "oauth_pkce_validation_failed",
    "counter",
    "{validation}",
    "PKCE validations failed, by method of the stored challenge.",
    (_CHALLENGE_METHOD,),
    source="mcp-oauth",
)
CODE_REUSE = Metric(
    "oauth_code_reuse_detected",
    "counter",
    "{attempt}",
    "Redeemed authorization codes presented again.",
    source="mcp-oauth",
)
TOKEN_REUSE = Metric(
    "oauth_token_reuse_detected", "counter", "{attempt}", "Rotated refresh tokens presented again.", source="mcp-oauth"
)
STORAGE_OPS = Metric(
    "storage_operation_total",
    "counter",
    "{operation}",
    "Operations on the application's OAuth store.",
    (_STORAGE_OPERATION, _STORAGE_RESULT),
    source="mcp-oauth",
)
STORAGE_DURATION = Metric(
    "storage_operation_duration_milliseconds",
    "histogram",
    "ms",
    "Duration of an operation on the application's OAuth store.",
    (_STORAGE_OPERATION,),
    _STORAGE_MS,
    source="mcp-oauth",
)
STORAGE_TOKENS = Metric(
    "storage_tokens_count", "gauge", "{token}", "Unexpired access tokens in the store.", source="mcp-oauth"
)
STORAGE_CLIENTS = Metric("storage_clients_count", "gauge", "{client}", "Known clients.", source="mcp-oauth")
STORAGE_FLOWS = Metric("storage_flows_count", "gauge", "{flow}", "Pending authorizations.", source="mcp-oauth")
STORAGE_FAMILIES = Metric(
    "storage_families_count",
    "gauge",
    "{family}",
    "Live authorization grants with a refresh token.",
    source="mcp-oauth",
)
STORAGE_REFRESH_TOKENS = Metric(
    "storage_refresh_tokens_count", "gauge", "{token}", "Live refresh tokens.", source="mcp-oauth"
)
PROVIDER_CALLS = Metric(
    "provider_api_calls_total",
    "counter",
    "{call}",
    "Calls of a client to its provider; status is the HTTP code, 0 without a response.",
    (PROVIDER, _PROVIDER_OPERATION, _PROVIDER_STATUS),
    zeros=tuple((None, op, status) for op in PROVIDER_OPERATIONS for status in ("0", "200", "400", "401", "500")),
    source="mcp-oauth",
)
PROVIDER_DURATION = Metric(
    "provider_api_duration_milliseconds",
    "histogram",
    "ms",
    "Duration of a call of a client to its provider.",
    (PROVIDER, _PROVIDER_OPERATION),
    _ENDPOINT_MS,
    source="mcp-oauth",
)
PROVIDER_API_ERRORS = Metric(
    "provider_api_errors_total",
    "counter",
    "{error}",
    "Failed calls of a client to its provider, by type of error.",
    (PROVIDER, _PROVIDER_OPERATION, _ERROR_TYPE),
    source="mcp-oauth",
)

# Our own: the health of the instrumentation -----------------------------------------------------------------

COMPONENTS = ("operation", "ledger", "hook", "gauge", "manual", "exposition", "redaction")
REDACTED_KINDS = (
    "code",
    "state",
    "nonce",
    "access_token",
    "refresh_token",
    "id_token",
    "token",
    "code_verifier",
    "code_challenge",
    "client_secret",
    "assertion",
    "password",
    "device_code",
    "user_code",
    "request_uri",
    "jwt",
    "authorization",
    "cookie",
    "session",
    "api_key",
    "custom",
    "opaque",
    "uninspected",
)
"""What a redacted value can be called. ``opaque`` is what only looks like a secret (strict), ``uninspected`` what could
not be looked at and was left out for that."""
PARTITIONS = ("code", "refresh", "state", "access", "family", "flow", "pkce", "client", "authorization")

INTERNAL_ERRORS = Metric(
    "otel_oauth_errors_total",
    "counter",
    "{error}",
    "Errors of the instrumentation itself, stopped before the application could see them.",
    (Label("component", COMPONENTS),),
    source="otel-oauth",
)
LABEL_OVERFLOW = Metric(
    "otel_oauth_label_overflow_total",
    "counter",
    "{value}",
    "Label values recorded as other because the set is closed or its cap is reached.",
    (Label("label", ("provider", "client_id", "closed")),),
    source="otel-oauth",
)
LEDGER_ENTRIES = Metric(
    "otel_oauth_ledger_entries",
    "gauge",
    "{entry}",
    "Entries of the ledger.",
    (Label("partition", PARTITIONS),),
    source="otel-oauth",
)
LEDGER_EVICTIONS = Metric(
    "otel_oauth_ledger_evictions_total",
    "counter",
    "{entry}",
    "Entries that the ledger dropped before their time because it was full.",
    (Label("partition", PARTITIONS),),
    source="otel-oauth",
)
LEDGER_SHARED = Metric(
    "otel_oauth_ledger_shared",
    "gauge",
    "{level}",
    "How far the ledger is shared: 0 this process, 1 this host, 2 several hosts (Redis).",
    source="otel-oauth",
)
EVENTS_DROPPED = Metric(
    "otel_oauth_events_dropped_total",
    "counter",
    "{event}",
    "Log events that did not leave though somebody listens: held back by the rate, left out by sampling, or lost.",
    (Label("reason", ("rate_limited", "sampled", "queue_full", "unwritten")),),
    source="otel-oauth",
)
REDACTIONS = Metric(
    "otel_oauth_redactions_total",
    "counter",
    "{secret}",
    "Secrets that were taken out of what leaves the process (or, in a dry run, would have been), by signal and kind.",
    (Label("signal", ("span", "log", "metric", "baggage")), Label("kind", REDACTED_KINDS)),
    zeros=tuple(
        (signal, kind)
        for signal in ("span", "log")
        for kind in ("code", "state", "access_token", "refresh_token", "code_verifier", "client_secret")
    ),
    source="otel-oauth",
)
HOOKS = Metric(
    "otel_oauth_hooks",
    "gauge",
    "{hook}",
    "Hooks into instrumented libraries by state.",
    (Label("library", ("authlib", "httpx")), Label("state", ("attached", "missing"))),
    source="otel-oauth",
)

_ALL = [value for value in list(globals().values()) if isinstance(value, Metric)]

DOCUMENTED: tuple[Metric, ...] = tuple(metric for metric in _ALL if metric.source != "otel-oauth")
"""The 39 documented metrics, in the order of their documents."""

OWN: tuple[Metric, ...] = tuple(metric for metric in _ALL if metric.source == "otel-oauth")
"""The metrics about the instrumentation itself."""

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in _ALL}
"""Every metric by its name."""
