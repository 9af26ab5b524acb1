"""100,000 callbacks of strangers, providers, states and errors at real clients: bounded series, bounded memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests
from attached import attached
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from floods import BOUNDS, FAST, FULL, GROWTH, Noise, counted, grown, held_to_the_catalogue
from registries import FlaskParty
from requests.adapters import BaseAdapter

from otel_oauth.testing import Capture
from otel_oauth_authlib.client import CLIENT_HOOKS
from otel_oauth_authlib.registry import REGISTRY_HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterator

ERRORS = (OAuthError, requests.RequestException, ValueError)


@pytest.fixture
def flooded() -> Iterator[Capture]:
    with Capture(**BOUNDS) as found:
        hooks = attached(found.telemetry, {**CLIENT_HOOKS, **REGISTRY_HOOKS})
        yield found
        hooks.detach()


class FarEnd(BaseAdapter):
    """The network's far end, made up: whatever host is asked, it answers something else each time."""

    def __init__(self, noise: Noise) -> None:
        super().__init__()
        self.noise = noise

    def send(self, request: Any, *_arguments: Any, **_options: Any) -> Any:
        status = self.noise.random.randrange(200, 600)
        if status % 7 == 0:
            raise requests.ConnectionError(self.noise.text())
        response = requests.Response()
        response.status_code, response.request, response.url = status, request, request.url
        token = {"access_token": self.noise.text(), "refresh_token": self.noise.text(), "expires_in": self.noise.text()}
        body = token if status % 2 else {"error": self.noise.text(), "error_description": self.noise.text()}
        response._content = json.dumps(body).encode()
        return response

    def close(self) -> None:
        """Nothing is open."""


class Strangers:
    """Who comes back to a client without having been sent away; and users who may name their provider."""

    def __init__(self, party: FlaskParty, noise: Noise) -> None:
        self.party = party
        self.noise = noise

    def __call__(self, count: int) -> None:
        for _ in range(count):
            self.noise.one_of(self.come_back, self.be_refused, self.log_in, self.begin)
        self.party.raised.clear()

    def come_back(self) -> None:
        values = {name: self.noise.text() for name in ("state", "code", "iss", "session_state", self.noise.text())}
        self.party.callback(self.party.new_browser(), **values)

    def be_refused(self) -> None:
        values = {name: self.noise.text() for name in ("error", "error_description", "state")}
        self.party.callback(self.party.new_browser(), **values)

    def begin(self) -> None:
        self.party.start(self.party.new_browser())

    def log_in(self) -> None:
        """The application talks to a host that the user names."""
        host = f"https://{self.noise.random.randrange(16**12):x}.example"
        with OAuth2Session(self.noise.text(), self.noise.text(), code_challenge_method="S256") as session:
            session.mount("https://", FarEnd(self.noise))
            _, state = session.create_authorization_url(f"{host}/authorize", code_verifier="v" * 50)
            token = {"access_token": "a", "refresh_token": self.noise.text(), "token_type": self.noise.text()}
            for ask in (
                lambda: session.fetch_token(f"{host}/token", code=self.noise.text(), state=state),
                lambda: session.refresh_token(f"{host}/token", self.noise.text()),
                lambda: session.revoke_token(f"{host}/revoke", self.noise.text()),
                lambda: session.get(f"{host}/{self.noise.text()}"),
            ):
                session.token = dict(token)
                try:
                    ask()
                except ERRORS:
                    continue


def _flood(capture: Capture, party: FlaskParty, count: int) -> None:
    assert grown(capture, Strangers(party, Noise()), count) < GROWTH
    held_to_the_catalogue(capture)
    caps = ("provider", "client_id", "closed")
    assert counted(capture) >= {f"otel_oauth_label_overflow_total{{label={cap}}}" for cap in caps}


def _party(provider: Any) -> FlaskParty:
    found = FlaskParty(provider)
    found.client.load_server_metadata()
    found.catches = True
    return found


def test_a_flood_of_callbacks_and_providers(provider: Any, flooded: Capture) -> None:
    _flood(flooded, _party(provider), FAST)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_callbacks_and_providers(provider: Any, flooded: Capture) -> None:
    _flood(flooded, _party(provider), FULL)
    partitions = ("state", "flow", "pkce")
    assert counted(flooded) >= {f"otel_oauth_ledger_evictions_total{{partition={name}}}" for name in partitions}
