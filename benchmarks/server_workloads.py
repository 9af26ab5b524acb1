"""What is measured of an authorization server: requests through its WSGI interface."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from opentelemetry.instrumentation.flask import FlaskInstrumentor

from benchmarks.attached import AuthlibWorkload, providers
from benchmarks.requested import AUTHORIZATION, CLIENT_CREDENTIALS, code_in, exchange, refresh
from benchmarks.server import call, make_app

if TYPE_CHECKING:
    from benchmarks.signals import Signals

HTTP_SERVER = {"spans": 1.0, "http.server.duration": 1.0}
TOKEN_REQUEST = {
    "spans": 1.0,
    "oauth_http_requests_total": 1.0,
    "oauth_http_request_duration_milliseconds": 1.0,
}


class ServerWorkload(AuthlibWorkload):
    """Requests to an authorization server through WSGI."""

    operations = 100
    stock_moved: ClassVar[dict[str, float]] = HTTP_SERVER

    def __init__(self) -> None:
        super().__init__()
        self.app = make_app()
        self.bodies: list[bytes] = []

    def stock(self, signals: Signals) -> None:
        """Attach the stock instrumentation of Flask to this application."""
        FlaskInstrumentor().instrument_app(  # type: ignore[no-untyped-call]  # has no types
            self.app, **providers(signals)
        )

    def authorized(self) -> str:
        """Return a new code."""
        _, headers, _ = call(self.app, "POST", "/authorize", query=AUTHORIZATION)
        return code_in(dict(headers)["Location"])

    def run(self, operations: int) -> None:
        """Send the token requests that are ready."""
        for body in self.bodies[:operations]:
            granted(self.app, body)
            self.after()


def granted(app: Any, body: bytes) -> dict[str, Any]:  # noqa: ANN401 Flask's application
    """Ask for a token; return it.

    :raises AssertionError: if the server gave none.
    """
    status, _, content = call(app, "POST", "/token", body)
    if not status.startswith("200"):
        msg = f"the server answered {status}: {content.decode()}"
        raise AssertionError(msg)
    return dict(json.loads(content))


class ClientCredentials(ServerWorkload):
    """The plainest token request."""

    moved: ClassVar[dict[str, float]] = {**TOKEN_REQUEST, "events": 0.0, "storage_operation_total": 2.0}

    def prepare(self, operations: int) -> None:
        """Make the bodies."""
        self.bodies = [CLIENT_CREDENTIALS] * operations


class CodeExchange(ServerWorkload):
    """A code with PKCE for tokens; the authorization is not measured."""

    operations = 100
    moved: ClassVar[dict[str, float]] = {
        **TOKEN_REQUEST,
        "events": 1.0,
        "oauth_code_exchanged": 1.0,
        "oauth_pkce_validations_total": 1.0,
        "storage_operation_total": 5.0,
    }

    def prepare(self, operations: int) -> None:
        """Authorize."""
        self.bodies = [exchange(self.authorized()) for _ in range(operations)]


class Refresh(ServerWorkload):
    """A refresh with rotation, of the token that the refresh before it gave; one login begins them all."""

    moved: ClassVar[dict[str, float]] = {
        **TOKEN_REQUEST,
        "events": 1.0,
        "oauth_token_refresh_total": 1.0,
        "oauth_token_refresh_duration_seconds": 1.0,
        "oauth_token_refreshed": 1.0,
        "storage_operation_total": 5.0,
    }

    def __init__(self) -> None:
        super().__init__()
        self.refresh = ""

    def prepare(self, operations: int) -> None:  # noqa: ARG002 the same for any number
        """Log in, the first time."""
        if not self.refresh:
            self.refresh = granted(self.app, exchange(self.authorized()))["refresh_token"]

    def run(self, operations: int) -> None:
        """Refresh, one after the other."""
        for _ in range(operations):
            self.refresh = granted(self.app, refresh(self.refresh))["refresh_token"]
            self.after()


class PlainRequest(ServerWorkload):
    """A request that has nothing to do with OAuth, to the same server."""

    operations = 700
    moved: ClassVar[dict[str, float]] = {"spans": 0.0, "events": 0.0, "oauth_http_requests_total": 0.0}

    def prepare(self, operations: int) -> None:
        """Need nothing."""

    def run(self, operations: int) -> None:
        """Send them."""
        for _ in range(operations):
            call(self.app, "GET", "/plain")
            self.after()
