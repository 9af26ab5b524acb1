"""The rows «client, token calls» of the decision table, for the sessions of requests and httpx2, sync and async."""

from __future__ import annotations

import json
from typing import Any

import pytest
from client_rows import flow, provider_call, validated

HOST = "127.0.0.1"
VERIFIER = "v" * 50
INITIATED = {f"oauth_flows_total{{provider={HOST},status=initiated}}": 1, "oauth_pkce_states_created_total": 1}
PKCE_OK = validated("success", "valid")


def call(operation: str, status: str, error: str = "") -> dict[str, float]:
    return provider_call(operation, status, error, HOST)


def test_code_flow_without_a_registry(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.session()
    url, state = session.create_authorization_url(f"{provider.url}/authorize", code_verifier=VERIFIER)
    assert capture.moved() == INITIATED
    assert capture.gauges()["oauth_active_pkce_states"] == 1
    back = provider.authorize(url)
    location = f"https://client.example/callback?code={back['code']}&state={back['state']}"
    fetched = session.fetch_token(
        f"{provider.url}/token", authorization_response=location, state=state, code_verifier=VERIFIER
    )
    token = driver.run(fetched)
    assert token is session.token
    assert capture.moved() == {**call("token", "200"), **PKCE_OK, **flow("success", HOST)}
    gauges = capture.gauges()
    assert (gauges["oauth_active_pkce_states"], gauges["oauth_active_tokens"]) == (0, 1)
    assert (gauges["storage_refresh_tokens_count"], gauges["storage_families_count"]) == (1, 1)
    span = capture.spans("oauth.code_exchange")[0]
    assert span["links"][0]["span_id"] == capture.spans("oauth.authorize")[0]["span_id"]


def test_code_flow_whose_state_the_application_does_not_pass_on(driver: Any, capture: Any) -> None:
    driver.token()
    assert capture.moved() == {**INITIATED, **call("token", "200"), **PKCE_OK, **flow("success", HOST)}


def test_code_exchange_of_an_unknown_flow_has_no_duration(driver: Any, provider: Any, capture: Any) -> None:
    provider.answer("/token", 200, json.dumps({"access_token": "a", "token_type": "Bearer"}))
    driver.run(driver.session().fetch_token(f"{provider.url}/token", code="from-elsewhere"))
    expected = {**call("token", "200"), f"oauth_flows_total{{provider={HOST},status=success}}": 1}
    assert capture.moved() == expected


def test_state_of_other_session__without_a_registry(driver: Any, provider: Any, capture: Any) -> None:
    ours, theirs = driver.session(), driver.session()
    _, expected = ours.create_authorization_url(f"{provider.url}/authorize", code_verifier=VERIFIER)
    _, foreign = theirs.create_authorization_url(f"{provider.url}/authorize", code_verifier=VERIFIER)
    capture.mark()
    location = f"https://client.example/callback?code=injected&state={foreign}"
    with pytest.raises(Exception, match="mismatching_state"):
        driver.run(ours.fetch_token(f"{provider.url}/token", authorization_response=location, state=expected))
    assert capture.moved() == {
        **validated("failure", "not_found"),
        "oauth_code_injection_attempts_total": 1,
        "oauth_security_events_total{event_type=code_injection,severity=critical}": 1,
    }


def test_implicit_response_is_no_http_call(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.session(response_type="token")
    _, state = session.create_authorization_url(f"{provider.url}/authorize")
    fragment = f"https://client.example/callback#access_token=a&token_type=Bearer&state={state}&expires_in=60"
    token = session.fetch_token(authorization_response=fragment)
    assert token["access_token"] == "a"
    initiated = {f"oauth_flows_total{{provider={HOST},status=initiated}}": 1}
    assert capture.moved() == {**initiated, **flow("success", HOST)}
    assert capture.gauges()["oauth_active_tokens"] == 1


@pytest.mark.parametrize(("status", "error"), [(500, "server_error"), (400, "client_error")])
def test_token_endpoint_fails_at_login__without_a_registry(
    driver: Any, provider: Any, capture: Any, status: int, error: str
) -> None:
    session = driver.session()
    session.create_authorization_url(f"{provider.url}/authorize", code_verifier=VERIFIER)
    capture.mark()
    provider.answer("/token", status, '{"error": "invalid_grant"}')
    with pytest.raises(Exception):  # noqa: B017, PT011 each HTTP client has its own
        driver.run(session.fetch_token(f"{provider.url}/token", code="c", code_verifier=VERIFIER))
    assert capture.moved() == {**call("token", str(status), error), **PKCE_OK, **flow("failure", HOST)}


def test_token_endpoint_fails_at_login__with_a_timeout_and_without_a_registry(
    driver: Any, provider: Any, capture: Any
) -> None:
    session = driver.session(**driver.timeout(0.1))
    session.create_authorization_url(f"{provider.url}/authorize", code_verifier=VERIFIER)
    capture.mark()
    provider.answer("/token", 200, "{}", 0.3)
    with pytest.raises(Exception):  # noqa: B017, PT011 each HTTP client has its own
        driver.run(session.fetch_token(f"{provider.url}/token", code="c", code_verifier=VERIFIER))
    assert capture.moved() == {**call("token", "0", "timeout"), **PKCE_OK, **flow("failure", HOST)}


def test_nobody_listens(driver: Any, capture: Any, unused_port: int) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 each HTTP client has its own
        driver.run(driver.session().fetch_token(f"http://127.0.0.1:{unused_port}/token"))
    assert capture.moved() == call("token", "0", "network")


@pytest.mark.parametrize("body", ["<html>", "[]", '{"no": "token"}'])
def test_token_endpoint_answers_nonsense(driver: Any, provider: Any, capture: Any, body: str) -> None:
    provider.answer("/token", 200, body)
    try:
        driver.run(driver.session().fetch_token(f"{provider.url}/token"))
    except ValueError:
        assert "no" not in body
    assert capture.moved() == call("token", "200", "invalid_response")


def test_client_credentials(driver: Any, provider: Any, capture: Any) -> None:
    driver.run(driver.session().fetch_token(f"{provider.url}/token", grant_type="client_credentials"))
    assert capture.moved() == call("token", "200")
    assert capture.spans("oauth.token")[0]["attributes"]["oauth.grant_type"] == "client_credentials"


def test_password(driver: Any, provider: Any, capture: Any) -> None:
    driver.run(driver.session().fetch_token(f"{provider.url}/token", username="u", password="p"))
    assert capture.moved() == call("token", "200")


def test_jwt_bearer(driver: Any, provider: Any, capture: Any) -> None:
    provider.answer("/token", 200, '{"access_token": "a"}')
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    driver.run(driver.session().fetch_token(f"{provider.url}/token", grant_type=grant, assertion="signed"))
    assert capture.moved() == call("token", "200")
    assert capture.spans("oauth.token")[0]["attributes"]["oauth.grant_type"] == "jwt_bearer"


@pytest.mark.parametrize("error", ["authorization_pending", "expired_token"])
def test_device_polling(driver: Any, provider: Any, capture: Any, error: str) -> None:
    _poll(driver, provider, error)
    assert capture.moved() == call("token", "400")


def test_device_polling_too_fast(driver: Any, provider: Any, capture: Any) -> None:
    _poll(driver, provider, "slow_down")
    assert capture.moved() == call("token", "400")


def _poll(driver: Any, provider: Any, error: str) -> None:
    provider.answer("/token", 400, json.dumps({"error": error}))
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    with pytest.raises(Exception, match=error):
        driver.run(driver.session().fetch_token(f"{provider.url}/token", grant_type=grant, device_code="d"))


def test_revocation(driver: Any, provider: Any, capture: Any) -> None:
    session, _ = driver.token()
    capture.mark()
    driver.run(session.revoke_token(f"{provider.url}/revoke"))
    assert capture.moved() == {**call("revoke", "200"), "oauth_token_revocations_total{reason=manual}": 1}
    gauges = capture.gauges()
    assert (gauges["oauth_active_tokens"], gauges["storage_refresh_tokens_count"]) == (0, 0)


def test_revocation_of_an_unknown_token(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.session(token={"access_token": "unknown", "token_type": "Bearer"})
    driver.run(session.revoke_token(f"{provider.url}/revoke", token="unknown"))
    assert capture.moved() == {**call("revoke", "200"), "oauth_token_revocations_total{reason=manual}": 1}


def test_revocation_refused(driver: Any, provider: Any, capture: Any) -> None:
    session, _ = driver.token()
    capture.mark()
    provider.answer("/revoke", 503)
    driver.run(session.revoke_token(f"{provider.url}/revoke"))
    assert capture.moved() == call("revoke", "503", "server_error")
    assert capture.gauges()["storage_refresh_tokens_count"] == 1


def test_introspection(driver: Any, provider: Any, capture: Any) -> None:
    session, token = driver.token()
    capture.mark()
    driver.run(session.introspect_token(f"{provider.url}/introspect", token=token["access_token"]))
    assert capture.moved() == call("introspect", "200")


def test_introspection_of_an_inactive_token(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.session(token={"access_token": "unknown", "token_type": "Bearer"})
    driver.run(session.introspect_token(f"{provider.url}/introspect", token="unknown"))
    assert capture.moved() == call("introspect", "200")


@pytest.mark.parametrize(
    ("status", "error"), [(200, ""), (404, ""), (401, "client_error"), (403, "client_error"), (502, "server_error")]
)
def test_api_call(driver: Any, provider: Any, capture: Any, status: int, error: str) -> None:
    session = driver.session(token={"access_token": "a", "token_type": "Bearer"})
    provider.answer("/api", status)
    driver.run(session.get(f"{provider.url}/api"))
    assert capture.moved() == call("api", str(status), error)


def test_api_call_times_out(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.session(token={"access_token": "a", "token_type": "Bearer"}, **driver.timeout(0.1))
    provider.answer("/api", 200, "{}", 0.3)
    with pytest.raises(Exception):  # noqa: B017, PT011 each HTTP client has its own
        driver.run(session.get(f"{provider.url}/api"))
    assert capture.moved() == call("api", "0", "timeout")


def test_api_call_without_a_token_is_never_made(driver: Any, provider: Any, capture: Any) -> None:
    with pytest.raises(Exception, match="missing_token"):
        driver.run(driver.session().get(f"{provider.url}/api"))
    assert capture.moved() == {}


def test_a_plain_request_of_the_application_is_not_ours(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.session(token={"access_token": "a", "token_type": "Bearer"})
    driver.run(session.request("GET", f"{provider.url}/api", withhold_token=True))
    driver.run(session.get(f"{provider.url}/api", auth=("user", "password")))
    assert capture.moved() == {}
    assert capture.spans() == []


def test_endpoints_that_the_session_knows(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.session(token={"access_token": "a", "token_type": "Bearer"}, **provider.metadata())
    driver.run(session.get(f"{provider.url}/userinfo"))
    assert capture.moved() == call("userinfo", "200")
    driver.run(session.request("GET", f"{provider.url}/jwks", withhold_token=True))
    assert capture.moved() == call("jwks", "200")
    driver.run(session.post(f"{provider.url}/introspect", data={"token": "a"}))
    assert capture.moved() == call("introspect", "401", "client_error")


def registration(status: str) -> dict[str, float]:
    return {
        f"oauth_client_registrations_total{{status={status}}}": 1,
        f"oauth_client_registration_duration_seconds{{status={status}}}": 1,
    }


def test_registration(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.session(token={"access_token": "initial", "token_type": "Bearer"}, **provider.metadata())
    driver.run(session.post(f"{provider.url}/register", json={}))
    assert capture.moved() == {**call("registration", "201"), **registration("success")}


def test_registration_rejected(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.session(token={"access_token": "initial", "token_type": "Bearer"}, **provider.metadata())
    provider.answer("/register", 400, '{"error": "invalid_client_metadata"}')
    driver.run(session.post(f"{provider.url}/register", json={}))
    assert capture.moved() == {**call("registration", "400", "client_error"), **registration("failure")}
