"""The manual API: OAuth telemetry of an implementation that no plugin knows.

Each function names one OAuth operation in the terms of its RFC. Those that return an object are used in a
``with`` block around the operation, in plain and in ``async`` functions alike; the operation is recorded
once, when the block ends::

    with otel_oauth.endpoint("token", grant_type="authorization_code") as request:
        request.client("shop", authenticated=True)
        request.code_presented(code, found=True, verifier=True, pkce="matched")
        request.tokens_issued(access_token, expires_in=3600, refresh_token=refresh_token)
        request.answered(200)

Verdicts (a replayed code, a rotated refresh token presented again, a state of another session) follow from
what was told before, by the same rules and the same ledger as in the plugins.

A wrong *name* (of an endpoint, an operation, a case, a metric) raises :class:`ValueError` with the names
there are. A wrong *value* of a label is recorded as ``other``. Nothing else ever raises, and the
application's own exceptions pass through. Codes, tokens and states are only used to make keyed digests: none
is kept, logged or exported.

Every function takes ``telemetry``, a :class:`otel_oauth.telemetry.Telemetry`; by default it is that of the
global providers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_oauth import kinds
from otel_oauth.cases import CASES
from otel_oauth.catalogue import BY_NAME
from otel_oauth.events import FORBIDDEN
from otel_oauth.manual._client import Callback, FlowStart, ProviderCall
from otel_oauth.manual._recorded import Recorded, choice
from otel_oauth.manual._server import Endpoint
from otel_oauth.operation import current_operation
from otel_oauth.telemetry import GAUGE_KINDS, Telemetry, get_telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.cases import Case
    from otel_oauth.kinds import OperationKind

__all__ = [
    "Callback",
    "Endpoint",
    "FlowStart",
    "ProviderCall",
    "Recorded",
    "callback",
    "count_with",
    "discovery",
    "endpoint",
    "flow_started",
    "forbidden_practice",
    "pkce_state_cleaned",
    "provider_call",
    "rate_limit_exceeded",
    "refresh",
    "registration",
    "storage",
    "token_revoked",
    "verdict",
]


# The client's side ------------------------------------------------------------------------------------------


def flow_started(provider: str, *, telemetry: Telemetry | None = None) -> FlowStart:
    """Record that a login begins: ``oauth_flows_total{initiated}`` (RFC 6749 section 4.1.1).

    :param provider: the name the application gives the provider, or a URL of it.
    """
    return FlowStart(provider, telemetry)


def callback(provider: str, *, client_id: str, telemetry: Telemetry | None = None) -> Callback:
    """Record a callback: ``oauth_callback_processed``, and the end of the flow with its duration in seconds.

    The block ends when the tokens are stored; an exception that leaves it is a failure (RFC 6749 section
    4.1.2).

    :param client_id: the client's id at the provider, from the application's configuration.
    """
    return Callback(provider, client_id, telemetry)


def provider_call(provider: str, operation: str, *, telemetry: Telemetry | None = None) -> ProviderCall:
    """Record a request to the provider: ``provider_api_calls_total``, duration in milliseconds, error.

    :param operation: ``token``, ``refresh``, ``revoke``, ``introspect``, ``userinfo``, ``discovery``,
        ``jwks``, ``registration`` or ``api``; :func:`refresh`, :func:`discovery` and :func:`registration` say
        more of theirs.
    :raises ValueError: if ``operation`` is none of these.
    """
    facts = {"discovery_method": "manual"} if operation == "discovery" else {}
    return ProviderCall(provider, operation, telemetry, registration=operation == "registration", **facts)


def refresh(provider: str, *, telemetry: Telemetry | None = None) -> ProviderCall:
    """Record a client's refresh (RFC 6749 section 6): ``oauth_token_refresh_total`` once, and its duration.

    The reason follows from what :meth:`ProviderCall.answered` is told: ``invalid_grant`` is ``no_record``,
    another OAuth error ``normal``, anything else ``exception``.
    """
    return ProviderCall(provider, "refresh", telemetry)


def discovery(method: str, provider: str = "", *, telemetry: Telemetry | None = None) -> ProviderCall:
    """Record a metadata discovery: ``oauth_discovery_attempts_total`` and its duration in seconds.

    :param method: ``rfc9728`` (protected resource metadata), ``www-authenticate`` (its URL from a 401) or
        ``manual`` (RFC 8414, OpenID Connect Discovery at a configured URL).
    :param provider: with it the request also counts as a call to this provider.
    """
    return ProviderCall(provider, "discovery", telemetry, discovery_method=method)


def registration(provider: str = "", *, telemetry: Telemetry | None = None) -> ProviderCall:
    """Record that this client registers itself (RFC 7591): ``oauth_client_registrations_total``, duration.

    :param provider: with it the request also counts as a call to this provider.
    """
    return ProviderCall(provider, "registration", telemetry, registration=True)


# The authorization server's side ----------------------------------------------------------------------------


def endpoint(name: str, *, method: str = "POST", grant_type: str = "", telemetry: Telemetry | None = None) -> Endpoint:
    """Record a request to an OAuth endpoint: ``oauth_http_requests_total`` and its duration in milliseconds.

    :param name: ``authorization``, ``token``, ``revocation``, ``introspection``, ``registration``,
        ``device_authorization``, ``userinfo``, ``metadata``, ``end_session`` or ``callback``.
    :param grant_type: of a token request, as it stands in the request.
    :raises ValueError: if ``name`` is none of these.
    """
    return Endpoint(name, method, grant_type, telemetry)


def storage(operation: str, *, telemetry: Telemetry | None = None) -> Recorded:
    """Record a call to the application's store: ``storage_operation_total``, duration in milliseconds.

    :param operation: ``query_client``, ``save_token``, … (the catalogue's ``STORAGE_OPERATIONS``), others are
        ``other``.
    """
    return Recorded(kinds.STORAGE, telemetry, operation=operation, result="success")


# What happens outside of an operation -----------------------------------------------------------------------


def _once(telemetry: Telemetry, kind: OperationKind, case: Case | None = None, **facts: object) -> None:
    with telemetry.operation(kind, facts) as operation:
        operation.judge(case)


def _record(telemetry: Telemetry | None, kind: OperationKind, case: Case | None = None, **facts: object) -> None:
    found = get_telemetry() if telemetry is None else telemetry
    if not found.settings.disabled:
        found.guard.run("manual", _once, found, kind, case, **facts)


def rate_limit_exceeded(limiter_type: str, *, telemetry: Telemetry | None = None) -> None:
    """Record a refusal by a rate limiter: ``oauth_rate_limit_exceeded``.

    :param limiter_type: ``ip``, ``user``, ``client_registration``, ``endpoint`` or ``device``.
    """
    _record(telemetry, kinds.RATE_LIMITED, limiter=limiter_type)


def token_revoked(reason: str, *, token: str = "", telemetry: Telemetry | None = None) -> None:
    """Record a revocation outside of a revocation endpoint: ``oauth_token_revocations_total``.

    :param reason: ``reuse_detected`` (of a family, RFC 9700 section 4.14.2), ``manual``, ``expired`` or
        ``security``.
    :param token: the token, to take it out of the gauges.
    """
    found = get_telemetry() if telemetry is None else telemetry
    _record(found, kinds.REVOKED, revoked=reason)
    if token:
        found.guard.run("manual", found.ledger.revoke, token)


def pkce_state_cleaned(reason: str, *, state: str = "", code: str = "", telemetry: Telemetry | None = None) -> None:
    """Record that a PKCE state was removed unused: ``oauth_pkce_states_cleaned_total``.

    :param reason: ``expired``, ``manual`` or ``server_deleted``.
    :param state: the client's state, to take it out of the gauges; one that is known not to be pending is not counted.
    :param code: the same of an authorization code that the server deleted outside of an exchange.
    """
    found = get_telemetry() if telemetry is None else telemetry
    forget, value = (found.ledger.drop_state, state) if state else (found.ledger.discard_code, code)
    if not value or found.guard.run("manual", forget, value):
        _record(found, kinds.STATE_CLEANED, cleaned=reason)


def forbidden_practice(name: str, *, client_id: str = "", telemetry: Telemetry | None = None) -> None:
    """Tell of something that OAuth 2.1 forbids and that only the application can see: a compliance event.

    :param name: ``bearer_token_in_query``, ``implicit_grant_used``, ``password_grant_used``, ``pkce_not_used``,
        ``pkce_plain_used`` or ``redirect_uri_insecure``.
    :param client_id: the client that does it, if it is known.
    :raises ValueError: if ``name`` is none of these.
    """
    choice("a forbidden practice", name, FORBIDDEN)
    found = get_telemetry() if telemetry is None else telemetry
    _record(found, kinds.FORBIDDEN, practice=name, client_id=found.guard.run("manual", found.client, client_id))


def verdict(
    case: str, *, challenge_method: str = "none", verifier: bool = True, telemetry: Telemetry | None = None
) -> None:
    """Record a case that the application decided by itself, for example ``nonce_mismatch``.

    Within an operation's block it becomes that operation's case (of two verdicts the graver one stands), else
    it is recorded by itself.

    :param challenge_method: for a PKCE case, the method of the stored challenge (RFC 7636 section 4.3).
    :param verifier: whether the request, or the state, had a code verifier.
    :raises ValueError: if there is no such case.
    """
    found = CASES[choice("a case", case, CASES)]
    facts: dict[str, object] = {"challenge_method": challenge_method, "verifier": verifier}
    around = current_operation()
    while around is not None and around.kind is kinds.STORAGE:
        around = around.parent
    if around is None or (telemetry is not None and around.telemetry is not telemetry):
        _record(telemetry, kinds.VERDICT, found, **facts)
        return
    for name, value in facts.items():
        around.facts.setdefault(name, value)
    around.judge(found)


def count_with(
    metric: str,
    count: Callable[[], int] | None,
    *,
    timeout: float | None = None,
    telemetry: Telemetry | None = None,
) -> None:
    """Take a gauge from the application's own count, called at each collection; ``None`` takes it back.

    Such a count speaks for the whole store, so that dashboards take the highest of all processes.

    :param metric: ``oauth_active_tokens``, ``storage_clients_count``, … or another documented gauge.
    :param timeout: take it in a thread of its own, and let a collection wait at most so many seconds: for a
        count that asks a database. Beyond it the last value stands for five minutes.
    :raises ValueError: if ``metric`` is none of them, or ``timeout`` not above 0 and at most 60.
    """
    choice("a gauge that can be counted", metric, [gauge.name for gauge in GAUGE_KINDS])
    found = get_telemetry() if telemetry is None else telemetry
    found.count_with(BY_NAME[metric], count, timeout=timeout)
