"""An authorization server with Authlib and Flask, all in memory: ``python examples/first_login/server.py --port 8001``.

Authorization code with PKCE, refresh with rotation, revocation, and one page that a token opens. It asks no user:
whoever comes is Alice. It knows nothing of telemetry.
"""

# ruff: noqa: ARG002, D102  methods of Authlib's interface, which its documentation describes

from __future__ import annotations

import argparse
import logging
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenGenerator, BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Flask, jsonify, request

if TYPE_CHECKING:
    from authlib.oauth2 import OAuth2Request
    from flask.typing import ResponseReturnValue

LIFETIME = 3600


class Shop(ClientMixin):
    """The one client that is registered here."""

    client_id = "shop"
    secret = "shop-secret"
    redirect_uri = "http://127.0.0.1:8002/callback"

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        return "profile" if scope else ""

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(client_secret, self.secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")


@dataclass
class Code(AuthorizationCodeMixin):
    """An authorization code, good for one use."""

    redirect_uri: str
    scope: str
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Token(TokenMixin):
    """An access token and its refresh token."""

    access_token: str
    refresh_token: str
    scope: str
    expires_at: float
    revoked: bool = False

    def check_client(self, client: Shop) -> bool:
        return client.client_id == Shop.client_id

    def get_scope(self) -> str:
        return self.scope

    def get_expires_in(self) -> int:
        return LIFETIME

    def is_expired(self) -> bool:
        return self.expires_at < time.time()

    def is_revoked(self) -> bool:
        return self.revoked


SHOP = Shop()
CODES: dict[str, Code] = {}
TOKENS: list[Token] = []


def find_token(value: str) -> Token | None:
    """Return the pair that an access or refresh token belongs to."""
    return next((token for token in TOKENS if value in (token.access_token, token.refresh_token)), None)


class CodeGrant(grants.AuthorizationCodeGrant):
    """The authorization code grant; Authlib calls these methods, they keep the codes."""

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        asked = request.payload
        challenge, method = asked.data.get("code_challenge"), asked.data.get("code_challenge_method")
        CODES[code] = Code(asked.redirect_uri, request.scope, challenge, method)

    def query_authorization_code(self, code: str, client: Shop) -> Code | None:
        return CODES.get(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        CODES.pop(next(code for code, kept in CODES.items() if kept is authorization_code))

    def authenticate_user(self, authorization_code: Code) -> str:
        return "alice"


class RefreshGrant(grants.RefreshTokenGrant):
    """The refresh grant: each refresh token is good for one use."""

    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        token = find_token(refresh_token)
        return None if token is None or token.revoked else token

    def authenticate_user(self, refresh_token: Token) -> str:
        return "alice"

    def revoke_old_credential(self, refresh_token: Token) -> None:
        refresh_token.revoked = True


class Revocation(RevocationEndpoint):
    """The revocation endpoint (RFC 7009)."""

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        return find_token(token_string)

    def revoke_token(self, token: Token, request: OAuth2Request) -> None:
        token.revoked = True


class Bearer(BearerTokenValidator):
    """Finds the token that a request carries (RFC 6750)."""

    def authenticate_token(self, token_string: str) -> Token | None:
        return find_token(token_string)


def save_token(token: dict[str, Any], request: OAuth2Request) -> None:  # noqa: ARG001 Authlib's interface
    """Keep an issued token."""
    expires_at = time.time() + token["expires_in"]
    TOKENS.append(Token(token["access_token"], token["refresh_token"], token["scope"], expires_at))


def random_token(**_request: object) -> str:
    """Return a new access or refresh token."""
    return secrets.token_urlsafe(32)


def create_app() -> Flask:
    """Return the application."""
    app = Flask("first_login.server")
    server = AuthorizationServer(app, query_client={"shop": SHOP}.get, save_token=save_token)
    server.register_token_generator("default", BearerTokenGenerator(random_token, random_token, lambda *_: LIFETIME))
    server.register_grant(CodeGrant, [CodeChallenge(required=True)])
    server.register_grant(RefreshGrant)
    server.register_endpoint(Revocation)
    protect = ResourceProtector()
    protect.register_token_validator(Bearer())

    @app.get("/authorize")
    def authorize() -> ResponseReturnValue:
        try:
            grant = server.get_consent_grant(request)
        except OAuth2Error as error:
            return jsonify(dict(error.get_body())), error.status_code
        return server.create_authorization_response(request, grant_user="alice", grant=grant)

    @app.post("/token")
    def token() -> ResponseReturnValue:
        return server.create_token_response()

    @app.post("/revoke")
    def revoke() -> ResponseReturnValue:
        return server.create_endpoint_response("revocation")

    @app.get("/me")
    @protect("profile")
    def me() -> ResponseReturnValue:
        return jsonify(name="Alice")

    return app


def main() -> None:
    """Serve on loopback."""
    parser = argparse.ArgumentParser(description="A small authorization server.")
    parser.add_argument("--port", type=int, default=8001)
    port = parser.parse_args().port
    # Flask's lines of requests would hold authorization codes and states.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    print(f"The authorization server listens on http://127.0.0.1:{port}", flush=True)
    create_app().run(port=port)


if __name__ == "__main__":
    main()
