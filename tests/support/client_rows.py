"""The rows of the decision table in its short forms, for the client."""

from __future__ import annotations


def provider_call(operation: str, status: str, error: str = "", provider: str = "idp") -> dict[str, float]:
    """K(operation, status), with E(error) if one is given."""
    moved = {
        f"provider_api_calls_total{{provider={provider},operation={operation},status={status}}}": 1.0,
        f"provider_api_duration_milliseconds{{provider={provider},operation={operation}}}": 1.0,
    }
    if error:
        moved[f"provider_api_errors_total{{provider={provider},operation={operation},error_type={error}}}"] = 1.0
    return moved


def flow(status: str, provider: str = "idp") -> dict[str, float]:
    """FL(status), with its duration."""
    return {
        f"oauth_flows_total{{provider={provider},status={status}}}": 1,
        f"oauth_flow_duration_seconds{{provider={provider},status={status}}}": 1,
    }


def callback_endpoint(status: str, method: str = "GET") -> dict[str, float]:
    """The HTTP request in which a callback was handled."""
    return {
        f"oauth_http_requests_total{{method={method},endpoint=callback,status={status}}}": 1,
        "oauth_http_request_duration_milliseconds{endpoint=callback}": 1,
    }


STATE = {
    operation: {
        f"storage_operation_total{{operation={operation},result=success}}": 1.0,
        f"storage_operation_duration_milliseconds{{operation={operation}}}": 1.0,
    }
    for operation in ("get_state", "set_state", "clear_state")
}


def callback_moved(success: str) -> dict[str, float]:
    """CB(success) of the registry's own client."""
    return {f"oauth_callback_processed{{client_id=web,success={success}}}": 1}


def validated(status: str, reason: str) -> dict[str, float]:
    """PV(reason), or PVok."""
    return {f"oauth_pkce_validations_total{{status={status},reason={reason}}}": 1}


def security(event_type: str, severity: str) -> dict[str, float]:
    """SE(event_type, severity)."""
    return {f"oauth_security_events_total{{event_type={event_type},severity={severity}}}": 1}


INJECTION = {"oauth_code_injection_attempts_total": 1.0, **security("code_injection", "critical")}


def refreshed(status: str, reason: str) -> dict[str, float]:
    """RT(status, reason), with its duration."""
    return {
        f"oauth_token_refresh_total{{status={status},reason={reason}}}": 1,
        f"oauth_token_refresh_duration_seconds{{status={status}}}": 1,
    }
