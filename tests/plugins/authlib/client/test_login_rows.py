"""The rows «client, callback» of the decision table, once the state was right."""

from __future__ import annotations

from typing import Any

import pytest
from authlib_versions import AUTHLIB
from client_rows import (
    INJECTION,
    STATE,
    callback_endpoint,
    callback_moved,
    flow,
    provider_call,
    security,
    validated,
)

LOOKED_UP = {**STATE["get_state"], **STATE["clear_state"]}
HASH_MISMATCH = {
    "oauth_integrity_violations_total{violation_type=hash_mismatch}": 1,
    **security("integrity_violation", "high"),
}
OWNERSHIP = {
    "oauth_integrity_violations_total{violation_type=user_mismatch}": 1,
    **security("integrity_violation", "high"),
}
TOKEN = provider_call("token", "200")
PKCE_OK = validated("success", "valid")
FAILED = {**callback_moved("false"), **callback_endpoint("500")}
ACCEPTED = {**callback_moved("true"), **callback_endpoint("200")}


def test_nonce_mismatch(party: Any, provider: Any, capture: Any) -> None:
    parameters = party.consent()
    provider.claims["nonce"] = "of-another-login"
    capture.mark()
    party.callback(**parameters)
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("failure"), **INJECTION, **LOOKED_UP, **FAILED}


def test_nonce_missing(party: Any, provider: Any, capture: Any) -> None:
    parameters = party.consent()
    provider.claims["nonce"] = None
    capture.mark()
    party.callback(**parameters)
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("failure"), **LOOKED_UP, **FAILED}


def test_at_hash_mismatch(party: Any, provider: Any, capture: Any) -> None:
    parameters = party.consent()
    provider.claims["at_hash"] = "of-another-token"
    capture.mark()
    party.callback(**parameters)
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("failure"), **HASH_MISMATCH, **LOOKED_UP, **FAILED}


def test_at_hash_cannot_be_computed(party: Any, provider: Any, capture: Any) -> None:
    parameters = party.consent()
    provider.algorithm = "ES256K"
    provider.claims["at_hash"] = "of-this-very-token"
    capture.mark()
    status = party.callback(**parameters)
    ended = {**flow("failure"), **FAILED}
    if AUTHLIB < (1, 6, 9):  # it takes the hash to be right
        assert status == 200
        ended = {**flow("success"), **callback_moved("true"), **callback_endpoint("200")}
    assert capture.moved() == {**TOKEN, **PKCE_OK, **LOOKED_UP, **ended}


@pytest.mark.parametrize("claim", ["iss", "azp"])
def test_issuer_mismatch__in_the_id_token(party: Any, provider: Any, capture: Any, claim: str) -> None:
    parameters = party.consent()
    provider.claims[claim] = "https://other.example"
    capture.mark()
    party.callback(**parameters)
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("failure"), **OWNERSHIP, **LOOKED_UP, **FAILED}


def test_issuer_mismatch__that_the_library_accepts(party: Any, capture: Any) -> None:
    parameters = party.consent()
    capture.mark()
    assert party.callback(**parameters, iss="https://evil.example") == 200
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("success"), **OWNERSHIP, **LOOKED_UP, **ACCEPTED}


def test_issuer_mismatch__announced_and_absent(party: Any, capture: Any) -> None:
    party.client.server_metadata["authorization_response_iss_parameter_supported"] = True
    parameters = party.consent()
    capture.mark()
    party.callback(**parameters)
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("success"), **OWNERSHIP, **LOOKED_UP, **ACCEPTED}
    parameters = party.consent()
    capture.mark()
    party.callback(**parameters, iss=party.provider.url)
    assert capture.moved() == {**TOKEN, **PKCE_OK, **flow("success"), **LOOKED_UP, **ACCEPTED}


def test_issuer_templated(make_party: Any, provider: Any, capture: Any) -> None:
    party = make_party(
        server_metadata_url=None,
        **{**provider.metadata(), "issuer": "https://login.example/{tenantid}/v2.0"},
        authorize_url=f"{provider.url}/authorize",
        access_token_url=f"{provider.url}/token",
    )
    parameters = party.consent()
    party.callback(**parameters, iss=provider.url)
    moved = capture.moved()
    assert not [name for name in moved if "integrity" in name]
    assert moved["oauth_callback_processed{client_id=web,success=false}"] == 1, "Authlib itself compares the claim"


def test_token_endpoint_fails_at_login__with_500(party: Any, provider: Any, capture: Any) -> None:
    parameters = party.consent()
    provider.answer("/token", 500)
    capture.mark()
    party.callback(**parameters)
    call = provider_call("token", "500", "server_error")
    assert capture.moved() == {**call, **PKCE_OK, **flow("failure"), **LOOKED_UP, **FAILED}


def test_token_endpoint_fails_at_login__with_a_timeout(make_party: Any, provider: Any, capture: Any) -> None:
    party = make_party(client_kwargs={"scope": "openid", "code_challenge_method": "S256"})
    parameters = party.consent()
    party.client.client_kwargs["default_timeout"] = 0.1
    provider.answer("/token", 200, "{}", 0.3)
    capture.mark()
    party.callback(**parameters)
    call = provider_call("token", "0", "timeout")
    assert capture.moved() == {**call, **PKCE_OK, **flow("failure"), **LOOKED_UP, **FAILED}


def test_token_endpoint_refuses_the_code(party: Any, capture: Any) -> None:
    parameters = party.consent()
    capture.mark()
    party.callback(**{**parameters, "code": "forged"})
    call = provider_call("token", "400", "client_error")
    assert capture.moved() == {**call, **PKCE_OK, **flow("failure"), **LOOKED_UP, **FAILED}


@pytest.mark.parametrize("body", ["<html>", "[]", '{"no": "token"}', '{"error": "invalid_grant"}'])
def test_token_endpoint_answers_200_without_a_token(party: Any, provider: Any, capture: Any, body: str) -> None:
    parameters = party.consent()
    provider.answer("/token", 200, body)
    capture.mark()
    status = party.callback(**parameters)
    call = provider_call("token", "200", "client_error" if "error" in body else "invalid_response")
    handled = ACCEPTED if status == 200 else FAILED
    assert capture.moved() == {**call, **PKCE_OK, **flow("failure"), **LOOKED_UP, **handled}
