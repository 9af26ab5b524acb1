"""The rows «client, refresh» of the decision table, for the sessions of requests and httpx2, sync and async."""

from __future__ import annotations

import time
from typing import Any

import pytest
from client_rows import provider_call, refreshed

HOST = "127.0.0.1"


def call(operation: str, status: str, error: str = "") -> dict[str, float]:
    return provider_call(operation, status, error, HOST)


def expired(**token: Any) -> dict[str, Any]:
    return {"access_token": "old", "token_type": "Bearer", "expires_at": int(time.time()) - 10, **token}


def test_refresh_ok__explicit(driver: Any, provider: Any, capture: Any) -> None:
    session, token = driver.token()
    capture.mark()
    after = driver.run(session.refresh_token(f"{provider.url}/token"))
    assert after is session.token
    assert after["refresh_token"] != token["refresh_token"]
    assert capture.moved() == {**call("refresh", "200"), **refreshed("success", "normal")}
    gauges = capture.gauges()
    assert (gauges["oauth_active_tokens"], gauges["storage_refresh_tokens_count"]) == (1, 1)
    assert gauges["storage_families_count"] == 1
    attributes = capture.spans("oauth.refresh")[0]["attributes"]
    assert attributes["oauth.refresh.rotated"] == "true"
    assert attributes["oauth.token.remaining_lifetime"] > 0


def test_refresh_ok__automatic_inside_an_api_call(driver: Any, provider: Any, capture: Any) -> None:
    _, token = driver.token()
    session = driver.refresher({**token, "expires_at": int(time.time()) - 5})
    capture.mark()
    response = driver.run(session.get(f"{provider.url}/api"))
    assert response.json()["token"] == f"Bearer {session.token['access_token']}"
    assert capture.moved() == {**call("api", "200"), **call("refresh", "200"), **refreshed("success", "normal")}
    api, refresh = capture.spans("oauth.api")[0], capture.spans("oauth.refresh")[0]
    assert refresh["parent_id"] == api["span_id"]
    assert refresh["attributes"]["oauth.token.remaining_lifetime"] < 0


def test_refresh_automatic_is_not_part_of_the_api_duration(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.refresher(expired(refresh_token="r"))
    provider.answer("/token", 200, '{"access_token": "new", "token_type": "Bearer"}', 0.25)
    driver.run(session.get(f"{provider.url}/api"))
    points = [p for p in capture.points() if p["name"] == "provider_api_duration_milliseconds"]
    sums = {point["attributes"]["operation"]: point["sum"] for point in points}
    assert sums["refresh"] >= 250
    assert sums["api"] < 200


def test_refresh_with_the_grant_named(driver: Any, provider: Any, capture: Any) -> None:
    session, token = driver.token()
    capture.mark()
    refresh = token["refresh_token"]
    driver.run(session.fetch_token(f"{provider.url}/token", grant_type="refresh_token", refresh_token=refresh))
    assert capture.moved() == {**call("refresh", "200"), **refreshed("success", "normal")}


HOW = pytest.mark.parametrize("how", ["explicit", "automatic"])


def _refused(driver: Any, how: str, status: int, body: str) -> dict[str, Any]:
    """Let the provider refuse a refresh; return the attributes of its span."""
    driver.provider.answer("/token", status, body)
    session = driver.refresher(expired(refresh_token="r"))
    ask = session.get if how == "automatic" else session.refresh_token
    path = "/api" if how == "automatic" else "/token"
    with pytest.raises(Exception):  # noqa: B017, PT011 each HTTP client has its own
        driver.run(ask(driver.provider.url + path))
    (span,) = driver.capture.spans("oauth.refresh")
    assert span["attributes"]["oauth.token.remaining_lifetime"] < 0
    return dict(span["attributes"])


@HOW
def test_refresh_unknown__at_the_client(driver: Any, capture: Any, how: str) -> None:
    attributes = _refused(driver, how, 400, '{"error": "invalid_grant"}')
    assert capture.moved() == {**call("refresh", "400", "client_error"), **refreshed("failure", "no_record")}
    assert attributes["oauth.reauthorization_required"] is True
    assert attributes["oauth.error"] == "invalid_grant"


@HOW
@pytest.mark.parametrize(
    ("status", "error"),
    [(400, "invalid_scope"), (401, "invalid_client"), (400, "unauthorized_client"), (401, "made-up")],
)
def test_refresh_refused__at_the_client(driver: Any, capture: Any, status: int, error: str, how: str) -> None:
    attributes = _refused(driver, how, status, f'{{"error": "{error}"}}')
    assert capture.moved() == {**call("refresh", str(status), "client_error"), **refreshed("failure", "normal")}
    assert "oauth.reauthorization_required" not in attributes
    assert attributes["oauth.error"] == ("other" if error == "made-up" else error)


@HOW
@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(500, "{}", "server_error"), (200, "<html>", "invalid_response"), (429, "<html>", "client_error")],
)
def test_refresh_error__at_the_client(  # noqa: PLR0913, PLR0917 a row of the table each
    driver: Any, capture: Any, status: int, body: str, error: str, how: str
) -> None:
    attributes = _refused(driver, how, status, body)
    assert capture.moved() == {**call("refresh", str(status), error), **refreshed("failure", "exception")}
    assert "oauth.reauthorization_required" not in attributes
    assert "oauth.error" not in attributes


