"""The authorization endpoint: when an authorization counts as started, and the tokens of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_oauth import settle
from otel_oauth_authlib.grants import issued_tokens
from otel_oauth_authlib.requests import EndpointRequest, parameter

if TYPE_CHECKING:
    from otel_oauth.operation import Operation

_REFUSED = frozenset(
    ("invalid_request", "invalid_client", "unauthorized_client", "unsupported_response_type", "invalid_scope")
)


def settle_authorization(operation: Operation, notes: EndpointRequest) -> None:
    """Count an authorization of a known client once, whichever of consent page and response comes first.

    A token that goes out with the answer (implicit and hybrid grants) is told to the ledger.
    """
    if notes.token and not notes.error:
        settle.issued_in_redirect(operation, issued_tokens(notes))
        notes.token = {}
    if notes.started or notes.request is None or not notes.queried_client or notes.error in _REFUSED:
        return
    notes.started = True
    values = notes.values()
    state, nonce = parameter(values, "state") or "", parameter(values, "nonce") or ""
    challenge = parameter(values, "code_challenge") or ""
    settle.authorization_started(operation, notes.queried_client, state, nonce, challenge)
