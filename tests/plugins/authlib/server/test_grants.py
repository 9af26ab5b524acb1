"""Every grant of the token and authorization endpoints beside codes and refresh tokens, the application's own too."""

from __future__ import annotations

import inspect
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.oauth2 import rfc6749
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant
from authlib.oauth2.rfc7523.assertion import client_secret_jwt_sign
from authlib_jose import ISSUER, ClientKeys, oct_key
from authlib_rows import status, storage

REPLAYED = {
    "oauth_integrity_violations_total{violation_type=state_reuse}": 1,
    "oauth_security_events_total{event_type=integrity_violation,severity=high}": 1,
}


def _grant_type(capture: Any) -> str:
    return str(capture.spans("oauth.endpoint token")[-1]["attributes"]["oauth.grant_type"])


# Password -------------------------------------------------------------------------------------------------------------


def test_password(make_server: Any, capture: Any) -> None:
    class PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):
        def authenticate_user(self, _username: str, password: str) -> str | None:
            return "user" if password == "right" else None

    server = make_server()
    server.server.register_grant(PasswordGrant)
    capture.mark()
    assert server.post("/token", grant_type="password", username="u", password="right").status_code == 200
    assert capture.moved() == {**status(200), **storage("query_client", "query_user", "save_token")}
    assert capture.gauges()["storage_families_count"] == 1
    assert server.post("/token", grant_type="password", username="u", password="wrong").status_code == 400
    assert capture.moved() == {**status(400), **storage("query_client", "query_user")}
    assert _grant_type(capture) == "password"


# Assertions -----------------------------------------------------------------------------------------------------------


class BearerGrant(ClientKeys, JWTBearerGrant):
    """Clients of the server sign for its users."""

    def resolve_issuer_client(self, issuer: str) -> Any:
        return self.server.query_client(issuer)

    def authenticate_user(self, subject: str) -> str | None:
        return subject if subject == "user" else None

    def has_granted_permission(self, _client: Any, _user: str) -> bool:
        return True


def _assertion(subject: str = "user", secret: str = "") -> str:
    key = oct_key(secret) if secret else oct_key()
    signed = JWTBearerGrant.sign(key, issuer="web", audience=ISSUER, subject=subject, alg="HS256")
    return signed.decode() if isinstance(signed, bytes) else str(signed)


def test_jwt_bearer(make_server: Any, capture: Any) -> None:
    server = make_server()
    server.server.register_grant(BearerGrant)
    server.store.clients["web"].grant_types = (JWTBearerGrant.GRANT_TYPE,)
    capture.mark()
    form = {"grant_type": JWTBearerGrant.GRANT_TYPE}
    assert server.http.post("/token", data={**form, "assertion": _assertion()}).status_code == 200
    called = storage("query_client", "query_client", "query_user", "save_token")
    assert capture.moved() == {**status(200), **called}
    assert capture.spans("oauth.endpoint token")[-1]["attributes"]["oauth.client_id"] == "web"
    assert server.http.post("/token", data={**form, "assertion": _assertion("nobody")}).status_code == 400
    assert capture.moved() == {**status(400), **storage("query_client", "query_client", "query_user")}
    assert _grant_type(capture) == "jwt_bearer"
    assert capture.gauges()["oauth_active_tokens"] == 1


class Assertion(ClientKeys, JWTBearerClientAssertion):
    """Clients authenticate with a signed JWT, each once."""

    def __init__(self) -> None:
        wanted = inspect.signature(JWTBearerClientAssertion.__init__).parameters["token_url"]
        super().__init__(*([ISSUER] if wanted.default is inspect.Parameter.empty else []))
        self.used: set[str] = set()

    def validate_jti(self, _claims: Any, jti: str) -> bool:
        fresh = jti not in self.used
        self.used.add(jti)
        return fresh


