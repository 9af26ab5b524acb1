"""Each call to a provider with each kind of answer: the status, the type of error, and what the operation adds."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import requests
from attached import attached
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib_provider import CLIENT_ID, CLIENT_SECRET, Provider
from client_rows import flow, provider_call, refreshed
from registries import FlaskParty

from otel_oauth.catalogue import HTTP_STATUSES, PROVIDER_OPERATIONS
from otel_oauth.testing import Capture
from otel_oauth_authlib.client import CLIENT_HOOKS
from otel_oauth_authlib.registry import REGISTRY_HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
TOKEN = {"access_token": "a", "refresh_token": "r", "token_type": "Bearer"}
PATHS = {
    "token": "/token",
    "refresh": "/token",
    "revoke": "/revoke",
    "introspect": "/introspect",
    "userinfo": "/userinfo",
    "discovery": "/metadata",
    "jwks": "/jwks",
    "registration": "/register",
    "api": "/api",
}
REGISTRY = ("userinfo", "discovery", "jwks")


class Calls:
    """A session and a registered client, and each operation by its name; ``patience``: how long they wait."""

    patience = 20.0

    def __init__(self, provider: Provider) -> None:
        self.url = provider.url
        self.session = OAuth2Session(CLIENT_ID, CLIENT_SECRET, token=TOKEN, **provider.metadata())
        self.party = FlaskParty(provider, client_kwargs={"scope": "openid"})
        self.party.client.server_metadata.update(provider.metadata(), _loaded_at=time.time())

    def __call__(self, operation: str) -> Any:
        session, client, wait = self.session, self.party.client, {"timeout": self.patience}
        session.token = dict(TOKEN)
        client.client_kwargs["default_timeout"] = self.patience
        if operation == "token":
            return session.fetch_token(f"{self.url}/token", grant_type="client_credentials", **wait)
        if operation == "refresh":
            return session.refresh_token(f"{self.url}/token", **wait)
        if operation in ("revoke", "introspect"):
            return getattr(session, f"{operation}_token")(self.url + PATHS[operation], token="a", **wait)
        if operation in ("registration", "api"):
            send = session.post if operation == "registration" else session.get
            return send(self.url + PATHS[operation], allow_redirects=False, **wait)
        if operation == "discovery":
            client.server_metadata.pop("_loaded_at", None)
        with self.party.app.app_context():
            if operation == "userinfo":
                return client.userinfo(token=TOKEN)
            return client.load_server_metadata() if operation == "discovery" else client.fetch_jwk_set(force=True)


@pytest.fixture
def calls(provider: Provider, capture: Capture) -> Iterator[Calls]:
    found = Calls(provider)
    capture.mark()
    yield found
    found.session.close()


BODIES = {
    "discovery": "{}",
    "jwks": '{"keys": []}',
    "userinfo": '{"sub": "user"}',
    "token": '{"access_token": "b"}',
    "refresh": '{"access_token": "b"}',
}


def _besides(operation: str, *, failed: bool, reason: str) -> dict[str, float]:
    """What the operation moves beside the provider's three."""
    status = "failure" if failed else "success"
    if operation == "refresh":
        return refreshed(status, reason if failed else "normal")
    if operation == "revoke" and not failed:
        return {"oauth_token_revocations_total{reason=manual}": 1}
    pair = {
        "discovery": (
            "oauth_discovery_attempts_total{method=manual,",
            "oauth_discovery_duration_seconds{method=manual,",
        ),
        "registration": ("oauth_client_registrations_total{", "oauth_client_registration_duration_seconds{"),
    }
    return {f"{name}status={status}}}": 1 for name in pair.get(operation, ())}


def _called(operation: str, status: str, error: str) -> dict[str, float]:
    return provider_call(operation, status, error, "idp" if operation in REGISTRY else HOST)


STATUSES = {"400": "client_error", "401": "client_error", "500": "server_error", "200": ""}
ERRORS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "client_error": (403, "403", {}),
    "server_error": (503, "503", {}),
    "timeout": (200, "0", {"wait": 0.2}),
    "network": (0, "0", {}),
    "invalid_response": (200, "0", {"body": "no gzip", "encoding": "gzip"}),
}


