"""An authorization server with every endpoint and grant, whose store notes each call, and steps to drive it."""

from __future__ import annotations

import base64
import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib_jose import ISSUER, signed_jwt
from compared import Clock, Transcript, raised
from compared_grants import protector, register
from compared_store import REDIRECT, Record, client
from flask import Flask, jsonify, request
from werkzeug.test import EnvironBuilder

if TYPE_CHECKING:
    from collections.abc import Callable

Step = tuple[Any, ...]


class Application:
    """The application: its store, its grants and endpoints, and what of it fails on purpose."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self.clients = {
            found.client_id: found
            for found in (
                client("web", "web-secret"),
                client("other", "other-secret"),
                client("app"),
                client("jwt", "jwt-secret", JWTBearerClientAssertion.CLIENT_AUTH_METHOD),
                client("narrow", "narrow-secret", only=("client_credentials",)),
            )
        }
        self.codes: dict[str, Record] = {}
        self.tokens: list[Record] = []
        self.devices: dict[str, dict[str, Any]] = {}
        self.seen: set[str] = set()
        self.failing = ""
        self.careless = False
        self.app = Flask("application")
        self.app.config.update(OAUTH2_REFRESH_TOKEN_GENERATOR=True, PREFERRED_URL_SCHEME="https", TESTING=True)
        self.server = AuthorizationServer(self.app, query_client=self.query_client, save_token=self.save_token)
        register(self, self.server)
        self._add_routes()

    def stored(self, operation: str, *arguments: object) -> None:
        """Note a call to the store, and fail if it is to fail."""
        values = [each if isinstance(each, (str, int, type(None))) else type(each).__name__ for each in arguments]
        self.transcript.note("store", operation, *values)
        logging.getLogger("application.store").info("%s %s", operation, len(values))
        if self.failing == operation:
            raise LookupError(operation)

    def query_client(self, client_id: str) -> Record | None:
        self.stored("query_client", client_id)
        return self.clients.get(client_id)

    def save_token(self, token: dict[str, Any], asked: Any) -> None:
        self.stored("save_token", *token.values(), asked)
        self.tokens.append(
            Record(
                client_id=asked.client.client_id,
                access_token=token["access_token"],
                refresh_token=token.get("refresh_token"),
                scope=token.get("scope", ""),
                expires_in=token.get("expires_in", 0),
                issued_at=int(time.time()),
                revoked=False,
            )
        )

    def token(self, value: str, *names: str) -> Record | None:
        self.stored("query_token", value)
        named = names or ("access_token", "refresh_token")
        return next((each for each in self.tokens if value and value in (getattr(each, name) for name in named)), None)

    def fresh(self, value: str) -> bool:
        self.stored("query_jti", value)
        before, _ = value in self.seen, self.seen.add(value)
        return not before

    def _add_routes(self) -> None:
        app, server = self.app, self.server

        @app.errorhandler(OAuth2Error)
        def refused(error: OAuth2Error) -> Any:
            return jsonify(error=error.error, description=error.description), error.status_code

        @app.route("/authorize", methods=["GET", "POST"])
        def authorize() -> Any:
            grant = server.get_consent_grant(end_user="user")
            if request.method == "GET":
                return f"consent for {grant.client.client_id}"
            allowed = "user" if request.form.get("allow") == "yes" else None
            return server.create_authorization_response(grant_user=allowed, grant=grant)

        app.post("/token")(lambda: server.create_token_response())  # noqa: PLW0108 looked up at each request
        for name in ("revocation", "introspection", "client_registration", "device_authorization", "userinfo"):
            view = lambda name=name: server.create_endpoint_response(name)  # noqa: E731 a view of each
            app.add_url_rule(f"/{name}", name, view, methods=["GET", "POST"])
        manage = lambda client_id: server.create_endpoint_response("client_configuration")  # noqa: ARG005, E731 a view
        app.add_url_rule("/manage/<client_id>", "manage", manage, methods=["GET", "PUT", "DELETE"])

        @app.route("/logout", methods=["GET", "POST"])
        def logout() -> Any:
            asked = server.validate_endpoint_request("end_session")
            return server.create_endpoint_response("end_session", asked) or ("bye", 200)

        app.get("/api", endpoint="api")(protector(self)("profile")(lambda: jsonify(ok=True)))
        app.get("/plain", endpoint="plain")(lambda: "nothing of OAuth")


class Visitor:
    """Sends requests to the application and keeps what it was given, to present it again or elsewhere."""

    def __init__(self, application: Application, clock: Clock) -> None:
        self.application = application
        self.clock = clock
        self.http = application.app.test_client()
        self.given: dict[str, list[str]] = {
            name: [] for name in ("code", "access_token", "refresh_token", "device_code")
        }

    def take(self, steps: list[Step]) -> None:
        """Take the steps, each of which is the name of a method and its arguments."""
        for name, *arguments in steps:
            self.application.transcript.note("step", name)
            getattr(self, name)(*arguments)

    def recall(self, value: Any) -> Any:
        """Turn ``("code", 1)`` into the code that was given last but one; what was never given is forged."""
        if not isinstance(value, tuple):
            return value
        name, back = value
        if name == "jwt":
            now = int(self.clock.now)
            claims = {"iss": back, "sub": back, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": f"jti-{back}"}
            return signed_jwt(claims)
        found = self.given[name]
        return found[-1 - back % len(found)] if found else f"forged-{name}"

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    def fail(self, operation: str) -> None:
        self.application.failing = operation

    def neglect(self, careless: bool) -> None:  # noqa: FBT001 a step's argument
        self.application.careless = careless

    def send(self, method: str, path: str, who: str, form: dict[str, Any], **where: Any) -> None:
        """Send a request as ``who`` (the way in which a client authenticates, and which one)."""
        way, _, client_id = who.partition(" ")
        values = {name: self.recall(value) for name, value in form.items()}
        secret = f"{client_id}-secret"
        headers = dict(where.pop("headers", {}))
        if way == "basic":
            headers["Authorization"] = "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        elif way == "post":
            values.update(client_id=client_id, client_secret=secret)
        elif way == "public":
            values["client_id"] = client_id
        elif way == "assertion":
            values["client_assertion_type"] = JWTBearerClientAssertion.CLIENT_ASSERTION_TYPE
            values["client_assertion"] = self.recall(("jwt", client_id))
        elif way == "bearer":
            headers["Authorization"] = f"Bearer {self.recall(('access_token', int(client_id or 0)))}"
        if "json" in where:
            where["json"] = values
        elif method == "GET":
            where["query_string"] = values
        else:
            where["data"] = values
        self.request(method, path, headers=headers, **where)

    def raw(self, method: str, path: str, content_type: str, body: bytes, headers: dict[str, str]) -> None:
        """Send bytes as they are."""
        self.request(method, path, data=body, content_type=content_type or None, headers=headers)

    def authorize(self, method: str, query: dict[str, Any], *, allow: str = "yes") -> None:
        values = {name: self.recall(value) for name, value in query.items()}
        form = {"data": {"allow": allow}} if method == "POST" else {}
        self.request(method, "/authorize", query_string=values, **form)

    def register(self, path: str, metadata: dict[str, Any]) -> None:
        token = self.recall(("access_token", 0))
        self.request("POST", path, json=metadata, headers={"Authorization": f"Bearer {token}"})

    def manage(self, method: str, client_id: str) -> None:
        headers = {"Authorization": f"Bearer {self.recall(('access_token', 0))}"}
        metadata = {"client_id": client_id, "client_name": "shop", "redirect_uris": [REDIRECT]}
        self.request(method, f"/manage/{client_id}", json=metadata if method == "PUT" else None, headers=headers)

    def request(self, method: str, path: str, **arguments: Any) -> None:
        transcript = self.application.transcript
        builder = EnvironBuilder(path, base_url=ISSUER, method=method, **arguments)
        try:
            response = self.http.open(builder)
        except Exception as error:  # noqa: BLE001 what the application's framework would get
            transcript.note("raised", raised(error))
            return
        transcript.note("answered", response.status, list(response.headers), response.data)
        self._keep(response)

    def _keep(self, response: Any) -> None:
        location = urlsplit(response.headers.get("Location", ""))
        values = {name: found[0] for name, found in (parse_qs(location.query) | parse_qs(location.fragment)).items()}
        body = response.get_json(silent=True)
        if isinstance(body, dict):
            values |= body
        for name, kept in self.given.items():
            if isinstance(values.get(name), str):
                kept.append(values[name])


def objects(application: Application) -> dict[str, Any]:
    """Return the objects of the application that somebody may inspect."""
    server = application.server
    found: dict[str, Callable[[], Any]] = {
        "server": lambda: server,
        "client authentication": lambda: server._client_auth,
        **{f"grant {cls.__name__}": lambda cls=cls: cls for cls, _ in server._token_grants},
        **{f"extension of {cls.__name__}": lambda each=each: each[0] for cls, each in server._token_grants if each},
        **{f"endpoint {name}": lambda each=each: each[0] for name, each in server._endpoints.items()},
    }
    return {name: get() for name, get in found.items()}
