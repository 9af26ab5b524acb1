"""The application gets what it would have got: the same objects, the same exceptions, and its library back."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import time
import weakref
from importlib import import_module
from typing import Any

import pytest
from attached import attached
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.client import OAuth2Client
from client_rows import flow, provider_call, refreshed

from otel_oauth.testing import Capture
from otel_oauth_authlib import AuthlibInstrumentor
from otel_oauth_authlib.client import CLIENT_HOOKS
from otel_oauth_authlib.registry import REGISTRY_HOOKS

HOST = "127.0.0.1"
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TOKEN = {"access_token": "a", "refresh_token": "r", "token_type": "Bearer"}
FRESH = json.dumps({"access_token": "b", "refresh_token": "r2", "token_type": "Bearer", "expires_in": 3600})


def call(operation: str, status: str, error: str = "") -> dict[str, float]:
    return provider_call(operation, status, error, HOST)


def definer(target: str) -> tuple[type, str]:
    """Return the class that defines a hooked method, and its name."""
    module, _, path = target.partition(":")
    class_name, _, name = path.partition(".")
    cls = getattr(import_module(module), class_name)
    return next(base for base in cls.__mro__ if name in base.__dict__), name


def test_every_target_is_there_and_restored() -> None:
    targets = [definer(target) for target in (*CLIENT_HOOKS, *REGISTRY_HOOKS)]
    before = [owner.__dict__[name] for owner, name in targets]
    with Capture() as capture:
        hooks = attached(capture.telemetry, {**CLIENT_HOOKS, **REGISTRY_HOOKS})
        states = {p["attributes"]["state"]: p["value"] for p in capture.points() if p["name"] == "otel_oauth_hooks"}
        assert states == {"attached": len(CLIENT_HOOKS) + len(REGISTRY_HOOKS), "missing": 0}
        assert all(owner.__dict__[name] is not old for (owner, name), old in zip(targets, before, strict=True))
        hooks.detach()
    assert all(owner.__dict__[name] is old for (owner, name), old in zip(targets, before, strict=True))


def test_the_instrumentor_attaches_the_client_too(provider: Any) -> None:
    original = OAuth2Client.__dict__["fetch_token"]
    with Capture() as capture:
        AuthlibInstrumentor().instrument(telemetry=capture.telemetry)
        try:
            with OAuth2Session("web", "web-secret") as session:
                session.fetch_token(f"{provider.url}/token")
        finally:
            AuthlibInstrumentor().uninstrument()
        moved = capture.moved()
    assert {name: moved[name] for name in call("token", "200")} == call("token", "200")
    assert OAuth2Client.__dict__["fetch_token"] is original


def test_identical_exception(driver: Any, provider: Any, capture: Any) -> None:
    raised: list[BaseException] = []

    def fail(_token: Any, **_old: Any) -> None:
        raised.append(ZeroDivisionError("of the application"))
        raise raised[0]

    provider.answer("/token", 200, FRESH)
    session = driver.refresher({**TOKEN, "expires_at": 1}, update_token=fail)
    with pytest.raises(ZeroDivisionError) as caught:
        driver.run(session.get(f"{provider.url}/api"))
    assert caught.value is raised[0]
    assert capture.moved() == {**call("refresh", "200"), **refreshed("failure", "exception")}


def test_identical_result(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.session(token=TOKEN)
    seen: list[Any] = []
    session.register_compliance_hook("access_token_response", lambda response: seen.append(response) or response)
    token = driver.run(session.fetch_token(f"{provider.url}/token"))
    assert token is session.token
    assert type(token).__name__ == "OAuth2Token"
    assert len(seen) == 1
    assert capture.moved() == call("token", "200")


def test_sessions_made_before_attach_and_used_after_detach(provider: Any) -> None:
    with OAuth2Session("web", "web-secret") as session, Capture() as capture:
        hooks = attached(capture.telemetry, CLIENT_HOOKS)
        fetch = session.fetch_token
        fetch(f"{provider.url}/token")
        assert capture.moved() == call("token", "200")
        hooks.detach()
        fetch(f"{provider.url}/token")
        assert capture.moved() == {}


def test_a_session_that_overrides_what_it_inherits(provider: Any, capture: Any) -> None:
    class Own(OAuth2Session):
        def parse_response_token(self, resp: Any) -> Any:
            self.token = resp.json()
            return self.token

        def fetch_token(self, *arguments: Any, **named: Any) -> Any:
            return super().fetch_token(*arguments, **named)

    with Own("web", "web-secret", token={**TOKEN, "expires_at": 1}, token_endpoint=f"{provider.url}/token") as session:
        session.fetch_token(f"{provider.url}/token", grant_type="client_credentials")
        assert capture.moved() == call("token", "200")
        assert capture.gauges()["oauth_active_tokens"] == 1
        provider.answer("/token", 200, FRESH)
        session.refresh_token(f"{provider.url}/token", refresh_token="r")
        assert capture.moved() == {**call("refresh", "200"), **refreshed("success", "normal")}


def test_a_session_is_not_kept_alive(provider: Any, capture: Any) -> None:
    session = OAuth2Session("web", "web-secret")
    session.create_authorization_url(f"{provider.url}/authorize")
    gone = weakref.ref(session)
    session.close()
    del session
    gc.collect()
    assert gone() is None
    assert capture.moved() == {f"oauth_flows_total{{provider={HOST},status=initiated}}": 1}


def test_concurrent_calls_make_one_refresh(provider: Any, capture: Any) -> None:
    async def ten() -> list[Any]:
        token = {**TOKEN, "expires_at": int(time.time()) - 5}
        async with AsyncOAuth2Client(
            "web", "web-secret", token=token, token_endpoint=f"{provider.url}/token", verify=TLS
        ) as session:
            return await asyncio.gather(*(session.get(f"{provider.url}/api") for _ in range(10)))

    provider.answer("/token", 200, FRESH, 0.05)
    assert len(asyncio.run(ten())) == 10
    moved = capture.moved()
    assert moved.pop(f"provider_api_calls_total{{provider={HOST},operation=api,status=200}}") == 10
    assert moved.pop(f"provider_api_duration_milliseconds{{provider={HOST},operation=api}}") == 10
    assert moved == {**call("refresh", "200"), **refreshed("success", "normal")}


def test_a_cancelled_call_is_no_error_of_the_provider(provider: Any, capture: Any) -> None:
    async def cancelled() -> None:
        async with AsyncOAuth2Client("web", "web-secret", token=TOKEN, verify=TLS) as session:
            await asyncio.wait_for(session.get(f"{provider.url}/api"), 0.05)

    provider.answer("/api", 200, "{}", 0.3)
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(cancelled())
    assert capture.moved() == call("api", "0")
    assert capture.spans("oauth.api")[0]["attributes"]["oauth.outcome"] == "cancelled"


def test_a_cancelled_login_is_no_failed_flow(provider: Any, capture: Any) -> None:
    async def cancelled() -> None:
        async with AsyncOAuth2Client("web", "web-secret", verify=TLS) as session:
            session.create_authorization_url(f"{provider.url}/authorize")
            await asyncio.wait_for(session.fetch_token(f"{provider.url}/token", code="c"), 0.05)

    provider.answer("/token", 200, FRESH, 0.3)
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(cancelled())
    moved = capture.moved()
    assert moved == {f"oauth_flows_total{{provider={HOST},status=initiated}}": 1, **call("token", "0")}


def test_operations_of_concurrent_tasks_do_not_mix(provider: Any, capture: Any) -> None:
    async def logins() -> None:
        async with AsyncOAuth2Client("web", "web-secret", verify=TLS, scope="profile") as session:
            urls = [session.create_authorization_url(f"{provider.url}/authorize") for _ in range(5)]
            await asyncio.gather(
                *(
                    session.fetch_token(f"{provider.url}/token", code=provider.authorize(url)["code"], state=state)
                    for url, state in urls
                )
            )

    asyncio.run(logins())
    moved = capture.moved()
    assert {name: moved[name] for name in flow("success", HOST)} == dict.fromkeys(flow("success", HOST), 5)
    links = [span["links"][0]["span_id"] for span in capture.spans("oauth.code_exchange")]
    assert sorted(links) == sorted(span["span_id"] for span in capture.spans("oauth.authorize"))
    assert all(not span["parent_id"] for span in capture.spans())


def test_one_process_that_is_client_and_server_judges_each_side_by_itself(provider: Any) -> None:
    with Capture() as capture:
        AuthlibInstrumentor().instrument(telemetry=capture.telemetry)
        try:
            with OAuth2Session(
                "web", "web-secret", scope="profile", redirect_uri="https://client.example/cb"
            ) as session:
                url, state = session.create_authorization_url(f"{provider.url}/authorize")
                code = provider.authorize(url)["code"]
                first = dict(session.fetch_token(f"{provider.url}/token", code=code, state=state))
                session.refresh_token(f"{provider.url}/token")
                session.refresh_token(f"{provider.url}/token")
                capture.mark()
                with pytest.raises(Exception, match="invalid_grant"):
                    session.refresh_token(f"{provider.url}/token", refresh_token=first["refresh_token"])
        finally:
            AuthlibInstrumentor().uninstrument()
        moved = capture.moved()
    assert moved["oauth_token_refresh_total{status=failure,reason=reuse_detected}"] == 1, "the client's view"
    assert moved["oauth_token_refresh_total{status=reuse_detected,reason=reuse_detected}"] == 1, "the server's"
    assert moved["oauth_security_events_total{event_type=token_reuse,severity=critical}"] == 1
