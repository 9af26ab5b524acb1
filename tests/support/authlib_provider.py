"""A real OpenID provider on loopback HTTP: Authlib's server on Flask, with switches for what a provider may do."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oidc.core.util import create_half_hash
from authlib_versions import AUTHLIB, authorization_response, payload
from flask import Flask, Response, jsonify, request
from joserfc import jwt
from joserfc.jwk import ECKey
from werkzeug.serving import make_server

CLIENT_ID, CLIENT_SECRET = "web", "web-secret"


class Client:
    """The one registered client."""

    client_id = CLIENT_ID

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return "https://client.example/callback"

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def check_redirect_uri(self, _uri: str) -> bool:
        return True

    def check_client_secret(self, secret: str) -> bool:
        return secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, _response_type: str) -> bool:
        return True

    def check_grant_type(self, _grant_type: str) -> bool:
        return True


@dataclass
class Code:
    """A stored authorization code."""

    data: dict[str, str]

    @property
    def code_challenge(self) -> str | None:
        return self.data.get("code_challenge")

    @property
    def code_challenge_method(self) -> str | None:
        return self.data.get("code_challenge_method")

    def get_redirect_uri(self) -> str:
        return self.data.get("redirect_uri", "")

    def get_scope(self) -> str:
        return self.data.get("scope", "")


@dataclass
class Token:
    """A stored token pair."""

    access_token: str
    refresh_token: str | None
    scope: str
    revoked: bool = False

    def check_client(self, _client: Client) -> bool:
        return True

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self.revoked


class PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):
    """Every password is right."""

    def authenticate_user(self, username: str, _password: str) -> str:
        return username


def code_grant(provider: Provider) -> type:
    """Return the code grant over the provider's store."""

    class CodeGrant(grants.AuthorizationCodeGrant):
        def save_authorization_code(self, code: str, oauth_request: Any) -> None:
            provider.codes[code] = Code(dict(payload(oauth_request).data))

        def query_authorization_code(self, code: str, _client: Client) -> Code | None:
            return provider.codes.get(code)

        def delete_authorization_code(self, code: Code) -> None:
            for value, stored in list(provider.codes.items()):
                if stored is code:
                    del provider.codes[value]

        def authenticate_user(self, _code: Code) -> str:
            return "user"

    return CodeGrant


def refresh_grant(provider: Provider) -> type:
    """Return the refresh grant, with rotation."""

    class RefreshGrant(grants.RefreshTokenGrant):
        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, value: str) -> Token | None:
            found = provider.token(value)
            return found if found is not None and found.refresh_token == value and not found.revoked else None

        def authenticate_user(self, _token: Token) -> str:
            return "user"

        def revoke_old_credential(self, token: Token) -> None:
            token.revoked = True

    return RefreshGrant


def endpoints(provider: Provider) -> tuple[type, type]:
    """Return the revocation and introspection endpoints."""

    class Revocation(RevocationEndpoint):
        def query_token(self, value: str, _hint: str | None) -> Token | None:
            return provider.token(value)

        def revoke_token(self, token: Token, _request: Any) -> None:
            token.revoked = True

    class Introspection(IntrospectionEndpoint):
        def query_token(self, value: str, _hint: str | None) -> Token | None:
            return provider.token(value)

        def check_permission(self, _token: Token, _client: Client, _request: Any) -> bool:
            return True

        def introspect_token(self, token: Token) -> dict[str, Any]:
            return {"active": not token.revoked}

    return Revocation, Introspection


