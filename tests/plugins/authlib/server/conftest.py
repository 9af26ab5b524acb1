"""A real Authlib server on Flask, a store that counts its calls, and switches for what applications get wrong."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib_versions import authorization_response, payload
from flask import Flask, jsonify, request

from otel_oauth.testing import Capture
from otel_oauth_authlib import AuthlibInstrumentor

REDIRECT = "https://client.example/cb"
VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


class Client:
    """A registered client."""

    def __init__(self, client_id: str, secret: str = "", grant_types: tuple[str, ...] = ()) -> None:
        self.client_id = client_id
        self.secret = secret
        self.grant_types = grant_types or ("authorization_code", "refresh_token", "client_credentials", "password")
        self.response_types = ["code"]
        self.auth_methods = ["client_secret_basic" if secret else "none"]

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return REDIRECT

    def get_allowed_scope(self, scope: str | None) -> str | None:
        return scope or ""

    def check_redirect_uri(self, uri: str) -> bool:
        return uri.startswith("https://")

    def check_client_secret(self, secret: str) -> bool:
        return self.secret == secret

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method in self.auth_methods

    def check_response_type(self, response_type: str) -> bool:
        return response_type in self.response_types

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.grant_types


@dataclass
class Code:
    """A stored authorization code."""

    code: str
    client_id: str
    redirect_uri: str
    code_challenge: str | None
    code_challenge_method: str | None
    scope: str = ""
    expired: bool = False

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Token:
    """A stored token pair."""

    client_id: str
    access_token: str
    refresh_token: str | None = None
    scope: str = ""
    expires_in: int = 3600
    issued_at: float = field(default_factory=time.time)
    revoked: bool = False

    def check_client(self, client: Client) -> bool:
        return self.client_id == client.client_id

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return self.issued_at + self.expires_in < time.time()

    def is_revoked(self) -> bool:
        return self.revoked


@dataclass
class Store:
    """The application's store: dicts, call counts, and switches for what an application may get wrong."""

    clients: dict[str, Client] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    tokens: list[Token] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    keep_codes: bool = False
    ignore_code_owner: bool = False
    accept_rotated: bool = False
    fail_saving: Exception | None = None
    failing: str = ""

    def called(self, operation: str) -> None:
        """Count a call, and fail if it is the one that is to fail."""
        self.calls[operation] += 1
        if operation == self.failing:
            msg = "the database is away"
            raise RuntimeError(msg)

    def refresh_token(self, value: str) -> Token | None:
        return next((token for token in self.tokens if token.refresh_token == value), None)

    def token(self, value: str) -> Token | None:
        return next((t for t in self.tokens if value in (t.access_token, t.refresh_token)), None)


def make_grants(store: Store, *, rotate: bool) -> tuple[type, type]:
    """Return the grant classes of an application, which override every callback."""

    class CodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "none"]  # noqa: RUF012 as Authlib's own is

        def save_authorization_code(self, code: str, oauth_request: Any) -> None:
            store.called("save_code")
            asked = payload(oauth_request)
            store.codes[code] = Code(
                code,
                oauth_request.client.client_id,
                asked.redirect_uri or "",
                asked.data.get("code_challenge"),
                asked.data.get("code_challenge_method"),
            )

        def query_authorization_code(self, code: str, client: Client) -> Code | None:
            store.called("query_code")
            found = store.codes.get(code)
            if found is None or found.expired or (found.client_id != client.client_id and not store.ignore_code_owner):
                return None
            return found

        def delete_authorization_code(self, code: Code) -> None:
            store.called("delete_code")
            if not store.keep_codes:
                store.codes.pop(code.code, None)

        def authenticate_user(self, _code: Code) -> str:
            store.called("query_user")
            return "user"

    class RefreshGrant(grants.RefreshTokenGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "none"]  # noqa: RUF012 as Authlib's own is
        INCLUDE_NEW_REFRESH_TOKEN = rotate

        def authenticate_refresh_token(self, value: str) -> Token | None:
            store.called("query_token")
            found = store.refresh_token(value)
            return found if found is not None and (not found.revoked or store.accept_rotated) else None

        def authenticate_user(self, _token: Token) -> str:
            store.called("query_user")
            return "user"

        def revoke_old_credential(self, token: Token) -> None:
            store.called("revoke_token")
            token.revoked = rotate

    return CodeGrant, RefreshGrant


