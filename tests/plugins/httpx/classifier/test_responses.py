"""What a response came to where it is incomplete, unread or too large."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from oauth_corpus import classifier

from otel_oauth import kinds
from otel_oauth_httpx.endpoints import Endpoints
from otel_oauth_httpx.responses import MOST_BYTES, outcome

JSON = httpx.Headers({"content-type": "application/json"})
GRANT = {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "c"}
INVALID = {"http_status": "200", "provider_error": "invalid_response", "status": "failure"}


def answered(body: Any, status: int = 200, headers: httpx.Headers = JSON, **request: Any) -> Any:
    recognised = classifier(Endpoints())(httpx.Request("POST", "https://as.example.org/token", data=request or GRANT))
    assert recognised is not None
    spoken = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
    return outcome(Endpoints(), recognised, status, headers, spoken)


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (3600, 3600.0),
        ("3600", 3600.0),
        (0, 0.0),
        (-5, 0.0),
        (1.5, 1.5),
        ("soon", None),
        (None, None),
        (True, None),
        ([1], None),
        (10**30, None),
        ("1e999", None),
        (float("inf"), None),
    ],
)
def test_lifetimes(expires_in: Any, seconds: float | None) -> None:
    found = answered({"access_token": "a", "expires_in": expires_in})
    assert found.token.get("expires_in") == seconds
    assert found.granted


def test_a_number_too_long_for_python_is_no_lifetime() -> None:
    found = answered(b'{"access_token": "a", "expires_in": ' + b"9" * 60_000 + b"}")
    assert dict(found.token) == {"access_token": "a"}
    assert "expires_in" not in answered(b'{"access_token": "a", "expires_in": NaN}').token


@pytest.mark.parametrize("status", [200, 201])
def test_a_body_that_nobody_read_is_not_judged(status: int) -> None:
    found = answered(None, status)
    assert dict(found.facts) == {"http_status": str(status)}
    assert not found.granted


def test_a_body_that_nobody_read_has_a_status_all_the_same() -> None:
    assert dict(answered(None, 503).facts) == {
        "http_status": "503",
        "provider_error": "server_error",
        "status": "failure",
    }


def test_a_body_too_large_is_not_judged() -> None:
    padded = b'{"access_token": "a", "x": "' + b"x" * MOST_BYTES + b'"}'
    assert dict(answered(padded).facts) == {"http_status": "200"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"7",
        b'"access_token"',
        b"{",
        b"\xff\xfe{",
        b"<html>",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        {},
        {"access_token": ""},
        {"access_token": 7},
        {"access_token": None},
        {"data": []},
        {"data": {"access_token": ""}},
    ],
)
def test_what_is_no_token_response_is_invalid(body: Any) -> None:
    found = answered(body)
    assert dict(found.facts) == INVALID
    assert (found.granted, dict(found.token)) == (False, {})


@pytest.mark.parametrize("error", ["", None, 0, False, [], {}])
def test_an_empty_error_is_none(error: Any) -> None:
    assert dict(answered({"access_token": "a", "error": error, "errcode": 0}).facts) == {"http_status": "200"}


def test_an_error_beside_a_token_is_an_error() -> None:
    found = answered({"access_token": "a", "error": "invalid_scope"})
    assert found.facts["error"] == "invalid_scope"
    assert not found.granted


@pytest.mark.parametrize("secret", ["made-up-refresh-token", "x" * 5000, "übung", "a\nb"])
def test_text_of_the_provider_is_never_a_fact(secret: str) -> None:
    for body in (
        {"error": secret},
        {"error": {"type": secret, "code": secret}},
        {"error_description": secret, "error": "x"},
    ):
        assert secret not in str(answered(body, 400).facts)
    challenge = httpx.Headers({"www-authenticate": 'Bearer error="made-up-refresh-token"'})
    assert answered(b"", 401, challenge).facts["error"] == "other"


def test_pending_is_nothing_that_failed_unless_the_server_did() -> None:
    assert answered({"error": "authorization_pending"}, 400).facts.get("provider_error") is None
    found = answered({"error": "authorization_pending"}, 500).facts
    assert (found["provider_error"], found.get("outcome")) == ("server_error", None)


def test_an_utf_8_mark_and_utf_16_are_json() -> None:
    assert answered(b"\xef\xbb\xbf" + b'{"access_token": "a"}').granted
    assert answered('{"access_token": "a"}'.encode("utf-16")).granted


def test_a_refused_registration_teaches_nothing() -> None:
    endpoints = Endpoints()
    classify = classifier(endpoints)
    request = httpx.Request("POST", "https://as.example.org/register", json={"redirect_uris": ["https://a/cb"]})
    recognised = classify(request)
    assert recognised is not None
    body = json.dumps({"client_id": "c", "registration_client_uri": "https://as.example.org/c/1"}).encode()
    assert outcome(endpoints, recognised, 400, JSON, body).kind is kinds.REGISTER
    assert classify(httpx.Request("GET", "https://as.example.org/c/1")) is None
    assert outcome(endpoints, recognised, 400, JSON, body).client_id == ""
    assert outcome(endpoints, recognised, 201, JSON, body).client_id == "c"
    found = classify(httpx.Request("GET", "https://as.example.org/c/1"))
    assert found is not None
    assert found.manages
