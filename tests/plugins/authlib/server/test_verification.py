"""What a resource server finds about a bearer token, as an attribute of the span."""

from __future__ import annotations

import time
from typing import Any

import pytest
from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2.rfc7662 import IntrospectTokenValidator
from authlib.oauth2.rfc9068 import (
    JWTBearerTokenGenerator,
    JWTBearerTokenValidator,
    JWTIntrospectionEndpoint,
    JWTRevocationEndpoint,
)
from authlib_jose import ISSUER, oct_key
from authlib_rows import endpoint, status, storage

from otel_oauth.vocabulary import VERIFICATIONS

API = "https://api.example"


def _verification(capture: Any) -> str:
    found = str(capture.spans("oauth.verify_token bearer")[-1]["attributes"]["oauth.token.verification"])
    assert found in VERIFICATIONS
    return found


def _get(server: Any, token: str, path: str = "/open", scheme: str = "Bearer ") -> int:
    headers = {"Authorization": scheme + token} if token else {}
    return int(server.http.get(path, headers=headers).status_code)


def test_opaque_tokens(server: Any, capture: Any) -> None:
    token = server.login()["access_token"]
    stored = server.store.tokens[0]
    found = []
    for path, scheme, value in (
        ("/open", "Bearer ", token),
        ("/open", "", ""),
        ("/open", "Basic ", "dTpw"),
        ("/open", "", "Bearer"),
        ("/open", "Bearer ", "never-issued"),
        ("/api", "Bearer ", token),
    ):
        found.append((_get(server, value, path, scheme), _verification(capture)))
    stored.revoked = True
    found.append((_get(server, token), _verification(capture)))
    stored.issued_at -= 4000
    found.append((_get(server, token), _verification(capture)))
    assert found == [
        (200, "accepted"),
        (401, "missing"),
        (401, "malformed"),
        (401, "malformed"),
        (401, "unknown"),
        (403, "insufficient_scope"),
        (401, "revoked"),
        (401, "expired"),
    ]
    assert token not in repr(capture.spans())


# JWT access tokens (RFC 9068) -----------------------------------------------------------------------------------------


class Generator(JWTBearerTokenGenerator):
    """Signs access tokens for the API."""

    audience = API
    secret = ""
    lifetime = 3600

    def get_jwks(self) -> Any:
        return oct_key(self.secret) if self.secret else oct_key()

    def get_audiences(self, _client: Any, _user: Any, _scope: str) -> str:
        return self.audience

    def _get_expires_in(self, _client: Any, _grant_type: str) -> int:
        return self.lifetime


class Validator(JWTBearerTokenValidator):
    """Takes access tokens of the server for the API."""

    def get_jwks(self) -> Any:
        return oct_key()


@pytest.fixture
def signed(make_server: Any, capture: Any) -> Any:
    """A server that signs its access tokens, and an API that reads them."""
    server = make_server()
    server.generator = Generator(ISSUER, alg="HS256")
    server.server.register_token_generator("default", server.generator)
    protect = ResourceProtector()
    protect.register_token_validator(Validator(ISSUER, API))
    server.app.add_url_rule("/signed", endpoint="signed", view_func=protect()(lambda: "in"))
    server.app.add_url_rule("/scope", endpoint="scope", view_func=protect("write")(lambda: "in"))
    server.app.add_url_rule("/staff", endpoint="staff", view_func=protect(groups="staff")(lambda: "in"))

    class Revocation(JWTRevocationEndpoint):
        get_jwks = Validator.get_jwks

    class Introspection(JWTIntrospectionEndpoint):
        get_jwks = Validator.get_jwks

        def check_permission(self, *_arguments: Any) -> bool:
            return True

    for name, own in (("revocation", Revocation(ISSUER)), ("introspection", Introspection(ISSUER))):
        server.server.register_endpoint(own)
        server.server._endpoints[name].reverse()
    capture.mark()
    return server


def _issue(server: Any, **settings: Any) -> str:
    for name, value in settings.items():
        setattr(server.generator, name, value)
    answer = server.post("/token", grant_type="client_credentials", scope="read")
    return str(answer.json["access_token"])


def test_signed_tokens_are_issued_like_others(signed: Any, capture: Any) -> None:
    token = _issue(signed)
    assert capture.moved() == {**status(200), **storage("query_client", "save_token")}
    assert capture.gauges()["oauth_active_tokens"] == 1
    assert _get(signed, token, "/signed") == 200
    assert capture.moved() == {}, "reading a JWT is no call of the store"
    assert _verification(capture) == "accepted"


@pytest.mark.parametrize(
    ("path", "settings", "verification"),
    [
        ("/scope", {}, "insufficient_scope"),
        ("/staff", {}, "refused"),
        ("/signed", {"audience": "https://other.example"}, "wrong_audience"),
        ("/signed", {"issuer": "https://other.example"}, "wrong_issuer"),
        ("/signed", {"lifetime": -3600}, "expired"),
    ],
)
def test_signed_tokens_refused(
    signed: Any, capture: Any, path: str, settings: dict[str, Any], verification: str
) -> None:
    assert _get(signed, _issue(signed, **settings), path) == (403 if verification == "insufficient_scope" else 401)
    assert _verification(capture) == verification


def test_signed_tokens_that_cannot_be_read(signed: Any, capture: Any) -> None:
    assert _get(signed, "no.jwt", "/signed") == 401
    assert _verification(capture) == "malformed"


def test_signature_of_somebody_else(signed: Any, capture: Any) -> None:
    code = _get(signed, _issue(signed, secret="another secret of thirty-two bytes"), "/signed")
    assert code in (401, 500), "up to 1.7 Authlib lets the error of the signature escape"
    assert _verification(capture) == "wrong_signature"


def test_introspection_of_a_signed_token(signed: Any, capture: Any) -> None:
    token = _issue(signed)
    _get(signed, token, "/signed")
    capture.mark()
    assert signed.post("/introspect", token=token).json["active"] is True
    assert capture.moved() == {**endpoint("introspection", 200), **storage("query_client")}
    assert capture.spans("oauth.endpoint introspection")[-1]["attributes"]["oauth.token.active"] is True
    assert signed.post("/introspect", token="opaque").json == {"active": False}
    assert capture.moved() == {
        **endpoint("introspection", 200),
        **storage("query_client", "query_client", "query_token"),
    }


def test_revocation_of_a_signed_token_is_refused(signed: Any, capture: Any) -> None:
    token = _issue(signed)
    capture.mark()
    refused = signed.post("/revoke", token=token)
    assert refused.json["error"] == "unsupported_token_type"
    assert capture.moved() == {**endpoint("revocation", refused.status_code), **storage("query_client")}


# Tokens that another server knows (RFC 7662) --------------------------------------------------------------------------


def test_introspected_tokens(make_server: Any, capture: Any) -> None:
    class Introspected(IntrospectTokenValidator):
        def introspect_token(self, value: str) -> dict[str, Any]:
            return {"active": value == "good", "scope": "read", "exp": time.time() + 60}

    server = make_server()
    protect = ResourceProtector()
    protect.register_token_validator(Introspected())
    server.app.add_url_rule("/remote", endpoint="remote", view_func=protect("read")(lambda: "in"))
    found = [(_get(server, token, "/remote"), _verification(capture)) for token in ("good", "bad")]
    assert found == [(200, "accepted"), (401, "inactive")]
    assert capture.moved() == {}
