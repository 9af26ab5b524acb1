"""What the registries do apart from the callback: abandoned logins, fetches, integrations of one's own, OAuth 1."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from attached import attached
from authlib.integrations.base_client import FrameworkIntegration
from authlib.integrations.flask_client import FlaskIntegration, OAuth
from authlib.integrations.starlette_client import StarletteIntegration
from authlib_versions import AUTHLIB
from client_rows import STATE, callback_endpoint, callback_moved, flow, provider_call, refreshed, validated
from django.conf import settings
from flask import Flask
from registries import PARTIES, DjangoParty, FlaskParty
from starlette.exceptions import HTTPException
from starlette.requests import Request

from otel_oauth.testing import Capture
from otel_oauth_authlib.registry import REGISTRY_HOOKS

TOKEN = {"access_token": "a", "token_type": "Bearer"}
LOOKED_UP = {**STATE["get_state"], **STATE["clear_state"]}
UNCACHED = pytest.mark.parametrize("registry", [(name, False) for name in PARTIES], ids=str, indirect=True)
WITHOUT_CONTEXT = pytest.mark.parametrize("registry", [("django", False), ("starlette", False)], ids=str, indirect=True)
STARLETTE = pytest.mark.parametrize("registry", [("starlette", True)], ids=str, indirect=True)


def later(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every clock stand ``seconds`` later."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)


# Abandoned logins -----------------------------------------------------------------------------------------------------


@UNCACHED
def test_abandoned_logins_are_no_failures(registry: Any, capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    finished, cancelled, failed = (registry.new_browser() for _ in range(3))
    registry.callback(finished, **registry.consent(finished))
    registry.callback(cancelled, error="access_denied", state=registry.consent(cancelled)["state"])
    registry.callback(failed, error="server_error", state=registry.consent(failed)["state"])
    registry.consent(registry.new_browser())
    registry.consent(registry.new_browser())
    capture.clear()
    assert capture.spans("oauth.login") == [], "none has run out yet"
    later(3700, monkeypatch)
    assert capture.moved() == {"oauth_pkce_states_cleaned_total{reason=expired}": 4}
    (span,) = capture.spans("oauth.login")
    assert span["name"] == "oauth.login abandoned"
    assert span["attributes"] == {"oauth.flow.abandoned": 2, "oauth.outcome": "abandoned"}
    assert len(span["links"]) == 2
    assert span["status"]["code"] == "unset"
    assert capture.moved() == {}
    assert len(capture.spans("oauth.login")) == 1, "told once"


def test_an_abandoned_login_leads_to_its_beginning(
    driver: Any, provider: Any, capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.session().create_authorization_url(f"{provider.url}/authorize")
    later(3700, monkeypatch)
    capture.gauges()
    (begun,), (span,) = capture.spans("oauth.authorize"), capture.spans("oauth.login")
    assert [link["span_id"] for link in span["links"]] == [begun["span_id"]]
    assert capture.moved() == {"oauth_flows_total{provider=127.0.0.1,status=initiated}": 1}


# What a registered client fetches -------------------------------------------------------------------------------------


@WITHOUT_CONTEXT
def test_what_a_registered_client_fetches(registry: Any, provider: Any, capture: Any) -> None:
    client = registry.client
    client.server_metadata.pop("_loaded_at")
    registry.run(client.load_server_metadata())
    discovered = {
        "oauth_discovery_attempts_total{method=manual,status=success}": 1,
        "oauth_discovery_duration_seconds{method=manual,status=success}": 1,
    }
    assert capture.moved() == {**provider_call("discovery", "200"), **discovered}
    registry.run(client.load_server_metadata())
    registry.run(client.fetch_jwk_set())
    assert capture.moved() == {}, "both are cached"
    registry.run(client.fetch_jwk_set(force=True))
    assert capture.moved() == provider_call("jwks", "200")
    assert registry.run(client.userinfo(token=TOKEN))["sub"] == "user"
    assert capture.moved() == provider_call("userinfo", "200")
    registry.run(client.get(f"{provider.url}/api", token=TOKEN))
    assert capture.moved() == provider_call("api", "200")
    registry.run(client.post(f"{provider.url}/register", json={}, token=TOKEN))
    registered = {
        "oauth_client_registrations_total{status=success}": 1,
        "oauth_client_registration_duration_seconds{status=success}": 1,
    }
    assert capture.moved() == {**provider_call("registration", "201"), **registered}


@WITHOUT_CONTEXT
def test_automatic_refresh_of_a_registered_client(registry: Any, provider: Any, capture: Any) -> None:
    provider.answer("/token", 200, '{"access_token": "b", "token_type": "Bearer"}')
    expired = {**TOKEN, "refresh_token": "r", "expires_at": int(time.time()) - 5}
    registry.run(registry.client.get(f"{provider.url}/api", token=expired))
    moved = {**provider_call("api", "200"), **provider_call("refresh", "200"), **refreshed("success", "normal")}
    assert capture.moved() == moved
    attributes = capture.spans("oauth.refresh idp")[0]["attributes"]
    assert attributes["oauth.token.remaining_lifetime"] < 0


@WITHOUT_CONTEXT
def test_discovery_fails_at_login(registry: Any, provider: Any, capture: Any) -> None:
    registry.client.server_metadata.pop("_loaded_at")
    provider.answer("/metadata", 500)
    assert registry.get("/login").status_code == 500
    failed = {
        "oauth_discovery_attempts_total{method=manual,status=failure}": 1,
        "oauth_discovery_duration_seconds{method=manual,status=failure}": 1,
    }
    assert capture.moved() == {**provider_call("discovery", "500", "server_error"), **failed}


# Callbacks that are no callbacks --------------------------------------------------------------------------------------


@UNCACHED
def test_a_hostile_callback_adds_no_series(registry: Any, capture: Any) -> None:
    registry.catches = True
    before = len(capture.points())
    for number in range(8):
        registry.callback(state=f"\x00\ufffd{number}" + "x" * 3000, code="\ud7ff", iss="x" * 1500)
        registry.callback(error=f"error-{number}", state="\xff")
        registry.post(code="c" * 3000)
    assert len(capture.points()) - before <= 6, "the callback's own histograms, nothing by state or error"


@UNCACHED
def test_a_form_that_cannot_be_read_stays_the_frameworks_matter(
    registry: Any, capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(registry, FlaskParty):
        registry.app.config["MAX_CONTENT_LENGTH"], status, counted = 10, 413, "413"
    elif isinstance(registry, DjangoParty):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
        status, counted = 400, "500"
    elif AUTHLIB < (1, 6):
        pytest.skip("this version of Authlib reads no form under Starlette")
    else:
        monkeypatch.setattr(Request, "form", too_big)
        status, counted = 413, "413"
    assert registry.post(state="x" * 100, code="y") == status
    assert capture.moved() == {**callback_moved("false"), **callback_endpoint(counted, "POST")}


def too_big(_request: Any, **_limits: Any) -> Any:
    raise HTTPException(413)


@WITHOUT_CONTEXT
def test_more_parameters_than_a_framework_takes(registry: Any, capture: Any) -> None:
    registry.catches = True
    many = {f"p{number}": "" for number in range(1200)}
    registry.callback(state="forged", code="x", **many)
    moved = capture.moved(own=True)
    assert moved["oauth_callback_processed{client_id=web,success=false}"] == 1
    assert not [name for name in moved if "errors" in name]


# Integrations of the application's own --------------------------------------------------------------------------------


class Database:
    """Where an application keeps its states instead of the session."""

    rows: dict[str, Any] = {}  # noqa: RUF012 emptied by the test


class OwnIntegration(FlaskIntegration):
    """Keeps states in a database; what it inherits runs as well when a state is removed."""

    def set_state_data(self, session: Any, state: str, data: Any) -> None:
        session["marker"] = state
        Database.rows[state] = data

    def get_state_data(self, session: Any, state: str) -> Any:
        return Database.rows.get(state) if session.get("marker") == state else None

    def clear_state_data(self, session: Any, state: str) -> None:
        Database.rows.pop(state, None)
        super().clear_state_data(session, state)


def test_an_integration_of_the_applications_own(make_party: Any, capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OAuth, "framework_integration_cls", OwnIntegration)
    monkeypatch.setattr(Database, "rows", {})
    party = make_party()
    party.client.load_server_metadata()
    party.client.fetch_jwk_set()
    capture.mark()
    parameters = party.consent()
    assert capture.moved() == {
        "oauth_flows_total{provider=idp,status=initiated}": 1,
        "oauth_pkce_states_created_total": 1,
        **STATE["set_state"],
    }
    assert party.callback(**parameters) == 200
    success = {**provider_call("token", "200"), **validated("success", "valid"), **flow("success")}
    answered = {**callback_moved("true"), **callback_endpoint("200")}
    assert capture.moved() == {**success, **LOOKED_UP, **answered}, "an override that calls super() counts once"


def test_an_integration_of_the_applications_own_is_given_back(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OAuth, "framework_integration_cls", OwnIntegration)
    classes = (FrameworkIntegration, StarletteIntegration, OwnIntegration)
    before = [cls.__dict__["set_state_data"] for cls in classes]
    with Capture() as capture:
        hooks = attached(capture.telemetry, REGISTRY_HOOKS)
        FlaskParty(provider)
        assert all(cls.__dict__["set_state_data"] is not old for cls, old in zip(classes, before, strict=True))
        hooks.detach()
    assert all(cls.__dict__["set_state_data"] is old for cls, old in zip(classes, before, strict=True))


@STARLETTE
def test_a_cache_without_a_marker_in_the_session(registry: Any, capture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the cache lost was nobody else's."""

    class Unmarked(StarletteIntegration):
        async def set_state_data(self, _session: Any, state: str, data: Any) -> None:
            await self.cache.set(f"_state_{self.name}_{state}", json.dumps({"data": data}), self.expires_in)

        async def get_state_data(self, _session: Any, state: str) -> Any:
            found = await self._get_cache_data(f"_state_{self.name}_{state}")
            return found["data"] if found else None

    monkeypatch.setattr(registry.client, "framework", Unmarked("idp", registry.cache))
    browser = registry.visited()
    parameters = registry.consent(browser)
    registry.cache.values.clear()
    registry.catches = True
    capture.mark()
    registry.callback(browser, **parameters)
    dropped = {"oauth_pkce_states_cleaned_total{reason=server_deleted}": 1}
    refused = {**callback_moved("false"), **callback_endpoint("400")}
    assert capture.moved() == {**validated("failure", "not_found"), **dropped, **LOOKED_UP, **refused}
    parameters = registry.consent(browser)
    capture.mark()
    assert registry.callback(browser, **parameters) == 200
    assert capture.moved()["oauth_flows_total{provider=idp,status=success}"] == 1


