"""An authorization server with Authlib and Flask: ``python -m demo.server --port N --database FILE``.

Authorization code with PKCE, refresh with rotation, client credentials, revocation, introspection,
registration, metadata, JWKS, userinfo, and an API that its tokens open. It knows nothing of telemetry.
"""

from __future__ import annotations

import argparse
import secrets
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidClientError
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Flask, jsonify, render_template_string, request
from flask import session as browser
from joserfc.jwk import ECKey, KeySet

from demo import grants, serving
from demo.seeds import GUESSES, KIOSK, SCOPES
from demo.store import Client, User, open_store, session

if TYPE_CHECKING:
    from authlib.oauth2 import OAuth2Request
    from flask.typing import ResponseReturnValue

TOKEN_LIFETIME = 3600
KIOSK_TOKEN_LIFETIME = 30
GUESS_WINDOW = 60.0
FAULTS = ("500", "html")

CONSENT_PAGE = """<!doctype html><title>Consent</title>
<p>{{ grant.client.client_name }} asks for: {{ scope }}</p>
<form method="post">
<input type="hidden" name="csrf_token" value="{{ csrf }}">
<label>Your name <input name="username"></label>
<button name="decision" value="allow">Allow</button> <button name="decision" value="deny">Deny</button>
</form>"""
GATEWAY_PAGE = "<!doctype html><title>Maintenance</title><p>We will be back in a minute."


class StorageUnavailableError(RuntimeError):
    """The database did not answer."""


class TooManyGuessesError(OAuth2Error):
    """Somebody guesses client secrets."""

    error = "temporarily_unavailable"
    status_code = 429
    description = "Too many failed attempts for this client."


class TokenServer(AuthorizationServer):
    """Authlib's server, with a limit on failed client authentications and a fault to order."""

    def __init__(self, app: Flask, metadata: dict[str, Any]) -> None:
        super().__init__(app, query_client=_query_client, save_token=self._store_token)
        self.metadata = metadata
        self.faults: deque[str] = deque()
        self._failures: dict[str | None, deque[float]] = {}
        self.register_token_generator("default", BearerTokenGenerator(_random, _random, _lifetime))

    def authenticate_client(self, request: OAuth2Request, methods: list[str], endpoint: str = "token") -> Client:
        """Authenticate as Authlib does, and refuse a client with 429 after some failures in a minute."""
        name = _presented_client()
        oldest = time.monotonic() - GUESS_WINDOW
        self._failures = {key: times for key, times in self._failures.items() if times[-1] > oldest}
        if sum(moment > oldest for moment in self._failures.get(name, ())) >= GUESSES:
            raise TooManyGuessesError
        try:
            return super().authenticate_client(request, methods, endpoint)
        except InvalidClientError:
            self._failures.setdefault(name, deque(maxlen=GUESSES)).append(time.monotonic())
            raise

    def _store_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        if self.faults and self.faults[0] == "500":
            self.faults.popleft()
            raise StorageUnavailableError
        grants.save_token(token, request)


def create_app(issuer: str, database: str) -> Flask:
    """Return the application that answers at ``issuer`` and stores in the SQLite file ``database``."""
    open_store(database)
    app = Flask("demo.server")
    app.config.update(
        SECRET_KEY=secrets.token_hex(32),
        SESSION_COOKIE_NAME="demo_server",  # cookies are shared by all ports of a host
        OAUTH2_SCOPES_SUPPORTED=list(SCOPES),
    )
    key = ECKey.generate_key("P-256", parameters={"use": "sig", "alg": grants.ID_TOKEN_ALGORITHM}, auto_kid=True)
    protect = ResourceProtector()
    protect.register_token_validator(grants.BearerValidator())
    server = TokenServer(app, metadata_of(issuer))
    server.register_grant(grants.CodeGrant, [CodeChallenge(required=True), grants.OpenID(issuer, key)])
    server.register_grant(grants.RotatingRefreshGrant)
    server.register_grant(grants.ServiceGrant)
    server.register_extension(grants.Issuer(issuer))
    for endpoint in (grants.Revocation, grants.Introspection, grants.Registration):
        server.register_endpoint(endpoint)
    server.register_endpoint(grants.Profile(resource_protector=protect))
    _add_authorization(app, server)
    _add_endpoints(app, server)
    _add_documents(app, server.metadata, KeySet([key]))
    _add_api(app, protect)
    _add_faults(app, server)
    app.teardown_appcontext(lambda _error: session.remove())
    return app


