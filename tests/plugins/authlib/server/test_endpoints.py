"""Revocation, introspection, registration, the authorization endpoint and the resource server."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import requests
import starlette.exceptions
from authlib_rows import OWNERSHIP, endpoint, storage
from authlib_versions import AUTHLIB
from django.core.exceptions import PermissionDenied
from django.http import Http404
from werkzeug.exceptions import HTTPException, TooManyRequests
from werkzeug.wrappers import Response

from otel_oauth import settle

try:
    from authlib.oauth2.rfc9207 import IssuerParameter
except ImportError:
    IssuerParameter = object  # before Authlib 1.5

REVOKED = {"oauth_token_revoked{client_id=web}": 1, "oauth_token_revocations_total{reason=manual}": 1}


def test_revocation(server: Any, capture: Any) -> None:
    token = server.login()["refresh_token"]
    capture.mark()
    assert server.post("/revoke", token=token).status_code == 200
    called = storage("query_client", "query_token", "revoke_token")
    assert capture.moved() == {**endpoint("revocation", 200), **called, **REVOKED}


def test_revocation_of_a_token_past_its_lifetime(server: Any, capture: Any) -> None:
    token = server.login()["access_token"]
    server.store.tokens[0].issued_at -= 4000
    capture.telemetry.ledger.retire(token)
    capture.mark()
    assert server.post("/revoke", token=token).status_code == 200
    moved = capture.moved()
    assert moved["oauth_token_revocations_total{reason=expired}"] == 1
    assert moved["oauth_token_revoked{client_id=web}"] == 1


def test_revocation_repeated_counts_once(server: Any, capture: Any) -> None:
    token = server.login()["access_token"]
    server.post("/revoke", token=token)
    capture.mark()
    assert server.post("/revoke", token=token).status_code == 200
    called = storage("query_client", "query_token", "revoke_token")
    assert capture.moved() == {**endpoint("revocation", 200), **called}


def test_revocation_of_an_unknown_token(server: Any, capture: Any) -> None:
    capture.mark()
    assert server.post("/revoke", token="never-issued").status_code == 200
    assert capture.moved() == {**endpoint("revocation", 200), **storage("query_client", "query_token")}


def test_token_of_other_client__at_revocation(server: Any, capture: Any) -> None:
    token = server.login()["refresh_token"]
    capture.mark()
    answered = 400 if AUTHLIB >= (1, 3, 2) else 200  # before, it hides that the token is there
    assert server.post("/revoke", "other", token=token).status_code == answered
    called = storage("query_client", "query_token")
    assert capture.moved() == {**endpoint("revocation", answered), **called, **OWNERSHIP}


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_token_of_other_client__which_the_store_does_not_find(server: Any, capture: Any, kind: str) -> None:
    token = server.login()[kind]
    server.store.tokens.clear()
    capture.mark()
    assert server.post("/revoke", "other", token=token).status_code == 200
    called = storage("query_client", "query_token")
    assert capture.moved() == {**endpoint("revocation", 200), **called, **OWNERSHIP}
    assert server.post("/revoke", token=token).status_code == 200
    assert capture.moved() == {**endpoint("revocation", 200), **called}


def test_introspection(server: Any, capture: Any) -> None:
    token = server.login()["access_token"]
    capture.mark()
    assert server.post("/introspect", token=token).json["active"] is True
    called = storage("query_client", "query_token")
    assert capture.moved() == {**endpoint("introspection", 200), **called}
    assert capture.spans("oauth.endpoint introspection")[-1]["attributes"]["oauth.token.active"] is True


def test_introspection_of_an_inactive_token(server: Any, capture: Any) -> None:
    capture.mark()
    assert server.post("/introspect", token="never-issued").json == {"active": False}
    called = storage("query_client", "query_token")
    assert capture.moved() == {**endpoint("introspection", 200), **called}


def _register(server: Any, **metadata: Any) -> Any:
    return server.http.post(
        "/register", json=metadata, headers={"Authorization": "Bearer x"}, base_url="https://server.example"
    )


def test_registration(server: Any, capture: Any) -> None:
    for method, kind in (("none", "public"), ("client_secret_basic", "confidential")):
        capture.mark()
        response = _register(server, redirect_uris=["https://a.example/cb"], token_endpoint_auth_method=method)
        assert response.status_code == 201
        assert capture.moved() == {
            **endpoint("registration", 201),
            **storage("save_client"),
            "oauth_client_registrations_total{status=success}": 1,
            "oauth_client_registration_duration_seconds{status=success}": 1,
            f"oauth_client_registered{{client_type={kind}}}": 1,
        }


def test_registration_rejected(server: Any, capture: Any) -> None:
    capture.mark()
    assert _register(server, redirect_uris=["not a uri"]).status_code == 400
    assert capture.moved() == {
        **endpoint("registration", 400),
        "oauth_client_registrations_total{status=failure}": 1,
        "oauth_client_registration_duration_seconds{status=failure}": 1,
    }


QUERY = {"response_type": "code", "client_id": "web", "redirect_uri": "https://client.example/cb", "state": "s1"}


def _authorize(server: Any, method: str = "GET", **query: str) -> Any:
    return server.http.open(
        "/authorize", method=method, query_string={**QUERY, **query}, base_url="https://server.example"
    )


def _authorization(method: str, code: int) -> dict[str, float]:
    return {
        f"oauth_http_requests_total{{method={method},endpoint=authorization,status={code}}}": 1,
        "oauth_http_request_duration_milliseconds{endpoint=authorization}": 1,
    }


def test_consent_page_and_response_count_one_authorization_and_two_requests(server: Any, capture: Any) -> None:
    assert _authorize(server).status_code == 200
    started = {"oauth_authorization_started{client_id=web}": 1}
    assert capture.moved() == {**_authorization("GET", 200), **storage("query_client"), **started}
    assert _authorize(server, "POST").status_code == 302
    assert capture.moved() == {**_authorization("POST", 302), **storage("query_client", "query_client")}


def test_authorization_by_an_unknown_client_is_not_started(server: Any, capture: Any) -> None:
    assert _authorize(server, client_id="stranger").status_code == 400
    assert capture.moved() == {**_authorization("GET", 400), **storage("query_client")}


def test_protected_resource(server: Any, capture: Any) -> None:
    token = server.login()["access_token"]
    capture.mark()
    headers = {"Authorization": f"Bearer {token}"}
    assert server.http.get("/open", headers=headers, base_url="https://server.example").status_code == 200
    assert capture.moved() == storage("query_token")
    assert server.http.get("/open", headers={"Authorization": "Bearer forged"}).status_code == 401
    assert server.http.get("/open").status_code == 401
    assert server.http.get("/api", headers=headers).status_code == 403
    spans = [span["attributes"].get("oauth.error") for span in capture.spans("oauth.verify_token bearer")]
    assert spans == [None, "invalid_token", "missing_authorization", "insufficient_scope"]


def test_gauges_follow_the_life_of_tokens(server: Any, capture: Any) -> None:
    def gauges() -> dict[str, float]:
        found = capture.gauges()
        return {name: found[name] for name in found if not name.startswith("otel_")}

    server.authorize()
    assert gauges() == {
        "oauth_active_pkce_states": 1,
        "oauth_active_tokens": 0,
        "storage_tokens_count": 0,
        "storage_clients_count": 1,
        "storage_flows_count": 1,
        "storage_families_count": 0,
        "storage_refresh_tokens_count": 0,
    }
    tokens = server.login()
    assert gauges()["oauth_active_tokens"] == gauges()["storage_refresh_tokens_count"] == 1
    server.refresh(tokens["refresh_token"])
    assert gauges()["storage_refresh_tokens_count"] == gauges()["storage_families_count"] == 1
    server.post("/revoke", token=server.store.tokens[-1].refresh_token)
    assert gauges()["storage_refresh_tokens_count"] == gauges()["storage_families_count"] == 0


def test_a_limit_that_the_application_sets_after_authlib_was_asked(server: Any, capture: Any) -> None:
    @server.app.get("/limited")
    def limited() -> Any:
        server.server.get_consent_grant(end_user="user")
        return "later", 429

    assert server.http.get("/limited", query_string=QUERY).status_code == 429
    started = {"oauth_authorization_started{client_id=web}": 1}
    exceeded = {"oauth_rate_limit_exceeded{limiter_type=endpoint}": 1}
    assert capture.moved() == {**_authorization("GET", 429), **storage("query_client"), **started, **exceeded}


# Endpoints of the application's own, and what changes responses -------------------------------------------------------


@pytest.mark.parametrize(("name", "label"), [("metadata", "metadata"), ("badge", "other")])
def test_endpoint_of_the_application(make_server: Any, capture: Any, name: str, label: str) -> None:
    class Own:
        ENDPOINT_NAME = name

        def __init__(self, server: Any) -> None:
            self.server = server

        def create_endpoint_request(self, request: Any) -> Any:
            return self.server.create_oauth2_request(request)

        def __call__(self, _request: Any) -> Any:
            return 200, {"issuer": "https://server.example"}, [("Content-Type", "application/json")]

    server = make_server()
    server.server.register_endpoint(Own)
    server.app.add_url_rule("/own", endpoint="own", view_func=lambda: server.server.create_endpoint_response(name))
    capture.mark()
    assert server.http.get("/own").json == {"issuer": "https://server.example"}
    assert capture.moved() == {
        f"oauth_http_requests_total{{method=GET,endpoint={label},status=200}}": 1,
        f"oauth_http_request_duration_milliseconds{{endpoint={label}}}": 1,
    }


@pytest.mark.skipif(AUTHLIB < (1, 6), reason="Authlib takes extensions of the server from 1.6 on")
def test_issuer_parameter(make_server: Any, capture: Any) -> None:
    class Issuer(IssuerParameter):
        def __init__(self, server: Any = None) -> None:
            if server is not None:
                self(server)

        def get_issuer(self) -> str:
            return "https://server.example"

    server = make_server()
    server.server.register_extension(Issuer)
    capture.mark()
    answer = _authorize(server, "POST", code_challenge="c" * 43, code_challenge_method="S256")
    assert "iss=https" in answer.headers["Location"]
    started = {"oauth_authorization_started{client_id=web}": 1}
    assert capture.moved() == {**_authorization("POST", 302), **storage("query_client", "query_client"), **started}


def test_revocation_of_a_token_that_says_nothing_of_itself(
    server: Any, capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each method of Authlib's own mixin raises: its revocation asks for neither."""

    def raising(_token: Any) -> bool:
        raise NotImplementedError

    token = server.login()["access_token"]
    capture.telemetry.ledger.retire(token)
    cls = type(server.store.tokens[0])
    monkeypatch.setattr(cls, "is_revoked", raising)
    monkeypatch.delattr(cls, "is_expired")
    capture.mark()
    assert server.post("/revoke", token=token).status_code == 200
    assert REVOKED.items() <= capture.moved().items()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (HTTPException(response=Response("down", 503)), 503),
        (TooManyRequests(), 429),
        (starlette.exceptions.HTTPException(404), 404),
        (PermissionDenied(), 403),
        (Http404(), 404),
        (requests.HTTPError(response=requests.Response()), 500),
        (RuntimeError(), 500),
    ],
)
def test_the_frameworks_own_exceptions_tell_the_status(error: Exception, status: int) -> None:
    assert settle.raised(error) == status


def test_a_framework_exception_in_a_callback_is_counted_with_its_status(server: Any, capture: Any) -> None:
    server.store.fail_saving = TooManyRequests()
    capture.mark()
    assert server.post("/token", grant_type="client_credentials").status_code == 429
    moved = capture.moved()
    assert endpoint("token", 429).items() <= moved.items()
    assert moved["oauth_rate_limit_exceeded{limiter_type=endpoint}"] == 1


def test_a_request_that_flask_gives_no_response_is_counted(server: Any, capture: Any) -> None:
    server.app.config["PROPAGATE_EXCEPTIONS"] = True

    @server.app.get("/broken")
    def broken() -> str:
        server.server.get_consent_grant(end_user="user")
        raise ArithmeticError

    capture.mark()
    asked = {"response_type": "code", "client_id": "web", "redirect_uri": "https://client.example/cb"}
    with pytest.raises(ArithmeticError):
        server.http.get("/broken", query_string=asked)
    server.http = None
    gc.collect()
    assert capture.moved()["oauth_http_requests_total{method=GET,endpoint=authorization,status=500}"] == 1