def _asserting(server: Any, assertion: Assertion) -> tuple[Any, dict[str, str]]:
    """Let a client authenticate with a signed JWT; return the server and a request with one."""

    class AssertionGrant(grants.ClientCredentialsGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = [Assertion.CLIENT_AUTH_METHOD, "client_secret_basic"]  # noqa: RUF012 as Authlib's

    server.server._token_grants.insert(0, (AssertionGrant, None))
    server.server.register_client_auth_method(Assertion.CLIENT_AUTH_METHOD, assertion)
    server.store.clients["web"].auth_methods.append(Assertion.CLIENT_AUTH_METHOD)
    signed = client_secret_jwt_sign(oct_key(), "web", ISSUER)
    return server, {
        "grant_type": "client_credentials",
        "client_assertion_type": JWTBearerClientAssertion.CLIENT_ASSERTION_TYPE,
        "client_assertion": signed.decode() if isinstance(signed, bytes) else signed,
    }


@pytest.mark.parametrize("when", ["before the first request", "after it"])
def test_assertion_replayed__of_a_client(make_server: Any, capture: Any, when: str) -> None:
    server = make_server()
    if when == "after it":
        assert server.post("/token", grant_type="client_credentials").status_code == 200
    server, form = _asserting(server, Assertion())
    capture.mark()
    assert server.http.post("/token", data=form).status_code == 200
    assert capture.moved() == {**status(200), **storage("query_client", "query_jti", "save_token")}
    refused = server.http.post("/token", data=form).status_code
    assert refused in (400, 401)
    assert capture.moved() == {**status(refused), **storage("query_client", "query_jti"), **REPLAYED}
    assert capture.spans("oauth.endpoint token")[-1]["attributes"]["oauth.case"] == "assertion_replayed"
    assert [event["name"] for event in capture.spans()[-1]["events"]] == ["pkce_replay_detected"]


def test_a_store_of_assertions_that_fails(make_server: Any, capture: Any) -> None:
    class Failing(Assertion):
        def validate_jti(self, _claims: Any, _jti: str) -> bool:
            msg = "the database is away"
            raise RuntimeError(msg)

    server, form = _asserting(make_server(), Failing())
    capture.mark()
    assert server.http.post("/token", data=form).status_code == 500
    assert capture.moved() == {**status(500), **storage("query_client", "query_jti", error="query_jti")}


def test_assertion_replayed__of_an_identity(make_server: Any, capture: Any) -> None:
    drafts = pytest.importorskip("authlib.oauth2.drafts", reason="Authlib 1.9 brings ID-JAG")
    used: set[str] = set()

    class IdentityGrant(drafts.IDJAGGrant):
        def get_audiences(self) -> list[str]:
            return [ISSUER]

        def resolve_issuer_key(self, _issuer: str, _headers: Any) -> Any:
            return oct_key()

        def authenticate_user(self, subject: str) -> str:
            return subject

        def check_jti(self, _claims: Any, jti: str) -> bool:
            fresh = jti not in used
            used.add(jti)
            return fresh

        def check_id_jag_permission(self, _client: Any, _user: str, _scopes: list[str]) -> bool:
            return True

    server = make_server()
    server.server.register_grant(IdentityGrant)
    server.store.clients["web"].grant_types = (JWTBearerGrant.GRANT_TYPE,)
    signed = IdentityGrant.sign(
        oct_key(), issuer="https://idp.example", audience=ISSUER, subject="user", client_id="web", alg="HS256"
    )
    form = {"grant_type": JWTBearerGrant.GRANT_TYPE, "assertion": signed}
    capture.mark()
    assert server.post("/token", **form).status_code == 200
    called = storage("query_client", "query_jti", "query_user", "save_token")
    assert capture.moved() == {**status(200), **called}
    assert server.post("/token", **form).status_code == 400
    assert capture.moved() == {**status(400), **storage("query_client", "query_jti"), **REPLAYED}
    assert signed not in repr(capture.spans()) + repr(capture.points())


# Implicit -------------------------------------------------------------------------------------------------------------


def test_implicit(make_server: Any, capture: Any) -> None:
    server = make_server()
    server.server.register_grant(grants.ImplicitGrant)
    server.store.clients["app"].response_types.append("token")
    query = {"response_type": "token", "client_id": "app", "redirect_uri": "https://client.example/cb", "state": "s"}
    capture.mark()
    answer = server.http.post("/authorize", query_string=query, data={"allow": "yes"}, base_url=ISSUER)
    token = parse_qs(urlsplit(answer.headers["Location"]).fragment)["access_token"][0]
    requested = {
        "oauth_http_requests_total{method=POST,endpoint=authorization,status=302}": 1,
        "oauth_http_request_duration_milliseconds{endpoint=authorization}": 1,
    }
    asked = storage("query_client", "query_client")
    started = {"oauth_authorization_started{client_id=app}": 1}
    assert capture.moved() == {**requested, **asked, **storage("save_token"), **started}
    gauges = capture.gauges()
    assert (gauges["oauth_active_tokens"], gauges["storage_flows_count"], gauges["oauth_active_pkce_states"]) == (
        1,
        0,
        0,
    )
    assert server.http.post("/authorize", query_string={**query, "state": "t"}, base_url=ISSUER).status_code == 302
    assert capture.moved() == {**requested, **asked, **started}
    assert token not in repr(capture.spans()) + repr(capture.points())


# The application's own ------------------------------------------------------------------------------------------------


class OwnGrant(rfc6749.BaseGrant, rfc6749.TokenEndpointMixin):
    """A grant that no standard knows."""

    GRANT_TYPE = "urn:example:badge"

    def validate_token_request(self) -> None:
        if self.request.form.get("badge") != "gold":
            raise rfc6749.InvalidGrantError
        self.request.client = self.server.query_client("web")

    def create_token_response(self) -> Any:
        token = self.generate_token(scope="", grant_type=self.GRANT_TYPE, include_refresh_token=True)
        self.save_token(token)
        return 200, token, self.TOKEN_RESPONSE_HEADER


def test_grant_of_the_application(make_server: Any, capture: Any) -> None:
    server = make_server()
    server.server.register_grant(OwnGrant)
    capture.mark()
    form = {"grant_type": OwnGrant.GRANT_TYPE, "badge": "gold"}
    answer = server.http.post("/token", data=form)
    assert answer.status_code == 200
    assert capture.moved() == {**status(200), **storage("query_client", "save_token")}
    assert _grant_type(capture) == "other"
    assert server.http.post("/token", data={**form, "badge": "tin"}).status_code == 400
    assert capture.moved() == status(400)
    assert server.refresh(answer.json["refresh_token"], "other").status_code == 400
    moved = capture.moved()
    assert moved["oauth_token_refresh_total{status=failure,reason=ownership_failed}"] == 1, (
        "the ledger knows whose it is"
    )