def metadata_of(issuer: str) -> dict[str, Any]:
    """Return the metadata of RFC 8414 and OpenID Connect Discovery."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "revocation_endpoint": f"{issuer}/revoke",
        "introspection_endpoint": f"{issuer}/introspect",
        "registration_endpoint": f"{issuer}/register",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "token_endpoint_auth_methods_supported": grants.AUTH_METHODS,
        "code_challenge_methods_supported": CodeChallenge.SUPPORTED_CODE_CHALLENGE_METHOD,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [grants.ID_TOKEN_ALGORITHM],
        "authorization_response_iss_parameter_supported": True,
    }


def _add_authorization(app: Flask, server: TokenServer) -> None:
    def invalid(error: OAuth2Error) -> ResponseReturnValue:
        return server.handle_error_response(server.create_oauth2_request(request), error)

    @app.get("/authorize")
    def consent_page() -> ResponseReturnValue:
        try:
            grant = server.get_consent_grant(request)
        except OAuth2Error as error:
            return invalid(error)
        csrf = browser.setdefault("csrf_token", secrets.token_urlsafe(16))
        return render_template_string(CONSENT_PAGE, grant=grant, scope=grant.request.scope, csrf=csrf)

    @app.post("/authorize")
    def decide() -> ResponseReturnValue:
        if request.form.get("csrf_token") != browser.get("csrf_token"):
            return jsonify(error="csrf"), 400
        allowed = request.form.get("decision") == "allow"
        person = session.query(User).filter_by(name=request.form.get("username")).first() if allowed else None
        try:
            grant = server.get_consent_grant(request, end_user=person)
        except OAuth2Error as error:
            return invalid(error)
        return server.create_authorization_response(request, grant_user=person, grant=grant)


def _add_endpoints(app: Flask, server: TokenServer) -> None:
    @app.post("/token")
    def token() -> ResponseReturnValue:
        if server.faults and server.faults[0] == "html":
            server.faults.popleft()
            return GATEWAY_PAGE
        return server.create_token_response()

    @app.post("/revoke")
    def revoke() -> ResponseReturnValue:
        return server.create_endpoint_response(grants.Revocation.ENDPOINT_NAME)

    @app.post("/introspect")
    def introspect() -> ResponseReturnValue:
        return server.create_endpoint_response(grants.Introspection.ENDPOINT_NAME)

    @app.post("/register")
    def register() -> ResponseReturnValue:
        return server.create_endpoint_response(grants.Registration.ENDPOINT_NAME)

    @app.get("/userinfo")
    def userinfo() -> ResponseReturnValue:
        return server.create_endpoint_response(grants.Profile.ENDPOINT_NAME)

    @app.errorhandler(StorageUnavailableError)
    def unavailable(_error: StorageUnavailableError) -> ResponseReturnValue:
        return jsonify(error="server_error"), 500


def _add_documents(app: Flask, metadata: dict[str, Any], keys: KeySet) -> None:
    @app.get("/.well-known/oauth-authorization-server")
    @app.get("/.well-known/openid-configuration")
    def document() -> ResponseReturnValue:
        return jsonify(metadata)

    @app.get("/jwks")
    def jwks() -> ResponseReturnValue:
        return jsonify(keys.as_dict(private=False))


def _add_api(app: Flask, protect: ResourceProtector) -> None:
    @app.get("/api")
    @protect("orders")
    def orders() -> ResponseReturnValue:
        return jsonify(customer=current_token.user_id, orders=[])

    @app.get("/api/reports")
    @protect("reports")
    def reports() -> ResponseReturnValue:
        return jsonify(reports=[])


def _add_faults(app: Flask, server: TokenServer) -> None:
    @app.post("/fault")
    def order_fault() -> ResponseReturnValue:
        kind = request.args.get("kind", "")
        if kind not in FAULTS:
            return jsonify(error=f"kind must be one of {', '.join(FAULTS)}"), 400
        server.faults.append(kind)
        return "", 204


def _query_client(client_id: str) -> Client | None:
    return session.query(Client).filter_by(client_id=client_id).first()


def _presented_client() -> str | None:
    return request.authorization.username if request.authorization else request.form.get("client_id")


def _random(**_request: object) -> str:
    return secrets.token_urlsafe(32)


def _lifetime(client: Client, _grant_type: str) -> int:
    # A terminal that many people share keeps a token for a moment only.
    return KIOSK_TOKEN_LIFETIME if client.client_id == KIOSK.client_id else TOKEN_LIFETIME


def main() -> None:
    """Run the server until it is told to stop."""
    parser = argparse.ArgumentParser(prog="demo.server", description="An authorization server.")
    serving.add_arguments(parser)
    parser.add_argument("--database", default=":memory:", help="the SQLite file")
    options = parser.parse_args()
    with serving.listen(options.port) as listener:
        app = create_app(serving.address(listener), options.database)
        serving.serve(app, listener, with_parent=options.with_parent)


if __name__ == "__main__":
    main()
