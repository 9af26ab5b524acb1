"""What is measured: requests to the server, calls of the clients, and a whole login of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.httpx_client import OAuth2Client

from benchmarks.attached import instrument_client
from benchmarks.client_workloads import ISSUER, AsyncRefresh, HttpxPlain, HttpxRefresh, RequestsRefresh, WireRefresh
from benchmarks.requested import REDIRECT, VERIFIER
from benchmarks.server import call
from benchmarks.server_workloads import ClientCredentials, CodeExchange, PlainRequest, Refresh, ServerWorkload

if TYPE_CHECKING:
    from benchmarks.signals import Signals


class Login(ServerWorkload):
    """A whole login: the client begins, the server authorizes, the client exchanges the code; both in one process."""

    operations = 40
    moved: ClassVar[dict[str, float]] = {
        "spans": 4.0,
        "events": 4.0,
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

    def stock(self, signals: Signals) -> None:
        """Attach the stock instrumentations of both sides."""
        super().stock(signals)
        instrument_client(self.session, signals)

    def prepare(self, operations: int) -> None:
        """Need nothing."""

    def run(self, operations: int) -> None:
        """Log in."""
        for _ in range(operations):
            url, _ = self.session.create_authorization_url(f"{ISSUER}/authorize", code_verifier=VERIFIER)
            _, headers, _ = call(self.app, "POST", "/authorize", query=urlsplit(url).query)
            location = dict(headers)["Location"]
            self.session.fetch_token(f"{ISSUER}/token", authorization_response=location, code_verifier=VERIFIER)
            self.after()


WORKLOADS: dict[str, type[Any]] = {
    "server_client_credentials": ClientCredentials,
    "server_code": CodeExchange,
    "server_refresh": Refresh,
    "server_plain": PlainRequest,
    "httpx_refresh": HttpxRefresh,
    "async_refresh": AsyncRefresh,
    "requests_refresh": RequestsRefresh,
    "wire_refresh": WireRefresh,
    "httpx_plain": HttpxPlain,
    "login": Login,
}
"""By the name of the result."""
