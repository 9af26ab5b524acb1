"""What is measured of clients, whose network ends in the process."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

import httpx2
import requests
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from requests.adapters import BaseAdapter

from benchmarks.attached import AuthlibWorkload, instrument_client, providers
from otel_oauth_httpx import HttpxOAuthInstrumentor

if TYPE_CHECKING:
    from benchmarks.signals import Signals
    from otel_oauth.telemetry import Telemetry

ISSUER = "https://server.example"
TOKEN_URL = f"{ISSUER}/token"
PAGE = b'{"id": 1, "name": "a page of an API that has nothing to do with OAuth", "next": null}'
CLIENT = {"client_id": "web", "client_secret": "web-secret"}
HTTP_CLIENT = {"spans": 1.0, "http.client.duration": 1.0}
CLIENT_REFRESH = {
    "spans": 1.0,
    "events": 1.0,
    "oauth_token_refresh_total": 1.0,
    "oauth_token_refresh_duration_seconds": 1.0,
    "provider_api_calls_total": 1.0,
    "provider_api_duration_milliseconds": 1.0,
}


def answer() -> bytes:
    """Return what a token endpoint that rotates answers: a pair of tokens that nobody has seen."""
    issued = secrets.token_hex(48)
    pair = {"access_token": issued[:42], "refresh_token": issued[42:90]}
    return json.dumps({**pair, "token_type": "Bearer", "expires_in": 3600}).encode()


def _login() -> dict[str, Any]:
    return dict(json.loads(answer()))


def _answered(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, content=answer(), headers={"content-type": "application/json"})


def _page(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, content=PAGE, headers={"content-type": "application/json"})


class HttpxRefresh(AuthlibWorkload):
    """A refresh by Authlib's httpx client of the token that it holds; each answer brings the next."""

    operations = 250
    moved: ClassVar[dict[str, float]] = CLIENT_REFRESH
    stock_moved: ClassVar[dict[str, float]] = HTTP_CLIENT

    def __init__(self) -> None:
        super().__init__()
        self.session = self._session()

    def _session(self) -> Any:  # noqa: ANN401 Authlib ships no types
        return OAuth2Client(**CLIENT, token=_login(), transport=httpx2.MockTransport(_answered), verify=False)

    def stock(self, signals: Signals) -> None:
        """Attach the stock instrumentation of httpx2 to this session."""
        instrument_client(self.session, signals)

    def prepare(self, operations: int) -> None:
        """Need nothing."""

    def run(self, operations: int) -> None:
        """Refresh, one after the other."""
        for _ in range(operations):
            self.session.refresh_token(TOKEN_URL, refresh_token=self.session.token["refresh_token"])
            self.after()


class AsyncRefresh(HttpxRefresh):
    """The same by the asynchronous client."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        weakref.finalize(self, self.loop.close)
        super().__init__()

    def _session(self) -> Any:  # noqa: ANN401 Authlib ships no types
        return AsyncOAuth2Client(**CLIENT, token=_login(), transport=httpx2.MockTransport(_answered), verify=False)

    def run(self, operations: int) -> None:
        """Refresh, one after the other."""
        self.loop.run_until_complete(self._refresh(operations))

    async def _refresh(self, operations: int) -> None:
        for _ in range(operations):
            await self.session.refresh_token(TOKEN_URL, refresh_token=self.session.token["refresh_token"])
            self.after()


class HttpxPlain(HttpxRefresh):
    """A request of a plain httpx client, which has nothing to do with OAuth."""

    operations = 500
    moved: ClassVar[dict[str, float]] = {"spans": 0.0, "events": 0.0, "provider_api_calls_total": 0.0}

    def _session(self) -> Any:  # noqa: ANN401 as above
        return httpx2.Client(transport=httpx2.MockTransport(_page), verify=False)

    def ours(self, telemetry: Telemetry) -> None:  # type: ignore[override]  # of this client only
        """Attach ours to this client."""
        HttpxOAuthInstrumentor.instrument_client(self.session, telemetry=telemetry)

    def run(self, operations: int) -> None:
        """Get a page."""
        for _ in range(operations):
            self.session.get("https://www.example.com/page?id=1")
            self.after()


class WireRefresh(HttpxPlain):
    """A refresh by a plain httpx client, seen on the wire by our instrumentation of httpx."""

    operations = 250
    moved: ClassVar[dict[str, float]] = CLIENT_REFRESH

    def __init__(self) -> None:
        super().__init__()
        self.held = str(_login()["refresh_token"])

    def _session(self) -> Any:  # noqa: ANN401 as above
        return httpx2.Client(transport=httpx2.MockTransport(_answered), verify=False)

    def run(self, operations: int) -> None:
        """Refresh, one after the other."""
        for _ in range(operations):
            form = {"grant_type": "refresh_token", "refresh_token": self.held, **CLIENT}
            self.held = self.session.post(TOKEN_URL, data=form).json()["refresh_token"]
            self.after()


class _Adapter(BaseAdapter):
    """Answers requests in the process."""

    def send(self, request: requests.PreparedRequest, *_arguments: Any, **_named: Any) -> requests.Response:  # noqa: ANN401 the adapter's interface
        """Answer with a token."""
        response = requests.Response()
        response.status_code, response.reason, response.url = 200, "OK", str(request.url)
        response.request, response.raw = request, io.BytesIO(answer())
        response.headers["Content-Type"] = "application/json"
        return response

    def close(self) -> None:
        """Hold nothing."""


class RequestsRefresh(HttpxRefresh):
    """A refresh by Authlib's session of requests."""

    def _session(self) -> Any:  # noqa: ANN401 Authlib ships no types
        session = OAuth2Session(**CLIENT, token=_login())
        session.mount("https://", _Adapter())
        return session

    def stock(self, signals: Signals) -> None:
        """Attach the stock instrumentation of requests, which is one for all sessions."""
        RequestsInstrumentor().instrument(**providers(signals))
