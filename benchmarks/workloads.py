"""What is measured: requests to the server, calls of the clients, a whole login."""

from __future__ import annotations

import asyncio
import io
import json
import weakref
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import requests
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from requests.adapters import BaseAdapter

from benchmarks.server import CHALLENGE, REDIRECT, VERIFIER, call, make_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.signals import Signals

AUTHLIB = "otel_oauth_authlib:AuthlibInstrumentor"
HTTPX = "otel_oauth_httpx:HttpxOAuthInstrumentor"
ISSUER = "https://server.example"
TOKEN = {"access_token": "a" * 42, "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r" * 48}
ANSWER = json.dumps(TOKEN).encode()
HTTP_SERVER = {"spans": 1.0, "http.server.duration": 1.0}
HTTP_CLIENT = {"spans": 1.0, "http.client.duration": 1.0}
TOKEN_REQUEST = {
    "spans": 1.0,
    "oauth_http_requests_total": 1.0,
    "oauth_http_request_duration_milliseconds": 1.0,
}
CLIENT_REFRESH = {
    "spans": 1.0,
    "oauth_token_refresh_total": 1.0,
    "oauth_token_refresh_duration_seconds": 1.0,
    "provider_api_calls_total": 1.0,
    "provider_api_duration_milliseconds": 1.0,
}


def _stay() -> None:
    """Take nothing off: what was instrumented belongs to one variant."""


def _providers(signals: Signals) -> dict[str, Any]:
    return {"tracer_provider": signals.tracer_provider, "meter_provider": signals.meter_provider}