def test_refresh_error__timeout_at_the_client(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.refresher(expired(refresh_token="r"), **driver.timeout(0.1))
    provider.answer("/token", 200, "{}", 0.3)
    with pytest.raises(Exception):  # noqa: B017, PT011 each HTTP client has its own
        driver.run(session.get(f"{provider.url}/api"))
    assert capture.moved() == {**call("refresh", "0", "timeout"), **refreshed("failure", "exception")}


def test_refresh_known_rotated(driver: Any, provider: Any, capture: Any) -> None:
    session, token = driver.token()
    driver.run(session.refresh_token(f"{provider.url}/token"))
    capture.mark()
    with pytest.raises(Exception, match="invalid_grant"):
        driver.run(session.refresh_token(f"{provider.url}/token", refresh_token=token["refresh_token"]))
    assert capture.moved() == {**call("refresh", "400", "client_error"), **refreshed("failure", "reuse_detected")}


def test_a_callback_that_raises_loses_the_rotated_token(driver: Any, provider: Any, capture: Any) -> None:
    _, token = driver.token()

    def lose(_token: Any, **_old: Any) -> None:
        msg = "the store is down"
        raise ValueError(msg)

    session = driver.refresher(token, update_token=lose)
    capture.mark()
    with pytest.raises(ValueError, match="the store is down"):
        driver.run(session.refresh_token(f"{provider.url}/token"))
    assert capture.moved() == {**call("refresh", "200"), **refreshed("failure", "exception")}
    again = driver.refresher(token)
    with pytest.raises(Exception, match="invalid_grant"):
        driver.run(again.refresh_token(f"{provider.url}/token"))
    assert capture.moved() == {**call("refresh", "400", "client_error"), **refreshed("failure", "reuse_detected")}


def test_a_token_from_before_this_process_is_known_once_exchanged(driver: Any, provider: Any, capture: Any) -> None:
    rotated = '{"access_token": "new", "refresh_token": "r2", "token_type": "Bearer", "expires_in": "60"}'
    provider.answer("/token", 200, rotated)
    driver.run(driver.refresher(expired(refresh_token="r1")).refresh_token(f"{provider.url}/token"))
    gauges = capture.gauges()
    assert (gauges["oauth_active_tokens"], gauges["storage_refresh_tokens_count"]) == (1, 1)
    capture.mark()
    provider.answer("/token", 400, '{"error": "invalid_grant"}')
    with pytest.raises(Exception, match="invalid_grant"):
        driver.run(driver.refresher(expired(refresh_token="r1")).refresh_token(f"{provider.url}/token"))
    assert capture.moved() == {**call("refresh", "400", "client_error"), **refreshed("failure", "reuse_detected")}


def test_refresh_missing__automatic(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.refresher(expired())
    with pytest.raises(Exception, match="token_invalid"):
        driver.run(session.get(f"{provider.url}/api"))
    assert capture.moved() == refreshed("failure", "no_refresh_token")
    assert capture.spans("oauth.refresh")[0]["attributes"]["oauth.reauthorization_required"] is True


def test_refresh_missing__explicit(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.refresher(expired())
    with pytest.raises(Exception, match="invalid_request"):
        driver.run(session.refresh_token(f"{provider.url}/token"))
    expected = {**call("refresh", "400", "client_error"), **refreshed("failure", "no_refresh_token")}
    assert capture.moved() == expected


def test_client_credentials_renew_themselves(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.refresher(expired(), grant_type="client_credentials")
    driver.run(session.get(f"{provider.url}/api"))
    assert capture.moved() == {**call("api", "200"), **call("token", "200")}
