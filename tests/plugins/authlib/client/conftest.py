"""The client's side alone is hooked: the provider at the other end of real HTTP stays unobserved."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest
from authlib.integrations.flask_client import OAuth
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from authlib_provider import CLIENT_ID, CLIENT_SECRET, Provider
from flask import Flask, jsonify, session

from otel_oauth.hooks import HookSet
from otel_oauth.testing import Capture
from otel_oauth_authlib.client import CLIENT_HOOKS
from otel_oauth_authlib.registry import REGISTRY_HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterator

VERIFIER = "v" * 50
SESSIONS: dict[str, Any] = {"requests": OAuth2Session, "httpx": OAuth2Client, "async": AsyncOAuth2Client}


@pytest.fixture(scope="session")
def running_provider() -> Iterator[Provider]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def provider(running_provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Provider:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    running_provider.reset()
    return running_provider


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture() as found:
        hooks = HookSet(found.telemetry, "authlib")
        hooks.attach_now({**CLIENT_HOOKS, **REGISTRY_HOOKS})
        yield found
        hooks.detach()


class RelyingParty:
    """A Flask application that logs its users in with the registry, and browsers that visit it."""

    def __init__(self, provider: Provider, cache: Any = None, **registered: Any) -> None:
        self.provider = provider
        self.app = Flask("client")
        self.app.secret_key = "of-a-test"
        self.app.config["PROPAGATE_EXCEPTIONS"] = False
        self.oauth = OAuth(self.app, cache=cache)
        self.client = self.oauth.register(
            "idp",
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            **{
                "server_metadata_url": f"{provider.url}/metadata",
                "client_kwargs": {"scope": "openid profile", "code_challenge_method": "S256"},
                **registered,
            },
        )
        self.raised: list[BaseException] = []
        self.app.add_url_rule("/login", "login", self._login)
        self.app.add_url_rule("/callback", "callback", self._callback, methods=["GET", "POST"])
        self.app.add_url_rule("/visit", "visit", self._visit)
        self.app.add_url_rule("/forget/<state>", "forget", self._forget)
        self.browser = self.app.test_client()

    def _login(self) -> Any:
        return self.client.authorize_redirect("https://client.example/callback")

    def _callback(self) -> Any:
        try:
            token = self.client.authorize_access_token()
        except Exception as error:
            self.raised.append(error)
            raise
        return jsonify(sorted(token))

    @staticmethod
    def _visit() -> str:
        session["basket"] = "full"
        return "seen"

    def _forget(self, state: str) -> str:
        self.client.framework.clear_state_data(session, state)
        return "forgotten"

    def start(self, browser: Any = None) -> str:
        """Return the URL that a login sends the browser to."""
        response = (browser or self.browser).get("/login")
        assert response.status_code == 302
        return str(response.headers["Location"])

    def consent(self, browser: Any = None) -> dict[str, str]:
        """Start a login and return what the provider sends back with the browser."""
        return self.provider.authorize(self.start(browser))

    def callback(self, browser: Any = None, **parameters: str) -> int:
        """Come back with ``parameters``; return the HTTP status."""
        return int((browser or self.browser).get("/callback", query_string=parameters).status_code)


@pytest.fixture
def make_party(provider: Provider, capture: Capture) -> Any:
    def make(**registered: Any) -> RelyingParty:
        assert capture.telemetry.guard.reraise
        return RelyingParty(provider, **registered)

    return make


@pytest.fixture
def party(make_party: Any, capture: Capture) -> RelyingParty:
    found = make_party()
    found.client.load_server_metadata()
    found.client.fetch_jwk_set()
    capture.clear()
    return found


class Driver:
    """One kind of session, driven the same whether it is sync or async."""

    def __init__(self, kind: str, provider: Provider) -> None:
        self.kind = kind
        self.provider = provider
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
    found = Driver(request.param, provider)
    yield found
    found.close()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
