"""The authorization endpoint: when an authorization counts as started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_oauth_authlib.requests import EndpointRequest, parameter

if TYPE_CHECKING:
    from otel_oauth.operation import Operation

_AGAIN_SECONDS = 600.0
_REFUSED = frozenset(
    ("invalid_request", "invalid_client", "unauthorized_client", "unsupported_response_type", "invalid_scope")
)


def settle(operation: Operation, notes: EndpointRequest) -> None:
    """Count an authorization of a known client once, whichever of consent page and response comes first."""
    request = notes.request
    if request is None or not notes.queried_client or notes.error in _REFUSED:
        return
    identity = "\0".join(parameter(request, name) or "" for name in ("client_id", "state", "nonce", "code_challenge"))
    if operation.telemetry.ledger.first(identity, _AGAIN_SECONDS):
        operation.facts["started"] = True
