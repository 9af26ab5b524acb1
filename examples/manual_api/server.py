"""An authorization server of a few lines: codes with PKCE, refresh with rotation, revocation, registration, metadata.

Each endpoint opens one block of the manual API and says in it what it finds. It is a demonstration: it asks no user.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import otel_oauth
from manual_api.store import TOKEN_SECONDS, Client, Code, Store

if TYPE_CHECKING:
    from otel_oauth.manual import Endpoint

Answer = tuple[int, dict[str, object]]
Form = dict[str, str]

REGISTRATIONS = 3


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636 section 4.2)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class AuthorizationServer:
    """The endpoints, as functions from a form to a status and a body."""

    def __init__(self) -> None:
        self.store = Store()
        self._registrations = 0
        otel_oauth.count_with("storage_clients_count", self.store.client_count)

    def metadata(self, _form: Form) -> Answer:
        """RFC 8414."""
        with otel_oauth.endpoint("metadata", method="GET"):
            return 200, {"token_endpoint": "/token", "authorization_endpoint": "/authorize"}

    def authorize(self, form: Form) -> Answer:
        """RFC 6749 section 4.1.1; the answer is the redirect."""
        with otel_oauth.endpoint("authorization", method="GET") as request:
            client = self.store.client(form.get("client_id", ""))
            if client is None or form.get("redirect_uri") != client.redirect_uri:
                return _refused(request, 400, "invalid_request")
            request.client(client.client_id)
            challenge = form.get("code_challenge", "")
            request.authorization_started(state=form.get("state", ""), code_challenge=challenge)
            code = self.store.save_code(Code(client.client_id, client.redirect_uri, challenge))
            method = "S256" if challenge else "none"
            request.code_issued(code, challenge_method=method, redirect_uri=client.redirect_uri)
            request.answered(302)
            query = urlencode({"code": code, "state": form.get("state", "")})
            return 302, {"location": f"{client.redirect_uri}?{query}"}

    def token(self, form: Form) -> Answer:
        """RFC 6749 sections 4.1.3 and 6."""
        grant_type = form.get("grant_type", "")
        with otel_oauth.endpoint("token", grant_type=grant_type) as request:
            client = self._authenticated(request, form)
            if client is None:
                return _refused(request, 401, "invalid_client")
            if grant_type == "authorization_code":
                return self._redeem(request, client, form)
            if grant_type == "refresh_token":
                return self._refresh(request, client, form)
            return _refused(request, 400, "unsupported_grant_type")

    def _authenticated(self, request: Endpoint, form: Form) -> Client | None:
        client = self.store.client(form.get("client_id", ""))
        if client is None or not secrets.compare_digest(client.secret, form.get("client_secret", "")):
            return None
        request.client(client.client_id, authenticated=bool(client.secret))
        return client

    def _redeem(self, request: Endpoint, client: Client, form: Form) -> Answer:
        value, verifier = form.get("code", ""), form.get("code_verifier", "")
        code = self.store.code(value)
        if code is not None and code.client_id != client.client_id:
            code = None
        pkce = "unchecked"
        if code is not None and code.challenge:
            pkce = "missing" if not verifier else "mismatch"
            pkce = "matched" if challenge_of(verifier) == code.challenge else pkce
        request.code_presented(value, found=code is not None, verifier=bool(verifier), pkce=pkce)
        if code is None or pkce in ("missing", "mismatch"):
            return _refused(request, 400, "invalid_grant")
        self.store.delete_code(value)
        return self._issue(request, client)

    def _refresh(self, request: Endpoint, client: Client, form: Form) -> Answer:
        token = form.get("refresh_token")
        if token is None:
            return _refused(request, 400, "invalid_request")
        grant = self.store.grant(token)
        found = grant is not None and grant.client_id == client.client_id
        request.refresh_presented(token, found=found)
        if not found:
            return _refused(request, 400, "invalid_grant")
        self.store.revoke(token)
        return self._issue(request, client)

    def _issue(self, request: Endpoint, client: Client) -> Answer:
        grant = self.store.save_grant(client.client_id)
        request.tokens_issued(grant.access_token, expires_in=TOKEN_SECONDS, refresh_token=grant.refresh_token)
        tokens = {"access_token": grant.access_token, "refresh_token": grant.refresh_token}
        return 200, {**tokens, "token_type": "bearer", "expires_in": TOKEN_SECONDS}

    def revoke(self, form: Form) -> Answer:
        """RFC 7009: an unknown token is no error."""
        with otel_oauth.endpoint("revocation") as request:
            if self._authenticated(request, form) is None:
                return _refused(request, 401, "invalid_client")
            token = form.get("token", "")
            if self.store.revoke(token) is not None:
                request.token_revoked(token)
            return 200, {}

    def register(self, form: Form) -> Answer:
        """RFC 7591, for a limited number of clients."""
        with otel_oauth.endpoint("registration") as request:
            if self._registrations >= REGISTRATIONS:
                request.rate_limited("client_registration")
                return _refused(request, 429, "temporarily_unavailable")
            self._registrations += 1
            public = form.get("token_endpoint_auth_method") == "none"
            secret = "" if public else secrets.token_urlsafe()
            client = Client(secrets.token_hex(4), form.get("redirect_uri", ""), secret)
            self.store.save_client(client)
            request.client_registered(client.client_id, public=public)
            request.answered(201)
            return 201, {"client_id": client.client_id, "client_secret": client.secret}


def _refused(request: Endpoint, status: int, error: str) -> Answer:
    request.answered(status, error)
    return status, {"error": error}


def serve(server: AuthorizationServer) -> ThreadingHTTPServer:
    """Return an HTTP server for the endpoints, on a free port of the loopback interface."""
    routes = {
        "/.well-known/oauth-authorization-server": server.metadata,
        "/authorize": server.authorize,
        "/token": server.token,
        "/revoke": server.revoke,
        "/register": server.register,
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(urlsplit(self.path).query)

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _answer(self, form: str) -> None:
            status, body = routes[urlsplit(self.path).path](dict(parse_qsl(form)))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if "location" in body:
                self.send_header("Location", str(body["location"]))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the parameter of http.server
            """Print nothing: the program prints metrics."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)