class OAuthServer:
    """The application, its store, and short ways to drive it."""

    def __init__(
        self, *, pkce: bool = True, pkce_required: bool = True, rotate: bool = True, extensions: tuple[Any, ...] = ()
    ) -> None:
        self.store = Store()
        self.store.clients = {
            "web": Client("web", "web-secret"),
            "other": Client("other", "other-secret"),
            "app": Client("app"),
            "narrow": Client("narrow", "narrow-secret", ("client_credentials",)),
        }
        self.app = Flask("server")
        self.app.config.update(
            OAUTH2_REFRESH_TOKEN_GENERATOR=True, PROPAGATE_EXCEPTIONS=False, PREFERRED_URL_SCHEME="https"
        )
        self.server = AuthorizationServer(self.app, query_client=self._query_client, save_token=self._save_token)
        code_grant, refresh_grant = make_grants(self.store, rotate=rotate)
        checks = (CodeChallenge(required=pkce_required),) if pkce else ()
        self.server.register_grant(code_grant, [*checks, *extensions])
        self.server.register_grant(refresh_grant)
        self.server.register_grant(grants.ClientCredentialsGrant)
        self._register_endpoints()
        self._add_routes()
        self.http = self.app.test_client()

    def _query_client(self, client_id: str) -> Client | None:
        self.store.called("query_client")
        return self.store.clients.get(client_id)

    def _save_token(self, token: dict[str, Any], oauth_request: Any) -> None:
        self.store.called("save_token")
        if self.store.fail_saving is not None:
            raise self.store.fail_saving
        self.store.tokens.append(
            Token(
                oauth_request.client.client_id,
                token["access_token"],
                token.get("refresh_token"),
                token.get("scope", ""),
            )
        )

    def _register_endpoints(self) -> None:
        store = self.store

        class Revocation(RevocationEndpoint):
            def query_token(self, value: str, _hint: str | None) -> Token | None:
                store.called("query_token")
                return store.token(value)

            def revoke_token(self, token: Token, _request: Any) -> None:
                store.called("revoke_token")
                token.revoked = True

        class Introspection(IntrospectionEndpoint):
            def query_token(self, value: str, _hint: str | None) -> Token | None:
                return store.token(value)

            def check_permission(self, _token: Token, _client: Client, _request: Any) -> bool:
                return True

            def introspect_token(self, token: Token) -> dict[str, Any]:
                return {"active": True, "client_id": token.client_id}

        class Registration(ClientRegistrationEndpoint):
            def authenticate_token(self, http_request: Any) -> str | None:
                return http_request.headers.get("Authorization")

            def get_server_metadata(self) -> dict[str, Any]:
                return {}

            def save_client(self, info: dict[str, Any], _metadata: dict[str, Any], _request: Any) -> Client:
                store.called("save_client")
                store.clients[info["client_id"]] = client = Client(info["client_id"], info["client_secret"])
                return client

        for endpoint in (Revocation, Introspection, Registration):
            self.server.register_endpoint(endpoint)

    def _add_routes(self) -> None:
        app, server, store = self.app, self.server, self.store

        @app.get("/authorize")
        def consent() -> Any:
            try:
                server.get_consent_grant(end_user="user")
            except OAuth2Error as error:
                return jsonify(dict(error.get_body())), 400
            return "consent"

        @app.post("/authorize")
        def authorize() -> Any:
            grant = server.get_consent_grant(end_user="user")
            granted = "user" if request.form.get("allow") == "yes" else None
            return authorization_response(server, granted, grant)

        @app.post("/token")
        def issue_token() -> Any:
            return server.create_token_response()

        for path, name in (
            ("/revoke", "revocation"),
            ("/introspect", "introspection"),
            ("/register", "client_registration"),
        ):
            app.add_url_rule(
                path, endpoint=name, methods=["POST"], view_func=lambda name=name: server.create_endpoint_response(name)
            )

        class Validator(BearerTokenValidator):
            def authenticate_token(self, value: str) -> Token | None:
                return store.token(value)

        protect = ResourceProtector()
        protect.register_token_validator(Validator())

        @app.get("/api")
        @protect("profile")
        def api() -> Any:
            return jsonify(client=current_token.client_id)

        @app.get("/open")
        @protect()
        def open_api() -> Any:
            return jsonify(client=current_token.client_id)

    # Driving it ---------------------------------------------------------------------------------------------

    def post(self, path: str, client: str = "web", **form: str) -> Any:
        """Post a form as ``client``, with HTTP Basic if it has a secret."""
        headers = {}
        secret = self.store.clients[client].secret if client in self.store.clients else "x"
        if secret:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()
        else:
            form.setdefault("client_id", client)
        return self.http.post(path, data=form, headers=headers, base_url="https://server.example")

    def authorize(self, client: str = "web", *, challenge: str = CHALLENGE, method: str = "S256", **query: str) -> str:
        """Go through the authorization endpoint like a browser and return the code."""
        values = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": REDIRECT,
            "state": os.urandom(8).hex(),
            **query,
        }
        if challenge:
            values["code_challenge"] = challenge
        if challenge and method:
            values["code_challenge_method"] = method
        response = self.http.post(
            "/authorize", query_string=values, data={"allow": "yes"}, base_url="https://server.example"
        )
        assert response.status_code == 302, response.data
        return parse_qs(urlsplit(response.headers["Location"]).query)["code"][0]

    def exchange(self, code: str, client: str = "web", **form: str) -> Any:
        """Exchange a code as ``client``; a parameter given as an empty text is left out."""
        values = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
            **form,
        }
        return self.post("/token", client, **{name: value for name, value in values.items() if value})

    def refresh(self, token: str, client: str = "web", **form: str) -> Any:
        """Refresh as ``client``."""
        return self.post("/token", client, grant_type="refresh_token", refresh_token=token, **form)

    def login(self, client: str = "web") -> dict[str, Any]:
        """Authorize and exchange, and return the tokens."""
        response = self.exchange(self.authorize(client), client)
        assert response.status_code == 200, response.data
        return dict(response.json)


def _attributes() -> dict[tuple[type, str], Any]:
    """Return every attribute of every class of Authlib that is loaded."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("authlib.")]
    # By type(): isinstance would ask an object that stands for another, as Django's settings before they are made.
    classes = {cls for module in modules for cls in vars(module).values() if issubclass(type(cls), type)}
    ours = (cls for cls in classes if cls.__module__.startswith("authlib."))
    return {(cls, name): value for cls in ours for name, value in vars(cls).items()}


@pytest.fixture
def capture() -> Any:
    """The telemetry of one test, with Authlib instrumented before the application is made, and taken back whole."""
    before = _attributes()
    with Capture(race_window=30) as found:
        instrumentor = AuthlibInstrumentor()
        instrumentor.instrument(telemetry=found.telemetry)
        yield found
        instrumentor.uninstrument()
    after = _attributes()
    assert [key for key, value in before.items() if after.get(key) is not value] == []


@pytest.fixture
def server(capture: Capture) -> OAuthServer:  # noqa: ARG001 attached before the server is made
    """The authorization server of one test."""
    return OAuthServer()


@pytest.fixture
def make_server() -> type[OAuthServer]:
    """The class of the authorization server, to be made with switches."""
    return OAuthServer
