"""OpenID Connect at the server: hybrid and implicit grants, nonces, userinfo, the end of a session."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oidc.core import OpenIDCode, OpenIDHybridGrant, OpenIDImplicitGrant
from authlib_jose import ISSUER, OpenIDKeys, oct_key, signed_jwt
from authlib_rows import GRANTED, exchanged, status, storage
from flask import request

LOW = {"oauth_security_events_total{event_type=integrity_violation,severity=low}": 1}
STARTED = {"oauth_authorization_started{client_id=web}": 1}
QUERY = {
    "client_id": "web",
    "redirect_uri": "https://client.example/cb",
    "scope": "openid",
    "state": "s1",
    "nonce": "n1",
}


def _authorization(code: int) -> dict[str, float]:
    return {
        f"oauth_http_requests_total{{method=POST,endpoint=authorization,status={code}}}": 1,
        "oauth_http_request_duration_milliseconds{endpoint=authorization}": 1,
    }


def _allow(server: Any, **query: str) -> Any:
    return server.http.post("/authorize", query_string={**QUERY, **query}, data={"allow": "yes"}, base_url=ISSUER)


def _fragment(answer: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).fragment).items()}


class Nonces(OpenIDKeys):
    """Nonces of codes that were stored."""

    used: ClassVar[set[str]]
    asked: ClassVar[list[str]]

    def exists_nonce(self, nonce: str, _request: Any) -> bool:
        self.asked.append(nonce)
        return nonce in self.used


def _refuse(server: Any) -> None:
    @server.app.errorhandler(OAuth2Error)
    def refused(_error: Exception) -> tuple[str, int]:
        return "refused", 400


def test_hybrid(make_server: Any, capture: Any) -> None:
    server = make_server()
    code_grant = server.server._token_grants[0][0]

    class Hybrid(Nonces, OpenIDHybridGrant):
        used: ClassVar[set[str]] = set()
        asked: ClassVar[list[str]] = []

        def save_authorization_code(self, code: str, request: Any) -> None:
            code_grant.save_authorization_code(self, code, request)
            self.used.add("n1")

    _refuse(server)
    server.server.register_grant(Hybrid)
    server.store.clients["web"].response_types.append("code id_token token")
    answer = _allow(server, response_type="code id_token token")
    returned = _fragment(answer)
    assert {"code", "id_token", "access_token"} <= set(returned)
    assert len(Hybrid.asked) >= 2, "Authlib asks once more each time the same grant is validated"
    asked = storage("query_client", "query_client", *["query_nonce" for _ in Hybrid.asked], "save_code", "save_token")
    assert capture.moved() == {**_authorization(302), **asked, **STARTED}
    gauges = capture.gauges()
    assert (gauges["oauth_active_tokens"], gauges["storage_flows_count"]) == (1, 1)
    assert server.exchange(returned["code"], code_verifier="").status_code == 200
    assert capture.moved() == {**status(200), **GRANTED, **exchanged("web", "none")}
    Hybrid.asked.clear()
    refused = _allow(server, response_type="code id_token token")
    assert (refused.status_code, Hybrid.asked) == (400, ["n1"])
    assert capture.moved() == {**_authorization(400), **storage("query_client", "query_nonce"), **LOW}
    said = repr(capture.spans()) + repr(capture.points())
    assert not any(returned[name] in said for name in ("code", "id_token", "access_token"))


def test_implicit_id_token(make_server: Any, capture: Any) -> None:
    class Implicit(Nonces, OpenIDImplicitGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["none"]  # noqa: RUF012 as Authlib's own is
        used: ClassVar[set[str]] = set()
        asked: ClassVar[list[str]] = []

    server = make_server()
    server.server.register_grant(Implicit)
    server.store.clients["app"].response_types += ["id_token", "id_token token"]
    started = {"oauth_authorization_started{client_id=app}": 1}
    asked = storage("query_client", "query_nonce", "query_client", "query_nonce")
    capture.mark()
    assert "id_token" in _fragment(_allow(server, client_id="app", response_type="id_token"))
    assert capture.moved() == {**_authorization(302), **asked, **started}
    assert capture.gauges()["oauth_active_tokens"] == 0, "an ID token alone is no access token"
    answer = _allow(server, client_id="app", response_type="id_token token", state="s2")
    assert "access_token" in _fragment(answer)
    assert capture.moved() == {**_authorization(302), **asked, **storage("save_token"), **started}
    assert capture.gauges()["oauth_active_tokens"] == 1


def test_nonce_replayed(make_server: Any, capture: Any) -> None:
    class OpenID(Nonces, OpenIDCode):
        used: ClassVar[set[str]] = set()
        asked: ClassVar[list[str]] = []

    server = make_server(pkce=False, extensions=(OpenID(),))
    _refuse(server)
    assert _allow(server, response_type="code").status_code == 302
    asked = storage("query_client", "query_nonce", "query_client", "query_nonce", "save_code")
    assert capture.moved() == {**_authorization(302), **asked, **STARTED}
    OpenID.used.add("n1")
    assert _allow(server, response_type="code", state="s2").status_code == 400
    assert capture.moved() == {**_authorization(400), **storage("query_client", "query_nonce"), **LOW}
    assert capture.spans("oauth.endpoint authorization")[-1]["attributes"]["oauth.case"] == "nonce_replayed"


def test_a_store_of_nonces_that_fails(make_server: Any, capture: Any) -> None:
    class OpenID(OpenIDKeys, OpenIDCode):
        def exists_nonce(self, _nonce: str, _request: Any) -> bool:
            msg = "the database is away"
            raise RuntimeError(msg)

    server = make_server(pkce=False, extensions=(OpenID(),))
    assert _allow(server, response_type="code").status_code == 500
    asked = storage("query_client", "query_nonce", error="query_nonce")
    assert capture.moved() == {**_authorization(500), **asked, **STARTED}


# Userinfo and the end of the session ----------------------------------------------------------------------------------


def test_userinfo(make_server: Any, capture: Any) -> None:
    core = pytest.importorskip("authlib.oidc.core.userinfo", reason="Authlib 1.5 brings the userinfo endpoint")
    server = make_server()
    store = server.store

    class Validator(BearerTokenValidator):
        def authenticate_token(self, value: str) -> Any:
            found = store.token(value)
            if found is not None:
                found.get_client = lambda: type("Client", (), {"client_metadata": {}, "client_id": found.client_id})
                found.get_user = lambda: "user"
            return found

    class UserInfo(core.UserInfoEndpoint):
        def generate_user_info(self, user: str, _scope: str) -> Any:
            return core.UserInfo(sub=user)

    protect = ResourceProtector()
    protect.register_token_validator(Validator())
    server.server.register_endpoint(UserInfo(resource_protector=protect))
    server.app.add_url_rule("/userinfo", view_func=lambda: server.server.create_endpoint_response("userinfo"))
    token = server.post("/token", grant_type="client_credentials", scope="openid").json["access_token"]
    capture.mark()
    for value, code in ((token, 200), ("forged", 401)):
        answer = server.http.get("/userinfo", headers={"Authorization": f"Bearer {value}"})
        assert answer.status_code == code
        assert capture.moved() == {
            f"oauth_http_requests_total{{method=GET,endpoint=userinfo,status={code}}}": 1,
            "oauth_http_request_duration_milliseconds{endpoint=userinfo}": 1,
            **storage("query_token"),
        }
    verified = [span["attributes"]["oauth.token.verification"] for span in capture.spans("oauth.verify_token")]
    assert verified == ["accepted", "unknown"]


def _logout_server(make_server: Any) -> Any:
    rpinitiated = pytest.importorskip("authlib.oidc.rpinitiated", reason="Authlib 1.7 brings the end of the session")

    class EndSession(rpinitiated.EndSessionEndpoint):
        def get_server_jwks(self) -> Any:
            return oct_key()

        def end_session(self, _request: Any) -> None:
            server.store.calls["end_session"] += 1

    server = make_server()
    server.store.clients["web"].client_metadata = {"post_logout_redirect_uris": ["https://client.example/bye"]}
    server.server.register_endpoint(EndSession)

    @server.app.route("/logout", methods=["GET", "POST"])
    def logout() -> Any:
        try:
            asked = server.server.validate_endpoint_request("end_session")
        except OAuth2Error as error:
            return error.error, 400
        if asked.needs_confirmation and request.method == "GET":
            return "sure?", 202
        return server.server.create_endpoint_response("end_session", asked) or ("bye", 203)

    return server


def _ended(method: str, code: str) -> dict[str, float]:
    return {
        f"oauth_http_requests_total{{method={method},endpoint=end_session,status={code}}}": 1,
        "oauth_http_request_duration_milliseconds{endpoint=end_session}": 1,
    }


def test_end_session(make_server: Any, capture: Any) -> None:
    server = _logout_server(make_server)
    hint = signed_jwt({"iss": ISSUER, "aud": "web", "sub": "user"})
    query = {"id_token_hint": hint, "post_logout_redirect_uri": "https://client.example/bye"}
    capture.mark()
    assert server.http.get("/logout", query_string=query).status_code == 302
    assert capture.moved() == {**_ended("GET", "302"), **storage("query_client")}, "two calls are one request"
    assert server.http.get("/logout").status_code == 202
    assert capture.moved() == _ended("GET", "202"), "the page that asks the user"
    assert server.http.post("/logout").status_code == 203
    assert capture.moved() == _ended("POST", "other"), "the application's own answer"
    assert server.http.get("/logout", query_string={"id_token_hint": "forged"}).status_code == 400
    assert capture.moved() == _ended("GET", "400")
    assert server.store.calls["end_session"] == 2
    assert hint not in repr(capture.spans()) + repr(capture.points())
