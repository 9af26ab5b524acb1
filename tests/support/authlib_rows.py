"""The short forms of the decision table, as what `Capture.moved()` gives."""

from __future__ import annotations

HTTP = {"oauth_http_request_duration_milliseconds{endpoint=token}": 1}
INJECTION = {
    "oauth_code_injection_attempts_total": 1,
    "oauth_security_events_total{event_type=code_injection,severity=critical}": 1,
}


def status(code: int) -> dict[str, float]:
    """Sn of the decision table, without its storage rows."""
    return {f"oauth_http_requests_total{{method=POST,endpoint=token,status={code}}}": 1, **HTTP}


def storage(*operations: str, error: str = "") -> dict[str, float]:
    """The storage rows of a request."""
    moved: dict[str, float] = {}
    for operation in operations:
        result = "error" if operation == error else "success"
        for name in (
            f"storage_operation_total{{operation={operation},result={result}}}",
            f"storage_operation_duration_milliseconds{{operation={operation}}}",
        ):
            moved[name] = moved.get(name, 0) + 1
    return moved


def integrity(severity: str) -> dict[str, float]:
    """The attack counters of a hash mismatch."""
    return {
        "oauth_integrity_violations_total{violation_type=hash_mismatch}": 1,
        f"oauth_security_events_total{{event_type=integrity_violation,severity={severity}}}": 1,
    }


def pkce_failure(reason: str, method: str = "") -> dict[str, float]:
    """PV(reason), and PF(method) if a method is given."""
    moved = {f"oauth_pkce_validations_total{{status=failure,reason={reason}}}": 1.0}
    return {**moved, **({f"oauth_pkce_validation_failed{{method={method}}}": 1} if method else {})}


def reuse(severity: str) -> dict[str, float]:
    """CR and SE(token_reuse, severity)."""
    return {
        "oauth_code_reuse_detected": 1,
        f"oauth_security_events_total{{event_type=token_reuse,severity={severity}}}": 1,
    }


GRANTED = storage("query_client", "query_code", "query_user", "save_token", "delete_code")
REFUSED = storage("query_client", "query_code")
PKCE_OK = {"oauth_pkce_validations_total{status=success,reason=valid}": 1}


def exchanged(client: str, method: str) -> dict[str, float]:
    """The M row of a successful exchange."""
    return {f"oauth_code_exchanged{{client_id={client},pkce_method={method}}}": 1}


def refresh(outcome: str, reason: str) -> dict[str, float]:
    """RT(outcome, reason) with its duration."""
    return {
        f"oauth_token_refresh_total{{status={outcome},reason={reason}}}": 1,
        f"oauth_token_refresh_duration_seconds{{status={outcome}}}": 1,
    }


def endpoint(name: str, code: int) -> dict[str, float]:
    """One POST to another endpoint of the server."""
    return {
        f"oauth_http_requests_total{{method=POST,endpoint={name},status={code}}}": 1,
        f"oauth_http_request_duration_milliseconds{{endpoint={name}}}": 1,
    }


OWNERSHIP = {
    "oauth_integrity_violations_total{violation_type=user_mismatch}": 1,
    "oauth_security_events_total{event_type=integrity_violation,severity=high}": 1,
}