class ServerWorkload:
    """Requests to an authorization server through WSGI."""

    instrumentor: ClassVar[str] = AUTHLIB
    operations = 30
    stock_moved: ClassVar[dict[str, float]] = HTTP_SERVER

    def __init__(self) -> None:
        self.app = make_app()
        self.bodies: list[bytes] = []

    def stock(self, signals: Signals) -> Callable[[], None]:
        """Attach the stock instrumentation of Flask to this application, which is this variant's alone, for good."""
        if not getattr(self.app, "_is_instrumented_by_opentelemetry", False):
            FlaskInstrumentor().instrument_app(  # type: ignore[no-untyped-call]  # has no types
                self.app, **_providers(signals)
            )
        return _stay

    def authorized(self) -> str:
        """Return a new code."""
        query = {
            "response_type": "code",
            "client_id": "web",
            "redirect_uri": REDIRECT,
            "state": "s",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        _, headers, _ = call(self.app, "POST", "/authorize", query=urlencode(query))
        return parse_qs(urlsplit(dict(headers)["Location"]).query)["code"][0]

    def token(self, **form: str) -> dict[str, Any]:
        """Ask for a token."""
        return _granted(self.app, urlencode(form).encode())

    def run(self, operations: int) -> None:
        """Send the token requests that are ready."""
        for body in self.bodies[:operations]:
            _granted(self.app, body)


def _granted(app: Any, body: bytes) -> dict[str, Any]:  # noqa: ANN401 Flask's application
    status, _, content = call(app, "POST", "/token", body)
    if not status.startswith("200"):
        msg = f"the server answered {status}: {content.decode()}"
        raise AssertionError(msg)
    return dict(json.loads(content))


class ClientCredentials(ServerWorkload):
    """The plainest token request."""

    moved: ClassVar[dict[str, float]] = {**TOKEN_REQUEST, "storage_operation_total": 2.0}

    def prepare(self, operations: int) -> None:
        """Make the bodies."""
        self.bodies = [b"grant_type=client_credentials"] * operations


class CodeExchange(ServerWorkload):
    """A code with PKCE for tokens; the authorization is not measured."""

    moved: ClassVar[dict[str, float]] = {
        **TOKEN_REQUEST,
        "oauth_code_exchanged": 1.0,
        "oauth_pkce_validations_total": 1.0,
        "storage_operation_total": 5.0,
    }

    def prepare(self, operations: int) -> None:
        """Authorize."""
        form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
        self.bodies = [urlencode({**form, "code": self.authorized()}).encode() for _ in range(operations)]


class Refresh(ServerWorkload):
    """A refresh with rotation."""

    moved: ClassVar[dict[str, float]] = {
        **TOKEN_REQUEST,
        "oauth_token_refresh_total": 1.0,
        "oauth_token_refresh_duration_seconds": 1.0,
        "oauth_token_refreshed": 1.0,
        "storage_operation_total": 5.0,
    }

    def prepare(self, operations: int) -> None:
        """Log in as often."""
        form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
        issued = [self.token(**form, code=self.authorized())["refresh_token"] for _ in range(operations)]
        self.bodies = [urlencode({"grant_type": "refresh_token", "refresh_token": each}).encode() for each in issued]


class PlainRequest(ServerWorkload):
    """A request that has nothing to do with OAuth, to the same server."""

    operations = 200
    moved: ClassVar[dict[str, float]] = {"spans": 0.0, "oauth_http_requests_total": 0.0}

    def prepare(self, operations: int) -> None:
        """Need nothing."""

    def run(self, operations: int) -> None:
        """Send them."""
        for _ in range(operations):
            call(self.app, "GET", "/plain")


# Clients, whose network ends in the process ---------------------------------------------------------------------------


def _answered(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, content=ANSWER, headers={"content-type": "application/json"})


def _instrument_client(session: Any, signals: Signals) -> Callable[[], None]:  # noqa: ANN401 Authlib ships no types
    if not getattr(session, "_is_instrumented_by_opentelemetry", False):
        HTTPX2ClientInstrumentor.instrument_client(session, **_providers(signals))
    return _stay


class HttpxRefresh:
    """A refresh by Authlib's httpx client."""

    instrumentor: ClassVar[str] = AUTHLIB
    operations = 60
    moved: ClassVar[dict[str, float]] = CLIENT_REFRESH
    stock_moved: ClassVar[dict[str, float]] = HTTP_CLIENT

    def __init__(self) -> None:
        self.session = self._session()

    def _session(self) -> Any:  # noqa: ANN401 Authlib ships no types
        return OAuth2Client("web", "web-secret", transport=httpx2.MockTransport(_answered), verify=False)

    def stock(self, signals: Signals) -> Callable[[], None]:
        """Attach the stock instrumentation of httpx2 to this session."""
        return _instrument_client(self.session, signals)

    def prepare(self, operations: int) -> None:
        """Need nothing."""

    def run(self, operations: int) -> None:
        """Refresh."""
        for number in range(operations):
            self.session.refresh_token(f"{ISSUER}/token", refresh_token=f"refresh-{number}")


class AsyncRefresh(HttpxRefresh):
    """The same by the asynchronous client."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        weakref.finalize(self, self.loop.close)
        super().__init__()

    def _session(self) -> Any:  # noqa: ANN401 Authlib ships no types
        return AsyncOAuth2Client("web", "web-secret", transport=httpx2.MockTransport(_answered), verify=False)

    def run(self, operations: int) -> None:
        """Refresh, one after the other."""
        self.loop.run_until_complete(self._refresh(operations))

    async def _refresh(self, operations: int) -> None:
        for number in range(operations):
            await self.session.refresh_token(f"{ISSUER}/token", refresh_token=f"refresh-{number}")


class HttpxPlain(HttpxRefresh):
    """A request of a plain httpx client, which has nothing to do with OAuth."""

    instrumentor: ClassVar[str] = HTTPX
    operations = 400
    moved: ClassVar[dict[str, float]] = {"spans": 0.0, "provider_api_calls_total": 0.0}

    def _session(self) -> Any:  # noqa: ANN401 as above
        return httpx2.Client(transport=httpx2.MockTransport(_answered), verify=False)

    def run(self, operations: int) -> None:
        """Get a page."""
        for _ in range(operations):
            self.session.get("https://www.example.com/page?id=1")


class _Adapter(BaseAdapter):
    """Answers requests in the process."""

    def send(self, request: requests.PreparedRequest, *_arguments: Any, **_named: Any) -> requests.Response:  # noqa: ANN401 the adapter's interface
        """Answer with a token."""
        response = requests.Response()
        response.status_code, response.reason, response.url = 200, "OK", str(request.url)
        response.request, response.raw = request, io.BytesIO(ANSWER)
        response.headers["Content-Type"] = "application/json"
        return response

    def close(self) -> None:
        """Hold nothing."""


class RequestsRefresh(HttpxRefresh):
    """A refresh by Authlib's session of requests."""

    def _session(self) -> Any:  # noqa: ANN401 Authlib ships no types
        session = OAuth2Session("web", "web-secret")
        session.mount("https://", _Adapter())
        return session

    def stock(self, signals: Signals) -> Callable[[], None]:
        """Attach the stock instrumentation of requests, which is one for all sessions."""
        instrumentor = RequestsInstrumentor()
        instrumentor.instrument(**_providers(signals))
        return lambda: instrumentor.uninstrument()  # noqa: PLW0108 that has no types


class Login(ServerWorkload):
    """A whole login: the client begins, the server authorizes, the client exchanges the code; both in one process."""

    operations = 10
    moved: ClassVar[dict[str, float]] = {
        "spans": 4.0,
        "oauth_flows_total": 2.0,
        "oauth_flow_duration_seconds": 1.0,
        "oauth_authorization_started": 1.0,
        "oauth_code_exchanged": 1.0,
        "oauth_http_requests_total": 2.0,
        "provider_api_calls_total": 1.0,
    }
    stock_moved: ClassVar[dict[str, float]] = {"spans": 3.0, "http.server.duration": 2.0, "http.client.duration": 1.0}

    def __init__(self) -> None:
        super().__init__()
        transport = httpx2.WSGITransport(app=self.app)  # Flask's instrumentation replaces what is inside of it
        self.session = OAuth2Client(
            "web", "web-secret", redirect_uri=REDIRECT, code_challenge_method="S256", transport=transport, verify=False
        )

    def stock(self, signals: Signals) -> Callable[[], None]:
        """Attach the stock instrumentations of both sides."""
        super().stock(signals)
        return _instrument_client(self.session, signals)

    def prepare(self, operations: int) -> None:
        """Need nothing."""

    def run(self, operations: int) -> None:
        """Log in."""
        for _ in range(operations):
            url, _ = self.session.create_authorization_url(f"{ISSUER}/authorize", code_verifier=VERIFIER)
            _, headers, _ = call(self.app, "POST", "/authorize", query=urlsplit(url).query)
            location = dict(headers)["Location"]
            self.session.fetch_token(f"{ISSUER}/token", authorization_response=location, code_verifier=VERIFIER)


WORKLOADS: dict[str, type[Any]] = {
    "server_client_credentials": ClientCredentials,
    "server_code": CodeExchange,
    "server_refresh": Refresh,
    "server_plain": PlainRequest,
    "httpx_refresh": HttpxRefresh,
    "async_refresh": AsyncRefresh,
    "requests_refresh": RequestsRefresh,
    "httpx_plain": HttpxPlain,
    "login": Login,
}
"""By the name of the result."""
