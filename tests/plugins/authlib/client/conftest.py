"""The client's side alone is hooked: the provider at the other end of real HTTP stays unobserved."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from attached import attached
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from authlib_provider import CLIENT_ID, CLIENT_SECRET, Provider
from registries import PARTIES, FlaskParty, Party, django_settings

from otel_oauth.testing import Capture
from otel_oauth_authlib.client import CLIENT_HOOKS
from otel_oauth_authlib.registry import REGISTRY_HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterator

VERIFIER = "v" * 50
SESSIONS: dict[str, Any] = {"requests": OAuth2Session, "httpx": OAuth2Client, "async": AsyncOAuth2Client}


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture() as found:
        hooks = attached(found.telemetry, {**CLIENT_HOOKS, **REGISTRY_HOOKS})
        yield found
        hooks.detach()


@pytest.fixture
def make_party(provider: Provider, capture: Capture) -> Any:
    def make(**registered: Any) -> FlaskParty:
        assert capture.telemetry.guard.reraise
        return FlaskParty(provider, **registered)

    return make


@pytest.fixture
def party(make_party: Any, capture: Capture) -> FlaskParty:
    found = make_party()
    found.client.load_server_metadata()
    found.client.fetch_jwk_set()
    capture.clear()
    return found


@pytest.fixture(params=[(name, cached) for name in PARTIES for cached in (False, True)], ids=str)
def registry(request: pytest.FixtureRequest, provider: Provider, capture: Capture) -> Iterator[Party]:
    """A relying party under each framework, with and without a cache, that has what it would fetch."""
    assert capture.telemetry.guard.reraise
    name, cached = request.param
    with django_settings() if name == "django" else contextlib.nullcontext():
        found = PARTIES[name](provider, cache=cached or None)
        found.client.server_metadata.update(provider.metadata(), jwks=provider.key_set(), _loaded_at=time.time())
        yield found
        found.close()


class Driver:
    """One kind of session, driven the same whether it is sync or async."""

    def __init__(self, kind: str, provider: Provider, capture: Capture) -> None:
        self.kind = kind
        self.provider = provider
        self.capture = capture
        self.loop = asyncio.new_event_loop() if kind == "async" else None
        self.sessions: list[Any] = []

    def session(self, **arguments: Any) -> Any:
        if self.kind != "requests":
            arguments["verify"] = False  # reading the certificates of the machine takes longer than a test
        made = SESSIONS[self.kind](
            **{
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "redirect_uri": "https://client.example/callback",
                "scope": "profile",
                "code_challenge_method": "S256",
                **arguments,
            }
        )
        self.sessions.append(made)
        return made

    def refresher(self, token: dict[str, Any], **arguments: Any) -> Any:
        """A session that refreshes by itself, with ``token``."""
        return self.session(token=token, token_endpoint=f"{self.provider.url}/token", **arguments)

    def run(self, result: Any) -> Any:
        return result if self.loop is None else self.loop.run_until_complete(result)

    def timeout(self, seconds: float) -> dict[str, Any]:
        return {"default_timeout": seconds} if self.kind == "requests" else {"timeout": seconds}

    def token(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        """Log a user in; return the session and its token."""
        session = self.session(**arguments)
        url, _ = session.create_authorization_url(f"{self.provider.url}/authorize", code_verifier=VERIFIER)
        code = self.provider.authorize(url)["code"]
        token = self.run(session.fetch_token(f"{self.provider.url}/token", code=code, code_verifier=VERIFIER))
        return session, dict(token)

    def close(self) -> None:
        for made in self.sessions:
            if self.loop is not None:
                self.run(made.aclose())
            else:
                made.close()
        if self.loop is not None:
            self.loop.close()


@pytest.fixture(params=["requests", "httpx", "async"])
def driver(request: pytest.FixtureRequest, provider: Provider, capture: Capture) -> Iterator[Driver]:
    assert capture.telemetry.guard.reraise
    found = Driver(request.param, provider, capture)
    yield found
    found.close()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
