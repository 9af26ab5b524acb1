"""The rows «client, callback» of the decision table, with the Flask registry and OpenID Connect."""

from __future__ import annotations

from typing import Any

from client_rows import STATE, callback_endpoint, flow, provider_call


def test_login_end_to_end(make_party: Any, capture: Any) -> None:
    party = make_party()
    parameters = party.consent()
    assert capture.moved() == {
        **provider_call("discovery", "200"),
        "oauth_discovery_attempts_total{method=manual,status=success}": 1,
        "oauth_discovery_duration_seconds{method=manual,status=success}": 1,
        "oauth_flows_total{provider=idp,status=initiated}": 1,
        "oauth_pkce_states_created_total": 1,
        **STATE["set_state"],
    }
    assert party.callback(**parameters) == 200
    assert capture.moved() == {
        **provider_call("token", "200"),
        **provider_call("jwks", "200"),
        **flow("success"),
        "oauth_callback_processed{client_id=web,success=true}": 1,
        "oauth_pkce_validations_total{status=success,reason=valid}": 1,
        **STATE["get_state"],
        **STATE["clear_state"],
        **callback_endpoint("200"),
    }