@dataclass
class Provider:
    """The provider, its store, and the switches.

    :ivar claims: overrides of the ID token's claims; a value of ``None`` leaves the claim out.
    :ivar answered: how often each path was answered with each status.
    :ivar answers: by path, what is answered once instead of the endpoint: a status (0: it hangs up), a body, seconds to
        wait, how the body claims to be encoded.
    """

    codes: dict[str, Code] = field(default_factory=dict)
    tokens: list[Token] = field(default_factory=list)
    claims: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, deque[tuple[int, str, float, str]]] = field(default_factory=lambda: defaultdict(deque))
    answered: Counter[tuple[str, int]] = field(default_factory=Counter)
    algorithm: str = "ES256"

    def __post_init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "k1"})
        self.secp = ECKey.generate_key("secp256k1", {"kid": "k2"})
        self.app = Flask("provider")
        self.app.config.update(OAUTH2_REFRESH_TOKEN_GENERATOR=True)
        self.http = make_server("127.0.0.1", 0, self.app, threaded=True)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self._register()
        self._add_routes()
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self._thread.join()
        self.http.server_close()

    def reset(self) -> None:
        """Forget the switches, not what was issued."""
        self.claims.clear()
        self.answers.clear()
        self.answered.clear()
        self.algorithm = "ES256"

    def answer(self, path: str, status: int, body: str = "{}", wait: float = 0.0, encoding: str = "") -> None:
        self.answers[path].append((status, body, wait, encoding))

    def authorize(self, url: str) -> dict[str, str]:
        """Log in and consent as the user's browser would; return the parameters of the redirect back."""
        response = requests.get(url, allow_redirects=False, timeout=5)
        assert response.status_code == 302, response.text
        return {name: values[0] for name, values in parse_qs(urlsplit(response.headers["Location"]).query).items()}

    def metadata(self) -> dict[str, Any]:
        paths = {
            "authorization_endpoint": "/authorize",
            "token_endpoint": "/token",
            "userinfo_endpoint": "/userinfo",
            "jwks_uri": "/jwks",
            "introspection_endpoint": "/introspect",
            "registration_endpoint": "/register",
        }
        algorithms = {"id_token_signing_alg_values_supported": ["ES256", "ES256K"]}
        return {"issuer": self.url, **{name: self.url + path for name, path in paths.items()}, **algorithms}

    def rotate_key(self) -> None:
        """Sign with another key from now on."""
        self.key = ECKey.generate_key("P-256", {"kid": f"k{time.time_ns()}"})

    def key_set(self) -> dict[str, Any]:
        """Return the public keys."""
        return {"keys": [key.as_dict(private=False) for key in (self.key, self.secp)]}

    def token(self, value: str) -> Token | None:
        return next((token for token in self.tokens if value in (token.access_token, token.refresh_token)), None)

    def _register(self) -> None:
        def save_token(token: dict[str, Any], _request: Any) -> None:
            self.tokens.append(Token(token["access_token"], token.get("refresh_token"), token.get("scope", "")))

        self.server = AuthorizationServer(
            self.app, query_client=lambda client_id: Client() if client_id == CLIENT_ID else None, save_token=save_token
        )
        self.server.register_grant(code_grant(self), [CodeChallenge(), self._add_id_token])
        for grant in (refresh_grant(self), grants.ClientCredentialsGrant, PasswordGrant):
            self.server.register_grant(grant)
        for endpoint in endpoints(self):
            self.server.register_endpoint(endpoint)

    def _add_id_token(self, grant: Any) -> None:
        grant.register_hook(
            "after_create_token_response" if AUTHLIB >= (1, 6) else "process_token", self._with_id_token
        )

    def _with_id_token(self, grant: Any, response: Any = None, token: Any = None) -> None:
        token = token or response[1]
        if "openid" not in token.get("scope", ""):
            return
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "sub": "user", "iat": now, "exp": now + 600}
        claims["nonce"] = grant.request.authorization_code.data.get("nonce")
        half = create_half_hash(token["access_token"], self.algorithm) or b"cannot-be-computed"
        claims = {**claims, "at_hash": half.decode(), **self.claims}
        kept = {name: value for name, value in claims.items() if value is not None}
        key = self.secp if self.algorithm == "ES256K" else self.key
        token["id_token"] = jwt.encode({"alg": self.algorithm, "kid": key.kid}, kept, key, [self.algorithm])

    def _add_routes(self) -> None:
        app, server = self.app, self.server

        @app.before_request
        def answered_otherwise() -> Response | None:
            waiting = self.answers.get(request.path)
            if not waiting:
                return None
            status, body, wait, encoding = waiting.popleft()
            time.sleep(wait)
            if not status:
                request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            headers = {"Content-Encoding": encoding} if encoding else {}
            return Response(body, status or 500, headers, content_type="application/json")

        @app.after_request
        def noted(response: Response) -> Response:
            self.answered[request.path, response.status_code] += 1
            return response

        @app.get("/authorize")
        def authorize() -> Response:
            return authorization_response(server, "user", server.get_consent_grant(end_user="user"))

        # Bound methods would be those of the moment: tests instrument later.
        app.post("/token", endpoint="token")(lambda: server.create_token_response())  # noqa: PLW0108 see above
        app.post("/revoke", endpoint="revoke")(lambda: server.create_endpoint_response("revocation"))
        app.post("/introspect", endpoint="introspect")(lambda: server.create_endpoint_response("introspection"))
        app.add_url_rule("/metadata", "metadata", lambda: jsonify(self.metadata()))
        app.add_url_rule("/jwks", "jwks", lambda: jsonify(self.key_set()))
        app.add_url_rule("/userinfo", "userinfo", lambda: jsonify(sub="user"))
        app.add_url_rule("/api", "api", lambda: jsonify(token=request.headers.get("Authorization", "")))
        app.add_url_rule("/register", "register", lambda: (jsonify(client_id="new"), 201), methods=["POST"])
