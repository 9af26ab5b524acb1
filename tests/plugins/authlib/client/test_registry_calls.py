"""What a registered client fetches: metadata, keys, userinfo, the API; and what it must not change."""

from __future__ import annotations

import time
from typing import Any

import pytest
from client_rows import provider_call, refreshed

TOKEN = {"access_token": "a", "token_type": "Bearer"}


def discovery(status: str) -> dict[str, float]:
    return {
        f"oauth_discovery_attempts_total{{method=manual,status={status}}}": 1,
        f"oauth_discovery_duration_seconds{{method=manual,status={status}}}": 1,
    }


def test_zero_series_at_registration(make_party: Any, capture: Any) -> None:
    make_party()
    zeros = {
        (point["name"], *point["attributes"].values())
        for point in capture.points()
        if point.get("value") == 0 and "idp" in point["attributes"].values()
    }
    assert ("oauth_flows_total", "idp", "failure") in zeros
    assert ("provider_api_errors_total", "idp", "token", "timeout") in zeros
    assert ("oauth_callback_processed", "web", "false") in {
        (point["name"], *point["attributes"].values()) for point in capture.points()
    }
    assert capture.moved() == {}


def test_discovery_is_a_fetch_and_not_a_cached_answer(make_party: Any, capture: Any) -> None:
    client = make_party().client
    metadata = client.load_server_metadata()
    assert capture.moved() == {**provider_call("discovery", "200"), **discovery("success")}
    assert client.load_server_metadata() is metadata
    assert capture.moved() == {}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, "{}", "client_error"),
        (500, "{}", "server_error"),
        (200, "<html>", "invalid_response"),
        (200, "[]", "invalid_response"),
    ],
)
def test_discovery_fails(  # noqa: PLR0913, PLR0917 a row of the table each
    make_party: Any, provider: Any, capture: Any, status: int, body: str, error: str
) -> None:
    client = make_party().client
    provider.answer("/metadata", status, body)
    with pytest.raises(Exception):  # noqa: B017, PT011 requests' or Python's own
        client.load_server_metadata()
    assert capture.moved() == {**provider_call("discovery", str(status), error), **discovery("failure")}


def test_a_login_that_could_not_begin_is_not_initiated(make_party: Any, provider: Any, capture: Any) -> None:
    party = make_party()
    provider.answer("/metadata", 500)
    assert party.browser.get("/login").status_code == 500
    assert capture.moved() == {**provider_call("discovery", "500", "server_error"), **discovery("failure")}


def test_key_set(party: Any, capture: Any) -> None:
    keys = party.client.fetch_jwk_set(force=True)
    assert capture.moved() == provider_call("jwks", "200")
    assert party.client.fetch_jwk_set() is keys
    assert capture.moved() == {}


@pytest.mark.parametrize("body", ["<html>", "[]", '{"other": 1}'])
def test_key_set_that_does_not_parse(party: Any, provider: Any, capture: Any, body: str) -> None:
    provider.answer("/jwks", 200, body)
    try:
        party.client.fetch_jwk_set(force=True)
    except ValueError:
        assert body == "<html>"
    assert capture.moved() == provider_call("jwks", "200", "invalid_response")


def test_userinfo(party: Any, capture: Any) -> None:
    with party.app.app_context():
        assert party.client.userinfo(token=TOKEN)["sub"] == "user"
    assert capture.moved() == provider_call("userinfo", "200")
    assert [span["name"] for span in capture.spans()] == ["oauth.userinfo idp"]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(401, "{}", "client_error"), (503, "{}", "server_error"), (200, "<html>", "invalid_response")],
)
def test_userinfo_fails(  # noqa: PLR0913, PLR0917 a row of the table each
    party: Any, provider: Any, capture: Any, status: int, body: str, error: str
) -> None:
    provider.answer("/userinfo", status, body)
    with party.app.app_context(), pytest.raises(Exception):  # noqa: B017, PT011 requests' or Python's own
        party.client.userinfo(token=TOKEN)
    assert capture.moved() == provider_call("userinfo", str(status), error)


def test_api_call_has_the_registered_name(party: Any, capture: Any) -> None:
    with party.app.app_context():
        party.client.get(f"{party.provider.url}/api", token=TOKEN)
    assert capture.moved() == provider_call("api", "200")


def test_automatic_refresh_has_the_registered_name(party: Any, provider: Any, capture: Any) -> None:
    provider.answer("/token", 200, '{"access_token": "b", "token_type": "Bearer"}')
    expired = {**TOKEN, "refresh_token": "r", "expires_at": int(time.time()) - 5}
    with party.app.app_context():
        party.client.get(f"{party.provider.url}/api", token=expired)
    moved = {**provider_call("api", "200"), **provider_call("refresh", "200"), **refreshed("success", "normal")}
    assert capture.moved() == moved


def test_userinfo_whose_token_cannot_be_refreshed_is_never_asked(party: Any, provider: Any, capture: Any) -> None:
    provider.answer("/token", 400, '{"error": "invalid_grant"}')
    expired = {**TOKEN, "refresh_token": "r", "expires_at": int(time.time()) - 5}
    with party.app.app_context(), pytest.raises(Exception, match="invalid_grant"):
        party.client.userinfo(token=expired)
    moved = {**provider_call("refresh", "400", "client_error"), **refreshed("failure", "no_record")}
    assert capture.moved() == moved


def test_exchange_of_an_own_callback_has_the_registered_name(party: Any, capture: Any) -> None:
    with party.app.test_request_context():
        started = party.client.create_authorization_url("https://client.example/callback")
        back = party.provider.authorize(started["url"])
        capture.mark()
        party.client.fetch_access_token(
            "https://client.example/callback",
            code=back["code"],
            state=back["state"],
            code_verifier=started["code_verifier"],
        )
    moved = capture.moved()
    assert moved["oauth_flows_total{provider=idp,status=success}"] == 1
    assert moved["oauth_flow_duration_seconds{provider=idp,status=success}"] == 1
    assert moved["provider_api_calls_total{provider=idp,operation=token,status=200}"] == 1


def test_spans_of_one_login(make_party: Any, capture: Any) -> None:
    party = make_party()
    party.callback(**party.consent())
    spans = {span["name"]: span for span in capture.spans()}
    callback, authorize = spans["oauth.callback idp"], spans["oauth.authorize idp"]
    assert [link["span_id"] for link in callback["links"]] == [authorize["span_id"]]
    assert spans["oauth.discovery idp"]["parent_id"] == authorize["span_id"]
    assert spans["oauth.code_exchange idp"]["parent_id"] == callback["span_id"]
    assert spans["oauth.jwks idp"]["parent_id"] == callback["span_id"]
    assert 0 <= callback["attributes"]["oauth.flow.user_time"] <= callback["attributes"]["oauth.flow.duration"]
    assert callback["attributes"]["oauth.client_id"] == "web"
    assert all("oauth.http_call" not in name for name in spans)


def test_no_secret_in_any_signal(make_party: Any, capture: Any) -> None:
    party = make_party()
    parameters = party.consent()
    party.callback(**parameters)
    party.callback(**parameters)
    party.callback(party.app.test_client(), **parameters)
    token = party.provider.tokens[-1]
    exported = repr(capture.spans()) + repr(capture.points())
    secrets = [*parameters.values(), token.access_token, token.refresh_token, "web-secret"]
    assert len(secrets) >= 5
    assert not [secret for secret in secrets if secret in exported]