# OAuth 1 --------------------------------------------------------------------------------------------------------------


def test_oauth_1_is_not_touched(provider: Any, capture: Any) -> None:
    app = Flask("client")
    app.secret_key = "of-a-test"
    client = OAuth(app).register(
        "old",
        client_id="key",
        client_secret="secret",
        request_token_url=f"{provider.url}/request-token",
        access_token_url=f"{provider.url}/access-token",
        authorize_url=f"{provider.url}/authorize-1",
    )
    app.add_url_rule("/login", "login", lambda: client.authorize_redirect("https://client.example/callback"))
    app.add_url_rule("/callback", "callback", lambda: sorted(client.authorize_access_token()))
    app.add_url_rule("/api", "api", lambda: client.get(f"{provider.url}/api", token=OLD_TOKEN).text)
    provider.answer("/request-token", 200, "oauth_token=t1&oauth_token_secret=s1&oauth_callback_confirmed=true")
    provider.answer("/access-token", 200, "oauth_token=t2&oauth_token_secret=s2")
    browser = app.test_client()
    assert browser.get("/login").status_code == 302
    assert browser.get("/callback?oauth_token=t1&oauth_verifier=v").json == ["oauth_token", "oauth_token_secret"]
    assert b"OAuth oauth_" in browser.get("/api").data
    assert capture.moved() == {}
    assert capture.spans() == []


