"""The rows «server, authorization code» of the decision table: each test compares all increments of its case."""

from __future__ import annotations

import time
from typing import Any

import pytest
from authlib_rows import (
    GRANTED,
    INJECTION,
    PKCE_OK,
    REFUSED,
    exchanged,
    integrity,
    pkce_failure,
    reuse,
    status,
    storage,
)

VERIFIER_PLAIN = "p" * 50


def test_a_login_moves_the_rows_of_success(server: Any, capture: Any) -> None:
    code = server.authorize()
    assert capture.moved() == {
        "oauth_authorization_started{client_id=web}": 1,
        "oauth_pkce_states_created_total": 1,
        "oauth_http_requests_total{method=POST,endpoint=authorization,status=302}": 1,
        "oauth_http_request_duration_milliseconds{endpoint=authorization}": 1,
        **storage("query_client", "query_client", "save_code"),
    }
    assert server.exchange(code).status_code == 200
    assert capture.moved() == {**status(200), **GRANTED, **PKCE_OK, **exchanged("web", "S256")}


def test_code_double_submit__within_the_window(server: Any, capture: Any) -> None:
    code = server.authorize()
    server.exchange(code)
    capture.mark()
    assert server.exchange(code).status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **reuse("low")}


def test_code_double_submit__accepted_by_the_application(server: Any, capture: Any) -> None:
    server.store.keep_codes = True
    code = server.authorize()
    server.exchange(code)
    capture.mark()
    assert server.exchange(code).status_code == 200
    assert capture.moved() == {**status(200), **GRANTED, **PKCE_OK, **exchanged("web", "S256"), **reuse("low")}


def test_code_replayed__after_the_window(server: Any, capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code = server.authorize()
    server.exchange(code)
    capture.mark()
    later = time.time() + 31
    monkeypatch.setattr(time, "time", lambda: later)
    assert server.exchange(code).status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **reuse("high")}


def test_code_replayed__by_a_public_client(server: Any, capture: Any) -> None:
    code = server.authorize("app")
    server.exchange(code, "app")
    capture.mark()
    assert server.exchange(code, "app").status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **reuse("high")}


def test_code_replayed_by_other_client(server: Any, capture: Any) -> None:
    code = server.authorize()
    server.exchange(code)
    capture.mark()
    assert server.exchange(code, "other").status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, "oauth_code_reuse_detected": 1, **INJECTION}


def test_code_of_other_client__not_yet_redeemed(server: Any, capture: Any) -> None:
    code = server.authorize()
    capture.mark()
    assert server.exchange(code, "other").status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **INJECTION}
    assert server.exchange(code).status_code == 200
    moved = capture.moved()
    assert moved == {**status(200), **GRANTED, **PKCE_OK, **exchanged("web", "S256")}


def test_code_of_other_client__accepted_by_the_application(server: Any, capture: Any) -> None:
    server.store.ignore_code_owner = True
    code = server.authorize()
    capture.mark()
    assert server.exchange(code, "other").status_code == 200
    assert capture.moved() == {**status(200), **GRANTED, **PKCE_OK, **exchanged("other", "S256"), **INJECTION}


def test_code_redirect_host_differs(server: Any, capture: Any) -> None:
    code = server.authorize()
    capture.mark()
    assert server.exchange(code, redirect_uri="https://evil.example/cb").status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **INJECTION}


@pytest.mark.parametrize("uri", ["", "https://client.example/other", "http://client.example/cb"])
def test_code_redirect_uri_differs(server: Any, capture: Any, uri: str) -> None:
    code = server.authorize()
    capture.mark()
    assert server.exchange(code, redirect_uri=uri).status_code == 400
    assert capture.moved() == {**status(400), **REFUSED}
    assert capture.spans("oauth.endpoint token")[-1]["attributes"]["oauth.case"] == "code_redirect_uri_differs"


def test_code_expired(server: Any, capture: Any) -> None:
    code = server.authorize()
    server.store.codes[code].expired = True
    capture.mark()
    assert server.exchange(code).status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **pkce_failure("expired")}


def test_code_expired__without_a_verifier(server: Any, capture: Any) -> None:
    code = server.authorize()
    server.store.codes[code].expired = True
    capture.mark()
    assert server.exchange(code, code_verifier="").status_code == 400
    assert capture.moved() == {**status(400), **REFUSED}


def test_code_unknown(server: Any, capture: Any) -> None:
    capture.mark()
    assert server.exchange("never-issued").status_code == 400
    moved = capture.moved()
    assert moved == {**status(400), **REFUSED, **pkce_failure("not_found")}


