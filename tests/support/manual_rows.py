"""What the tests of the manual API share: the rows of metrics, and requests told in short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import otel_oauth

if TYPE_CHECKING:
    from otel_oauth.manual import Endpoint
    from otel_oauth.testing import Capture


CB_FALSE = "oauth_callback_processed{client_id=shop,success=false}"
NOT_FOUND = "oauth_pkce_validations_total{status=failure,reason=not_found}"
FLOW_FAILED = "oauth_flows_total{provider=example,status=failure}"
FLOW_TIMED = "oauth_flow_duration_seconds{provider=example,status=failure}"
EVENTS = "oauth_security_events_total"
HASH_MISMATCH = "oauth_integrity_violations_total{violation_type=hash_mismatch}"
INVALID_HASH = "oauth_pkce_validations_total{status=failure,reason=invalid_hash}"
INJECTION = {"oauth_code_injection_attempts_total", f"{EVENTS}{{event_type=code_injection,severity=critical}}"}


def token_rows(*rows: str, status: int = 200) -> dict[str, int]:
    request = f"oauth_http_requests_total{{method=POST,endpoint=token,status={status}}}"
    return dict.fromkeys((request, "oauth_http_request_duration_milliseconds{endpoint=token}", *rows), 1)


def called_rows(operation: str, status: int, error: str = "") -> set[str]:
    rows = {
        f"provider_api_calls_total{{provider=example,operation={operation},status={status}}}",
        f"provider_api_duration_milliseconds{{provider=example,operation={operation}}}",
    }
    if error:
        rows.add(f"provider_api_errors_total{{provider=example,operation={operation},error_type={error}}}")
    return rows


def refresh_rows(status: str, reason: str) -> set[str]:
    return {
        f"oauth_token_refresh_total{{status={status},reason={reason}}}",
        f"oauth_token_refresh_duration_seconds{{status={status}}}",
    }


def start_flow(capture: Capture, state: str = "s1", *, verifier: bool = True) -> None:
    with otel_oauth.flow_started("example", telemetry=capture.telemetry) as flow:
        flow.state_stored(state, verifier=verifier, lifetime=600)


REDIRECT = "https://shop.example/callback"


class Server:
    """Requests to endpoints, told in short."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture

    def request(self, name: str = "token", *, client: str = "shop", grant_type: str = "", **method: str) -> Endpoint:
        found = otel_oauth.endpoint(name, grant_type=grant_type, telemetry=self.capture.telemetry, **method)
        found.client(client, authenticated=True)
        return found

    def authorize(self, code: str, method: str = "S256") -> None:
        with self.request("authorization", method="GET") as request:
            request.code_issued(code, challenge_method=method, redirect_uri=REDIRECT)
            request.answered(302)

    def redeem(self, code: str, *, client: str = "shop", status: int = 200, tokens: str = "", **told: Any) -> set[str]:
        self.capture.mark()
        with self.request(client=client, grant_type="authorization_code") as request:
            request.code_presented(code, **{"found": status == 200, "verifier": True, **told})
            if tokens:
                request.tokens_issued(f"access {tokens}", expires_in=60, refresh_token=tokens)
            request.answered(status, "" if status == 200 else "invalid_grant")
        return self._rows("token", status)

    def refresh(
        self, token: str, *, client: str = "shop", status: int = 200, new: str = "", found: bool = True
    ) -> set[str]:
        self.capture.mark()
        with self.request(client=client, grant_type="refresh_token") as request:
            request.refresh_presented(token, found=found)
            if new:
                request.tokens_issued(f"access {new}", refresh_token=new)
            request.answered(status, "" if status == 200 else "invalid_grant")
        return self._rows("token", status)

    def _rows(self, endpoint: str, status: int) -> set[str]:
        moved = set(self.capture.moved())
        request = {
            f"oauth_http_requests_total{{method=POST,endpoint={endpoint},status={status}}}",
            f"oauth_http_request_duration_milliseconds{{endpoint={endpoint}}}",
        }
        assert request <= moved
        return moved - request
