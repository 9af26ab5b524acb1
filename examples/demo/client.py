"""A web application with a login through Authlib's Flask registry: ``python -m demo.client --issuer URL``.

``/login`` and ``/callback``, ``/refresh``, ``/api``, ``/profile``, ``/introspect``, ``/logout``;
a kiosk as a public client with a short login; a nightly report with client credentials; tenants that are
connected while it runs. It knows nothing of telemetry.
"""

from __future__ import annotations

import argparse
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

from authlib.integrations.base_client import OAuthError
from authlib.integrations.flask_client import FlaskIntegration, OAuth
from authlib.integrations.requests_client import OAuth2Session
from flask import Flask, abort, jsonify, request, session, url_for
from requests import RequestException

from demo import serving
from demo.newsletter import add_newsletter
from demo.seeds import BATCH, KIOSK, KIOSK_LOGIN_LIFETIME, REGISTRATION_TOKEN, WEB

if TYPE_CHECKING:
    from authlib.integrations.flask_client import FlaskOAuth2App
    from flask.typing import ResponseReturnValue

DISCOVERY = "/.well-known/openid-configuration"
TIMEOUT = 10.0


class ExpiringStore:
    """Values that are forgotten after a time: where the registry keeps pending logins."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> str | None:
        """Return the value unless its time is over."""
        with self._lock:
            expiry, value = self._values.get(key, (0.0, ""))
        return value if expiry > time.monotonic() else None

    def set(self, key: str, value: str, expires_in: float) -> None:
        """Keep ``value`` for ``expires_in`` seconds."""
        with self._lock:
            self._values[key] = (time.monotonic() + expires_in, value)

    def delete(self, key: str) -> None:
        """Forget the value."""
        with self._lock:
            self._values.pop(key, None)


class KioskIntegration(FlaskIntegration):
    """A login at the kiosk must be finished soon, before the next person stands there."""

    expires_in = KIOSK_LOGIN_LIFETIME


class KioskOAuth(OAuth):
    """The registry of the kiosk."""

    framework_integration_cls = KioskIntegration


class Accounts:
    """Who is logged in: the provider and the token of each session."""

    def __init__(self) -> None:
        self._accounts: dict[str, tuple[str, dict[str, Any]]] = {}

    def add(self, provider: str, token: dict[str, Any]) -> None:
        """Log the current browser in."""
        session["account"] = secrets.token_urlsafe(16)
        self._accounts[session["account"]] = (provider, token)

    def current(self) -> tuple[str, dict[str, Any]]:
        """Return the provider and token of the current browser, or answer 401."""
        return self._accounts.get(session.get("account", "")) or abort(401)

    def update(self, token: dict[str, Any]) -> None:
        """Replace the token of the current browser."""
        provider, _old = self.current()
        self._accounts[session["account"]] = (provider, token)

    def remove(self) -> None:
        """Log the current browser out."""
        self._accounts.pop(session.pop("account"), None)


class Application:
    """The registries, the accounts and the issuer, which the routes share."""

    def __init__(self, app: Flask, issuer: str) -> None:
        self.issuer = issuer
        self.accounts = Accounts()
        pending = ExpiringStore()
        self.oauth = OAuth(app, cache=pending, update_token=self._keep)
        self.kiosk = KioskOAuth(app, cache=pending, update_token=self._keep)
        web = {"client_id": WEB.client_id, "client_secret": WEB.secret}
        self._register(self.oauth, "demo", issuer, WEB.scope, **web)
        self._register(self.kiosk, "kiosk", issuer, KIOSK.scope, client_id=KIOSK.client_id)

    def provider(self, name: str) -> FlaskOAuth2App:
        """Return the registered provider, or answer 404."""
        return (self.kiosk if name == "kiosk" else self.oauth).create_client(name) or abort(404)

    def connect(self, name: str, issuer: str) -> FlaskOAuth2App:
        """Register a provider whose client id is not known yet."""
        return self._register(self.oauth, name, issuer, WEB.scope)

    def session_of(self, name: str, token: dict[str, Any]) -> OAuth2Session:
        """Return a client session for calls that the registry has no method for."""
        provider = self.provider(name)
        return OAuth2Session(
            provider.client_id,
            provider.client_secret,
            token=token,
            default_timeout=TIMEOUT,
            scope=token.get("scope"),
        )

    @staticmethod
    def _register(oauth: OAuth, name: str, issuer: str, scope: str, **credentials: str) -> FlaskOAuth2App:
        return oauth.register(
            name,
            server_metadata_url=issuer + DISCOVERY,
            client_kwargs={"scope": scope, "code_challenge_method": "S256", "default_timeout": TIMEOUT},
            **credentials,
        )

    def _keep(self, _name: str, token: dict[str, Any], **_replaced: object) -> None:
        self.accounts.update(token)


def create_app(issuer: str) -> Flask:
    """Return the application whose people have their accounts at ``issuer``."""
    app = Flask("demo.client")
    app.config.update(
        SECRET_KEY=secrets.token_hex(32),
        SESSION_COOKIE_NAME="demo_client",  # cookies are shared by all ports of a host
    )
    application = Application(app, issuer)
    _add_login(app, application)
    add_newsletter(app, issuer)
    _add_session(app, application)
    _add_calls(app, application)
    _add_service(app, application)
    _add_errors(app)
    return app


def _add_login(app: Flask, application: Application) -> None:
    @app.get("/login", defaults={"name": "demo"})
    @app.get("/login/<name>")
    def login(name: str) -> ResponseReturnValue:
        return application.provider(name).authorize_redirect(url_for("callback", name=name, _external=True))

    @app.get("/callback/<name>")
    def callback(name: str) -> ResponseReturnValue:
        token = application.provider(name).authorize_access_token()
        application.accounts.add(name, token)
        return jsonify(welcome=token["userinfo"]["sub"])


def _add_session(app: Flask, application: Application) -> None:
    accounts = application.accounts

    @app.post("/refresh")
    def refresh() -> ResponseReturnValue:
        name, token = accounts.current()
        metadata = application.provider(name).load_server_metadata()
        with application.session_of(name, token) as oauth:
            accounts.update(oauth.refresh_token(metadata["token_endpoint"]))
        return jsonify(refreshed=True)

    @app.post("/introspect")
    def introspect() -> ResponseReturnValue:
        name, token = accounts.current()
        metadata = application.provider(name).load_server_metadata()
        with application.session_of(name, token) as oauth:
            answer = oauth.introspect_token(metadata["introspection_endpoint"], token=token["access_token"])
        return jsonify(active=answer.json()["active"])

    @app.post("/logout")
    def logout() -> ResponseReturnValue:
        name, token = accounts.current()
        accounts.remove()
        metadata = application.provider(name).load_server_metadata()
        with application.session_of(name, token) as oauth:
            endpoint = metadata["revocation_endpoint"]
            answer = oauth.revoke_token(endpoint, token=token["refresh_token"], token_type_hint="refresh_token")
        return jsonify(revoked=answer.ok)


def _add_calls(app: Flask, application: Application) -> None:
    @app.get("/api", defaults={"path": ""})
    @app.get("/api/<path>")
    def call(path: str) -> ResponseReturnValue:
        name, token = application.accounts.current()
        answer = application.provider(name).get(f"{application.issuer}/api/{path}".rstrip("/"), token=token)
        return answer.content, answer.status_code, {"Content-Type": answer.headers["Content-Type"]}

    @app.get("/profile")
    def profile() -> ResponseReturnValue:
        name, token = application.accounts.current()
        return jsonify(application.provider(name).userinfo(token=token))


def _add_service(app: Flask, application: Application) -> None:
    @app.post("/report")
    def report() -> ResponseReturnValue:
        metadata = application.provider("demo").load_server_metadata()
        with OAuth2Session(BATCH.client_id, BATCH.secret, scope=BATCH.scope, default_timeout=TIMEOUT) as oauth:
            oauth.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
            answer = oauth.get(f"{application.issuer}/api/reports")
        return answer.json(), answer.status_code

    @app.post("/connect/<name>")
    def connect(name: str) -> ResponseReturnValue:
        provider = application.connect(name, request.form.get("issuer", application.issuer))
        answer = provider.post(
            provider.load_server_metadata()["registration_endpoint"],
            token={"access_token": request.form.get("token", REGISTRATION_TOKEN), "token_type": "Bearer"},
            json={
                "client_name": name,
                "redirect_uris": [url_for("callback", name=name, _external=True)],
                "response_types": request.form.getlist("response_type") or ["code"],
                "grant_types": ["authorization_code", "refresh_token"],
                "scope": WEB.scope,
            },
        )
        if not answer.ok:
            return answer.json(), answer.status_code
        provider.client_id, provider.client_secret = (
            answer.json()["client_id"],
            answer.json()["client_secret"],
        )
        return jsonify(connected=name), 201


def _add_errors(app: Flask) -> None:
    @app.errorhandler(OAuthError)
    def refused(error: OAuthError) -> ResponseReturnValue:
        return jsonify(error=error.error), 400

    @app.errorhandler(RequestException)
    @app.errorhandler(ValueError)  # what Authlib raises for an answer that is no token
    def unreachable(_error: RequestException | ValueError) -> ResponseReturnValue:
        return jsonify(error="provider"), 502


def main() -> None:
    """Run the application until it is told to stop."""
    parser = argparse.ArgumentParser(prog="demo.client", description="A web application with a login.")
    serving.add_arguments(parser)
    parser.add_argument("--issuer", required=True, help="the URL of the authorization server")
    options = parser.parse_args()
    with serving.listen(options.port) as listener:
        serving.serve(create_app(options.issuer.rstrip("/")), listener, with_parent=options.with_parent)


if __name__ == "__main__":
    main()
