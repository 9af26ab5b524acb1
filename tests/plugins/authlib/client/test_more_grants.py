"""Grants and calls beside the login: assertions, token exchange, device polling, streams, PAR and JAR, RFC 7592."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AssertionClient, AsyncAssertionClient, AsyncOAuth2Client, OAuth2Client
from authlib.integrations.requests_client import AssertionSession, OAuth2Session
from authlib_jose import SECRET, oct_key
from client_rows import provider_call, refreshed

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
TOKEN = {"access_token": "a", "token_type": "Bearer"}
FRESH = {"access_token": "b", "token_type": "Bearer", "expires_in": 3600}


def call(operation: str, status: str, error: str = "") -> dict[str, float]:
    return provider_call(operation, status, error, HOST)


# Assertions (RFC 7521, 7523) ------------------------------------------------------------------------------------------


class Asserting:
    """A client that asserts its own identity, of one kind."""

    def __init__(self, kind: str, provider: Any) -> None:
        self.provider = provider
        self.loop = asyncio.new_event_loop() if kind == "async" else None
        cls = {"requests": AssertionSession, "httpx": AssertionClient, "async": AsyncAssertionClient}[kind]
        plain = {} if kind == "requests" else {"verify": False}
        self.client = cls(
            f"{provider.url}/token",
            issuer="robot",
            subject="robot",
            audience=provider.url,
            header={"alg": "HS256"},
            key=oct_key(),
            **plain,
        )

    def run(self, result: Any) -> Any:
        return result if self.loop is None else self.loop.run_until_complete(result)

    def close(self) -> None:
        if self.loop is None:
            self.client.close()
        else:
            self.run(self.client.aclose())
            self.loop.close()


@pytest.fixture(params=["requests", "httpx", "async"])
def asserting(request: pytest.FixtureRequest, provider: Any, capture: Any) -> Iterator[Asserting]:
    assert capture.telemetry.guard.reraise
    found = Asserting(request.param, provider)
    yield found
    found.close()


def test_assertion_explicit(asserting: Any, provider: Any, capture: Any) -> None:
    provider.answer("/token", 200, json.dumps(FRESH))
    token = asserting.run(asserting.client.refresh_token())
    assert token is asserting.client.token
    assert capture.moved() == call("token", "200")
    assert capture.gauges()["oauth_active_tokens"] == 1
    (span,) = capture.spans()
    assert span["name"] == f"oauth.token {HOST}"
    assert span["attributes"]["oauth.grant_type"] == "jwt_bearer"
    assert SECRET not in repr(span)


def test_assertion_automatic_inside_an_api_call(asserting: Any, provider: Any, capture: Any) -> None:
    provider.answer("/token", 200, json.dumps(FRESH))
    response = asserting.run(asserting.client.get(f"{provider.url}/api"))
    assert response.json() == {"token": "Bearer b"}
    assert capture.moved() == {**call("token", "200"), **call("api", "200")}
    asserting.run(asserting.client.get(f"{provider.url}/api"))
    assert capture.moved() == call("api", "200")
    api, token = capture.spans("oauth.api")[0], capture.spans("oauth.token")[0]
    assert token["parent_id"] == api["span_id"]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(400, '{"error": "invalid_grant"}', "client_error"), (503, "{}", "server_error"), (200, "[]", "invalid_response")],
)
def test_assertion_refused(  # noqa: PLR0913, PLR0917 a row of the table each
    asserting: Any, provider: Any, capture: Any, status: int, body: str, error: str
) -> None:
    provider.answer("/token", status, body)
    with pytest.raises(Exception):  # noqa: B017, PT011 each HTTP client has its own
        asserting.run(asserting.client.get(f"{provider.url}/api"))
    assert capture.moved() == call("token", str(status), error), (
        "the API was never called, and no refresh token is meant"
    )


# Token exchange (RFC 8693), device polling (RFC 8628) -----------------------------------------------------------------


def test_token_exchange(driver: Any, provider: Any, capture: Any) -> None:
    provider.answer("/token", 200, json.dumps(FRESH))
    grant = "urn:ietf:params:oauth:grant-type:token-exchange"
    driver.run(driver.session().fetch_token(f"{provider.url}/token", grant_type=grant, subject_token="of-the-user"))
    assert capture.moved() == call("token", "200")
    (span,) = capture.spans()
    assert span["attributes"]["oauth.grant_type"] == "token_exchange"
    assert "of-the-user" not in repr(span)


def test_device_polling_until_the_user_consents(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.session(device_authorization_endpoint=f"{provider.url}/device")
    provider.answer("/device", 200, '{"device_code": "d", "user_code": "u", "interval": 0}')
    driver.run(session.request("POST", f"{provider.url}/device", data={"client_id": "web"}, withhold_token=True))
    assert capture.moved() == call("api", "200")
    for error in ("authorization_pending", "slow_down"):
        provider.answer("/token", 400, json.dumps({"error": error}))
    provider.answer("/token", 200, json.dumps(FRESH))
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    for error in ("authorization_pending", "slow_down"):
        with pytest.raises(Exception, match=error):
            driver.run(session.fetch_token(f"{provider.url}/token", grant_type=grant, device_code="d"))
        assert capture.moved() == call("token", "400")
    driver.run(session.fetch_token(f"{provider.url}/token", grant_type=grant, device_code="d"))
    assert capture.moved() == call("token", "200")
    outcomes = [span["attributes"]["oauth.outcome"] for span in capture.spans("oauth.token")]
    assert outcomes == ["pending", "pending", "success"]


# PAR (RFC 9126), JAR (RFC 9101): Authlib's clients pass on what the application made ----------------------------------


def test_pushed_and_signed_authorization_requests(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.session(pushed_authorization_request_endpoint=f"{provider.url}/par")
    provider.answer("/par", 201, '{"request_uri": "urn:example:bwc4JK", "expires_in": 60}')
    driver.run(session.request("POST", f"{provider.url}/par", data={"client_id": "web"}, withhold_token=True))
    assert capture.moved() == call("api", "201")
    provider.answer("/par", 400, '{"error": "invalid_request"}')
    driver.run(session.request("POST", f"{provider.url}/par", data={"client_id": "web"}, withhold_token=True))
    assert capture.moved() == call("api", "400", "client_error")
    assert [span["name"] for span in capture.spans()] == [f"oauth.pushed_authorization {HOST}"] * 2
    for parameters in ({"request_uri": "urn:example:bwc4JK"}, {"request": "signed.by.client"}):
        session.create_authorization_url(f"{provider.url}/authorize", code_verifier="v" * 50, **parameters)
        initiated = {f"oauth_flows_total{{provider={HOST},status=initiated}}": 1, "oauth_pkce_states_created_total": 1}
        assert capture.moved() == initiated
        assert not [value for value in parameters.values() if value in repr(capture.spans())]


# Registration management (RFC 7592) -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_registration_management_is_no_registration(driver: Any, provider: Any, capture: Any, method: str) -> None:
    session = driver.session(token=TOKEN, **provider.metadata())
    provider.answer("/register/web", 204 if method == "DELETE" else 200)
    driver.run(session.request(method, f"{provider.url}/register/web"))
    assert capture.moved() == call("registration", "204" if method == "DELETE" else "200")


def test_registration_without_a_token(driver: Any, provider: Any, capture: Any) -> None:
    session = driver.session(**provider.metadata())
    driver.run(session.request("POST", f"{provider.url}/register", json={"client_name": "new"}, withhold_token=True))
    registered = {
        "oauth_client_registrations_total{status=success}": 1,
        "oauth_client_registration_duration_seconds{status=success}": 1,
    }
    assert capture.moved() == {**call("registration", "201"), **registered}


# Streams of httpx -----------------------------------------------------------------------------------------------------


def test_stream(provider: Any, capture: Any) -> None:
    with OAuth2Client("web", "s", token=TOKEN, verify=False) as session:
        with session.stream("GET", f"{provider.url}/api") as response:
            assert capture.moved() == call("api", "200"), "the head is there, the body is not"
            assert json.loads(response.read()) == {"token": "Bearer a"}
        with session.stream("GET", f"{provider.url}/api", auth=("user", "password")) as response:
            response.read()
    assert capture.moved() == {}, "without the token it is nothing of ours"


def test_stream_async(provider: Any, capture: Any) -> None:
    async def streamed() -> None:
        client = AsyncOAuth2Client("web", "s", token=TOKEN, verify=False)
        async with client as session, session.stream("GET", f"{provider.url}/api") as response:
            assert capture.moved() == call("api", "200")
            assert json.loads(await response.aread()) == {"token": "Bearer a"}

    asyncio.run(streamed())
    assert capture.moved() == {}
    assert [span["name"] for span in capture.spans()] == [f"oauth.api {HOST}"]


EXPIRED = {**TOKEN, "refresh_token": "r", "expires_at": 1}


def test_stream_refreshes_first(provider: Any, capture: Any) -> None:
    provider.answer("/token", 200, json.dumps(FRESH))
    endpoint = f"{provider.url}/token"
    with OAuth2Client("web", "s", token=dict(EXPIRED), token_endpoint=endpoint, verify=False) as session:  # noqa: SIM117 as written
        with session.stream("GET", f"{provider.url}/api"):
            pass
    assert capture.moved() == {**call("api", "200"), **call("refresh", "200"), **refreshed("success", "normal")}
    api, refresh = capture.spans("oauth.api")[0], capture.spans("oauth.refresh")[0]
    assert refresh["parent_id"] == api["span_id"]


def test_stream_async_whose_refresh_is_refused(provider: Any, capture: Any) -> None:
    async def streamed() -> None:
        endpoint = f"{provider.url}/token"
        async with AsyncOAuth2Client("web", "s", token=dict(EXPIRED), token_endpoint=endpoint, verify=False) as session:
            with pytest.raises(Exception, match="invalid_grant"):
                async with session.stream("GET", f"{provider.url}/api"):
                    pass

    provider.answer("/token", 400, '{"error": "invalid_grant"}')
    asyncio.run(streamed())
    assert capture.moved() == {**call("refresh", "400", "client_error"), **refreshed("failure", "no_record")}


def test_stream_times_out(provider: Any, capture: Any) -> None:
    provider.answer("/api", 200, "{}", 0.3)
    with OAuth2Client("web", "s", token=TOKEN, timeout=0.1, verify=False) as session:
        stream = session.stream("GET", f"{provider.url}/api")
        with pytest.raises(Exception, match="timed out"), stream:
            pass
    assert capture.moved() == call("api", "0", "timeout")


def test_an_error_in_the_body_of_a_stream_is_the_applications(provider: Any, capture: Any) -> None:
    raised = ZeroDivisionError("of the application")
    with OAuth2Client("web", "s", token=TOKEN, verify=False) as session:
        with pytest.raises(ZeroDivisionError) as caught, session.stream("GET", f"{provider.url}/api") as response:
            raise raised
        assert caught.value is raised
        assert response.is_closed
    assert capture.moved() == call("api", "200")


# Ten callers at once --------------------------------------------------------------------------------------------------


def test_ten_sync_callers_count_each_refresh_that_was_made(provider: Any, capture: Any) -> None:
    with OAuth2Session("web", "web-secret", scope="profile", redirect_uri="https://client.example/cb") as login:
        url, _ = login.create_authorization_url(f"{provider.url}/authorize")
        token = dict(login.fetch_token(f"{provider.url}/token", code=provider.authorize(url)["code"]))
    provider.answered.clear()
    capture.mark()
    endpoint, gate = f"{provider.url}/token", threading.Barrier(10)
    session = OAuth2Session("web", "web-secret", token={**token, "expires_at": 1}, token_endpoint=endpoint)
    outcomes: list[str] = []

    def ask() -> None:
        gate.wait()
        try:
            session.get(f"{provider.url}/api")
            outcomes.append("success")
        except OAuthError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.close()
    moved = capture.moved()
    made = {status: provider.answered["/token", status] for status in (200, 400)}
    counted = f"provider_api_calls_total{{provider={HOST},operation=refresh,status="
    assert {status: moved.get(f"{counted}{status}}}", 0) for status in (200, 400)} == made
    assert made[200] >= 1
    assert moved["oauth_token_refresh_total{status=success,reason=normal}"] == made[200]
    failures = [count for name, count in moved.items() if name.startswith("oauth_token_refresh_total{status=failure")]
    assert sum(failures) == made[400]
    apis = moved.get(f"provider_api_calls_total{{provider={HOST},operation=api,status=200}}", 0)
    assert apis == outcomes.count("success")