@pytest.mark.parametrize("operation", PROVIDER_OPERATIONS)
def test_each_status(calls: Calls, provider: Provider, capture: Capture, operation: str) -> None:
    for status, error in STATUSES.items():
        provider.answer(PATHS[operation], int(status), BODIES.get(operation, "{}") if status == "200" else "{}")
        with contextlib.suppress(requests.RequestException, OAuthError, ValueError):
            calls(operation)
        expected = "" if operation == "api" and status == "400" else error
        besides = _besides(operation, failed=status != "200", reason="exception")
        assert capture.moved() == {**_called(operation, status, expected), **besides}


@pytest.mark.parametrize("operation", PROVIDER_OPERATIONS)
def test_each_type_of_error(calls: Calls, provider: Provider, capture: Capture, operation: str) -> None:
    for error, (answered, status, how) in ERRORS.items():
        provider.answer(PATHS[operation], answered, **how)
        calls.patience = 0.1 if error == "timeout" else Calls.patience
        with contextlib.suppress(requests.RequestException, OAuthError, ValueError):
            calls(operation)
        besides = _besides(operation, failed=True, reason="exception")
        assert capture.moved() == {**_called(operation, status, error), **besides}, error


def test_each_status_of_an_api(calls: Calls, provider: Provider, capture: Capture) -> None:
    expected: Counter[str] = Counter()
    for code in [*(int(status) for status in HTTP_STATUSES), 299]:
        provider.answer("/api", code)
        assert calls("api").status_code == code
        error = "server_error" if code >= 500 else "client_error" if code in (401, 403) else ""
        status = str(code) if str(code) in HTTP_STATUSES else "other"
        expected.update(provider_call("api", status, error, HOST))
    assert capture.moved() == expected


# Providers and clients beyond the caps, and without a name ------------------------------------------------------------


@pytest.fixture
def capped() -> Iterator[Capture]:
    """Telemetry with room for one provider and one client."""
    with Capture(provider_cap=1, client_id_cap=1) as found:
        hooks = attached(found.telemetry, {**CLIENT_HOOKS, **REGISTRY_HOOKS})
        yield found
        hooks.detach()


def _provider(capture: Capture) -> set[str]:
    return {series for series in capture.moved() if "provider=" in series or "client_id=" in series}


def test_a_provider_and_a_client_beyond_the_cap(provider: Provider, capped: Capture) -> None:
    capped.telemetry.provider(name="first")
    capped.telemetry.client("first")
    party = FlaskParty(provider)
    assert party.callback(**party.consent()) == 200
    party.callback(**{**party.consent(), "code": "forged"})
    moved = _provider(capped)
    flows = {f"oauth_flows_total{{provider=other,status={status}}}" for status in ("initiated", "success", "failure")}
    assert moved >= flows | {*flow("success", "other"), *flow("failure", "other")}
    assert moved >= {f"oauth_callback_processed{{client_id=other,success={value}}}" for value in ("true", "false")}
    assert moved >= {
        *provider_call("token", "200", "", "other"),
        *provider_call("token", "400", "client_error", "other"),
    }
    assert not [series for series in moved if "idp" in series or "web" in series]
    overflow = {name: value for name, value in capped.moved(own=True).items() if "overflow" in name}
    assert set(overflow) <= {f"otel_oauth_label_overflow_total{{label={cap}}}" for cap in ("provider", "client_id")}


def test_a_provider_without_a_name(capture: Capture, provider: Provider) -> None:
    """The fragment of an implicit grant tells nothing of who sent it."""
    with OAuth2Session(CLIENT_ID, response_type="token") as first, OAuth2Session(CLIENT_ID) as second:
        _, state = first.create_authorization_url(f"{provider.url}/authorize")
        capture.mark()
        fragment = f"https://client.example/cb#access_token=a&token_type=Bearer&state={state}"
        second.fetch_token(authorization_response=fragment)
    assert capture.moved() == flow("success", "unknown")


def test_the_far_end_hangs_up(provider: Provider) -> None:
    provider.answer("/api", 0)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{provider.url}/api", timeout=1)
