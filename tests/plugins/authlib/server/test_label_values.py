"""Label values that ordinary requests do not have: every status and method, own PKCE methods, clients beyond a cap."""

from __future__ import annotations

import hashlib
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from authlib.oauth2 import rfc6749
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib_rows import GRANTED, PKCE_OK, REFUSED, exchanged, integrity, pkce_failure, status, storage

from otel_oauth.catalogue import ENDPOINTS, HTTP_METHODS, HTTP_STATUSES
from otel_oauth.testing import Capture
from otel_oauth_authlib import AuthlibInstrumentor

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = {"registration": "client_registration"}
STATUSES = [int(value) for value in HTTP_STATUSES] + [HTTPStatus.IM_A_TEAPOT.value]
LIMITED = {"oauth_rate_limit_exceeded{limiter_type=endpoint}": 1}


def _request(method: str, endpoint: str, code: int) -> dict[str, int]:
    value = str(code) if str(code) in HTTP_STATUSES else "other"
    return {
        f"oauth_http_requests_total{{method={method},endpoint={endpoint},status={value}}}": 1,
        f"oauth_http_request_duration_milliseconds{{endpoint={endpoint}}}": 1,
        **(LIMITED if code == HTTPStatus.TOO_MANY_REQUESTS else {}),
    }


class Own:
    """An endpoint of the application's, which answers what it is asked for."""

    ENDPOINT_NAME = ""

    def __init__(self, server: Any) -> None:
        self.server = server

    def create_endpoint_request(self, request: Any) -> Any:
        return self.server.create_oauth2_request(request)

    def __call__(self, request: Any) -> Any:
        return int(request.headers["X-Answer"]), "", []


def _ask(server: Any, method: str, code: int, **form: str) -> None:
    body = {"data": form} if form else {}
    answer = server.http.open("/own", method=method, headers={"X-Answer": str(code)}, **body)
    assert answer.status_code == code


def _own_endpoint(make_server: Any, endpoint: str) -> Any:
    server, name = make_server(), NAMES.get(endpoint, endpoint)
    server.server._endpoints.pop(name, None)
    server.server.register_endpoint(type("Endpoint", (Own,), {"ENDPOINT_NAME": name}))
    methods = [*HTTP_METHODS, "PURGE"]
    view = lambda: server.server.create_endpoint_response(name)  # noqa: E731 a route of the application
    server.app.add_url_rule("/own", "own", view, methods=methods, provide_automatic_options=False)
    return server


@pytest.mark.parametrize("endpoint", [name for name in ENDPOINTS if name not in ("authorization", "callback", "token")])
def test_every_status_of(make_server: Any, capture: Any, endpoint: str) -> None:
    server = _own_endpoint(make_server, endpoint)
    method = "GET" if endpoint in ("userinfo", "metadata", "end_session") else "POST"
    expected: Counter[str] = Counter()
    capture.mark()
    for code in STATUSES:
        _ask(server, method, code)
        expected.update(_request(method, endpoint, code))
        if endpoint == "registration":
            outcome = "failure" if code >= HTTPStatus.BAD_REQUEST else "success"
            expected[f"oauth_client_registrations_total{{status={outcome}}}"] += 1
            expected[f"oauth_client_registration_duration_seconds{{status={outcome}}}"] += 1
    assert capture.moved() == expected


@pytest.mark.parametrize("method", [*HTTP_METHODS, "PURGE"])
def test_every_method(make_server: Any, capture: Any, method: str) -> None:
    server = _own_endpoint(make_server, "metadata")
    capture.mark()
    _ask(server, method, 200)
    assert capture.moved() == _request(method if method in HTTP_METHODS else "other", "metadata", 200)


class OwnGrant(rfc6749.BaseGrant, rfc6749.TokenEndpointMixin):
    """A grant of the application's, which answers what it is asked for."""

    GRANT_TYPE = "urn:example:answer"

    def validate_token_request(self) -> None:
        """Take everything."""

    def create_token_response(self) -> Any:
        return int(self.request.headers["X-Answer"]), {}, []


