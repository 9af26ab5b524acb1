"""Events of a real authorization server: who attacked, what belongs together, what is forbidden; no secret in any."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import grants

if TYPE_CHECKING:
    import pytest

VERIFIER = "v" * 50


def told(capture: Any, name: str) -> dict[str, Any]:
    """The attributes of the only event of a name."""
    (found,) = [event for event in capture.events() if event["event_name"] == name]
    return dict(found["attributes"])


def test_a_replay_tells_its_source_and_leads_to_the_authorization(
    server: Any, capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = server.authorize()
    server.exchange(code)
    later = time.time() + 31
    monkeypatch.setattr(time, "time", lambda: later)
    server.http.environ_base["REMOTE_ADDR"] = "203.0.113.77"
    server.exchange(code)
    replay, exchange = told(capture, "oauth_code_reuse_detected"), told(capture, "oauth_code_exchanged")
    assert replay["client.address"] == "203.0.113.0/24"
    assert replay["oauth.code.digest"] == exchange["oauth.code.digest"] == exchange["oauth.token_family.digest"]
    assert (replay["oauth.case"], replay["oauth.client_id"]) == ("code_replayed", "web")
    assert (replay["oauth.error"], replay["http.response.status_code"]) == ("invalid_grant", 400)
    (span,) = [span for span in capture.spans("oauth.endpoint token") if span["events"]]
    (event,) = capture.events("oauth_code_reuse")
    assert (event["trace_id"], event["span_id"]) == (span["trace_id"], span["span_id"])


def test_a_family_has_one_digest_from_the_code_to_the_attack(server: Any, capture: Any) -> None:
    first = server.login()["refresh_token"]
    second = server.refresh(first).json["refresh_token"]
    server.refresh(second)
    server.refresh(first)
    families = {
        event["attributes"]["oauth.token_family.digest"]
        for name in ("oauth_code_exchanged", "oauth_token_refreshed", "oauth_refresh_token_reuse_detected")
        for event in capture.events(name)
    }
    assert len(families) == 1


def test_no_secret_is_in_any_event(server: Any, capture: Any) -> None:
    code = server.authorize(state="a-state-of-a-login")
    tokens = server.exchange(code).json
    rotated = server.refresh(tokens["refresh_token"]).json
    server.refresh(tokens["refresh_token"])
    server.exchange(code)
    server.exchange(server.authorize(), code_verifier="w" * 50)
    server.post("/revoke", token=rotated["refresh_token"])
    text = json.dumps(capture.events())
    secrets = [code, VERIFIER, "w" * 50, "a-state-of-a-login", "web-secret", *tokens.values(), *rotated.values()]
    assert [secret for secret in secrets if isinstance(secret, str) and len(secret) > 8 and secret in text] == []
    assert text.count("event_name") > 20


def test_an_authorization_without_pkce_and_with_plain(server: Any, capture: Any) -> None:
    server.authorize(challenge="")
    assert told(capture, "oauth_pkce_not_used")["oauth.client_id"] == "web"
    assert capture.events("oauth_pkce_plain_used") == []
    server.authorize(challenge="p" * 50, method="plain")
    assert told(capture, "oauth_pkce_plain_used")["oauth.client_id"] == "web"
    server.authorize()
    assert len(capture.events("oauth_pkce_not_used") + capture.events("oauth_pkce_plain_used")) == 2


def test_a_bearer_token_in_a_url(server: Any, capture: Any) -> None:
    token = server.login()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert server.http.get("/open", headers=headers).status_code == 200
    assert capture.events("oauth_bearer_token_in_query") == []
    assert server.http.get("/open", query_string={"access_token": token}).status_code == 401
    told(capture, "oauth_bearer_token_in_query")
    assert token not in json.dumps(capture.events())


def test_an_error_of_the_store_is_told_with_its_place(server: Any, capture: Any) -> None:
    code = server.authorize()
    server.store.failing = "query_code"
    assert server.exchange(code).status_code == 500
    found = told(capture, "oauth_storage_error")
    assert (found["oauth.operation"], found["exception.type"]) == ("query_code", "builtins.RuntimeError")
    assert found["exception.stacktrace"].endswith(", in called")
    assert (found["oauth.endpoint"], found["oauth.client_id"]) == ("token", "web")
    assert "the database is away" not in json.dumps(capture.events())


def test_a_token_in_the_authorization_response(make_server: Any, capture: Any) -> None:
    server = make_server()
    server.server.register_grant(grants.ImplicitGrant)
    server.store.clients["app"].response_types.append("token")
    query = {"response_type": "token", "client_id": "app", "redirect_uri": "https://client.example/cb", "state": "s"}
    server.http.post("/authorize", query_string=query, data={"allow": "yes"}, base_url="https://server.example")
    assert told(capture, "oauth_implicit_grant_used")["oauth.client_id"] == "app"
