"""A subclass of Authlib's own server, on a framework that this product knows nothing of."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Request
from authlib_rows import storage
from authlib_versions import AUTHLIB, authorization_response, with_parameters

from otel_oauth_authlib import AuthlibInstrumentor


class Web:
    """A request of the framework."""

    def __init__(self, method: str = "POST", **query: str) -> None:
        self.method = method
        self.query = {
            "response_type": "code",
            "client_id": "web",
            "redirect_uri": "https://client.example/cb",
            "state": "s1",
            **query,
        }


class OwnServer(AuthorizationServer):
    """What Authlib leaves to an integration."""

    def __init__(self, clients: dict[str, Any]) -> None:
        super().__init__()
        self.clients = clients

    def query_client(self, client_id: str) -> Any:
        return self.clients.get(client_id)

    def send_signal(self, *_arguments: Any, **_named: Any) -> None:
        pass

    def create_oauth2_request(self, request: Any) -> Any:
        if isinstance(request, OAuth2Request):
            return request
        made = OAuth2Request(request.method, "https://server.example/authorize")
        return with_parameters(made, request.query)

    def handle_response(self, status: int, body: Any, headers: Any) -> Any:
        return SimpleNamespace(status=status, body=body, headers=headers)


@pytest.fixture
def own(server: Any, capture: Any) -> OwnServer:
    found = OwnServer(server.store.clients)
    found.register_grant(server.server._token_grants[0][0])
    capture.mark()
    return found


def _authorization(method: str, code: int) -> dict[str, float]:
    return {
        f"oauth_http_requests_total{{method={method},endpoint=authorization,status={code}}}": 1,
        "oauth_http_request_duration_milliseconds{endpoint=authorization}": 1,
    }


STARTED = {"oauth_authorization_started{client_id=web}": 1}
ASKED = storage("query_client", "query_client", "save_code")


def test_consent_and_answer_share_the_request(own: OwnServer, capture: Any) -> None:
    request = Web()
    grant = own.get_consent_grant(request, end_user="user")
    assert authorization_response(own, "user", grant, request).status == 302
    assert capture.moved() == {**_authorization("POST", 302), **ASKED, **STARTED}


@pytest.mark.skipif(AUTHLIB < (1, 6), reason="Authlib takes the validated grant from 1.6 on")
def test_consent_and_answer_share_the_grant(own: OwnServer, capture: Any) -> None:
    grant = own.get_consent_grant(Web(), end_user="user")
    assert authorization_response(own, "user", grant, grant.request).status == 302
    assert capture.moved() == {**_authorization("POST", 302), **ASKED, **STARTED}


def test_consent_alone(own: OwnServer, capture: Any) -> None:
    own.get_consent_grant(Web("GET"), end_user="user")
    left = time.time_ns()
    time.sleep(0.01)
    assert capture.moved() == {**_authorization("GET", 200), **storage("query_client"), **STARTED}
    (span,) = capture.spans("oauth.endpoint authorization")
    assert span["end"] <= left, "as of when it was left, not as of the collection"


class Rigid:
    """A request that nothing can refer to weakly."""

    __slots__ = ("method", "query")

    def __init__(self, request: Web) -> None:
        self.method, self.query = request.method, request.query


def test_requests_that_cannot_be_remembered_share_the_grant(own: OwnServer, capture: Any) -> None:
    request = Rigid(Web())
    grant = own.get_consent_grant(request, end_user="user")
    assert capture.spans() == []
    authorization_response(own, "user", grant, request)
    moved = capture.moved()
    joined = AUTHLIB >= (1, 6)
    assert moved["oauth_http_request_duration_milliseconds{endpoint=authorization}"] == (1 if joined else 2)


def test_a_refused_consent_waits_for_nothing(own: OwnServer, capture: Any) -> None:
    with pytest.raises(OAuth2Error):
        own.get_consent_grant(Web("GET", client_id="stranger"), end_user="user")
    assert len(capture.spans("oauth.endpoint authorization")) == 1
    assert capture.moved() == {**_authorization("GET", 400), **storage("query_client")}


def test_two_requests_count_twice(own: OwnServer, capture: Any) -> None:
    own.get_consent_grant(Web("GET"), end_user="user")
    request = Web()
    grant = own.get_consent_grant(request, end_user="user")
    authorization_response(own, None, grant, request)
    moved = capture.moved()
    assert moved == {
        **_authorization("GET", 200),
        **_authorization("POST", 302),
        "oauth_http_request_duration_milliseconds{endpoint=authorization}": 2,
        **storage("query_client", "query_client", "query_client"),
        **STARTED,
    }


def test_a_request_that_is_collected_in_between_counts_once(own: OwnServer, capture: Any) -> None:
    request = Web()
    grant = own.get_consent_grant(request, end_user="user")
    assert capture.moved() == {**_authorization("POST", 200), **storage("query_client"), **STARTED}
    authorization_response(own, None, grant, request)
    moved = capture.moved()
    assert moved == {**_authorization("POST", 302), **storage("query_client")}, "seen too late to be joined"


def test_waiting_requests_are_bounded(own: OwnServer, capture: Any) -> None:
    requests = [Web("GET", state=f"s{number}") for number in range(1500)]
    for request in requests:
        own.get_consent_grant(request, end_user="user")
    assert len(capture.telemetry.postponed._waiting) <= 1024
    assert capture.moved()["oauth_http_requests_total{method=GET,endpoint=authorization,status=200}"] == 1500


def test_uninstrument_between_consent_and_answer(own: OwnServer, capture: Any) -> None:
    request = Web()
    grant = own.get_consent_grant(request, end_user="user")
    AuthlibInstrumentor().uninstrument()
    assert authorization_response(own, None, grant, request).status == 302
    assert capture.moved() == {**_authorization("POST", 200), **storage("query_client"), **STARTED}