def test_every_status_of_token(make_server: Any, capture: Any) -> None:
    server = make_server()
    server.server.register_grant(OwnGrant)
    server.app.add_url_rule("/own", "own", lambda: server.server.create_token_response(), methods=["POST"])  # noqa: PLW0108 a bound method would be that of the moment
    expected: Counter[str] = Counter()
    capture.mark()
    for code in STATUSES:
        _ask(server, "POST", code, grant_type=OwnGrant.GRANT_TYPE)
        expected.update(_request("POST", "token", code))
    assert capture.moved() == expected


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_status_of_authorization(server: Any, capture: Any, method: str) -> None:
    def page(code: int) -> Any:
        server.server.get_consent_grant(end_user="user")
        return "", code

    server.app.add_url_rule("/page/<int:code>", "page", page, methods=["GET", "POST"])
    query = {"response_type": "code", "client_id": "web", "redirect_uri": "https://client.example/cb"}
    expected: Counter[str] = Counter()
    for code in STATUSES:
        answer = server.http.open(f"/page/{code}", method=method, query_string={**query, "state": str(code)})
        assert answer.status_code == code
        expected.update(_request(method, "authorization", code))
        expected.update({**storage("query_client"), "oauth_authorization_started{client_id=web}": 1})
    assert capture.moved() == expected


# PKCE methods of the application's own --------------------------------------------------------------------------------


def _by_sha512(verifier: str, challenge: str) -> bool:
    return hashlib.sha512(verifier.encode()).hexdigest() == challenge


class OwnChallenge(CodeChallenge):
    """Knows a method that no standard has."""

    SUPPORTED_CODE_CHALLENGE_METHOD = [*CodeChallenge.SUPPORTED_CODE_CHALLENGE_METHOD, "S512"]  # noqa: RUF012 as Authlib's
    CODE_CHALLENGE_METHODS = {**CodeChallenge.CODE_CHALLENGE_METHODS, "S512": _by_sha512}  # noqa: RUF012 as Authlib's


def test_a_pkce_method_of_the_applications_own(make_server: Any, capture: Any) -> None:
    server = make_server(pkce=False, extensions=(OwnChallenge(required=True),))
    verifier = "v" * 50
    code = server.authorize(challenge=hashlib.sha512(verifier.encode()).hexdigest(), method="S512")
    capture.mark()
    assert server.exchange(code, code_verifier="w" * 50).status_code == 400
    assert capture.moved() == {**status(400), **REFUSED, **pkce_failure("invalid_hash", "other"), **integrity("high")}
    assert server.exchange(code).status_code == 200
    assert capture.moved() == {**status(200), **GRANTED, **PKCE_OK, **exchanged("web", "other")}
    assert "S512" not in repr(capture.spans())


# Clients --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def capped() -> Iterator[Capture]:
    """Telemetry with room for one client."""
    with Capture(client_id_cap=1) as found:
        AuthlibInstrumentor().instrument(telemetry=found.telemetry)
        yield found
        AuthlibInstrumentor().uninstrument()


def _clients(capture: Capture) -> set[str]:
    return {series for series in capture.moved() if "client_id" in series}


def test_a_client_beyond_the_cap(capped: Capture, make_server: Any) -> None:
    server = make_server()
    server.login()
    capped.mark()
    token = server.login("other")["refresh_token"]
    assert _clients(capped) == {
        "oauth_authorization_started{client_id=other}",
        "oauth_code_exchanged{client_id=other,pkce_method=S256}",
    }
    rotated = server.refresh(token, "other").json["refresh_token"]
    assert _clients(capped) == {"oauth_token_refreshed{client_id=other,rotated=true}"}
    assert server.post("/revoke", "other", token=rotated).status_code == 200
    assert _clients(capped) == {"oauth_token_revoked{client_id=other}"}


def test_a_client_that_the_application_authenticates_by_itself(make_server: Any, capture: Any) -> None:
    """Nobody asked the store for it: it is known all the same, and so are its replays."""
    server = make_server()
    grant = server.server._token_grants[0][0]
    grant.TOKEN_ENDPOINT_AUTH_METHODS = ["certificate"]
    clients = {"web": server.store.clients["web"], "other": server.store.clients["other"]}
    for client in clients.values():
        client.auth_methods.append("certificate")
    server.server.register_client_auth_method(
        "certificate", lambda _query_client, request: clients.get(request.headers.get("X-Certificate", ""))
    )
    code = server.authorize()

    def exchange(certificate: str) -> int:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "https://client.example/cb"}
        headers = {"X-Certificate": certificate}
        answer = server.http.post(
            "/token", data={**form, "code_verifier": "v" * 50}, headers=headers, base_url="https://server.example"
        )
        return int(answer.status_code)

    capture.mark()
    asked = storage("query_code", "query_user", "save_token", "delete_code")
    assert exchange("web") == 200
    assert capture.moved() == {**status(200), **asked, **PKCE_OK, **exchanged("web", "S256")}
    assert exchange("other") == 400
    injected = {
        "oauth_code_reuse_detected": 1,
        "oauth_code_injection_attempts_total": 1,
        "oauth_security_events_total{event_type=code_injection,severity=critical}": 1,
    }
    assert capture.moved() == {**status(400), **storage("query_code"), **injected}