OLD_TOKEN = {"oauth_token": "t2", "oauth_token_secret": "s2"}


@pytest.mark.parametrize("registry", [("starlette", False)], ids=str, indirect=True)
def test_oauth_1_is_not_touched_under_starlette(registry: Any, provider: Any, capture: Any) -> None:
    client = registry.oauth.register(
        "old",
        client_id="key",
        client_secret="secret",
        client_kwargs={"verify": False},
        request_token_url=f"{provider.url}/request-token",
        access_token_url=f"{provider.url}/access-token",
        authorize_url=f"{provider.url}/authorize-1",
    )
    provider.answer("/request-token", 200, "oauth_token=t1&oauth_token_secret=s1&oauth_callback_confirmed=true")
    provider.answer("/access-token", 200, "oauth_token=t2&oauth_token_secret=s2")
    session: dict[str, Any] = {}
    request = SimpleNamespace(session=session, query_params={"oauth_token": "t1", "oauth_verifier": "v"})
    registry.run(client.authorize_redirect(request, "https://client.example/callback"))
    assert sorted(session) == ["_state_old_t1"]
    assert registry.run(client.authorize_access_token(request))["oauth_token"] == "t2"
    assert capture.moved() == {}
    assert capture.spans() == []


# Ten callers at once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registry", [("starlette", False)], ids=str, indirect=True)
def test_concurrent_calls_of_a_registered_client_are_sessions_of_their_own(
    registry: Any, provider: Any, capture: Any
) -> None:
    async def ten() -> None:
        expired = {**TOKEN, "refresh_token": "r", "expires_at": 1}
        await asyncio.gather(*(registry.client.get(f"{provider.url}/api", token=dict(expired)) for _ in range(10)))

    for _ in range(10):
        provider.answer("/token", 200, '{"access_token": "b", "token_type": "Bearer", "expires_in": 60}')
    registry.run(ten())
    once = {**provider_call("api", "200"), **provider_call("refresh", "200"), **refreshed("success", "normal")}
    assert capture.moved() == dict.fromkeys(once, 10), "each request makes a session, and each session its refresh"
