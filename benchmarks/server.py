"""The authorization server that is measured: Authlib on Flask over a store of dicts, so that little else takes time."""

# ruff: noqa: ARG002, D102  methods of Authlib's interface, which its documentation describes

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Flask

from benchmarks.requested import BASIC, FORM, REDIRECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Web(ClientMixin):  # type: ignore[misc]  # Authlib ships no types
    """The one client."""

    client_id = "web"

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def get_default_redirect_uri(self) -> str:
        return REDIRECT

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == REDIRECT

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == "web-secret"  # noqa: S105 of a benchmark

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return True


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]  # Authlib ships no types
    """A stored code."""

    value: str
    scope: str
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return REDIRECT

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Token(TokenMixin):  # type: ignore[misc]  # Authlib ships no types
    """A stored pair."""

    refresh_token: str | None
    scope: str
    revoked: bool = False

    def check_client(self, client: Web) -> bool:
        return True

    def get_scope(self) -> str:
        return self.scope


class Store:
    """Codes and refresh tokens by their values."""

    def __init__(self) -> None:
        self.codes: dict[str, Code] = {}
        self.tokens: dict[str, Token] = {}

    def save_token(self, token: dict[str, Any], request: Any) -> None:  # noqa: ANN401 Authlib's request
        refresh = token.get("refresh_token")
        if refresh:
            self.tokens[refresh] = Token(refresh, token.get("scope", ""))


class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib ships no types
    """The code grant; ``store`` is set by :func:`make_app`."""

    store: Store

    def save_authorization_code(self, code: str, request: Any) -> None:  # noqa: ANN401 Authlib's request
        data = request.payload.data
        self.store.codes[code] = Code(
            code, request.payload.scope or "", data.get("code_challenge"), data.get("code_challenge_method")
        )

    def query_authorization_code(self, code: str, client: Web) -> Code | None:
        return self.store.codes.get(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del self.store.codes[authorization_code.value]

    def authenticate_user(self, authorization_code: Code) -> str:
        return "user"


class RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]  # Authlib ships no types
    """The refresh grant, with rotation."""

    INCLUDE_NEW_REFRESH_TOKEN = True
    store: Store

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        found = self.store.tokens.get(refresh_token)
        return None if found is None or found.revoked else found

    def authenticate_user(self, refresh_token: Token) -> str:
        return "user"

    def revoke_old_credential(self, refresh_token: Token) -> None:
        refresh_token.revoked = True


def make_app() -> Flask:
    """Return a new application with a store of its own."""
    app, store, clients = Flask("benchmark"), Store(), {"web": Web()}
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    server = AuthorizationServer(app, query_client=clients.get, save_token=store.save_token)
    server.register_grant(type("CodeGrant", (CodeGrant,), {"store": store}), [CodeChallenge(required=True)])
    server.register_grant(type("RefreshGrant", (RefreshGrant,), {"store": store}))
    server.register_grant(grants.ClientCredentialsGrant)

    @app.post("/authorize")
    def authorize() -> Any:  # noqa: ANN401 Flask's
        grant = server.get_consent_grant(end_user="user")
        return server.create_authorization_response(grant_user="user", grant=grant)

    @app.post("/token")
    def token() -> Any:  # noqa: ANN401 Flask's
        return server.create_token_response()

    @app.get("/plain")
    def plain() -> str:
        return "nothing of OAuth"

    return app


def call(app: Flask, method: str, path: str, body: bytes = b"", query: str = "") -> tuple[str, list[Any], bytes]:
    """Send a request through the WSGI interface; return status, headers and body."""
    started: list[Any] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], _error: object = None, /
    ) -> Callable[[bytes], object]:
        started.extend((status, headers))
        return lambda _chunk: None

    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "server.example",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": FORM,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_AUTHORIZATION": BASIC,
        "HTTP_HOST": "server.example",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    chunks: Iterable[bytes] = app(environ, start_response)
    content = b"".join(chunks)
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
    return started[0], started[1], content