def test_code_unknown__without_a_verifier(server: Any, capture: Any) -> None:
    capture.mark()
    assert server.exchange("never-issued", code_verifier="").status_code == 400
    assert capture.moved() == {**status(400), **REFUSED}


def test_pkce_mismatch(server: Any, capture: Any) -> None:
    code = server.authorize()
    capture.mark()
    assert server.exchange(code, code_verifier="w" * 50).status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **pkce_failure("invalid_hash", "S256"), **integrity("high")}
    assert server.exchange(code).status_code == 200, "a failed PKCE check leaves the code usable"
    assert "oauth_code_reuse_detected" not in capture.moved()


def test_pkce_mismatch__with_a_plain_challenge(server: Any, capture: Any) -> None:
    code = server.authorize(challenge=VERIFIER_PLAIN, method="")
    capture.mark()
    assert server.exchange(code, code_verifier="w" * 50).status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **pkce_failure("invalid_hash", "plain"), **integrity("high")}
    assert server.exchange(code, code_verifier=VERIFIER_PLAIN).status_code == 200
    assert capture.moved() == {**status(200), **GRANTED, **PKCE_OK, **exchanged("web", "plain")}


def test_pkce_malformed(server: Any, capture: Any) -> None:
    code = server.authorize()
    capture.mark()
    assert server.exchange(code, code_verifier="too short").status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **pkce_failure("invalid_hash", "S256")}


def test_pkce_verifier_missing(server: Any, capture: Any) -> None:
    code = server.authorize()
    capture.mark()
    assert server.exchange(code, code_verifier="").status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **pkce_failure("invalid_hash", "S256"), **integrity("medium")}


def test_pkce_required(server: Any, capture: Any) -> None:
    code = server.authorize("app", challenge="")
    capture.mark()
    assert server.exchange(code, "app", code_verifier="").status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **pkce_failure("invalid_hash", "none")}


def test_pkce_downgrade(server: Any, capture: Any) -> None:
    code = server.authorize(challenge="")
    capture.mark()
    assert server.exchange(code).status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **pkce_failure("invalid_hash", "none"), **integrity("high")}


def test_an_application_without_the_challenge_extension_does_not_look_protected(make_server: Any, capture: Any) -> None:
    server = make_server(pkce=False)
    code = server.authorize()
    capture.mark()
    assert server.exchange(code, code_verifier="w" * 50).status_code == 200
    assert capture.moved() == {**status(200), **GRANTED, **exchanged("web", "none")}


def test_a_code_that_is_deleted_outside_of_its_exchange_was_cleaned_by_hand(server: Any, capture: Any) -> None:
    grant = server.server._token_grants[0][0]
    codes = [server.authorize(), server.authorize(challenge="")]
    stored = [server.store.codes[code] for code in codes]
    server.exchange(server.authorize())
    assert capture.gauges()["oauth_active_pkce_states"] == 1
    capture.mark()
    with server.app.test_request_context():
        for code in stored:
            grant.delete_authorization_code(grant(None, server.server), code)
    cleaned = {"oauth_pkce_states_cleaned_total{reason=manual}": 1}
    assert capture.moved() == {**storage("delete_code", "delete_code"), **cleaned}
    gauges = capture.gauges()
    assert (gauges["oauth_active_pkce_states"], gauges["storage_flows_count"]) == (0, 0)


def test_a_failed_store_undoes_the_redemption(server: Any, capture: Any) -> None:
    code = server.authorize()
    server.store.fail_saving = RuntimeError("the database is away")
    capture.mark()
    assert server.exchange(code).status_code == 500
    called = storage("query_client", "query_code", "query_user", "save_token", error="save_token")
    assert capture.moved() == {**status(500), **called, **PKCE_OK}
    server.store.fail_saving = None
    assert server.exchange(code).status_code == 200
    assert capture.moved() == {**status(200), **GRANTED, **PKCE_OK, **exchanged("web", "S256")}


def test_unknown_client_is_unknown_in_every_label(server: Any, capture: Any) -> None:
    capture.mark()
    assert server.exchange("code", "stranger").status_code == 401
    assert capture.moved() == {**status(401), **storage("query_client")}


def test_client_credentials(server: Any, capture: Any) -> None:
    capture.mark()
    assert server.post("/token", grant_type="client_credentials").status_code == 200
    assert capture.moved() == {**status(200), **storage("query_client", "save_token")}


def test_unsupported_grant_type(server: Any, capture: Any) -> None:
    capture.mark()
    assert server.post("/token", grant_type="nonsense").status_code == 400
    assert capture.moved() == status(400)
