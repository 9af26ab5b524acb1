"""Hostile requests: counted, bounded, no error of ours, and nothing of what they carried in any signal."""

from __future__ import annotations

import os
from typing import Any

import pytest

from otel_oauth.catalogue import CLIENT_ID

CANARY = "canary-7f3a"

HOSTILE = {
    "huge": CANARY + "x" * 200_000,
    "NUL": CANARY + "\0" + "a",
    "lone surrogate": CANARY + "\udc80",
    "newlines": CANARY + "\r\nSet-Cookie: a=b",
    "markup": f"<script>{CANARY}</script>",
    "unicode": CANARY + "\u202e\u0000\U0010ffff",
}


def _everything(capture: Any) -> str:
    return repr(capture.spans()) + repr(capture.points())


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_parameters(server: Any, capture: Any, text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    for name in ("code", "client_id", "grant_type", "refresh_token", "redirect_uri", "code_verifier", "scope"):
        body = {
            "grant_type": b"authorization_code",
            "code": b"c",
            "redirect_uri": b"https://client.example/cb",
            name: raw,
        }
        answer = server.http.post("/token", data=body, base_url="https://server.example")
        assert answer.status_code < 500
    server.http.get("/authorize", query_string={"response_type": raw, "client_id": raw, "state": raw})
    server.exchange(text.encode("ascii", "ignore").decode(), code_verifier="canary-7f3a-" + "v" * 50)
    assert CANARY not in _everything(capture)
    assert not any(name.startswith("otel_oauth_errors_total") for name in capture.moved(own=True))


def test_repeated_parameters(server: Any, capture: Any) -> None:
    body = (
        b"grant_type=authorization_code&" * 50
        + b"code="
        + CANARY.encode()
        + b"&code=b&code_verifier="
        + CANARY.encode()
    )
    answer = server.http.post(
        "/token", data=body, content_type="application/x-www-form-urlencoded", base_url="https://server.example"
    )
    assert answer.status_code == 401
    assert CANARY not in _everything(capture)


def test_bytes_that_are_not_utf_8(server: Any, capture: Any) -> None:
    answer = server.http.post(
        "/token",
        data=b"grant_type=authorization_code&code=\xff\xfe\x00&client_id=\xc3\x28",
        content_type="application/x-www-form-urlencoded",
        base_url="https://server.example",
    )
    assert answer.status_code == 400
    assert capture.moved()["oauth_http_requests_total{method=POST,endpoint=token,status=400}"] == 1


def test_unknown_client_ids_by_the_thousand_make_no_series(server: Any, capture: Any) -> None:
    before = len(capture.points())
    for _ in range(500):
        client_id = os.urandom(12).hex()
        server.post("/token", client_id, grant_type="client_credentials")
        server.http.get("/authorize", query_string={"client_id": client_id, "response_type": "code"})
    after = capture.points()
    # Only the series of the two endpoints' refusals came.
    assert len(after) - before <= 8
    assert {point["attributes"]["client_id"] for point in after if "client_id" in point["attributes"]} <= {
        "web",
        "unknown",
    }
    assert capture.gauges()["storage_clients_count"] == 0


def test_a_login_leaves_no_secret_in_any_signal(server: Any, capture: Any) -> None:
    state = "state-canary-" + os.urandom(8).hex()
    code = server.authorize(state=state, nonce="nonce-canary")
    tokens = server.exchange(code).json
    server.refresh(tokens["refresh_token"])
    server.exchange(code, code_verifier="w" * 60)
    signals = _everything(capture)
    secrets = [
        state,
        code,
        tokens["access_token"],
        tokens["refresh_token"],
        "web-secret",
        "v" * 50,
        "w" * 60,
        "nonce-canary",
    ]
    assert [secret for secret in secrets if secret in signals] == []
    assert capture.telemetry.table.admit(CLIENT_ID, "web") == "web"
