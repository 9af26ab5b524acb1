"""What each scenario has to move, exactly: no other documented counter may move, and none by another amount.

A series is spelled ``program metric{values of its labels in the documented order}``, with `` xN`` behind it where it
moves by more than one. ``dyn-*`` stands for the ids of clients that registered themselves. The operations on the
application's store (``storage_operation_total``) depend on the application and are left out, as is what the passage of
time moves (:data:`ANY_TIME`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ANY_TIME = "client oauth_pkce_states_cleaned_total{expired}"
"""A state is found to be expired when somebody looks, be it a collection of the gauges."""

STORE = " storage_operation_total"


def _token(status: int, times: int = 1) -> str:
    return f"server oauth_http_requests_total{{POST,token,{status}}} x{times}"


def _callback(status: int, times: int = 1) -> str:
    return f"client oauth_http_requests_total{{GET,callback,{status}}} x{times}"


def _called(operation: str, status: int, times: int = 1, provider: str = "demo") -> str:
    return f"client provider_api_calls_total{{{provider},{operation},{status}}} x{times}"


def _call_failed(operation: str, status: int, error: str, provider: str = "demo") -> tuple[str, str]:
    return (
        _called(operation, status, 1, provider),
        f"client provider_api_errors_total{{{provider},{operation},{error}}}",
    )


def _consent(client: str, times: int = 1) -> tuple[str, ...]:
    return (
        f"server oauth_authorization_started{{{client}}} x{times}",
        f"server oauth_http_requests_total{{GET,authorization,200}} x{times}",
        f"server oauth_http_requests_total{{POST,authorization,302}} x{times}",
    )


def _code_exchanged(client: str, times: int = 1, tokens: int = 0) -> tuple[str, ...]:
    return (
        *_consent(client, times),
        f"server oauth_pkce_states_created_total x{times}",
        f"server oauth_pkce_validations_total{{success,valid}} x{times}",
        f"server oauth_code_exchanged{{{client},S256}} x{times}",
        _token(200, tokens or times),
    )


def _initiated(provider: str = "demo", times: int = 1) -> tuple[str, str]:
    return (
        f"client oauth_flows_total{{{provider},initiated}} x{times}",
        f"client oauth_pkce_states_created_total x{times}",
    )


def _logged_in(client: str, provider: str, times: int = 1, tokens: int = 0) -> tuple[str, ...]:
    return (
        *_code_exchanged(client, times, tokens),
        *_initiated(provider, times),
        f"client oauth_flows_total{{{provider},success}} x{times}",
        f"client oauth_pkce_validations_total{{success,valid}} x{times}",
        f"client oauth_callback_processed{{{client},true}} x{times}",
        _callback(200, times),
        _called("token", 200, times, provider),
    )


def _discovered(provider: str) -> tuple[str, str]:
    return "client oauth_discovery_attempts_total{manual,success}", _called("discovery", 200, 1, provider)


def _tenant(provider: str) -> tuple[str, ...]:
    return (
        *_logged_in("dyn-*", provider),
        *_discovered(provider),
        _called("jwks", 200, 1, provider),
        _called("registration", 201, 1, provider),
        "client oauth_client_registrations_total{success}",
    )


def _registered(times: int, *types: str) -> tuple[str, ...]:
    return (
        f"server oauth_client_registrations_total{{success}} x{times}",
        f"server oauth_http_requests_total{{POST,registration,201}} x{times}",
        *types,
    )


def _rejected(provider: str) -> tuple[str, ...]:
    return (
        *_discovered(provider),
        *_call_failed("registration", 400, "client_error", provider),
        "server oauth_client_registrations_total{failure}",
        "server oauth_http_requests_total{POST,registration,400}",
        "client oauth_client_registrations_total{failure}",
    )


def _pkce(method: str, *violation: str) -> tuple[str, ...]:
    return (
        _token(400),
        "server oauth_pkce_validations_total{failure,invalid_hash}",
        f"server oauth_pkce_validation_failed{{{method}}}",
        *violation,
    )


def _event(program: str, event_type: str, severity: str) -> str:
    return f"{program} oauth_security_events_total{{{event_type},{severity}}}"


def _integrity(program: str, kind: str, severity: str) -> tuple[str, str]:
    return f"{program} oauth_integrity_violations_total{{{kind}}}", _event(program, "integrity_violation", severity)


def _injection(program: str) -> tuple[str, str]:
    return f"{program} oauth_code_injection_attempts_total", _event(program, "code_injection", "critical")


def _refreshed(client: str, times: int = 1) -> tuple[str, str]:
    return (
        f"server oauth_token_refresh_total{{success,normal}} x{times}",
        f"server oauth_token_refreshed{{{client},true}} x{times}",
    )


CALLBACK_REFUSED = (_callback(400), "client oauth_callback_processed{web,false}")
STATE_NOT_FOUND = (*CALLBACK_REFUSED, "client oauth_pkce_validations_total{failure,not_found}")
FLOW_FAILED = "client oauth_flows_total{demo,failure}"
STATE_DESTROYED = "client oauth_pkce_states_cleaned_total{server_deleted}"
STATE_FOUND = "client oauth_pkce_validations_total{success,valid}"
PROVIDER_FAILED = (_callback(502), "client oauth_callback_processed{web,false}", STATE_FOUND, FLOW_FAILED)
CODE_REUSED = (_token(400), "server oauth_code_reuse_detected")
TOKEN_REUSED = (
    _token(400),
    "server oauth_token_refresh_total{reuse_detected,reuse_detected}",
    "server oauth_token_reuse_detected",
    _event("server", "token_reuse", "critical"),
)

EXPECTED: Mapping[str, tuple[str, ...]] = {
    "logins": _logged_in("web", "demo", 24),
    "kiosk_logins": (*_logged_in("kiosk", "kiosk", 4), _called("jwks", 200, 1, "kiosk")),
    "partner_logins": (
        *_consent("partner", 3),
        _token(200, 3),
        "server oauth_pkce_states_created_total x2",
        "server oauth_pkce_validations_total{success,valid} x2",
        *(f"server oauth_code_exchanged{{partner,{method}}}" for method in ("S256", "plain", "none")),
    ),
    "newsletter_logins": (
        *_code_exchanged("newsletter", 3),
        *_initiated("newsletter", 3),
        "client oauth_flows_total{newsletter,success} x3",
        "client oauth_pkce_validations_total{success,valid} x3",
        _called("token", 200, 3, "newsletter"),
    ),
    "api_calls": (_called("api", 200, 24),),
    "profiles": ("server oauth_http_requests_total{GET,userinfo,200} x6", _called("userinfo", 200, 6)),
    "refreshes": (
        *_refreshed("web", 8),
        _token(200, 8),
        "client oauth_token_refresh_total{success,normal} x8",
        _called("refresh", 200, 8),
    ),
    "automatic_refreshes": (
        *_logged_in("kiosk", "kiosk", 1, tokens=5),
        *_refreshed("kiosk", 4),
        "client oauth_token_refresh_total{success,normal} x4",
        _called("refresh", 200, 4, "kiosk"),
        _called("api", 200, 4, "kiosk"),
    ),
    "introspections": (
        *_code_exchanged("partner"),
        "server oauth_http_requests_total{POST,introspection,200} x5",
        _called("introspect", 200, 4),
    ),
    "nightly_reports": (_token(200, 3), _called("token", 200, 3), _called("api", 200, 3)),
    "tenants": (
        *_tenant("tenant-1"),
        *_tenant("tenant-2"),
        *_registered(2, "server oauth_client_registered{confidential} x2"),
    ),
    "registrations": (
        *_code_exchanged("dyn-*", 2),
        *_registered(2, *(f"server oauth_client_registered{{{kind}}}" for kind in ("public", "confidential"))),
    ),
    "documents": (),  # routes of the application's own: Authlib is not asked
    "logouts": (
        "server oauth_http_requests_total{POST,revocation,200} x6",
        "server oauth_token_revocations_total{manual} x6",
        "server oauth_token_revoked{web} x6",
        "client oauth_token_revocations_total{manual} x6",
        _called("revoke", 200, 6),
    ),
    "second_thoughts": (
        *_logged_in("web", "demo"),
        *_initiated(),
        "server oauth_authorization_started{web}",
        "server oauth_http_requests_total{GET,authorization,200}",
    ),
    "consent_denied": (*_consent("web"), *_initiated(), *CALLBACK_REFUSED),
    "unsupported_scope": (
        "server oauth_http_requests_total{GET,authorization,302}",
        *_initiated(),
        *CALLBACK_REFUSED,
        FLOW_FAILED,
    ),
    "insufficient_scope": _call_failed("api", 403, "client_error"),
    "revoked_access_token": (),  # refused by the API, which is no OAuth endpoint
    "provider_error_at_login": (
        *PROVIDER_FAILED,
        _token(500),
        "server oauth_pkce_validations_total{success,valid}",
        *_call_failed("token", 500, "server_error"),
    ),
    "provider_error_at_refresh": (
        _token(500),
        *(f"{program} oauth_token_refresh_total{{failure,exception}}" for program in ("server", "client")),
        *_call_failed("refresh", 500, "server_error"),
    ),
    "gateway_page": (*PROVIDER_FAILED, *_call_failed("token", 200, "invalid_response")),
    "unknown_state": STATE_NOT_FOUND,
    "registrations_rejected": (*_rejected("rejected-1"), *_rejected("rejected-2")),
    "discovery_fails": (
        "client oauth_discovery_attempts_total{manual,failure}",
        *_call_failed("discovery", 404, "client_error", "nowhere"),
    ),
    "wrong_client_secret": (_token(401),),
    "secret_guessing": (_token(401, 4), _token(429), "server oauth_rate_limit_exceeded{endpoint}"),
    "refresh_refused": (
        _token(400, 4),
        "server oauth_token_refresh_total{failure,no_refresh_token}",
        "server oauth_token_refresh_total{failure,no_record} x2",
        "server oauth_token_refresh_total{failure,normal}",
    ),
    "forged_code": (_token(400), "server oauth_pkce_validations_total{failure,not_found}"),
    "verifier_missing_public": (*_consent("kiosk"), *_pkce("none")),
    "unknown_token_introspected": ("server oauth_http_requests_total{POST,introspection,200}",),
    "unknown_token_revoked": ("server oauth_http_requests_total{POST,revocation,200}",),
    "expired_state": (
        _callback(400),
        "client oauth_callback_processed{kiosk,false}",
        "client oauth_pkce_validations_total{failure,expired}",
        "client oauth_flows_total{kiosk,failure}",
    ),
    "code_repeated_at_once": (*CODE_REUSED, _event("server", "token_reuse", "low")),
    "code_replayed_later": (*CODE_REUSED, _event("server", "token_reuse", "high")),
    "redeemed_code_of_another_client": (*CODE_REUSED, *_injection("server")),
    "code_with_another_path": (_token(400),),
    "code_with_another_host": (_token(400), *_injection("server")),
    "code_of_another_client": (_token(400), *_injection("server")),
    "verifier_malformed": _pkce("S256"),
    "verifier_wrong": _pkce("S256", *_integrity("server", "hash_mismatch", "high")),
    "verifier_missing": _pkce("S256", *_integrity("server", "hash_mismatch", "medium")),
    "pkce_downgrade": _pkce("none", *_integrity("server", "hash_mismatch", "high")),
    "code_injected": (
        *_pkce("S256", *_integrity("server", "hash_mismatch", "high")),
        *CALLBACK_REFUSED,
        STATE_FOUND,
        FLOW_FAILED,
        *_call_failed("token", 400, "client_error"),
    ),
    "refresh_race": (
        *_refreshed("web"),
        _token(200),
        _token(400),
        "server oauth_token_refresh_total{failure,reuse_detected}",
        _event("server", "token_reuse", "low"),
    ),
    "refresh_token_reused": TOKEN_REUSED,
    "refresh_token_rotated_away": TOKEN_REUSED,
    "refresh_token_of_another_client": (
        _token(400),
        "server oauth_token_refresh_total{failure,ownership_failed}",
        *_integrity("server", "user_mismatch", "high"),
    ),
    "callback_reloaded": (*STATE_NOT_FOUND, _event("client", "integrity_violation", "low")),
    "state_replayed": (*STATE_NOT_FOUND, *_integrity("client", "state_reuse", "high")),
    "cookie_lost": (*STATE_NOT_FOUND, FLOW_FAILED, STATE_DESTROYED, _event("client", "integrity_violation", "low")),
    "state_of_another_session": (*STATE_NOT_FOUND, STATE_DESTROYED, *_injection("client")),
    "revocation_repeated": ("server oauth_http_requests_total{POST,revocation,200}",),
    "revocation_by_another_client": (
        "server oauth_http_requests_total{POST,revocation,400}",
        *_integrity("server", "user_mismatch", "high"),
    ),
}


def expected(scenario: str) -> Counter[str]:
    """Return by how much each series has to move in ``scenario``."""
    wanted: Counter[str] = Counter()
    for line in EXPECTED[scenario]:
        series, _, times = line.partition(" x")
        wanted[series] += int(times or 1)
    return wanted


def complaints(scenario: str, moved: Counter[str]) -> Iterator[str]:
    """Yield a sentence for each series that moved by another amount than it had to."""
    wanted = expected(scenario)
    for series in sorted({*wanted, *moved}):
        checked = series != ANY_TIME and STORE not in series
        if checked and moved[series] != wanted[series]:
            yield f"{series} moved by {moved[series]} instead of {wanted[series]}"
