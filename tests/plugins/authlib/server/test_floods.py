"""100,000 requests of strangers at a real server: bounded series, bounded memory, and nothing that raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from floods import BOUNDS, FAST, FULL, GROWTH, Noise, counted, grown, held_to_the_catalogue

from otel_oauth.testing import Capture
from otel_oauth_authlib import AuthlibInstrumentor

if TYPE_CHECKING:
    from collections.abc import Iterator

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "PURGE", "BREW")


@pytest.fixture
def flooded() -> Iterator[Capture]:
    with Capture(**BOUNDS) as found:
        AuthlibInstrumentor().instrument(telemetry=found.telemetry)
        yield found
        AuthlibInstrumentor().uninstrument()


class Strangers:
    """Who asks a server for what it does not have, and registers one client after the other."""

    def __init__(self, server: Any, noise: Noise) -> None:
        self.server = server
        self.noise = noise
        self.new = ""

    def __call__(self, count: int) -> None:
        for _ in range(count):
            self.noise.one_of(
                self.ask_for_tokens, self.guess, self.refresh, self.authorize, self.register, self.log_in, self.look_up
            )
            self.server.store.tokens.clear()
            self.server.store.codes.clear()

    def ask_for_tokens(self) -> None:
        self.server.post("/token", self.noise.text(), grant_type=self.noise.text())

    def guess(self) -> None:
        self.server.exchange(
            self.noise.text(), redirect_uri=f"https://{self.noise.text()}/", code_verifier=self.noise.text()
        )

    def refresh(self) -> None:
        self.server.refresh(self.noise.text(), scope=self.noise.text())

    def authorize(self) -> None:
        names = ("client_id", "response_type", "state", "nonce", "code_challenge", "code_challenge_method")
        query = {**dict.fromkeys(names, self.noise.text()), "redirect_uri": f"https://{self.noise.text()}/"}
        if self.noise.random.random() < 0.5:
            query |= {"client_id": "web", "response_type": "code", "redirect_uri": "https://client.example/cb"}
        self.server.http.get("/authorize", query_string=query)

    def register(self) -> None:
        metadata = {"redirect_uris": ["https://a.example/cb"], "client_name": self.noise.text()}
        answer = self.server.http.post(
            "/register", json=metadata, headers={"Authorization": self.noise.text().strip("\0")}
        )
        self.server.store.clients.pop(self.new, None)
        self.new = answer.json["client_id"]

    def log_in(self) -> None:
        """A client that has just been registered, or an old one, logs in for real and leaves everything behind."""
        client = "web" if not self.new or self.noise.random.random() < 0.5 else self.new
        self.server.refresh(self.server.login(client)["refresh_token"], client)

    def look_up(self) -> None:
        for path in ("/revoke", "/introspect"):
            self.server.post(path, token=self.noise.text(), token_type_hint=self.noise.text())
        self.server.http.get("/open", headers={"Authorization": f"Bearer {self.noise.text()}".replace("\0", "")})
        self.server.http.open("/own", method=self.noise.random.choice(METHODS))


def _own(server: Any, noise: Noise) -> None:
    """An endpoint of the application's that answers whatever status."""

    class Own:
        ENDPOINT_NAME = "badge"

        def __init__(self, server: Any) -> None:
            self.server = server

        def create_endpoint_request(self, request: Any) -> Any:
            return self.server.create_oauth2_request(request)

        def __call__(self, _request: Any) -> Any:
            return noise.random.randrange(200, 600), "", []

    server.server.register_endpoint(Own)
    view = lambda: server.server.create_endpoint_response("badge")  # noqa: E731 a route of the application
    server.app.add_url_rule("/own", "own", view, methods=list(METHODS), provide_automatic_options=False)


def _flood(capture: Capture, server: Any, count: int) -> None:
    noise = Noise()
    _own(server, noise)
    assert grown(capture, Strangers(server, noise), count) < GROWTH
    held_to_the_catalogue(capture)
    assert counted(capture) >= {f"otel_oauth_label_overflow_total{{label={cap}}}" for cap in ("client_id", "closed")}


def test_a_flood_of_requests(flooded: Capture, make_server: Any) -> None:
    _flood(flooded, make_server(), FAST)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_requests(flooded: Capture, make_server: Any) -> None:
    _flood(flooded, make_server(), FULL)
    partitions = ("code", "refresh", "access", "family", "client", "authorization")
    assert counted(flooded) >= {f"otel_oauth_ledger_evictions_total{{partition={name}}}" for name in partitions}
